package verify

import (
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

// replays are runs whose launches are replayed. Together they wrap the ring of the window, which holds 128 tokens, in
// the prompt and in decoding, and complete windows of both compressors.
var replays = []struct {
	name   string
	tp     int
	prompt [][]int32
	feed   [][]int32
	most   int // launches of a kernel that are replayed
}{
	{"a long prompt", 1, [][]int32{sequence(131, 512)}, [][]int32{{5, 6}}, 1},
	{"two short prompts on two ranks", 2, [][]int32{sequence(6, 512), sequence(6, 400)}, [][]int32{{5, 6, 8}, {9, 7, 1}}, 4},
	{"a window's last token", 2, [][]int32{sequence(126, 512)}, [][]int32{{3, 4, 5}}, 2},
}

// TestKernelsEqualTheReference replays what a model on a random checkpoint launches.
func TestKernelsEqualTheReference(t *testing.T) {
	for _, r := range replays {
		t.Run(r.name, func(t *testing.T) {
			target, _ := targets.Find("h200")
			m, w := model(t, "deepseek-v4-nano", passes.Options{Target: target, TP: r.tp})
			kernels := map[*ir.Func]*triton.Lowered{}
			for _, f := range m.Kernels {
				k, _, err := Programs(m, f, target, Bounds)
				require.NoError(t, err)
				kernels[f] = k
			}
			count := map[string]int{}
			_, err := eval.Generate(m, w, eval.Request{Prompt: r.prompt, Feed: r.feed, MTP: true, Launched: func(l eval.Launch) {
				name := l.Kernel.FullName()
				if count[name]++; count[name] > r.most {
					return
				}
				diffs, err := Replay(kernels[l.Kernel], l, m.Mesh, Interpreted(tile.Options{Races: true, Seed: 1}))
				if err == nil {
					err = Verdict(diffs)
				}
				if err != nil {
					t.Errorf("%s at %s, rank %d: %v", name, l.Instance, l.Rank, err)
				}
			}})
			require.NoError(t, err)
		})
	}
}
