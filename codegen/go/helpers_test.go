package gohost

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/runtime/safetensors"
	"flagc/weights"
)

// write generates a module's program into a temporary folder, with extra files beside it.
func write(t *testing.T, m *ir.Module, extra map[string]string) string {
	t.Helper()
	files, err := Generate(m, Options{})
	require.NoError(t, err)
	for name, text := range extra {
		files[name] = []byte(text)
	}
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, text, 0o644))
	}
	return dir
}

// build compiles a module's program with nothing but the Go toolchain and returns the path of the binary.
func build(t *testing.T, m *ir.Module, extra map[string]string) string {
	t.Helper()
	dir := write(t, m, extra)
	toolchain(t, dir, "build", "-trimpath", "-o", "program", ".") // -trimpath: the runtime compiles once for all programs
	return filepath.Join(dir, "program")
}

// toolchain runs a go command in a generated module, without network and without this repository's settings.
func toolchain(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %v: %s", args, out)
}

// start runs a built program and returns its standard output.
func start(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	if exit, ok := err.(*exec.ExitError); ok {
		require.NoError(t, err, "%s", exit.Stderr)
	}
	require.NoError(t, err)
	return out
}

// tokenFile writes tokens for --prompt or --feed.
func tokenFile(t *testing.T, rows [][]int32) string {
	t.Helper()
	text, err := json.Marshal(rows)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "tokens.json")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	return "@" + path
}

// nano elaborates the built-in small model and makes a checkpoint for it.
func nano(t *testing.T) (m *ir.Module, checkpoint string) {
	t.Helper()
	m, config := goldens.Builtin(t, "deepseek-v4-nano")
	checkpoint = filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, weights.Make(m, []byte(config), checkpoint, weights.MakeOptions{Seed: 1}))
	return m, checkpoint
}

// source opens a checkpoint for the interpreter.
func source(t *testing.T, m *ir.Module, dir string) eval.Weights {
	t.Helper()
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return weights.NewSource(m, c)
}

// prompt is n tokens that do not repeat soon.
func prompt(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*i*7 + i*31 + 5) % vocab)
	}
	return ids
}
