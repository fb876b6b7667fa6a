package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"

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
needs nothing but the Go toolchain), weights.json (where every tensor of every rank comes from), and for an accelerator
kernels/ (a Triton file for each program, kernels.json, torch_ops.py with its tests) with the same programs as tile text in ir/kernels.
A kernel that cannot be generated, or that breaks a rule of the target, fails the build: nothing runs in its place.
Two builds of the same input are byte-identical. An earlier build at DIR is replaced as a whole; any other folder is
left alone.`,
		Example: "  flagc build deepseek-v4-nano --target cpu -o build\n  flagc build deepseek-v4-flash --target h20 --tp 8 -o build\n" +
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
			info, err := writeBuild(m, out)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(info)
			}
			a.reportBuild(info, out)
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder to write (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print build.json instead of a summary")
	return cmd
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
	Files     int             `json:"files"`
	Host      hostInfo        `json:"host"`
	Kernels   []kernelInfo    `json:"kernels"` // what the graph launches
	Launches  passes.Launches `json:"launches"`
	Memory    passes.Report   `json:"memory"` // of one rank
	Module    moduleInfo      `json:"model"`
}

// hostInfo says what the program in host/ computes with.
type hostInfo struct {
	Kernels string `json:"kernels"`           // whose kernels it runs
	Missing string `json:"missing,omitempty"` // what a user of the target would expect and is not there
}

// The host program carries kernels for the processor that it runs on. Launching those of kernels/ from it is not there.
const (
	hostKernels = "the program's own, on the CPU"
	hostMissing = "host/ does not launch the programs of kernels/: it computes the same model on the CPU"
)

func describeHost(t targets.Target) hostInfo {
	if t.Host.Executes {
		return hostInfo{Kernels: hostKernels}
	}
	return hostInfo{Kernels: hostKernels, Missing: hostMissing}
}

// builtTier is how far a build is proved when it is new.
func builtTier(t targets.Target) targets.Tier {
	if t.Host.Executes {
		return t.Tier
	}
	return targets.Generated
}

// reportBuild says what was built and what comes next.
func (a *app) reportBuild(info *buildInfo, out string) {
	fmt.Fprintf(a.out, "%s for %s in %s: %d layer kinds, %d functions, %d files\n", info.Module.Model, info.Target,
		out, info.Module.layerKinds(), info.Functions, info.Files)
	if info.Host.Missing != "" {
		programs, warnings := 0, 0
		for _, k := range info.Kernels {
			programs += len(k.Programs)
			for _, p := range k.Programs {
				warnings += len(p.Warnings)
			}
		}
		fmt.Fprintf(a.out, "%d kernels as %d Triton programs, all legal for the target, with %d warnings; no check has run\n",
			len(info.Kernels), programs, warnings)
		for _, e := range info.Launches.Entries {
			if e.Function == "main.decode" {
				fmt.Fprintf(a.out, "a decoded token launches %d kernels, for which a device starts up to %d programs\n", e.Launches, e.Programs)
			}
		}
		fmt.Fprintf(a.out, "%s\n", info.Host.Missing)
		fmt.Fprintf(a.out, "next: flagc verify %s\n", out)
		return
	}
	fmt.Fprintf(a.out, "next: flagc run %s --weights DIR --prompt 1,2,3 --max-new 16\n", out)
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
	info := &buildInfo{Flagc: version, Target: m.opts.Target.Name, Tier: string(builtTier(m.opts.Target)), TP: m.opts.TP, Precision: string(m.opts.Precision),
		Source: digestOf(m.source.Name, m.source.Text), Config: digestOf("config.json", m.config.Text),
		Stages: passes.Names(), Functions: len(m.module.Funcs), Host: describeHost(m.opts.Target),
		Launches: passes.CountLaunches(m.module), Memory: passes.Memory(m.module), Module: describeModule(m.module)}
	if err := m.addKernels(files, info); err != nil {
		return nil, nil, err
	}
	info.Files = len(files) + 1
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
