package triton

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir/tile"
	"flagc/targets"
)

// TestFP4IsReadByWords holds that no program of decoding reads FP4 codes by bytes, which takes three times as long, that those which
// read them by words, and no others, are told how many registers they have, and that activations get a program in front only where
// they are computed: those of the chosen experts' w2, which weighs them.
func TestFP4IsReadByWords(t *testing.T) {
	target, ok := targets.Find("h200")
	require.True(t, ok)
	for _, policy := range []targets.Policy{targets.PolicyW4A8, targets.PolicyW4A16} {
		b, err := NewBuild(lowered(t, "deepseek-v4-flash", target, 8, policy), target)
		require.NoError(t, err)
		var second []string
		for _, p := range b.Programs() {
			words := slices.ContainsFunc(p.Params, func(q *tile.Param) bool { return strings.Contains(q.Doc, "eight codes in a word") })
			capped := map[bool]int{true: 128}[words && strings.Contains(p.Name, "decode")]
			require.Equal(t, capped, p.Launch.Registers, p.Name)
			require.Equal(t, capped, describeKernel(p).Registers, p.Name)
			require.Equal(t, capped > 0, strings.Contains(torchFunction(p), "maxnreg=128"), p.Name)
			if !strings.Contains(p.Name, "experts") || !strings.Contains(p.Name, "decode") {
				continue
			}
			for _, q := range p.Params {
				require.NotContains(t, q.Doc, "two codes in a byte", "%s of %s", q.Name, p.Name)
			}
			if strings.HasSuffix(p.Name, "_2") {
				second = append(second, p.Name)
			}
		}
		require.Equal(t, []string{"experts_w2_shared_experts_decode_2", "experts_w2_shared_experts_1_decode_2"}, second, policy)
	}
}
