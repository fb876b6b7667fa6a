package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/runtime/formats"
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
		{"ascend-910b-64g", targets.PolicyBF16, 1}, {"ascend-910b-64g", targets.PolicyBF16, 2},
		{"p800", targets.PolicyW4A16, 2}, {"h100", targets.PolicyW4A8, 4}, {"c500", targets.PolicyW4A16, 4}}
	for _, name := range goldens.Names {
		for _, b := range builds {
			t.Run(fmt.Sprintf("%s/%s/%s/tp%d", name, b.target, b.policy, b.tp), func(t *testing.T) {
				g := goldens.Open(t, name)
				want := g
				if b.policy == targets.PolicyBF16 || b.policy == targets.PolicyW4A16 {
					want = g.BF16(t)
				}
				m := g.Module(t, nil)
				target := b.compile(t, m)
				run := "short5"
				fed := want.Tokens(t, run+".fed")[0][:steps]
				out := onTiles(t, m, g.Weights(t, m), target, eval.Request{Prompt: want.Tokens(t, run+".prompt"), Feed: [][]int32{fed}})
				logits := allLogits(out)
				recorded := append(recordedFloats(t, want, run+".prefill.logits"), recordedFloats(t, want, run+".decode.logits")...)
				requireNear(t, logits, recorded[:len(logits)], out.Prefill.Dim(-1), drift(g.Noise(t)))
			})
		}
	}
}

// steps is how many tokens are decoded: what a run drifts shows from the first on.
const steps = 4

// allLogits are the logits of all steps, the prompt's first.
func allLogits(r *eval.Result) []float64 {
	logits := slices.Clone(r.Prefill.F)
	for _, step := range r.Decode {
		logits = append(logits, step.F...)
	}
	return logits
}

// TestModelOnTilePrograms runs the small model on a random checkpoint with tile programs and holds it against its ops,
// within twice what one number in a thousand moves it by that is rounded to its neighbour in every launch: that is how
// many differ in kernels.
func TestModelOnTilePrograms(t *testing.T) {
	target, _ := targets.Find("h200")
	m, w := model(t, "deepseek-v4-nano", passes.Options{Target: target, TP: 2})
	q := eval.Request{Prompt: [][]int32{sequence(6, 512)}, Feed: [][]int32{{5, 6, 8, 9}}}
	want, err := eval.Generate(m, w, q)
	require.NoError(t, err)
	got := onTiles(t, m, w, target, q)
	q.Execute = shaken(m)
	moved, err := eval.Generate(m, w, q)
	require.NoError(t, err)
	columns := got.Prefill.Dim(-1)
	noise := relatives(allLogits(moved), allLogits(want), columns)
	requireNear(t, allLogits(got), allLogits(want), columns, [2]float64{noise[len(noise)/2], noise[len(noise)-1]})
}

// shaken computes launches exactly, but for one number of bf16 in a thousand.
func shaken(m *ir.Module) func(eval.Launch) ([]*ir.Tensor, error) {
	random := rand.New(rand.NewPCG(1, 2))
	return func(l eval.Launch) ([]*ir.Tensor, error) {
		args := slices.Clone(l.Args)
		for i, a := range l.Kernel.Args {
			if a.Kind == ir.StateValue {
				args[i] = args[i].Clone()
			}
		}
		results, err := eval.Kernel(m, l.Kernel, l.Env, l.Rank, args)
		for i, r := range results {
			if l.Kernel.Return[i].IsState() || r.Elem != ir.Plain(ir.BF16) || l.Kernel.Return[i].Type.Partial == ir.PartialSum {
				continue
			}
			for j, v := range r.F {
				if random.IntN(1000) == 0 {
					r.F[j] = formats.RoundBF16(v * (1 + 1.0/128))
				}
			}
		}
		return results, err
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

// drift is what the official code shows in decoding over all runs: the median row, and the worst.
func drift(noise map[string][2]float64) [2]float64 {
	var out [2]float64
	for name, figures := range noise {
		if strings.HasSuffix(name, ".decode.logits") {
			out = [2]float64{max(out[0], figures[0]), max(out[1], figures[1])}
		}
	}
	return out
}

// requireNear holds rows of logits against others: the median row and the worst within the noise, the tokens equal but
// where the noise could exchange them.
func requireNear(t testing.TB, got, want []float64, columns int, noise [2]float64) {
	require.Len(t, got, len(want))
	relative, different := relatives(got, want, columns), 0
	for r := 0; r < len(got); r += columns {
		x, y := got[r:r+columns], want[r:r+columns]
		if a, b := eval.Argmax(x), eval.Argmax(y); a != b {
			different++
			gap := (y[b] - y[a]) * math.Sqrt(float64(columns)) / norm(y)
			t.Logf("row %d: token %d in place of %d, which leads by %.3f", r/columns, a, b, gap)
			require.LessOrEqual(t, gap, noiseFactor*math.Sqrt2*noise[1], "a token differs that leads by more than noise")
		}
	}
	median, worst := relative[len(relative)/2], relative[len(relative)-1]
	t.Logf("%d rows: median %.4f, worst %.4f; noise %.4f, %.4f; %d tokens differ", len(relative), median, worst, noise[0], noise[1], different)
	require.LessOrEqual(t, median, noiseFactor*noise[0])
	require.LessOrEqual(t, worst, noiseFactor*noise[1])
}

// relatives are the distances of rows from others, relative to the norm of these, in ascending order.
func relatives(got, want []float64, columns int) []float64 {
	var out []float64
	for r := 0; r < len(got); r += columns {
		d := make([]float64, columns)
		for i := range d {
			d[i] = got[r+i] - want[r+i]
		}
		out = append(out, norm(d)/norm(want[r:r+columns]))
	}
	slices.Sort(out)
	return out
}

func norm(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum)
}
