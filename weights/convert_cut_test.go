package weights

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/runtime/safetensors"
)

// TestWidenedFP8IsCutAnywhere converts shared experts of three scale blocks for two and four ranks, whose parts
// end within blocks of rows and of columns. Kept as FP8 they have no such parts.
func TestWidenedFP8IsCutAnywhere(t *testing.T) {
	config, _ := made(t)
	wide := strings.Replace(config, `"moe_intermediate_size": 128`, `"moe_intermediate_size": 384`, 1)
	require.NotEqual(t, config, wide)
	src := madeOf(t, wide)
	cut := map[string]int{"ffn.shared_experts.w1.weight": 0, "ffn.shared_experts.w3.weight": 0, "ffn.shared_experts.w2.weight": 1}
	for _, n := range []int{2, 4} {
		m := lowered(t, wide, storedFP4, plainBF16, n)
		for _, set := range m.Params {
			for _, w := range set.Weights {
				if axis, ok := cut[w.Tensor]; ok {
					w.Value.Type.Dims[axis] = w.Value.Type.Dims[axis].Part(n)
				}
			}
		}
		plan, err := NewPlan(m, Ranks)
		require.NoError(t, err)
		dst := filepath.Join(t.TempDir(), "out")
		_, err = Convert(plan, src, dst, ConvertOptions{About: about()})
		require.NoError(t, err)
		_, err = Verify(plan, m, dst, VerifyOptions{Against: src})
		require.NoError(t, err)

		ranks, err := OpenRanks(plan, dst)
		require.NoError(t, err)
		compared := 0
		for _, it := range plan.Items {
			if _, ok := cut[it.Weight.Tensor]; !ok {
				continue
			}
			source, err := find(src.Tensor, it.Source, 0, "the source")
			require.NoError(t, err)
			got, ok := ranks.Tensor(it.Parts[0].named(0))
			require.True(t, ok)
			require.Equal(t, widen(it.From, source), widen(it.To, []safetensors.Tensor{got}), it.Parts[0].Name)
			compared++
		}
		require.Equal(t, 3*7, compared)
		require.NoError(t, ranks.Close())
	}

	m := lowered(t, wide, storedFP4, storedFP8, 2)
	for _, set := range m.Params {
		for _, w := range set.Weights {
			if axis, ok := cut[w.Tensor]; ok {
				w.Value.Type.Dims[axis] = w.Value.Type.Dims[axis].Part(2)
			}
		}
	}
	_, err := NewPlan(m, Ranks)
	require.ErrorContains(t, err, "a part has 192 of 384 rows, no multiple of the scale block of 128")
}
