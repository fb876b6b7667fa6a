package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func (a *app) verifyBuild() *cobra.Command {
	var checks, kernel string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify BUILD",
		Short: "Check the kernels of a build, without an accelerator",
		Long: `Makes the kernels of a build again from its IR, holds its files against them, and runs the checks:

  tile    the tile programs, interpreted with the arithmetic of a device, against the reference: in random order, with
          races and accesses out of bounds reported
  triton  the printed text under Triton's interpreter, against the tile programs
  aot     the text compiled ahead of time for the target, or for what is named as standing in for it: registers, spills
          and shared memory of each program
  ascend  the text lowered by the public front end of a toolchain whose last stage is closed; for targets that have one

Values are checked at the real sizes of the kernels, with few experts and a small vocabulary and few tokens, on inputs
that are made up. A check that this machine cannot do is told with the reason and fails nothing; Python and the tools
are set up on first use. Results are kept by content, so that a second run is quick. They go into BUILD/checks.json and
BUILD/build.json.`,
		Example: "  flagc verify build\n  flagc verify build --check tile,aot --kernel wo_b_decode",
		Args:    exactly(1, "one BUILD"),
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := parseChecks(checks)
			if err != nil {
				return err
			}
			b, err := a.openBuildAt(args[0])
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			report, err := a.runChecks(ctx, b, list, kernel)
			if err != nil {
				return err
			}
			if err := report.write(b); err != nil {
				return err
			}
			if asJSON {
				err = a.printJSON(report)
			} else {
				err = report.print(a.out)
			}
			if err == nil && report.Failed > 0 {
				return fmt.Errorf("%d of %d checks failed: %s has all of it", report.Failed, report.Passed+report.Failed+report.NotPossible,
					checksFile)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&checks, "check", "", "run these only, separated by commas: "+strings.Join(checkNames(), ", "))
	completeWith(cmd, "check", checkNames())
	cmd.Flags().StringVar(&kernel, "kernel", "", "check this program only, such as wo_b_decode, or this kernel, such as wo_b.decode")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print checks.json instead of a table")
	return cmd
}

// parseChecks reads a list of checks; "" is all.
func parseChecks(text string) ([]string, error) {
	if text == "" {
		return checkNames(), nil
	}
	asked := map[string]bool{}
	for _, name := range strings.Split(text, ",") {
		if !slices.Contains(checkNames(), name) {
			return nil, usageError{fmt.Errorf("--check: %w", unknown("check", name, checkNames()))}
		}
		asked[name] = true
	}
	var list []string
	for _, name := range checkNames() {
		if asked[name] {
			list = append(list, name)
		}
	}
	return list, nil
}
