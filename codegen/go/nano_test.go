package gohost

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/compare"
	"flagc/internal/goldens"
	"flagc/runtime/safetensors"
)

// noiseFactor allows twice the drift that the official code shows when only its accumulation changes from
// float64 to float32: ours accumulates in float32 as well, in another order, so the two runs are two such
// samples.
const noiseFactor = 2

func TestGeneratedHostMatchesRecordedResults(t *testing.T) {
	for _, name := range goldens.Names {
		t.Run(name, func(t *testing.T) {
			g := goldens.Open(t, name)
			program := build(t, g.Module(t, nil), nil)
			for _, run := range g.Runs() {
				t.Run(run, func(t *testing.T) { checkRun(t, g, program, run) })
			}
		})
	}
}

// checkRun feeds the recorded tokens and compares the logits; of the traced run every value.
func checkRun(t *testing.T, g *goldens.Golden, program, run string) {
	dir := t.TempDir()
	logits, trace := filepath.Join(dir, "logits.safetensors"), filepath.Join(dir, "trace.safetensors")
	args := []string{"--weights", g.Checkpoint, "--prompt", tokenFile(t, g.Tokens(t, run+".prompt")),
		"--feed", tokenFile(t, g.Tokens(t, run+".fed")), "--logits", logits}
	if run == "long" {
		args = append(args, "--mtp", "--trace", trace)
	}
	start(t, program, args...)
	noise := g.Noise(t)
	checkLogits(t, logits, g.Run(run), run, noise)
	if run == "long" {
		checkTrace(t, trace, g.Run(run), noise)
	}
}

// checkLogits compares a logits file with the recorded values of a run.
func checkLogits(t *testing.T, path string, want map[string]safetensors.Tensor, run string,
	noise map[string][2]float64) {
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
		bound := bounds(noise, run+"."+got.Name)
		t.Logf("%-7s %-20s median %.4f worst %.4f, noise %.4f %.4f; argmax differs in %d rows", run, got.Name, r.RelL2,
			r.WorstL2, bound[0], bound[1], r.Argmax)
		// A single row says little: one expert chosen otherwise moves it far. Rows whose choice of token is the
		// same pass, the others must be near.
		if r.Argmax > 0 {
			require.LessOrEqual(t, r.WorstL2, noiseFactor*bound[1], "%s %s", run, got.Name)
		}
		if rows := r.Elements / got.Shape[len(got.Shape)-1]; rows >= fewRows {
			require.LessOrEqual(t, r.RelL2, noiseFactor*bound[0], "%s %s", run, got.Name)
		}
	}
}

// fewRows is the number of rows from which on their median is held against the median of the noise.
const fewRows = 6

// checkTrace compares every traced value of the long run: over hundreds of rows the median drift of each layer must
// not exceed what the official code shows.
func checkTrace(t *testing.T, path string, want map[string]safetensors.Tensor, noise map[string][2]float64) {
	file, err := safetensors.Open(path)
	require.NoError(t, err)
	defer file.Close()
	for _, got := range file.Tensors() {
		expected, ok := want[got.Name]
		require.True(t, ok, "%s is not among the recorded values", got.Name)
		delete(want, got.Name)
		r := compare.Tensors(expected, got)
		require.Empty(t, r.Mismatch, got.Name)
		bound, ok := noise["long."+got.Name]
		if rows := r.Elements / got.Shape[len(got.Shape)-1]; ok && rows >= manyRows {
			require.LessOrEqual(t, r.RelL2, noiseFactor*bound[0]+float32Error, got.Name)
		}
	}
	for name := range want {
		require.True(t, strings.HasSuffix(name, "logits") || name == "fed", "%s is not traced", name)
	}
}

// manyRows is the number of rows whose median is steady.
const manyRows = 50

// bounds is the drift of the official code for a tensor of logits, and at least its usual one: where a run
// happens not to drift at all, another order of the sums may. Steps after the prompt of a run that has no figures
// of its own are held to those of all runs.
func bounds(noise map[string][2]float64, name string) [2]float64 {
	usual := noise["long.decode.logits"]
	own, ok := noise[name]
	for other, figures := range noise {
		if !ok && strings.HasSuffix(other, "decode.logits") {
			own = [2]float64{max(own[0], figures[0]), max(own[1], figures[1])}
		}
	}
	return [2]float64{max(usual[0], own[0]), max(usual[1], own[1])}
}
