package passes_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// elaborate expands a built-in model.
func elaborate(t *testing.T, name string) *ir.Module {
	m, _ := goldens.Builtin(t, name)
	return m
}

// TestShard holds the program of a rank of Flash: what is split, where ranks meet. Its text reads back, and a
// second run changes nothing.
func TestShard(t *testing.T) {
	m := elaborate(t, "deepseek-v4-flash")
	opts := passes.Options{Target: targets.CPU, TP: 8}
	_, err := passes.Run(m, opts, "shard")
	require.NoError(t, err)
	golden.Check(t, "testdata/shard/block_csa.decode.ir", m.Func("block_csa.decode").Print(m))
	golden.Check(t, "testdata/shard/main.prefill.ir", m.Func("main.prefill").Print(m))

	read, err := ir.ParseModule(m.String(), "again.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, read.Verify())
	require.Equal(t, m.String(), read.String())
	again, err := passes.Run(m, opts, "shard")
	require.NoError(t, err)
	require.Equal(t, again[0].Text, again[len(again)-1].Text)
}

// TestWeightParts holds what a rank has of each weight, against the slices of the official converter.
func TestWeightParts(t *testing.T) {
	m := elaborate(t, "deepseek-v4-pro")
	_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: 16}, "")
	require.NoError(t, err)
	split := map[string]string{}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			for _, d := range w.Value.Type.Dims {
				if d.Split > 0 {
					require.Equal(t, 16, d.Split)
					split[w.Value.Name] = d.Name
				}
			}
		}
	}
	require.Equal(t, map[string]string{
		"embed": "V", "head": "V", "attn.wq_b": "H", "attn.attn_sink": "H", "attn.wo_a": "G", "attn.wo_b": "G*R",
		"attn.indexer.wq_b": "I", "attn.indexer.weights_proj": "I",
		"ffn.experts.w1": "E", "ffn.experts.w2": "E", "ffn.experts.w3": "E",
	}, split)
}

// TestLegalDegrees holds the degrees that the official converter's rules allow.
func TestLegalDegrees(t *testing.T) {
	for name, want := range map[string][]int{"deepseek-v4-flash": {1, 2, 4, 8}, "deepseek-v4-pro": {1, 2, 4, 8, 16}} {
		var legal []int
		for i, reasons := range passes.Degrees(elaborate(t, name), 64) {
			if len(reasons) == 0 {
				legal = append(legal, i+1)
			}
		}
		require.Equal(t, want, legal, name)
	}
}

func TestShardGivesAllReasonsAtOnce(t *testing.T) {
	m := elaborate(t, "deepseek-v4-flash")
	before := m.String()
	_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: 24}, "")
	for _, reason := range []string{
		"axis H = 64 is not a multiple of 24", "axis G = 8 is not a multiple of 24", "axis I = 64 is not a multiple of 24",
		"axis E = 256 is not a multiple of 24", "axis V = 129280 is not a multiple of 24",
	} {
		require.ErrorContains(t, err, reason)
	}
	require.Equal(t, before, m.String(), "a refused module is left as it was")
}

// TestCollectivesPerLayer counts where ranks meet. All ranks run the same straight-line program, so each issues
// every collective, in the same order.
func TestCollectivesPerLayer(t *testing.T) {
	m := elaborate(t, "deepseek-v4-flash")
	_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: 8}, "")
	require.NoError(t, err)
	meets := map[string]int{}
	for _, f := range m.Funcs {
		for _, in := range f.Body {
			if in.Op != nil && in.Op.Class == ir.Collective {
				meets[f.FullName()]++
			}
		}
	}
	require.Equal(t, 2, meets["block_hca.decode"], "after attention and after the experts")
	require.Equal(t, 3, meets["block_csa.decode"], "and after the index scores")
	require.Equal(t, 2, meets["main.decode"], "embedding and logits")
}
