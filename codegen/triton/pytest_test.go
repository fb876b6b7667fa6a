package triton

import (
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/targets"
)

// TestTorchTests records the tests of a few launches: one with states and several programs, one that chooses, one of
// experts and one with a table.
func TestTorchTests(t *testing.T) {
	target, _ := targets.Find("h100")
	b, err := NewBuild(lowered(t, "deepseek-v4-nano", target, 2, targets.PolicyFP8), target)
	require.NoError(t, err)
	files, err := b.Files()
	require.NoError(t, err)
	all := string(files[TestFile])
	require.Len(t, regexp.MustCompile(`(?m)^def test_`).FindAllString(all, -1), len(b.Kernels), "a test for each launch")
	for _, name := range ownFiles() {
		require.NotEmpty(t, files[name], name)
	}

	some := []string{"wq_b_compressor.decode", "index_score.decode", "experts_w2.prefill", "sparse_attention.1.prefill"}
	b.Kernels = slices.DeleteFunc(b.Kernels, func(k *Lowered) bool { return !slices.Contains(some, k.Func.FullName()) })
	golden.Check(t, "testdata/test_torch_ops.py.golden", string(b.torchTests()))
	require.Equal(t, string(b.torchTests()), string(b.torchTests()))
}
