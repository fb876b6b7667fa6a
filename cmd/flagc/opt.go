package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
)

func (a *app) opt() *cobra.Command {
	var f modelFlags
	var names string
	cmd := &cobra.Command{
		Use:   "opt FILE.ir",
		Short: "Verify IR text and run passes on it",
		Long: `Reads IR text, such as flagc ir prints and builds hold in ir/, verifies it, runs the named passes in the given order,
and prints the result. Without --passes it verifies and prints.`,
		Example: "  flagc ir deepseek-v4-nano > nano.ir\n  flagc opt nano.ir --passes lower-precision --target h20",
		Args:    exactly(1, "one FILE.ir"),
		RunE: func(_ *cobra.Command, args []string) error {
			opts, err := f.options()
			if err != nil {
				return err
			}
			list, err := findPasses(names)
			if err != nil {
				return err
			}
			text, err := readSmall(args[0], "IR text")
			if err != nil {
				return err
			}
			file := filepath.Base(args[0])
			a.sources[file] = text
			m, err := ir.ParseModule(text, file, ops.All)
			if err != nil {
				return err
			}
			if _, err := passes.Apply(m, opts, list); err != nil {
				return err
			}
			_, err = fmt.Fprint(a.out, m.String())
			return err
		},
	}
	f.registerMachine(cmd)
	cmd.Flags().StringVar(&names, "passes", "", "passes to run, separated by commas: "+strings.Join(passes.Names()[1:], ", "))
	return cmd
}

// findPasses looks up a list of passes separated by commas; "" is none.
func findPasses(names string) ([]passes.Pass, error) {
	var list []passes.Pass
	for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' }) {
		p, ok := passes.Find(name)
		if !ok {
			return nil, unknown("pass", name, passes.Names()[1:])
		}
		list = append(list, p)
	}
	return list, nil
}
