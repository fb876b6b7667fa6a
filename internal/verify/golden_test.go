package verify

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
	"flagc/weights"
)

// build is a precision on a machine that computes it.
type build struct {
	target string
	policy targets.Policy
	tp     int
}

// compile takes a module through all passes.
func (b build) compile(t testing.TB, m *ir.Module) targets.Target {
	target, ok := targets.Find(b.target)
	require.True(t, ok)
	_, err := passes.Run(m, passes.Options{Target: target, TP: b.tp, Precision: b.policy}, "")
	require.NoError(t, err)
	return target
}

// onTiles runs a model with every kernel as tile programs.
func onTiles(t testing.TB, m *ir.Module, w *weights.Source, target targets.Target, q eval.Request) *eval.Result {
	x, err := NewExecutor(m, target, Interpreted(tile.Options{}))
	require.NoError(t, err)
	q.Execute = x.Execute
	out, err := eval.Generate(m, w, q)
	require.NoError(t, err)
	return out
}

// noiseFactor allows twice the drift that the official code shows when only its accumulation changes from float64 to
// float32: tile programs accumulate in float32 as well, in another order, so the two are two such samples.
const noiseFactor = 2

// TestGoldenRunsOnTilePrograms runs the recorded models end to end with the tile interpreter in place of every kernel
// and holds logits and tokens against what the official code computes.
func TestGoldenRunsOnTilePrograms(t *testing.T) {
	builds := []build{{"b200", targets.PolicyNative, 1}, {"b200", targets.PolicyNative, 2},
		{"ascend-910b-64g", targets.PolicyBF16, 1}, {"ascend-910b-64g", targets.PolicyBF16, 2}}
	for _, name := range goldens.Names {
		for _, b := range builds {
			t.Run(fmt.Sprintf("%s/%s/tp%d", name, b.policy, b.tp), func(t *testing.T) {
				g := goldens.Open(t, name)
				want := g
				if b.policy == targets.PolicyBF16 {
					want = g.BF16(t)
				}
				m := g.Module(t, nil)
				target := b.compile(t, m)
				run := "short5"
				out := onTiles(t, m, g.Weights(t, m), target, eval.Request{Prompt: want.Tokens(t, run+".prompt"), Feed: want.Tokens(t, run+".fed")})
				logits := out.Prefill.F
				for _, step := range out.Decode {
					logits = append(slices.Clone(logits), step.F...)
				}
				recorded := append(recordedFloats(t, want, run+".prefill.logits"), recordedFloats(t, want, run+".decode.logits")...)
				requireNear(t, logits, recorded, out.Prefill.Dim(-1), drift(g.Noise(t)))
			})
		}
	}
}

func recordedFloats(t testing.TB, g *goldens.Golden, name string) []float64 {
	tensor, ok := g.Exact.Tensor(name)
	require.True(t, ok, name)
	values, err := tensor.Float32s()
	require.NoError(t, err)
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

// drift is what the official code shows after prompts of all runs: the median row, and the worst.
func drift(noise map[string][2]float64) [2]float64 {
	var out [2]float64
	for name, figures := range noise {
		if len(name) > 7 && name[len(name)-7:] == ".logits" {
			out = [2]float64{max(out[0], figures[0]), max(out[1], figures[1])}
		}
	}
	return out
}

// requireNear holds rows of logits against others: the median row and the worst within the noise, the tokens equal.
func requireNear(t testing.TB, got, want []float64, columns int, noise [2]float64) {
	require.Len(t, got, len(want))
	var relative []float64
	different := 0
	for r := 0; r < len(got); r += columns {
		x, y := got[r:r+columns], want[r:r+columns]
		far, norm := 0.0, 0.0
		for i := range x {
			far += (x[i] - y[i]) * (x[i] - y[i])
			norm += y[i] * y[i]
		}
		relative = append(relative, math.Sqrt(far/norm))
		if eval.Argmax(x) != eval.Argmax(y) {
			different++
		}
	}
	slices.Sort(relative)
	median, worst := relative[len(relative)/2], relative[len(relative)-1]
	t.Logf("%d rows: median %.4f, worst %.4f; noise %.4f, %.4f; %d tokens differ", len(relative), median, worst, noise[0], noise[1], different)
	require.LessOrEqual(t, median, noiseFactor*noise[0])
	require.LessOrEqual(t, worst, noiseFactor*noise[1])
	require.Zero(t, different, "tokens differ")
}
