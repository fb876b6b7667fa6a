package gohost

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/passes"
	"flagc/runtime/safetensors"
	"flagc/targets"
	"flagc/weights"
)

// conversions are builds whose weights are converted: every policy on both models, and between them every degree.
var conversions = map[string][]passes.Options{
	"nano-flash": {
		{Precision: targets.PolicyFP8, TP: 4},
		{Precision: targets.PolicyNative, TP: 2},
		{Precision: targets.PolicyW4A8, TP: 8, OGroups: passes.Reduce},
		{Precision: targets.PolicyBF16, TP: 8, OGroups: passes.Gather},
		{Precision: targets.PolicyW4A16, TP: 16},
	},
	"nano-pro": {
		{Precision: targets.PolicyFP8, TP: 2},
		{Precision: targets.PolicyNative, TP: 4, Official: true}, // wo_a in BF16
		{Precision: targets.PolicyW4A8, TP: 1},
		{Precision: targets.PolicyBF16, TP: 4},
		{Precision: targets.PolicyW4A16, TP: 1},
	},
}

// TestProgramsReadConvertedWeights runs programs on what was converted for them. They choose the official tokens, of
// the run on widened weights where the policy widens, with logits within twice the noise; a release and files of ranks,
// goroutines and processes give the same bytes.
func TestProgramsReadConvertedWeights(t *testing.T) {
	for _, name := range goldens.Names {
		for _, opts := range conversions[name] {
			t.Run(fmt.Sprintf("%s/%s/tp%d", name, opts.Precision, opts.TP), func(t *testing.T) {
				opts.Target = targets.CPU
				checkConverted(t, goldens.Open(t, name), opts)
			})
		}
	}
}

func checkConverted(t *testing.T, g *goldens.Golden, opts passes.Options) {
	m := g.Module(t, nil)
	_, err := passes.Run(m, opts, "")
	require.NoError(t, err)
	recorded := g
	if opts.Precision == targets.PolicyBF16 || opts.Precision == targets.PolicyW4A16 {
		recorded = g.BF16(t)
	}
	program := build(t, m, nil)
	fed := recorded.Tokens(t, "greedy.fed")
	args := []string{"--prompt", tokenFile(t, recorded.Tokens(t, "greedy.prompt")), "--max-new", fmt.Sprint(len(fed[0]))}
	var logits []string
	for _, layout := range weights.FileLayouts {
		dir := convert(t, m, g.Checkpoint, layout, opts)
		path := filepath.Join(t.TempDir(), "logits")
		out := start(t, program, append(args, "--weights", dir, "--logits", path)...)
		require.Equal(t, printed(fed), string(out), layout)
		if layout == weights.Ranks && opts.TP > 1 {
			other := filepath.Join(t.TempDir(), "logits")
			out := start(t, program, append(args, "--weights", dir, "--logits", other, "--ranks", "processes")...)
			require.Equal(t, printed(fed), string(out), "processes")
			logits = append(logits, other)
		}
		logits = append(logits, path)
	}
	checkLogits(t, logits[0], recorded.Run("greedy"), "greedy", g.Noise(t))
	want, err := os.ReadFile(logits[0])
	require.NoError(t, err)
	for _, path := range logits[1:] {
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "%s differs from %s", path, logits[0])
	}
}

// convert converts a checkpoint to what a module keeps.
func convert(t *testing.T, m *ir.Module, checkpoint string, layout weights.FileLayout, opts passes.Options) (dir string) {
	t.Helper()
	plan, err := weights.NewPlan(m, layout)
	require.NoError(t, err)
	src, err := safetensors.OpenCheckpoint(checkpoint)
	require.NoError(t, err)
	defer src.Close()
	dir = filepath.Join(t.TempDir(), "converted")
	about := weights.About{Target: "cpu", Precision: string(opts.Precision), TP: opts.TP, MTP: true}
	_, err = weights.Convert(plan, src, dir, weights.ConvertOptions{About: about})
	require.NoError(t, err)
	return dir
}
