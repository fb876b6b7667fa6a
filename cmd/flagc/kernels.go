package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
)

func (a *app) kernels() *cobra.Command {
	var f modelFlags
	var name string
	var asTile, asJSON bool
	cmd := &cobra.Command{
		Use:   "kernels MODEL --target NAME",
		Short: "List a model's kernels for a target, or print one as Triton or tile text",
		Long: `Lists the programs that the kernels of a model become on a target: how often a decoded token starts each, its grid,
warps and pipeline stages, an estimate of its tiles in on-chip memory, and the bytes of one launch. Counts and bytes are
of the largest launch that memory is planned for; where a grid is 0 the program is not started. With --kernel it prints
one program as the Triton text that a build has, or with --tile as the tile program behind it. Programs that break rules
of the target are listed and printed too, with the reasons as errors at the end.`,
		Example: `  flagc kernels deepseek-v4-flash --target h20 --tp 8
  flagc kernels deepseek-v4-flash --target h20 --tp 8 --kernel wo_b_decode
  flagc kernels deepseek-v4-flash --target ascend-910b-32g --tp 8 --kernel wo_b_decode --tile`,
		Args: exactly(1, "one MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asTile && name == "" {
				return usageError{fmt.Errorf("--tile prints one program: name it with --kernel")}
			}
			m, err := a.load(args[0], &f, "")
			if err != nil {
				return err
			}
			if m.opts.Target.Host.Executes {
				return fmt.Errorf("target %s has no kernels to print: its programs compute in Go; name an accelerator, such as --target h20",
					m.opts.Target.Name)
			}
			if _, err := m.stages(""); err != nil {
				return err
			}
			built, broken := triton.NewBuild(m.module, m.opts.Target)
			switch {
			case built == nil:
				return broken
			case name != "":
				return a.printProgram(built, name, asTile)
			case asJSON:
				err = a.printJSON(listing(m.module, built))
			default:
				err = a.printPrograms(m.module, built)
			}
			if broken != nil {
				return broken
			}
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&name, "kernel", "", "print this program, such as wo_b_decode, or all programs of a kernel, such as wo_b.decode")
	cmd.Flags().BoolVar(&asTile, "tile", false, "with --kernel: print the tile program instead of Triton")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON, as build.json has it")
	return cmd
}

// printProgram prints one program, or those of one kernel.
func (a *app) printProgram(b *triton.Build, name string, asTile bool) error {
	var known []string
	found := false
	for _, k := range b.Kernels {
		for _, p := range k.Programs {
			known = append(known, p.Name)
			if p.Name != name && k.Func.FullName() != name {
				continue
			}
			text := string(triton.Print(p))
			if asTile {
				text = tile.Print(p)
			}
			if found {
				fmt.Fprintln(a.out)
			}
			found = true
			fmt.Fprint(a.out, text)
			for _, v := range append(append([]triton.Violation{}, b.Broken...), b.Warnings...) {
				if v.Kernel == p.Name {
					fmt.Fprintln(a.err, v.Error())
				}
			}
		}
	}
	if !found {
		return unknownKernel(name, known)
	}
	return nil
}

// listing is the kernels of a build as build.json has them.
func listing(m *ir.Module, b *triton.Build) []kernelInfo {
	calls := passes.KernelCalls(m)
	var out []kernelInfo
	for _, k := range b.Kernels {
		info := describeKernel(calls, k.Func)
		info.Programs = describePrograms(m, b, k.Func)
		out = append(out, info)
	}
	return out
}

// printPrograms prints the list for people.
func (a *app) printPrograms(m *ir.Module, b *triton.Build) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PROGRAM\tPER CALL\tINSTANCES\tWARPS\tSTAGES\tON CHIP\tBYTES\tLEGAL\tGRID")
	for _, k := range listing(m, b) {
		for _, p := range k.Programs {
			state := "yes"
			if p.Legality != legal {
				state = "no: " + rulesOf(p.Legality)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", p.Name, perCall(k.Launched), p.At.Instances, p.Warps, p.Stages,
				size(int(p.OnChip)), size(p.At.Bytes), state, p.Grid)
		}
	}
	return w.Flush()
}

// perCall says how often calls of the entries launch a kernel, the main entry's first.
func perCall(launched map[string]int) string {
	var out []string
	for _, mode := range []ir.Mode{ir.Prefill, ir.Decode} {
		for _, entry := range []string{"main", "draft"} {
			if n := launched[entry+"."+string(mode)]; n > 0 {
				out = append(out, entry+" "+strconv.Itoa(n))
			}
		}
	}
	if len(out) == 0 {
		return "-" // for whoever wants it
	}
	return strings.Join(out, ", ")
}

// rulesOf shortens what legality says to the names of rules.
func rulesOf(legality string) string {
	var rules []string
	seen := map[string]bool{}
	for _, reason := range strings.Split(strings.TrimPrefix(legality, "breaks "), "; ") {
		rule, _, _ := strings.Cut(reason, ":")
		if !seen[rule] {
			seen[rule] = true
			rules = append(rules, rule)
		}
	}
	return strings.Join(rules, ", ")
}

// size is an amount in the unit that leaves three or four digits.
func size(n int) string {
	switch {
	case n == 0:
		return "-"
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000*int(targets.KiB):
		return fmt.Sprintf("%.1f KiB", float64(n)/float64(targets.KiB))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/float64(targets.MiB))
}
