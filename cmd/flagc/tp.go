package main

import (
	"fmt"

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
axis or the tensor, and the rule. Degrees beyond o_groups need a plan for the grouped output projection, which does
not exist yet; they are listed as not legal.`,
		Example: "  flagc tp deepseek-v4-flash\n  flagc tp deepseek-v4 --config config.json --all --json",
		Args:    exactly(1, "one MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := a.load(args[0], &f, "")
			if err != nil {
				return err
			}
			degrees := passes.Degrees(m.module, maxRanks)
			if asJSON {
				return a.printJSON(degreeReport(degrees))
			}
			for i, reasons := range degrees {
				if n := i + 1; len(reasons) == 0 {
					fmt.Fprintf(a.out, "%3d  yes\n", n)
				} else if all || n&(n-1) == 0 {
					a.printReasons(n, reasons)
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

func (a *app) printReasons(n int, reasons []passes.Reason) {
	for i, r := range reasons {
		degree := "        "
		if i == 0 {
			degree = fmt.Sprintf("%3d  no ", n)
		}
		fmt.Fprintf(a.out, "%s %s: %s\n", degree, r.Weight, r.Text)
	}
}

// degreeInfo is one degree for scripts.
type degreeInfo struct {
	TP      int             `json:"tp"`
	Legal   bool            `json:"legal"`
	Reasons []passes.Reason `json:"reasons"`
}

func degreeReport(degrees [][]passes.Reason) []degreeInfo {
	out := make([]degreeInfo, len(degrees))
	for i, reasons := range degrees {
		if reasons == nil {
			reasons = []passes.Reason{}
		}
		out[i] = degreeInfo{i + 1, len(reasons) == 0, reasons}
	}
	return out
}
