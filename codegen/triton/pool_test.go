package triton

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/targets"
)

// TestLongWindowsArePooledByChannels: windows of 128 tokens of a prompt are pooled by a program in front, whose instances hold
// all of a window for some channels. Windows of 8 tokens are pooled as whole rows.
func TestLongWindowsArePooledByChannels(t *testing.T) {
	for _, name := range []string{"h200", "bw1000", "ascend-910b-64g"} {
		target, ok := targets.Find(name)
		require.True(t, ok)
		b, err := NewBuild(lowered(t, "deepseek-v4-flash", target, 8, ""), target)
		require.NoError(t, err)
		long, short := 0, 0
		for _, k := range b.Kernels {
			if k.Func.Mode != ir.Prefill || !strings.HasPrefix(k.Programs[0].Name, "q_norm_kv_norm_compressor") {
				continue
			}
			first := k.Programs[0]
			pooled := first.Param("attn_compressor_pooled")
			if first.Param("compressor_ape") != nil { // the indexer has a compressor as well
				short++
				require.Nil(t, pooled, "%s of %s", first.Name, name)
				continue
			}
			long++
			require.NotNil(t, pooled, "%s of %s", first.Name, name)
			require.Contains(t, first.Grid, "(s // 128)", name)
			whole := strings.Contains(string(Print(first)), "for first_2 in range(0, 128, 128):")
			require.Equal(t, name != "ascend-910b-64g", whole, "a window at once, on %s", name)
		}
		require.Equal(t, []int{1, 1}, []int{long, short}, name)
	}
}
