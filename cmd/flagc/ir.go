package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/passes"
	"flagc/weights"
)

func (a *app) ir() *cobra.Command {
	var f modelFlags
	var function string
	var diff diffFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ir MODEL",
		Short: "Print the model as IR text",
		Long: `Prints the graph IR of the model for one configuration: parameter sets with their tensors and states, then one
function for each kind of layer and mode. The text is complete: it can be read back.`,
		Example: `  flagc ir deepseek-v4-flash
  flagc ir deepseek-v4-pro --func block_csa.decode
  flagc ir deepseek-v4-flash --target h20 --diff lower-precision
  flagc ir deepseek-v4-flash --target h20 --tp 8 --diff shard --func block_csa.decode
  flagc ir deepseek-v4 --config config.json --json`,
		Args: exactly(1, "one MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := a.load(args[0], &f, "")
			if err != nil {
				return err
			}
			if diff.pass != "" && f.after != "" {
				return usageError{fmt.Errorf("--after and --diff both name a stage: give one of them")}
			}
			if diff.pass != "" {
				f.after = diff.pass
			}
			stages, err := m.stages(f.after)
			if err != nil {
				return err
			}
			switch {
			case diff.pass != "":
				return a.printDiff(stages, function, diff)
			case asJSON:
				return a.printJSON(describeLowered(m.module))
			case function != "":
				return a.printFunction(m.module, function)
			}
			_, err = fmt.Fprint(a.out, m.module.String())
			return err
		},
	}
	f.register(cmd)
	f.registerAfter(cmd)
	diff.register(cmd)
	cmd.Flags().StringVar(&function, "func", "", "print this function only, or what a pass changes in it, such as block_csa.decode")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a summary as JSON: functions, layer kinds, tensors, bytes, parameters, launches")
	return cmd
}

// diffFlags say what to compare and how to show it.
type diffFlags struct {
	pass, style string
	width       int
}

func (d *diffFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.pass, "diff", "", "print only what this pass changes, before and after side by side")
	cmd.Flags().StringVar(&d.style, "diff-style", "", fmt.Sprintf("%s, or %s: each old line and, below it, the new one "+
		"(default: by the width, side by side from %d columns on)", sideBySide, unified, leastWidth))
	cmd.Flags().IntVar(&d.width, "width", 0, fmt.Sprintf("columns of a diff side by side (default: the terminal's, else %d)",
		defaultWidth))
	completeWith(cmd, "diff", passes.Names()[1:])
	completeWith(cmd, "diff-style", []string{sideBySide, unified})
}

// printDiff shows what the last of the stages changed, in all or in one function.
func (a *app) printDiff(stages []passes.Stage, function string, d diffFlags) error {
	switch {
	case len(stages) < 2:
		return usageError{fmt.Errorf("--diff wants the name of a pass: %s", strings.Join(passes.Names()[1:], ", "))}
	case d.style != "" && d.style != sideBySide && d.style != unified:
		return usageError{fmt.Errorf("--diff-style %s: expected %s or %s", d.style, sideBySide, unified)}
	case d.width != 0 && d.width < narrowest:
		return usageError{fmt.Errorf("--width %d: two columns need at least %d", d.width, narrowest)}
	}
	if d.width == 0 {
		d.width = cmp.Or(terminalWidth(a.out), defaultWidth)
	}
	before, after := stages[len(stages)-2], stages[len(stages)-1]
	old, new := only(sections(before.Text), function), only(sections(after.Text), function)
	if len(old)+len(new) == 0 {
		return noFunction(function, functionNames(sections(after.Text)))
	}
	if !diffIR(newDiff(a.out, d.style, max(d.width, narrowest), before.Name, after.Name), old, new) {
		fmt.Fprintf(a.err, "%s changes nothing here\n", after.Name)
	}
	return nil
}

func (a *app) printFunction(m *ir.Module, name string) error {
	var names []string
	for _, f := range append(append([]*ir.Func(nil), m.Kernels...), m.Funcs...) {
		if f.FullName() == name {
			_, err := fmt.Fprint(a.out, f.Print(m))
			return err
		}
		names = append(names, f.FullName())
	}
	return noFunction(name, names)
}

func noFunction(name string, names []string) error {
	if near := diag.Nearest(name, names); near != "" {
		return fmt.Errorf("the model has no function %s: did you mean %s?", name, near)
	}
	return fmt.Errorf("the model has no function %s", name)
}

// moduleInfo is what reports say of a module.
type moduleInfo struct {
	Model      string         `json:"model"`
	Dims       map[string]int `json:"dims"`
	Kinds      []kindInfo     `json:"parameter_sets"`
	Entries    []string       `json:"entry_points"`
	Checkpoint weights.Totals `json:"checkpoint"`
}

// kindInfo describes one parameter set and the functions over it.
type kindInfo struct {
	Name      string         `json:"name"`
	Instances []string       `json:"instances"`
	Weights   int            `json:"weights"`
	States    int            `json:"states"`
	Ops       map[string]int `json:"ops"` // instructions by function
}

// layerKinds is the number of parameter sets that are not the whole model's.
func (i *moduleInfo) layerKinds() int {
	n := 0
	for _, k := range i.Kinds {
		if !slices.Contains(k.Instances, "") {
			n++
		}
	}
	return n
}

func describeModule(m *ir.Module) moduleInfo {
	info := moduleInfo{Model: m.Name, Dims: m.Names(), Checkpoint: weights.Summary(m)}
	ops := m.Inline()
	for _, p := range m.Params {
		k := kindInfo{Name: p.Name, Instances: p.Instances, Weights: len(p.Weights), States: len(p.States),
			Ops: map[string]int{}}
		for _, f := range ops.Funcs {
			if f.Params == p {
				k.Ops[f.FullName()] = len(f.Body)
				if p.HasInstance("") {
					info.Entries = append(info.Entries, f.FullName())
				}
			}
		}
		info.Kinds = append(info.Kinds, k)
	}
	return info
}

// loweredInfo is a module's report with what it starts on a device, where its ops are in kernels.
type loweredInfo struct {
	moduleInfo
	Launches *passes.Launches `json:"launches,omitempty"`
}

func describeLowered(m *ir.Module) loweredInfo {
	info := loweredInfo{moduleInfo: describeModule(m)}
	if len(m.Kernels) > 0 {
		n := passes.CountLaunches(m)
		info.Launches = &n
	}
	return info
}

// printJSON writes a report for scripts.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
