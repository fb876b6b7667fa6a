package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flagc/passes"
)

func (a *app) tp() *cobra.Command {
	var f modelFlags
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "tp MODEL",
		Short: "List the legal tensor-parallel degrees, and what forces the others out",
		Long: `For each number of ranks up to 64, says whether the model can be split over them, and otherwise every reason: the
weight whose split meets it, and the rule. With more ranks than o_groups, the ranks are a grid of groups and lanes, and
the grouped output projection is computed by one of two strategies:

  gather  the ranks of a group gather its heads, and each computes the whole group's projection: wo_a and wo_b are
          kept once for every lane
  reduce  each rank multiplies its own heads by its own columns of wo_a, and the sums are scattered over the lanes:
          nothing is kept twice

Where a degree is legal but a strategy is not, or a part of the model cannot be split with the rest and stays whole
on every rank, the reason is listed below it.`,
		Example: "  flagc tp deepseek-v4-flash\n  flagc tp deepseek-v4 --config config.json --all --json",
		Args:    exactly(1, "one MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := a.load(args[0], &f, "")
			if err != nil {
				return err
			}
			// What is quantised, and so has blocks that parts may not cut, depends on the policy.
			if _, err := passes.Run(m.module, m.opts, passes.Pipeline[0].Name); err != nil {
				return err
			}
			degrees := passes.Degrees(m.module, m.opts, maxRanks)
			if asJSON {
				return a.printJSON(degrees)
			}
			for _, d := range degrees {
				if d.Legal || all || d.TP&(d.TP-1) == 0 {
					a.printDegree(d, d.Legal || all)
				}
			}
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list reasons for every degree, not only for powers of two")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print every degree as JSON")
	return cmd
}

// printDegree prints a degree with what forces it out and, beside, what stays whole.
func (a *app) printDegree(d passes.Degree, beside bool) {
	if d.Legal {
		fmt.Fprintf(a.out, "%3d  yes%s\n", d.TP, describeGrid(d))
	}
	for i, r := range d.Reasons {
		degree := "        "
		if i == 0 {
			degree = fmt.Sprintf("%3d  no ", d.TP)
		}
		fmt.Fprintf(a.out, "%s %s\n", degree, describeReason(r))
	}
	for _, r := range d.Beside {
		if !beside {
			break
		}
		what := "stays whole: "
		if r.Layout != "" {
			what = "not by "
		}
		fmt.Fprintf(a.out, "          %s%s\n", what, describeReason(r))
	}
}

func describeGrid(d passes.Degree) string {
	if d.Grid == "" {
		return ""
	}
	var names []string
	for _, g := range d.Strategies() {
		names = append(names, string(g))
	}
	return fmt.Sprintf("  o-groups on a grid of ranks (%s), by %s", d.Grid, strings.Join(names, " or "))
}

func describeReason(r passes.Reason) string {
	text := r.Text
	if r.Weight != "" {
		text = r.Weight + ": " + text
	}
	if r.Layout != "" {
		text = r.Layout + ": " + text
	}
	return text
}
