package passes

import (
	"fmt"
	"slices"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/ops"
)

// samplers are the kernels with which a device chooses tokens from the logits of its rank, so that they need not be
// gathered and copied to the host. No function of the model launches them: what a token is chosen by is the caller's.
//
//	sample_argmax  the largest logit and its place
//	sample_draw    the same of logits at a temperature, perturbed by noise from the exponential distribution
//	sample_pick    of several ranks' results, one behind the other for each sequence, the token
func samplers(m *ir.Module) ([]*ir.Func, error) {
	head := logitsOf(m)
	if head == nil {
		return nil, nil
	}
	logits := head.Type
	sequences, vocabulary := logits.Dims[0], logits.Dims[1]
	param := func(name string, t ir.Type) *ir.Value { return &ir.Value{Kind: ir.ParamValue, Name: name, Type: t} }
	f32 := func(dims ...ir.Dim) ir.Type { return ir.Type{Elem: ir.Plain(ir.F32), Dims: dims} }
	x := func() *ir.Value { return param("logits", f32(sequences, vocabulary)) }

	greedy := newSampler(m, head.Span, "sample_argmax", x())
	best := greedy.op(ops.Argmax, nil, greedy.f.Args...)
	draw := newSampler(m, head.Span, "sample_draw", x(), param("noise", f32(sequences, vocabulary)), param("temperature", f32(sequences)))
	draw.op(ops.Argmax, nil, draw.op(ops.Perturb, nil, draw.f.Args...)...)
	list := []*sampler{greedy, draw}
	if vocabulary.Split > 0 && greedy.err == nil {
		part, _ := vocabulary.Size.IsConst()
		ranks := best[0].Type.Dims[1].Whole()
		pick := newSampler(m, head.Span, "sample_pick", param("values", f32(sequences, ranks)),
			param("places", ir.Type{Elem: ir.Plain(ir.I32), Dims: []ir.Dim{sequences, ranks}}))
		pick.op(ops.Pick, ir.Attrs{{Name: "part", Value: part}}, pick.f.Args...)
		list = append(list, pick)
	}
	var out []*ir.Func
	for _, s := range list {
		if s.err != nil {
			return nil, fmt.Errorf("BUG: kernel %s: %w", s.f.FullName(), s.err)
		}
		out = append(out, s.finish())
	}
	return out, nil
}

// logitsOf is a rank's logits of one token of each sequence: numbers of float32 over a vocabulary, which a function that
// decodes, and that no other calls, yields first, gathered over ranks where they have parts. It is nil for a module without.
func logitsOf(m *ir.Module) *ir.Value {
	called := m.Called()
	for _, f := range m.Funcs {
		if f.Mode != ir.Decode || called[f] || len(f.Return) == 0 {
			continue
		}
		v := f.Return[0]
		if v.Def != nil && v.Def.Op == ops.AllGather {
			v = v.Def.Args[0]
		}
		if len(v.Type.Dims) == 2 && v.Type.Elem == ir.Plain(ir.F32) && v.Type.Partial == ir.NotPartial {
			return v
		}
	}
	return nil
}

// sampler is a kernel in the making. The first error stays.
type sampler struct {
	f   *ir.Func
	b   *ir.Builder
	at  diag.Span // of the logits in the model's text
	err error
}

func newSampler(m *ir.Module, at diag.Span, name string, args ...*ir.Value) *sampler {
	f := &ir.Func{Name: name, Mode: ir.Decode, Args: args, Offered: true}
	return &sampler{f: f, b: ir.NewBuilder(m, f), at: at}
}

// op appends an op and returns its results.
func (s *sampler) op(op *ir.Op, attrs ir.Attrs, args ...*ir.Value) []*ir.Value {
	if s.err != nil {
		return nil
	}
	in, err := s.b.Op(op, args, attrs, nil, s.at)
	if s.err = err; err != nil {
		return nil
	}
	return in.Results
}

// finish has the kernel yield what its last op does.
func (s *sampler) finish() *ir.Func {
	last := s.f.Body[len(s.f.Body)-1]
	s.f.Anchors, s.f.Return = []*ir.Instr{last}, slices.Clone(last.Results)
	for _, v := range s.f.Return {
		s.f.Results = append(s.f.Results, v.Type)
	}
	return s.f
}
