package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flagc/internal/compare"
	"flagc/runtime/safetensors"
)

func (a *app) compare() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Hold two files of logits or traces against each other, value by value",
		Long: `Compares the tensors of two safetensors files in the order of the first, and shows where they part first. bf16
values and indices are equal when their bits are, float32 values up to one unit in the last place.

Exit code 0 says that everything is equal, 1 that something differs.`,
		Example: "  flagc compare eval.safetensors host.safetensors\n  flagc compare a.safetensors b.safetensors --all --json",
		Args:    exactly(2, "two files"),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := compareFiles(args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				err = a.printJSON(r)
			} else {
				a.printComparison(r, all)
			}
			if err == nil && !r.Equal() {
				return exitCode(exitUser)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the whole comparison as JSON")
	cmd.Flags().BoolVar(&all, "all", false, "list equal tensors as well, and every difference")
	return cmd
}

func compareFiles(a, b string) (*compare.Report, error) {
	fa, err := safetensors.Open(a)
	if err != nil {
		return nil, err
	}
	defer fa.Close()
	fb, err := safetensors.Open(b)
	if err != nil {
		return nil, err
	}
	defer fb.Close()
	return compare.Files(fa.Tensors(), fb.Tensors()), nil
}

// shownDifferences is how many differing tensors are listed without --all.
const shownDifferences = 12

func (a *app) printComparison(r *compare.Report, all bool) {
	different := 0
	for i := range r.Tensors {
		t := &r.Tensors[i]
		if !t.Equal() {
			if different++; different > shownDifferences && !all {
				continue
			}
		} else if !all {
			continue
		}
		fmt.Fprintf(a.out, "%-44s %s\n", t.Name, summary(t))
	}
	if different > shownDifferences && !all {
		fmt.Fprintf(a.out, "… and %d more (--all lists them)\n", different-shownDifferences)
	}
	only := func(which string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(a.out, "only in %s: %s%s\n", which, names[0], more(len(names)-1))
		}
	}
	only("A", r.OnlyA)
	only("B", r.OnlyB)
	if first := r.First(); first != nil {
		fmt.Fprintf(a.out, "they part first at %s%s\n", first.Name, place(first))
	}
	fmt.Fprintf(a.out, "%d tensors compared, %d equal, %d different\n", len(r.Tensors), len(r.Tensors)-different, different)
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// tellingULP is the distance up to which units in the last place say more than relative error does; across
// zero they run into the billions.
const tellingULP = 1000

// summary says in one line how a tensor compares.
func summary(t *compare.Tensor) string {
	switch {
	case t.Mismatch != "":
		return t.Mismatch
	case t.Equal():
		return fmt.Sprintf("equal (%d values)", t.Elements)
	case t.DType == "BF16" || t.DType == "F32":
		s := fmt.Sprintf("%d of %d differ, relative L2 %.2g (worst row %.2g)", t.Different, t.Elements, t.RelL2, t.WorstL2)
		if t.MaxULP <= tellingULP {
			s += fmt.Sprintf(", up to %d ulp", t.MaxULP)
		}
		if t.Argmax > 0 {
			s += fmt.Sprintf(", another argmax in %d rows", t.Argmax)
		}
		return s
	case t.Sets == 0:
		return fmt.Sprintf("%d of %d differ in order only", t.Different, t.Elements)
	}
	return fmt.Sprintf("other choices in %d rows (%d of %d entries differ)", t.Sets, t.Different, t.Elements)
}

func place(t *compare.Tensor) string {
	if t.First == nil {
		return ""
	}
	return fmt.Sprintf(" %v: %v against %v", t.First.Index, t.First.A, t.First.B)
}
