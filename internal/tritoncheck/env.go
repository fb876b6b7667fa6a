package tritoncheck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"flagc/codegen/triton/py"
)

//go:embed py
var scripts embed.FS

// scriptFiles lists the scripts by name: those of this package, and the repair of the interpreter, which builds have as
// well.
func scriptFiles() (map[string][]byte, error) {
	names, err := fs.Glob(scripts, "py/*")
	if err != nil {
		return nil, err
	}
	texts := map[string][]byte{}
	for _, name := range names {
		if texts[path.Base(name)], err = scripts.ReadFile(name); err != nil {
			return nil, err
		}
	}
	if texts[py.Numerics], err = py.Files.ReadFile(py.Numerics); err != nil {
		return nil, err
	}
	return texts, nil
}

// environment is a virtual environment made from pinned requirements.
type environment struct {
	tool, checks string   // for Unavailable
	requirements []string // files in py/
	pythons      []string // names to look for on PATH, best first
	probe        string   // Python code that fails when the environment is unusable

	mu     sync.Mutex
	python string
	err    error
}

var (
	tritonEnv = environment{
		tool: "Triton", checks: "Triton's interpreter and ahead-of-time compilation",
		requirements: []string{"requirements-triton.txt"}, pythons: []string{"python3.11", "python3.12", "python3.13", "python3"},
		probe: "import numpy, triton",
	}
	torchEnv = environment{
		tool: "PyTorch", checks: "kernels against formulas in torch",
		requirements: []string{"requirements-triton.txt", "requirements-torch.txt"}, pythons: tritonEnv.pythons,
		probe: "import numpy, pytest, torch, triton",
	}
	ascendEnv = environment{
		tool: "triton-ascend", checks: "lowering for Ascend",
		requirements: []string{"requirements-ascend.txt"}, pythons: []string{"python3.11", "python3"},
		probe: "import numpy, pybind11, triton.backends.ascend",
	}
)

// Prepare makes both environments if they do not exist yet. It returns what is unavailable, joined.
func Prepare(ctx context.Context) error {
	_, a := tritonEnv.interpreter(ctx)
	_, b := ascendEnv.interpreter(ctx)
	return errors.Join(a, b)
}

// interpreter returns the path of the environment's Python, making the environment on first use.
func (e *environment) interpreter(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.python != "" || e.err != nil {
		return e.python, e.err
	}
	python, err := e.find(ctx)
	if ctx.Err() != nil {
		return "", context.Cause(ctx) // says nothing about the machine: the next question tries again
	}
	if err != nil {
		e.err = &Unavailable{Tool: e.tool, Checks: e.checks, Err: err}
		return "", e.err
	}
	e.python = python
	return e.python, nil
}

func (e *environment) find(ctx context.Context) (string, error) {
	base, version, err := hostPython(ctx, e.pythons)
	if err != nil {
		return "", err
	}
	var pins []byte
	for _, name := range e.requirements {
		text, err := scripts.ReadFile("py/" + name)
		if err != nil {
			return "", err
		}
		pins = append(pins, text...)
	}
	root, err := cacheDir("venvs")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(version + "\n" + string(pins)))
	home := filepath.Join(root, fmt.Sprintf("%x", sum[:8]))
	python := filepath.Join(home, "bin", "python")
	if exists(python) {
		return python, nil
	}
	unlock, err := lock(home + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(python) { // made while this process waited for the lock
		return python, nil
	}
	return python, e.make(ctx, base, pins, home)
}

// make creates the environment beside its place and moves it there when it works. Only bin/python of it is used:
// the scripts in bin name the folder where they were made.
func (e *environment) make(ctx context.Context, base string, pins []byte, home string) error {
	temp, err := os.MkdirTemp(filepath.Dir(home), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := command(ctx, base, "-m", "venv", temp); err != nil {
		return fmt.Errorf("cannot make a virtual environment: %w", err)
	}
	list := filepath.Join(temp, "requirements.txt")
	if err := os.WriteFile(list, pins, 0o644); err != nil {
		return err
	}
	python := filepath.Join(temp, "bin", "python")
	pip := []string{"-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--only-binary", ":all:", "-r", list}
	if err := command(ctx, python, pip...); err != nil {
		return fmt.Errorf("cannot install %s: %w", strings.Join(strings.Fields(string(pins)), ", "), err)
	}
	if err := command(ctx, python, "-c", e.probe); err != nil {
		return fmt.Errorf("what was installed does not work: %w", err)
	}
	return os.Rename(temp, home)
}

// hostPython finds the first of the names on PATH that runs, can make virtual environments and is new enough,
// and its version. A name may be a stand-in that answers only with an error, so each is asked.
func hostPython(ctx context.Context, names []string) (path, version string, err error) {
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		ask := `import sys, venv, ensurepip; assert sys.version_info >= (3, 11); print("%d.%d" % sys.version_info[:2])`
		out, err := exec.CommandContext(ctx, path, "-c", ask).Output()
		if err == nil {
			return path, strings.TrimSpace(string(out)), nil
		}
	}
	return "", "", fmt.Errorf("none of %s on PATH is a Python 3.11 or newer with venv", strings.Join(names, ", "))
}

// command runs a program and puts the end of what it said into the error.
func command(ctx context.Context, name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, tail(said.String(), 3))
	}
	return nil
}

// tail returns the last n lines of s that are not empty, in one line.
func tail(s string, n int) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// scriptDir writes the embedded Python into a folder named by its content and returns the folder.
var scriptDir = sync.OnceValues(func() (string, error) {
	texts, err := scriptFiles()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		fmt.Fprintf(sum, "%s %d\n%s", name, len(texts[name]), texts[name])
	}
	root, err := cacheDir("scripts")
	if err != nil {
		return "", err
	}
	home := filepath.Join(root, fmt.Sprintf("%x", sum.Sum(nil)[:8]))
	if exists(home) {
		return home, nil
	}
	temp, err := os.MkdirTemp(root, ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(temp, name), text, 0o644); err != nil {
			return "", err
		}
	}
	if err := os.Rename(temp, home); err != nil && !exists(home) { // unless another process was first
		return "", err
	}
	return home, nil
})

// cacheDir returns a folder of this package in the user's cache, made if need be.
func cacheDir(name string) (string, error) {
	root, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w", err)
	}
	dir := filepath.Join(root, "flagc", name)
	return dir, os.MkdirAll(dir, 0o755)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
