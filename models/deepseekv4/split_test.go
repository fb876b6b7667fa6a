package deepseekv4_test

import (
	"fmt"
	"math"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/ops"
	"flagc/runtime/formats"
)

// recorded is one executed instruction.
type recorded struct {
	in *ir.Instr
	e  *ir.Eval
}

// TestEveryLegalSplitEqualsTheWhole takes each op as the model executes it, splits every axis that its declaration
// lets be split over two ranks, and puts the parts together again: by sum where the result is partial, one behind
// the other where it stays split. So it tries what Sum, Whole and Zeros claim.
func TestEveryLegalSplitEqualsTheWhole(t *testing.T) {
	golden.Unrecorded(t)
	m, w := nano(t)
	samples := map[string]recorded{}
	_, err := eval.Generate(m, w, eval.Request{
		Prompt: [][]int32{sequence(36, 512), sequence(36, 300)}, MaxNew: 1, MTP: true,
		Record: func(fn *ir.Func, in *ir.Instr, e *ir.Eval) {
			key := fmt.Sprint(in.Op.Name, fn.Mode, len(in.Args), len(e.Out[0].Shape))
			if _, have := samples[key]; !have && e.Out[0].Len() > 0 {
				samples[key] = recorded{in, clone(e)}
			}
		},
	})
	require.NoError(t, err)
	keys := make([]string, 0, len(samples))
	for k := range samples {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	tried := map[string]int{}
	for _, k := range keys {
		s := samples[k]
		for i, a := range s.in.Args {
			for axis := range a.Type.Dims {
				if s.splits(t, m, i, axis) {
					tried[s.in.Op.Name]++
				}
			}
		}
	}
	t.Log(tried)
	for _, name := range []string{"linear", "grouped_linear", "expert_linear", "embedding", "index_score", "sparse_attention",
		"act_quant", "rope", "head_norm", "swiglu", "mul", "sum_slots", "hc_post", "compress_pool", "route_weights"} {
		require.NotZero(t, tried[name], "no axis of %s was split", name)
	}
}

// clone keeps what a record callback may not.
func clone(e *ir.Eval) *ir.Eval {
	c := &ir.Eval{Attrs: e.Attrs, Env: e.Env}
	for _, a := range e.Args {
		d := *a
		if a.Lazy == nil {
			d = *a.Clone()
		}
		c.Args = append(c.Args, &d)
	}
	for _, o := range e.Out {
		c.Out = append(c.Out, o.Clone())
	}
	return c
}

// splits tries one axis of one operand, together with the same axis of the others; false where it is not legal.
func (s recorded) splits(t *testing.T, m *ir.Module, operand, axis int) bool {
	letters := s.in.Letters(operand)
	letter, nth := letters[axis], occurrence(letters, axis)
	half := &ir.Instr{Op: s.in.Op, Attrs: s.in.Attrs}
	cuts := make([]int, len(s.in.Args))
	for i, a := range s.in.Args {
		v := &ir.Value{Kind: ir.ParamValue, Name: a.Name, Type: a.Type}
		v.Type.Dims = append([]ir.Dim{}, a.Type.Dims...)
		cuts[i] = -1
		mine := s.in.Letters(i)
		for k, l := range mine {
			if l == letter && occurrence(mine, k) == nth {
				if s.e.Args[i].Shape[k]%2 != 0 || s.e.Args[i].Lazy != nil && k > 0 {
					return false
				}
				cuts[i] = k
				v.Type.Dims[k] = v.Type.Dims[k].Part(2)
			}
		}
		half.Args = append(half.Args, v)
	}
	if s.in.Op == ops.ViewAs {
		return false // its axes are the author's choice
	}
	types, err := half.Op.Infer(half.Args, half.Attrs, m.Names(), nil)
	if err != nil {
		return false
	}
	for _, typ := range types {
		half.Results = append(half.Results, &ir.Value{Type: typ})
	}
	var parts [2]*ir.Eval
	for r := range parts {
		parts[r] = s.part(t, half, types, cuts, r)
	}
	for j, whole := range s.e.Out {
		if _, state := half.Op.Updates[j]; !state {
			equalWhole(t, fmt.Sprintf("%s: axis %s of operand %d", s.in, letter, operand), types[j], whole, parts[0].Out[j], parts[1].Out[j])
		}
	}
	return true
}

// part evaluates the op as rank r of two.
func (s recorded) part(t *testing.T, half *ir.Instr, types []ir.Type, cuts []int, r int) *ir.Eval {
	e := &ir.Eval{Attrs: s.e.Attrs, Env: s.e.Env, Parallel: func(n int, f func(int)) {
		for i := range n {
			f(i)
		}
	}}
	shift := half.LocalIndices()
	for i, a := range s.e.Args {
		p := a
		if cuts[i] >= 0 {
			p = eval.Cut(a, cuts[i], r, 2)
		} else if a.Lazy == nil {
			p = a.Clone()
		}
		length, _ := shift[i].Size.IsConst() // 0 where nothing is shifted
		for k := range p.I {
			p.I[k] -= int32(r * length)
		}
		e.Args = append(e.Args, p)
	}
	for j, typ := range types {
		if operand, ok := half.Op.Updates[j]; ok {
			e.Out = append(e.Out, e.Args[operand])
			continue
		}
		shape, err := typ.Shape(s.e.Env)
		require.NoError(t, err)
		e.Out = append(e.Out, ir.NewTensor(typ.Elem, shape))
	}
	require.NoError(t, eval.Evaluate(half, e))
	return e
}

// equalWhole holds two ranks' results against the whole, rounded as the interpreter rounds.
func equalWhole(t *testing.T, what string, typ ir.Type, whole, a, b *ir.Tensor) {
	t.Helper()
	got := a
	if typ.Partial != ir.NotPartial {
		got = a.Clone()
		for i, v := range b.F {
			got.F[i] += v
		}
	}
	for axis, d := range typ.Dims {
		if d.Split > 0 {
			got = join(a, b, axis)
		}
	}
	require.Equal(t, whole.Shape, got.Shape, what)
	require.Equal(t, whole.I, got.I, what)
	for i, v := range got.F {
		if typ.Elem == ir.Plain(ir.BF16) {
			require.Equal(t, whole.F[i], formats.RoundBF16(v), "%s: element %d", what, i)
		} else {
			require.InDelta(t, whole.F[i], v, 1e-12*math.Max(1, math.Abs(v)), "%s: element %d", what, i) // float64 sums in another order
		}
	}
}

// join puts two tensors one behind the other along an axis.
func join(a, b *ir.Tensor, axis int) *ir.Tensor {
	out := &ir.Tensor{Elem: a.Elem, Shape: append([]int(nil), a.Shape...)}
	out.Shape[axis] += b.Shape[axis]
	inner := 1
	for _, n := range a.Shape[axis:] {
		inner *= n
	}
	for o := 0; o < a.Len(); o += inner {
		for _, x := range []*ir.Tensor{a, b} {
			if x.I != nil {
				out.I = append(out.I, x.I[o:o+inner]...)
			} else {
				out.F = append(out.F, x.F[o:o+inner]...)
			}
		}
	}
	return out
}

func occurrence(letters []string, i int) int {
	n := 0
	for _, l := range letters[:i] {
		if l == letters[i] {
			n++
		}
	}
	return n
}
