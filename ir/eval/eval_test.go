package eval_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	_ "flagc/internal/golden" // go test ./... -update reaches every package
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/ops"
)

// tiny has one of each: a weight, a state, a call at two instances, broadcasting, traces.
const tiny = `module tiny from "tiny.flag"
dims D=4 W=2

params part at parts.0, parts.1 {
  weight gain: bf16[D] from "gain"
  state last:  bf16[b, W, D] = 0
}

params main {
  weight embed: bf16[V=8, D] from "embed.weight"
}

func part.prefill(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses part {
  %y    = mul %x, $gain                 : bf16[b, s, D] !"scaled"
  %last = ring_write &last, %y {window=2} : bf16[b, W, D]
  &last <- %last
  return %y
}

func main.prefill(%ids: i32[b, s]) -> (f32[b, D], bf16[b, s, D]) uses main {
  %x   = embedding %ids, $embed            : bf16[b, s, D]
  %x.1 = call part.prefill %x at parts.0   : bf16[b, s, D]
  %x.2 = call part.prefill %x.1 at parts.1 : bf16[b, s, D] !"out"
  %l   = last %x.2                         : bf16[b, D]
  %f   = cast %l {dtype="f32"}             : f32[b, D]
  return %f, %x.2
}
`

func module(t *testing.T) *ir.Module {
	m, err := ir.ParseModule(tiny, "tiny.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	return m
}

// weights yields 1 + 2^-8 for gains, which bf16 cannot hold a square of, and the row's number for the table.
type weights struct{}

func (weights) Tensor(instance string, w *ir.Weight) (*ir.Tensor, error) {
	shape, err := w.Value.Type.Shape(nil)
	t := ir.NewTensor(w.Value.Type.Elem, shape)
	for i := range t.F {
		t.F[i] = 1.0078125
		if w.Value.Name == "embed" {
			t.F[i] = float64(i / 4)
		}
	}
	return t, err
}

func ids(rows ...[]int32) *ir.Tensor {
	t := ir.NewTensor(ir.Plain(ir.I32), []int{len(rows), len(rows[0])})
	for b, r := range rows {
		copy(t.I[b*len(r):], r)
	}
	return t
}

func TestRunRoundsOnceAndTraces(t *testing.T) {
	var names []string
	m, err := eval.New(module(t), weights{}, eval.Options{Batch: 1, MaxSeq: 8, Trace: func(name string, v *ir.Tensor) {
		names = append(names, name)
	}})
	require.NoError(t, err)
	out, err := m.Run("main.prefill", 0, 3, ids([]int32{1, 2, 7}))
	require.NoError(t, err)
	require.Equal(t, []string{"parts.0.scaled", "parts.1.scaled", "out"}, names)
	// 7·1.0078125 = 7.0546875, in bf16 7.0625; times 1.0078125 again 7.117…, in bf16 7.125.
	require.Equal(t, []float64{7.125, 7.125, 7.125, 7.125}, out[0].F)
}

func TestErrorsName(t *testing.T) {
	m, err := eval.New(module(t), weights{}, eval.Options{Batch: 1, MaxSeq: 2})
	require.NoError(t, err)
	_, err = m.Run("other.prefill", 0, 1, ids([]int32{1}))
	require.ErrorContains(t, err, "no function other.prefill")
	_, err = m.Run("main.prefill", 0, 3, ids([]int32{1, 2, 3}))
	require.ErrorContains(t, err, "position 2 is beyond the longest sequence of 2 tokens")
	_, err = m.Run("main.prefill", 0, 1)
	require.ErrorContains(t, err, "takes 1 values, 0 given")
	_, err = m.Run("main.prefill", 0, 2, ids([]int32{1}))
	require.ErrorContains(t, err, "%ids has shape [1 1], needs [1 2]")
	_, err = eval.New(module(t), weights{}, eval.Options{MaxSeq: 1})
	require.ErrorContains(t, err, "must be at least 1")
	_, err = eval.Generate(module(t), weights{}, eval.Request{})
	require.ErrorContains(t, err, "the prompt is empty")
	_, err = eval.Generate(module(t), weights{}, eval.Request{Prompt: [][]int32{{1}}, MTP: true})
	require.ErrorContains(t, err, "has no MTP block")
}

// TestPanicsOfOpsBecomeErrors gives an op operands that its evaluation cannot take.
func TestPanicsOfOpsBecomeErrors(t *testing.T) {
	mod := module(t)
	broken := *ops.Mul
	broken.Body, broken.Eval = "", func(e *ir.Eval) { e.Parallel(4, func(i int) { panic("out of range") }) }
	var set ir.OpSet
	for _, in := range mod.Func("part.prefill").Body {
		if in.Op == ops.Mul {
			in.Op = set.Define(broken)
		}
	}
	m, err := eval.New(mod, weights{}, eval.Options{Batch: 1, MaxSeq: 8, Threads: 2})
	require.NoError(t, err)
	_, err = m.Run("main.prefill", 0, 1, ids([]int32{1}))
	require.ErrorContains(t, err, "BUG: part.prefill")
	require.ErrorContains(t, err, "out of range")
}

func TestResetAndRecord(t *testing.T) {
	before := map[string]float64{}
	m, err := eval.New(module(t), weights{}, eval.Options{Batch: 1, MaxSeq: 8, Record: func(_ *ir.Func, in *ir.Instr, e *ir.Eval) {
		if in.Op == ops.RingWrite {
			before["state"] = e.Args[0].F[0]
			before["new"] = e.Out[0].F[0]
		}
	}})
	require.NoError(t, err)
	run := func() {
		_, err := m.Run("main.prefill", 0, 1, ids([]int32{4}))
		require.NoError(t, err)
	}
	run()
	require.Equal(t, 0.0, before["state"], "the recorded operand is the state from before")
	require.NotZero(t, before["new"])
	run()
	require.NotZero(t, before["state"], "states last from call to call")
	require.NoError(t, m.Reset())
	run()
	require.Zero(t, before["state"], "Reset gives the initial value")
}

func TestArgmaxTakesTheFirstOfEquals(t *testing.T) {
	require.Equal(t, 1, eval.Argmax([]float64{math.Inf(-1), 3, 3, 2}))
}
