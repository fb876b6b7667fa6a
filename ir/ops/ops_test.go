package ops_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
)

// TestEveryOpIsDeclaredWhole asks each declaration for what users and passes read from it.
func TestEveryOpIsDeclaredWhole(t *testing.T) {
	require.NotEmpty(t, ops.All.All())
	for _, op := range ops.All.All() {
		t.Run(op.Name, func(t *testing.T) {
			require.True(t, strings.HasSuffix(op.Doc, "."), "Doc must be a sentence: %q", op.Doc)
			require.NotEmpty(t, op.Class)
			require.NotEmpty(t, op.Flops)
			for _, a := range op.Attrs {
				require.NotEmpty(t, a.Doc, "attribute %s", a.Name)
			}
			if op.Class == ir.StateUpdate {
				require.NotEmpty(t, op.Updates)
			}
			for result, operand := range op.Updates {
				require.Less(t, result, len(op.Results()))
				require.Less(t, operand, len(op.Operands()))
			}
		})
	}
}

// run evaluates an op on tensors of the given types. Results are unrounded.
func run(t *testing.T, op *ir.Op, attrs ir.Attrs, env ir.Env, out [][]int, args ...*ir.Tensor) []*ir.Tensor {
	t.Helper()
	full, err := op.Complete(attrs)
	require.NoError(t, err)
	e := &ir.Eval{Args: args, Attrs: full, Env: env, Parallel: func(n int, f func(int)) {
		for i := 0; i < n; i++ {
			f(i)
		}
	}}
	for i, shape := range out {
		if operand, ok := op.Updates[i]; ok {
			e.Out = append(e.Out, args[operand])
			continue
		}
		elem := ir.Plain(ir.F32)
		if op.Class == ir.Selection {
			elem = ir.Plain(ir.I32)
		}
		e.Out = append(e.Out, ir.NewTensor(elem, shape))
	}
	op.Eval(e)
	return e.Out
}

func floats(shape []int, x ...float64) *ir.Tensor {
	return &ir.Tensor{Elem: ir.Plain(ir.F32), Shape: shape, F: x}
}

func indices(shape []int, x ...int32) *ir.Tensor {
	return &ir.Tensor{Elem: ir.Plain(ir.I32), Shape: shape, I: x}
}

// The known answers of the specification, section 17.

func TestActQuantKnownBlock(t *testing.T) {
	x := make([]float64, 64)
	copy(x, []float64{3, -0.7109375, 0.01171875, 100.5, -448, 0.00099945068})
	out := run(t, ops.ActQuant, ir.Attrs{{Name: "block", Value: 64}}, nil, [][]int{{1, 64}}, floats([]int{1, 64}, x...))
	require.Equal(t, []float64{3, -0.6875, 0.01171875, 104, -448, 0.001953125}, out[0].F[:6])
}

func TestActQuantOfZerosIsZero(t *testing.T) {
	out := run(t, ops.ActQuant, ir.Attrs{{Name: "block", Value: 128}}, nil, [][]int{{1, 128}}, floats([]int{1, 128}, make([]float64, 128)...))
	require.Equal(t, make([]float64, 128), out[0].F)
}

func TestActQuantSimKeepsTheLastChannels(t *testing.T) {
	x := make([]float64, 66)
	for i := range x {
		x[i] = 1.01 + float64(i)/1000
	}
	attrs := ir.Attrs{{Name: "block", Value: 64}, {Name: "keep", Value: 2}}
	out := run(t, ops.ActQuantSim, attrs, nil, [][]int{{1, 66}}, floats([]int{1, 66}, x...))
	require.Equal(t, x[64:], out[0].F[64:])
	require.NotEqual(t, x[0], out[0].F[0])
}

func TestFP4QuantSimKnownBlock(t *testing.T) {
	x := make([]float64, 32)
	copy(x, []float64{0.30078125, -1.296875, 2, 7, 0.050048828})
	out := run(t, ops.FP4QuantSim, ir.Attrs{{Name: "block", Value: 32}}, nil, [][]int{{1, 32}}, floats([]int{1, 32}, x...))
	require.Equal(t, []float64{0, -1, 2, 8, 0}, out[0].F[:5])
}

func TestSqrtSoftplusKnownValues(t *testing.T) {
	f, err := ops.SqrtSoftplus.PointwiseBody().Compile(ops.SqrtSoftplus.Operands(), nil)
	require.NoError(t, err)
	for x, want := range map[float64]float64{-3: 0.2204254, 0: 0.8325546, 2.5: 1.6058922, 25: 5} {
		require.InDelta(t, want, f([]float64{x}), 5e-8, "softplus of %v", x) // seven decimals are given
	}
	require.Equal(t, math.Sqrt(20.5), f([]float64{20.5}), "the identity above 20")
}

func TestSinkhornKnownMatrix(t *testing.T) {
	// A zero input row mixes to zero, so base alone is the matrix.
	base := make([]float64, 24)
	for j := 0; j < 4; j++ {
		for k := 0; k < 4; k++ {
			base[8+4*j+k] = float64((4*j+k)%5)/2 - 1
		}
	}
	attrs := ir.Attrs{{Name: "iters", Value: 20}, {Name: "norm_eps", Value: 1e-6}, {Name: "hc_eps", Value: 1e-6}}
	out := run(t, ops.HCPre, attrs, nil, [][]int{{1, 1}, {1, 4}, {1, 4, 4}}, floats([]int{1, 4, 1}, 0, 0, 0, 0),
		floats([]int{24, 4}, make([]float64, 96)...), floats([]int{3}, 1, 1, 1), floats([]int{24}, base...))
	want := []float64{0.077644, 0.145057, 0.271002, 0.506296, 0.506297, 0.077644, 0.145057, 0.271001}
	require.InDeltaSlice(t, want, out[2].F[:8], 1e-6) // six decimals are given
}

func TestYaRNReferenceFrequencies(t *testing.T) {
	attrs, err := ops.Rope.Complete(ir.Attrs{{Name: "first", Value: 0}, {Name: "dims", Value: 64},
		{Name: "theta", Value: 160000.0}, {Name: "factor", Value: 16.0}, {Name: "original", Value: 65536},
		{Name: "beta_fast", Value: 32.0}, {Name: "beta_slow", Value: 1.0}})
	require.NoError(t, err)
	f := ops.Frequencies(attrs)
	want := map[int]float64{0: 1, 15: 0.00363553858, 16: 0.002265625, 20: 0.000296977778, 25: 5.37231267e-06, 31: 5.68052904e-07}
	for i, w := range want {
		require.InEpsilon(t, w, float64(f[i]), 3e-7, "frequency %d", i) // a few float32 roundings, 2^-24 each
	}
}

func TestWindowAndRingLists(t *testing.T) {
	window := ir.Attrs{{Name: "window", Value: 128}}
	out := run(t, ops.RingEntries, window, ir.Env{"p": 200, "s": 1}, [][]int{{1, 1, 128}})
	for i := 0; i < 55; i++ {
		require.EqualValues(t, 73+i, out[0].I[i])
	}
	for i := 55; i < 128; i++ {
		require.EqualValues(t, i-55, out[0].I[i])
	}
	out = run(t, ops.WindowEntries, window, ir.Env{"p": 0, "s": 300}, [][]int{{1, 300, 128}})
	row := out[0].I[5*128 : 6*128]
	require.Equal(t, []int32{0, 1, 2, 3, 4, 5, -1, -1}, row[:8])
	require.EqualValues(t, -1, row[127])
	require.EqualValues(t, 73, out[0].I[200*128])
	require.EqualValues(t, 200, out[0].I[200*128+127])
	out = run(t, ops.RingEntries, window, ir.Env{"p": 3, "s": 1}, [][]int{{1, 1, 128}})
	require.Equal(t, []int32{0, 1, 2, 3, -1}, out[0].I[:5])
}

func TestCompressedVisibility(t *testing.T) {
	visible := func(ratio, p int) int {
		attrs := ir.Attrs{{Name: "n", Value: 4}, {Name: "ratio", Value: ratio}, {Name: "first", Value: 10}}
		out := run(t, ops.CausalEntries, attrs, ir.Env{"p": p, "s": 1}, [][]int{{1, 1, 4}})
		n := 0
		for i, e := range out[0].I {
			if e >= 0 {
				require.EqualValues(t, 10+i, e)
				n++
			}
		}
		return n
	}
	require.Equal(t, []int{0, 1, 2}, []int{visible(4, 2), visible(4, 3), visible(4, 7)})
	require.Equal(t, []int{0, 1}, []int{visible(128, 126), visible(128, 127)})
}

// What the recorded results of the official code do not test.

func TestTiesGoToTheLowerIndex(t *testing.T) {
	out := run(t, ops.TopExperts, ir.Attrs{{Name: "k", Value: 3}}, nil, [][]int{{1, 3}},
		floats([]int{1, 5}, 1, 2, 2, 0, 2), floats([]int{5}, 0, 0, 0, 0, 0))
	require.Equal(t, []int32{1, 2, 4}, out[0].I)
}

func TestHeadNormOfZerosHasItsEps(t *testing.T) {
	out := run(t, ops.HeadNorm, ir.Attrs{{Name: "eps", Value: 1e-6}}, nil, [][]int{{1, 4}}, floats([]int{1, 4}, 0, 0, 0, 0))
	require.Equal(t, []float64{0, 0, 0, 0}, out[0].F)
}

func TestAttentionThatSeesNothingYieldsZeros(t *testing.T) {
	none := make([]int32, 70)
	for i := range none {
		none[i] = -1
	}
	out := run(t, ops.SparseAttention, ir.Attrs{{Name: "scale", Value: 1.0}}, nil, [][]int{{1, 1, 1, 2}},
		floats([]int{1, 1, 1, 2}, 1, 2), floats([]int{1, 1, 2}, 5, 6), indices([]int{1, 1, 70}, none...), floats([]int{1}, 0.5))
	require.Equal(t, []float64{0, 0}, out[0].F)
}

func TestAttentionCountsDuplicatesAndSkipsHoles(t *testing.T) {
	// Equal keys: whatever the weights, the result is the key times Σp/(Σp + e^(sink-m)).
	out := run(t, ops.SparseAttention, ir.Attrs{{Name: "scale", Value: 1.0}}, nil, [][]int{{1, 1, 1, 1}},
		floats([]int{1, 1, 1, 1}, 0), floats([]int{1, 1, 1}, 3), indices([]int{1, 1, 4}, 0, -1, 0, 0), floats([]int{1}, 0))
	require.InDelta(t, 3*3.0/4, out[0].F[0], 1e-15)
}

func TestExpertIdsOutsideTheRangeYieldZeros(t *testing.T) {
	out := run(t, ops.ExpertLinear, nil, nil, [][]int{{1, 2, 1}}, floats([]int{1, 2}, 1, 2), indices([]int{1, 2}, -1, 0),
		floats([]int{1, 1, 2}, 10, 100))
	require.Equal(t, []float64{0, 210}, out[0].F)
}

// TestCompressPoolInAnySplit feeds the same tokens in one call and in pieces: entries and states agree.
func TestCompressPoolInAnySplit(t *testing.T) {
	const tokens, d, ratio = 19, 3, 4
	values, scores := make([]float64, tokens*2*d), make([]float64, tokens*2*d)
	for i := range values {
		values[i], scores[i] = math.Sin(float64(i)), math.Cos(float64(3*i))
	}
	ape := floats([]int{ratio, 2 * d}, scores[:ratio*2*d]...)
	attrs := ir.Attrs{{Name: "ratio", Value: ratio}, {Name: "overlap", Value: true}}
	feed := func(pieces ...int) (entries []float64, state []float64) {
		kv, score := floats([]int{1, 8, 2 * d}, make([]float64, 16*d)...), floats([]int{1, 8, 2 * d}, make([]float64, 16*d)...)
		for i := range score.F {
			score.F[i] = math.Inf(-1)
		}
		p := 0
		for _, s := range pieces {
			n := (p+s)/ratio - p/ratio
			part := func(x []float64) *ir.Tensor { return floats([]int{1, s, 2 * d}, x[p*2*d:(p+s)*2*d]...) }
			out := run(t, ops.CompressPool, attrs, ir.Env{"p": p, "s": s}, [][]int{{1, n, d}, nil, nil},
				part(values), part(scores), ape, kv, score)
			entries = append(entries, out[0].F...)
			p += s
		}
		return entries, kv.F[4*2*d : 7*2*d] // rows of the unfinished window; later rows are stale until overwritten
	}
	whole, state := feed(19)
	require.Len(t, whole, 4*d)
	for _, pieces := range [][]int{{1, 18}, {3, 1, 1, 14}, {4, 4, 4, 4, 3}, {18, 1}} {
		entries, s := feed(pieces...)
		require.Equal(t, whole, entries)
		require.Equal(t, state, s)
	}
}
