package verify

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/codegen/triton"
	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/runtime/safetensors"
	"flagc/targets"
	"flagc/weights"
)

// model is a built-in model with a random checkpoint, after all passes.
func model(t testing.TB, name string, opts passes.Options) (*ir.Module, *weights.Source) {
	m, config := goldens.Builtin(t, name)
	dir := filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, weights.Make(m, []byte(config), dir, weights.MakeOptions{}))
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	_, err = passes.Run(m, opts, "")
	require.NoError(t, err)
	return m, weights.NewSource(m, c)
}

// builtin is a built-in model as the front end makes it.
func builtin(t testing.TB, name string) *ir.Module {
	m, _ := goldens.Builtin(t, name)
	return m
}

func sequence(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*i*7 + i*3 + 1) % vocab)
	}
	return ids
}

// atMost is the share of a kernel's bf16 values that may be neighbours of the reference's.
const atMost = 0.02

func TestKernelsEqualTheReference(t *testing.T) {
	for _, tp := range []int{1, 2} {
		t.Run(fmt.Sprintf("tp%d", tp), func(t *testing.T) {
			target, _ := targets.Find("h200")
			m, w := model(t, "deepseek-v4-nano", passes.Options{Target: target, TP: tp})
			kernels := map[*ir.Func]*triton.Lowered{}
			for _, f := range m.Kernels {
				k, err := triton.Lower(m, f, target)
				require.NoError(t, err)
				kernels[f] = k
			}
			count := map[string]int{}
			_, err := eval.Generate(m, w, eval.Request{
				Prompt: [][]int32{sequence(130, 512), sequence(130, 400)}, Feed: [][]int32{{5, 6}, {9, 7}}, MTP: true,
				Launched: func(l eval.Launch) {
					name := l.Kernel.FullName()
					if count[name]++; count[name] > 3 || l.Rank > 0 && count[name] > 2 {
						return
					}
					diffs, err := Replay(kernels[l.Kernel], l, m.Mesh, Interpreted(tile.Options{Races: true, Seed: 1}))
					if err != nil {
						t.Errorf("%s at %s, rank %d: %v", name, l.Instance, l.Rank, err)
						return
					}
					for _, d := range diffs {
						if d.Beyond > 0 || float64(d.Unequal) > atMost*float64(d.Total) {
							t.Errorf("%s at %s, rank %d: %s: %d of %d differ, %d by more than one place, relative %.2g: %s", name,
								l.Instance, l.Rank, d.Result, d.Unequal, d.Total, d.Beyond, d.Relative, d.Where)
						}
					}
				},
			})
			require.NoError(t, err)
		})
	}
}
