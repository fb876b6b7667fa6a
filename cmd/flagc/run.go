package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flagc/runtime/host"
)

func (a *app) run() *cobra.Command {
	set := flag.NewFlagSet("run", flag.ContinueOnError)
	host.RegisterFlags(set)
	cmd := &cobra.Command{
		Use:   "run BUILD --weights DIR --prompt TOKENS",
		Short: "Compile a build's host program and run it",
		Long: `Compiles BUILD/host with the Go toolchain (offline; the first time takes a few seconds) and runs it. The program
takes the same flags when it is run without flagc. The ranks of a build with --tp above 1 run as goroutines of one
process, or with --ranks processes as processes that meet at a local socket; both choose the same tokens.`,
		Example: `  flagc run build --weights weights --prompt 1,2,3 --max-new 16
  flagc run build --weights weights --prompt @tokens.json --feed 4,5 --mtp --logits logits.safetensors
  flagc run build --weights weights --prompt 1,2,3 --ranks processes`,
		Args: exactly(1, "one BUILD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			binary, err := a.compileHost(args[0])
			if err != nil {
				return err
			}
			var flags []string
			cmd.Flags().Visit(func(f *pflag.Flag) { flags = append(flags, "--"+f.Name+"="+f.Value.String()) })
			return a.exec(binary, flags, a.out)
		},
	}
	cmd.Flags().AddGoFlagSet(set)
	return cmd
}

// compileHost compiles the host program of a build into BUILD/bin and returns the program's path.
func (a *app) compileHost(build string) (string, error) {
	text, err := readSmall(filepath.Join(build, buildFile), "build description")
	if err != nil {
		return "", fmt.Errorf("%s is not a build: %w (flagc build MODEL -o %s makes one)", build, err, build)
	}
	var info buildInfo
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return "", fmt.Errorf("%s is damaged: %w; build it again", filepath.Join(build, buildFile), err)
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("the Go toolchain is needed to compile %s/host and no go command is on the PATH: install Go", build)
	}
	binary, err := filepath.Abs(filepath.Join(build, "bin", "host"))
	if err != nil {
		return "", err
	}
	compile := exec.Command(goTool, "build", "-trimpath", "-o", binary, ".") // so that the runtime compiles once for all builds
	compile.Dir = filepath.Join(build, "host")
	// The program needs no module beside itself, so nothing may be looked up.
	compile.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("BUG: the generated program in %s does not compile:\n%s", compile.Dir, out)
	}
	return binary, nil
}

// exec runs a program with the terminal of this one, and passes its exit code on.
func (a *app) exec(binary string, args []string, out io.Writer) error {
	cmd := exec.Command(binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, out, a.err
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exitCode(exit.ExitCode())
	}
	return err
}
