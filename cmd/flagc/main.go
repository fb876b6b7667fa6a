// Command flagc compiles a description of DeepSeek-V4 into a program and kernels for one accelerator and one
// parallel layout, runs the reference interpreter on it, and looks after checkpoints. It holds no knowledge of
// its own: flags go in, an exit code comes out.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flagc/internal/diag"
)

// version is what build.json names.
const version = "0.1.0"

func main() {
	os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
}

// The exit codes: success, a user error with a diagnostic, a usage error.
const (
	exitOK    = 0
	exitUser  = 1
	exitUsage = 2
)

// Main runs one command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	app := &app{out: stdout, err: stderr, sources: diag.Sources{}}
	root := app.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "error: %v\nusage: %s\nhelp:  %s --help\n", err, cmd.UseLine(), cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprint(stderr, diag.RenderAll(err, app.sources))
	return exitUser
}

// app is what all commands share: where output goes, and the sources that diagnostics show lines of.
type app struct {
	out, err io.Writer
	sources  diag.Sources
}

// usageError is a command line that no command can make sense of.
type usageError struct{ error }

// exitCode ends the program with the code of a program that it ran, whose own message was shown already.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "flagc",
		Short:         "Compile DeepSeek-V4 for the accelerator that you have",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError{unknown("command", args[0], commandNames(cmd))}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Long: `flagc takes a description of DeepSeek-V4 (a .flag source and the checkpoint's config.json) and compiles it
for one accelerator and one parallel layout. Everything up to running on a device works on a laptop.

MODEL is a path to a .flag file, or a built-in name: deepseek-v4-flash, deepseek-v4-pro, deepseek-v4-nano,
or deepseek-v4 together with --config.`,
		Example: `  flagc demo                                   the small built-in model through everything
  flagc ir deepseek-v4-flash | less            the whole model as IR
  flagc build deepseek-v4-nano --target cpu -o build
  flagc weights make deepseek-v4-nano -o weights
  flagc run build --weights weights --prompt 1,2,3 --max-new 16`,
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.build(), a.ir(), a.opt(), a.eval(), a.run(), a.compare(), a.demo(), a.tp(), a.fit(), a.weights(), a.kernels(), a.verifyBuild(), a.ops(),
		a.passes(), a.targets(), a.doc())
	return root
}

// flagError adds the nearest flag to cobra's message about an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return usageError{err}
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := diag.Nearest(name, known); near != "" {
		return usageError{fmt.Errorf("%w: did you mean --%s?", err, near)}
	}
	return usageError{err}
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return names
}

// exactly wants n positional arguments, described by what.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("expected %s, got %d arguments", what, len(args))}
		}
		return nil
	}
}
