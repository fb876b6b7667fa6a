package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	gohost "flagc/codegen/go"
	"flagc/ir"
	"flagc/passes"
	"flagc/runtime/atomicfile"
	"flagc/targets"
	"flagc/weights"
)

func (a *app) build() *cobra.Command {
	var f modelFlags
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "build MODEL --target NAME -o DIR",
		Short: "Compile a model for a target",
		Long: `Writes a build: build.json (what was built from what), ir/ (the IR after every stage), host/ (a Go program that
needs nothing but the Go toolchain), weights.json (where every tensor of every rank comes from). Two builds of the same
input are byte-identical. An earlier build at DIR is replaced as a whole; any other folder is left alone.`,
		Example: "  flagc build deepseek-v4-nano --target cpu -o build\n  flagc build deepseek-v4-nano --tp 2 -o build\n" +
			"  flagc build deepseek-v4 --config config.json -o build",
		Args: exactly(1, "one MODEL"),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usageError{fmt.Errorf("-o is missing: name the folder to write")}
			}
			m, err := a.load(args[0], &f, "")
			if err != nil {
				return err
			}
			if err := buildable(m.opts.Target); err != nil {
				return err
			}
			info, err := writeBuild(m, out)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(info)
			}
			fmt.Fprintf(a.out, "%s for %s in %s: %d layer kinds, %d functions, %d files\n", info.Module.Model, info.Target,
				out, info.Module.layerKinds(), info.Functions, info.Files)
			fmt.Fprintf(a.out, "next: flagc run %s --weights DIR --prompt 1,2,3 --max-new 16\n", out)
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder to write (required)")
	return cmd
}

// buildable refuses the targets that are described and have no kernels yet. Other commands take them: what the
// passes make for a machine can be read and evaluated without one.
func buildable(t targets.Target) error {
	if t.Host.Executes {
		return nil
	}
	var can []string
	for _, other := range targets.All() {
		if other.Host.Executes {
			can = append(can, other.Name)
		}
	}
	return fmt.Errorf("cannot build for target %s: flagc does not generate kernels for it yet; targets that build: %s",
		t.Name, strings.Join(can, ", "))
}

// buildInfo is build.json. It holds no time and no path, so that equal inputs give equal bytes.
type buildInfo struct {
	Flagc     string          `json:"flagc"`
	Target    string          `json:"target"`
	Tier      string          `json:"tier"`
	TP        int             `json:"tp"`
	Precision string          `json:"precision"`
	Source    digest          `json:"source"`
	Config    digest          `json:"config"`
	Stages    []string        `json:"stages"`
	Functions int             `json:"functions"`
	Kernels   int             `json:"kernels"`
	Files     int             `json:"files"`
	Launches  passes.Launches `json:"launches"`
	Memory    passes.Report   `json:"memory"` // of one rank
	Module    moduleInfo      `json:"model"`
}

// digest names an input by its content.
type digest struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

func digestOf(name, text string) digest {
	sum := sha256.Sum256([]byte(text))
	return digest{filepath.Base(name), hex.EncodeToString(sum[:])}
}

// buildFile marks a folder as a build.
const buildFile = "build.json"

// writeBuild makes all files of a build beside its place and then moves it there.
func writeBuild(m *model, out string) (*buildInfo, error) {
	files, info, err := buildFiles(m)
	if err != nil {
		return nil, err
	}
	if err := replaceable(out); err != nil {
		return nil, err
	}
	out = filepath.Clean(out)
	if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", out, reason(err))
	}
	tmp, err := os.MkdirTemp(filepath.Dir(out), ".flagc-build-")
	if err != nil {
		return nil, fmt.Errorf("cannot write beside %s: %w", out, reason(err))
	}
	defer os.RemoveAll(tmp)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		path := filepath.Join(tmp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return nil, err
		}
		if err := atomicfile.WriteFile(path, files[name], 0o666); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(tmp, 0o777&^umask()); err != nil {
		return nil, err
	}
	return info, swapIn(tmp, out)
}

// replaceable refuses an output folder that holds anything but an earlier build.
func replaceable(out string) error {
	entries, err := os.ReadDir(out)
	if os.IsNotExist(err) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot write the build to %s: %w", out, reason(err))
	}
	if _, err := os.Stat(filepath.Join(out, buildFile)); err != nil {
		return fmt.Errorf("%s is not empty and holds no build: choose another folder for -o", out)
	}
	return nil
}

// swapIn moves a finished folder to its place; an earlier build there is moved aside first and then removed.
func swapIn(tmp, out string) error {
	old := tmp + ".old"
	err := os.Rename(out, old)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("cannot replace %s: %w", out, err)
	}
	if err := os.Rename(tmp, out); err != nil {
		return fmt.Errorf("cannot move the build to %s: %w", out, err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(out)); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// buildFiles makes the content of a build.
func buildFiles(m *model) (map[string][]byte, *buildInfo, error) {
	stages, err := m.stages("")
	if err != nil {
		return nil, nil, err
	}
	files := map[string][]byte{}
	takes, err := m.takes(files)
	if err != nil {
		return nil, nil, err
	}
	host, err := gohost.Generate(m.module, gohost.Options{Target: m.opts.Target.Name, Weights: takes})
	if err != nil {
		return nil, nil, err
	}
	for name, text := range host {
		files["host/"+name] = text
	}
	for i, s := range stages {
		files[fmt.Sprintf("ir/%02d-%s.ir", i, s.Name)] = []byte(s.Text)
	}
	info := &buildInfo{Flagc: version, Target: m.opts.Target.Name, Tier: string(m.opts.Target.Tier), TP: m.opts.TP, Precision: string(m.opts.Precision),
		Source: digestOf(m.source.Name, m.source.Text), Config: digestOf("config.json", m.config.Text),
		Stages: passes.Names(), Functions: len(m.module.Funcs), Kernels: len(m.module.Kernels),
		Launches: passes.CountLaunches(m.module), Files: len(files) + 1, Memory: passes.Memory(m.module),
		Module: describeModule(m.module)}
	if files[buildFile], err = encode(info); err != nil {
		return nil, nil, err
	}
	return files, info, nil
}

// takes plans the weights of a build, as flagc weights convert writes them, and says which of them its program takes.
// weights.json is the plan of the files for ranks.
func (m *model) takes(files map[string][]byte) (w gohost.Weights, err error) {
	ranks, err := weights.NewPlan(m.module, weights.Ranks)
	if err != nil {
		return w, err
	}
	release, err := weights.NewPlan(m.module, weights.Release)
	if err != nil {
		return w, err
	}
	if files["weights.json"], err = ranks.JSON(); err != nil {
		return w, err
	}
	w = gohost.Weights{Precision: string(m.opts.Precision), Official: official(m.module), Flags: m.convertFlags()}
	if w.Ranks, err = ranks.Digest(); err != nil {
		return w, err
	}
	w.Release, err = release.Digest()
	return w, err
}

// official reports whether a module takes the weights of the official checkpoint as they are stored.
func official(m *ir.Module) bool {
	for _, set := range m.Params {
		for _, w := range set.Weights {
			if w.From != (ir.Elem{}) {
				return false
			}
		}
	}
	return true
}

// encode is the one form of JSON files that flagc writes.
func encode(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}
