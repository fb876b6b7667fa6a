package gohost

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/compare"
	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/runtime/safetensors"
)

// build writes a module's program into a temporary folder, with extra files beside it, and compiles it with
// nothing but the Go toolchain. It returns the path of the binary.
func build(t *testing.T, m *ir.Module, extra map[string]string) string {
	t.Helper()
	files, err := Generate(m, Options{})
	require.NoError(t, err)
	dir := t.TempDir()
	for name, text := range extra {
		files[name] = []byte(text)
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, text, 0o644))
	}
	toolchain(t, dir, "vet", "./...")
	toolchain(t, dir, "build", "-o", "program", ".")
	return filepath.Join(dir, "program")
}

// toolchain runs a go command in a generated module, without network and without this repository's settings.
func toolchain(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOWORK=off", "GOTOOLCHAIN=local")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %v: %s", args, out)
}

// start runs a built program and returns its standard output.
func start(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	out, err := cmd.Output()
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

// noiseFactor allows twice the drift that the official code shows when only its accumulation changes from
// float64 to float32: ours accumulates in float32 as well, in another order, so the two runs are two such
// samples.
const noiseFactor = 2

func TestGeneratedHostMatchesRecordedRuns(t *testing.T) {
	for _, name := range goldens.Names {
		t.Run(name, func(t *testing.T) {
			g := goldens.Open(t, name)
			program := build(t, g.Module(t, nil), nil)
			noise := g.Noise(t)
			for _, run := range g.Runs() {
				args := []string{"--weights", g.Checkpoint, "--prompt", tokenFile(t, g.Tokens(t, run+".prompt")),
					"--feed", tokenFile(t, g.Tokens(t, run+".fed"))}
				if run == "long" {
					args = append(args, "--mtp")
				}
				logits := filepath.Join(t.TempDir(), "logits.safetensors")
				start(t, program, append(args, "--logits", logits)...)
				checkLogits(t, logits, g.Run(run), run, noise)
			}
		})
	}
}

// checkLogits compares a logits file with the recorded values of a run.
func checkLogits(t *testing.T, path string, want map[string]safetensors.Tensor, run string, noise map[string][2]float64) {
	file, err := safetensors.Open(path)
	require.NoError(t, err)
	defer file.Close()
	for _, got := range file.Tensors() {
		expected, ok := want[got.Name]
		require.True(t, ok, got.Name)
		r := compare.Tensors(expected, got)
		require.Empty(t, r.Mismatch, "%s %s", run, got.Name)
		if got.DType == "I32" {
			require.Zero(t, r.Different, "%s %s", run, got.Name)
			continue
		}
		bound, ok := noise[run+"."+got.Name]
		if !ok {
			bound = noise["long.decode.logits"]
		}
		t.Logf("%-7s %-20s median %.4f worst %.4f, allowed %.4f %.4f; argmax differs in %d rows", run, got.Name, r.RelL2,
			r.WorstL2, noiseFactor*bound[0], noiseFactor*bound[1], r.Argmax)
		require.LessOrEqual(t, r.RelL2, noiseFactor*bound[0], "%s %s", run, got.Name)
		require.LessOrEqual(t, r.WorstL2, noiseFactor*bound[1], "%s %s", run, got.Name)
	}
}
