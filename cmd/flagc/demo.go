package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"flagc/runtime/safetensors"
	"flagc/weights"
)

func (a *app) demo() *cobra.Command {
	var f modelFlags
	var out string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Take the small built-in model through everything",
		Long: `Makes a random checkpoint of the small built-in model in the official format, builds a program for the target,
compiles it, and decodes. Nothing but the Go toolchain is needed.`,
		Example: "  flagc demo\n  flagc demo -o somewhere",
		Args:    exactly(0, "no arguments"),
		RunE:    func(*cobra.Command, []string) error { return a.runDemo(&f, out) },
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "flagc-demo", "folder for the checkpoint and the build")
	return cmd
}

// demoModel is the built-in model that the demo runs.
const demoModel = "deepseek-v4-nano"

func (a *app) runDemo(f *modelFlags, out string) error {
	m, err := a.load(demoModel, f, "")
	if err != nil {
		return err
	}
	checkpoint, build := filepath.Join(out, "checkpoint"), filepath.Join(out, "build")
	if _, err := os.Stat(filepath.Join(checkpoint, safetensors.IndexName)); err != nil {
		if err := weights.Make(m.module, []byte(m.config.Text), checkpoint, weights.MakeOptions{}); err != nil {
			return err
		}
	}
	totals := weights.Summary(m.module)
	fmt.Fprintf(a.out, "checkpoint  %s: %d tensors, %.1f MB, random, official format\n", checkpoint, totals.Tensors,
		float64(totals.Bytes)/1e6)
	info, err := writeBuild(m, build)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "build       %s: %d layer kinds as %d functions, for %s\n", build, info.Module.layerKinds(), info.Functions,
		info.Target)
	binary, err := a.compileHost(build)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "program     %s\n", filepath.Join(build, "bin", "host"))
	prompt := "1,2,3,5,8,13,21,34"
	var report bytes.Buffer
	err = a.exec(binary, []string{"--weights", checkpoint, "--prompt", prompt, "--max-new", "32", "--json"}, &report)
	if err != nil {
		return err
	}
	return a.demoReport(report.Bytes(), prompt, checkpoint, build)
}

func (a *app) demoReport(text []byte, prompt, checkpoint, build string) error {
	var r struct {
		Tokens [][]int32 `json:"tokens"`
		Rate   float64   `json:"tokens_per_second"`
	}
	if err := json.Unmarshal(text, &r); err != nil || len(r.Tokens) == 0 {
		return fmt.Errorf("BUG: the program's report cannot be read: %v\n%s", err, text)
	}
	fmt.Fprintf(a.out, "\nprompt      %s\ntokens      %s\nspeed       %.0f tokens/s\n", prompt, joinTokens(r.Tokens[0]), r.Rate)
	fmt.Fprintln(a.out, "\nnext")
	for _, next := range [][2]string{
		{"flagc eval " + demoModel + " --weights " + checkpoint + " --prompt " + prompt + " --max-new 4", "the same, exactly"},
		{"flagc ir " + demoModel + " --func block_csa.decode", "one kind of layer as IR"},
		{"less " + filepath.Join(build, "host", "block_csa.go"), "the same layer as generated Go"},
		{"flagc doc model", "the model's source"},
	} {
		fmt.Fprintf(a.out, "  # %s\n  %s\n", next[1], next[0])
	}
	return nil
}
