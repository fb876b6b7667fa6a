package deepseekv4_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/internal/goldens"
	"flagc/passes"
	"flagc/runtime/safetensors"
	"flagc/targets"
	"flagc/weights"
)

// degrees are the legal ones of the recorded models, with the strategies beyond the o-groups.
var degrees = map[string][]passes.Options{
	"nano-flash": {{TP: 1}, {TP: 2}, {TP: 4}, {TP: 8, OGroups: passes.Gather}, {TP: 8, OGroups: passes.Reduce}, {TP: 16}},
	"nano-pro":   {{TP: 1}, {TP: 2}, {TP: 4}},
}

// TestConvertedCheckpointsEqualTheOfficialCode converts each recorded checkpoint for every policy, every legal degree and
// both layouts, and runs the reference on the result: every recorded value comes out as from the official files.
func TestConvertedCheckpointsEqualTheOfficialCode(t *testing.T) {
	golden.Unrecorded(t)
	for _, name := range goldens.Names {
		for _, policy := range targets.Policies() {
			for _, layout := range weights.FileLayouts {
				for _, opts := range degrees[name] {
					opts.Target, opts.Precision = targets.CPU, policy
					t.Run(fmt.Sprintf("%s/%s/%s/tp%d%s", name, policy, layout, opts.TP, opts.OGroups), func(t *testing.T) {
						checkConverted(t, name, layout, opts)
					})
				}
			}
		}
	}
}

func checkConverted(t *testing.T, name string, layout weights.FileLayout, opts passes.Options) {
	g := goldens.Open(t, name)
	m := g.Module(t, nil)
	_, err := passes.Run(m, opts, "")
	require.NoError(t, err)
	src, err := safetensors.OpenCheckpoint(g.Checkpoint)
	require.NoError(t, err)
	defer src.Close()
	plan, err := weights.NewPlan(m, layout)
	require.NoError(t, err)
	dst := filepath.Join(t.TempDir(), "converted")
	_, err = weights.Convert(plan, src, dst, weights.ConvertOptions{About: weights.About{TP: opts.TP, MTP: true}})
	require.NoError(t, err)

	var store weights.Store
	if layout == weights.Ranks {
		ranks, err := weights.OpenRanks(plan, dst)
		require.NoError(t, err)
		defer ranks.Close()
		weights.Adapt(m, ranks)
		store = ranks
	} else {
		c, err := safetensors.OpenCheckpoint(dst)
		require.NoError(t, err)
		defer c.Close()
		weights.Adapt(m, c)
		require.NoError(t, weights.Check(m, c, weights.CheckOptions{Values: true}))
		store = c
	}
	recorded := g
	if opts.Precision == targets.PolicyBF16 || opts.Precision == targets.PolicyW4A16 {
		recorded = g.BF16(t)
	}
	runs := []string{"short3"}
	if opts.TP == 2 && opts.Precision == targets.PolicyFP8 {
		runs = append(runs, "long") // the traced one
	}
	for _, run := range runs {
		checkRun(t, recorded, m, weights.NewSource(m, store), run)
	}
}
