package ops_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
)

// argmax evaluates the op on rows of v numbers.
func argmax(x []float64, v int) (values []float64, places []int32) {
	rows := len(x) / v
	e := &ir.Eval{
		Args:     []*ir.Tensor{{Shape: []int{rows, v}, F: x}},
		Out:      []*ir.Tensor{ir.NewTensor(ir.Plain(ir.F32), []int{rows, 1}), ir.NewTensor(ir.Plain(ir.I32), []int{rows, 1})},
		Parallel: func(n int, f func(int)) { each(n, f) },
	}
	ops.Argmax.Eval(e)
	return e.Out[0].F, e.Out[1].I
}

func each(n int, f func(int)) {
	for i := range n {
		f(i)
	}
}

func TestTheFirstOfEqualTokensIsChosen(t *testing.T) {
	values, places := argmax([]float64{1, 3, 3, 2, -5, math.Inf(-1), -5, -5}, 4)
	require.Equal(t, []float64{3, -5}, values)
	require.Equal(t, []int32{1, 0}, places)

	out := run(t, ops.Pick, ir.Attrs{{Name: "part", Value: 100}}, nil, [][]int{{2, 1}},
		&ir.Tensor{Shape: []int{2, 3}, F: []float64{1, 4, 4, 7, 2, 7}}, &ir.Tensor{Shape: []int{2, 3}, I: []int32{9, 5, 1, 99, 0, 3}})
	require.Equal(t, []int32{105, 99}, out[0].I, "of equals the first part, whatever the places in them")
}

// TestPerturbedScoresAreDraws holds the scores against the official way to draw: the largest of the probabilities, each
// divided by its noise.
func TestPerturbedScoresAreDraws(t *testing.T) {
	f, err := ops.Perturb.PointwiseBody().Compile(ops.Perturb.Operands(), nil)
	require.NoError(t, err)
	const v = 50
	rng := rand.New(rand.NewPCG(1, 2))
	drawn := map[int]bool{}
	for range 1000 {
		temperature := rng.Float64()*2 + 0.1
		scores, official := make([]float64, v), make([]float64, v)
		total := 0.0
		for i := range v {
			logit, noise := rng.NormFloat64(), rng.ExpFloat64()
			scores[i] = f([]float64{logit, noise, temperature})
			total += math.Exp(logit / temperature)
			official[i] = math.Exp(logit/temperature) / noise
		}
		for i := range official {
			official[i] /= total
		}
		_, got := argmax(scores, v)
		_, want := argmax(official, v)
		require.Equal(t, want, got)
		drawn[int(got[0])] = true
	}
	require.Len(t, drawn, v, "every token has its chance")
	require.Equal(t, f([]float64{3, 1, 1e-5}), f([]float64{3, 1, 0}), "a temperature of 0 is nearly that")
}
