package passes_test

import (
	"fmt"
	"strings"
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

// TestWeightParts holds what a rank has of each weight, against the slices of the official converter, at every degree
// that it allows.
func TestWeightParts(t *testing.T) {
	for model, degrees := range map[string][]int{"deepseek-v4-flash": {2, 4, 8}, "deepseek-v4-pro": {2, 4, 8, 16}} {
		for _, tp := range degrees {
			m := elaborate(t, model)
			_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: tp, Official: true}, "shard")
			require.NoError(t, err)
			split := map[string]string{}
			for _, set := range m.Params {
				for _, w := range set.Weights {
					for _, d := range w.Value.Type.Dims {
						if d.Split > 0 {
							require.Equal(t, tp, d.Split)
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
	}
}

// TestLegalDegrees holds the degrees that the models allow: up to the o-groups those of the official converter.
func TestLegalDegrees(t *testing.T) {
	for name, want := range map[string][]string{
		"deepseek-v4-flash": {"1", "2", "4", "8", "16 reduce gather", "32 reduce gather", "64 reduce gather"},
		"deepseek-v4-pro":   {"1", "2", "4", "8", "16", "32 reduce gather", "64 reduce gather"},
	} {
		var legal []string
		for _, d := range passes.Degrees(elaborate(t, name), passes.Options{Target: targets.CPU}, 64) {
			text := fmt.Sprint(d.TP)
			for _, g := range d.Strategies() {
				text += strings.TrimSuffix(" "+string(g), " ")
			}
			if d.Legal {
				legal = append(legal, text)
			}
		}
		require.Equal(t, want, legal, name)
	}
}

// TestShardBeyondTheGroups holds both strategies for a grouped projection with fewer groups than ranks.
func TestShardBeyondTheGroups(t *testing.T) {
	for _, g := range []passes.Groups{passes.Gather, passes.Reduce} {
		m := elaborate(t, "deepseek-v4-flash")
		opts := passes.Options{Target: targets.CPU, TP: 32, OGroups: g}
		_, err := passes.Run(m, opts, "shard")
		require.NoError(t, err)
		require.Equal(t, "group=8 lane=4", m.Mesh.String())
		golden.Check(t, "testdata/shard/"+string(g)+".block_hca.decode.ir", m.Func("block_hca.decode").Print(m))
		read, err := ir.ParseModule(m.String(), "again.ir", ops.All)
		require.NoError(t, err)
		require.NoError(t, read.Verify())
		require.Equal(t, m.String(), read.String())
	}
}

func TestShardGivesAllReasonsAtOnce(t *testing.T) {
	for tp, reasons := range map[int][]string{
		12: {"axis H = 64 is not a multiple of 12", "axis G = 8 is not a multiple of 12", "axis E = 256 is not a multiple of 12",
			"axis V = 129280 is not a multiple of 12"},
		24: {"axis H = 64 is not a multiple of 24", "reduce: axis R = 1024 is not a multiple of 3",
			"axis E = 256 is not a multiple of 24", "axis V = 129280 is not a multiple of 24"},
	} {
		m := elaborate(t, "deepseek-v4-flash")
		before := m.String()
		_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: tp}, "shard")
		for _, reason := range reasons {
			require.ErrorContains(t, err, reason)
		}
		require.NotContains(t, err.Error(), "axis I", "index heads can stay whole")
		require.Equal(t, before, m.String(), "a refused module is left as it was")

		_, err = passes.Run(m, passes.Options{Target: targets.CPU, TP: tp, Scores: passes.Split, Pairs: passes.Split}, "shard")
		require.ErrorContains(t, err, fmt.Sprintf("axis I = 64 is not a multiple of %d", tp))
		require.ErrorContains(t, err, fmt.Sprintf("axis F = 2048 is not a multiple of %d", tp))
	}
}

// TestCollectivesPerLayer counts where ranks meet. All ranks run the same straight-line program, so each issues
// every collective, in the same order.
func TestCollectivesPerLayer(t *testing.T) {
	m := elaborate(t, "deepseek-v4-flash")
	_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: 8, Official: true}, "shard")
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
