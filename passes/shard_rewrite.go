package passes

import (
	"errors"
	"fmt"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/ops"
)

// function rewrites one function into the program of a rank.
func (s *sharder) function(f *ir.Func) error {
	b := ir.NewBuilder(s.m, f)
	r := &rewrite{sharder: s, b: b, instead: map[*ir.Value]*ir.Value{}}
	body := f.Body
	f.Body = nil
	for _, in := range body {
		if err := r.instr(in); err != nil {
			s.clash = in
			return fmt.Errorf("%w (line %d)", err, in.Span.Line)
		}
	}
	f.Return = append([]*ir.Value(nil), f.Return...)
	for i, v := range f.Return {
		whole, err := r.whole(r.now(v), v.Def)
		if err != nil {
			return err
		}
		f.Return[i] = whole
	}
	for i := range f.Updates {
		f.Updates[i].Value = r.now(f.Updates[i].Value)
	}
	return nil
}

// rewrite is the state of rewriting one function.
type rewrite struct {
	*sharder
	b       *ir.Builder
	instead map[*ir.Value]*ir.Value
}

func (r *rewrite) now(v *ir.Value) *ir.Value {
	if w := r.instead[v]; w != nil {
		return w
	}
	return v
}

func (r *rewrite) instr(in *ir.Instr) error {
	for i, a := range in.Args {
		if a != nil {
			in.Args[i] = r.now(a)
		}
	}
	if in.Callee != nil {
		for i, a := range in.Args {
			whole, err := r.whole(a, in)
			if err != nil {
				return err
			}
			in.Args[i] = whole
		}
		r.b.Append(in)
		return nil
	}
	if err := r.gatherGroup(in); err != nil {
		return err
	}
	if err := r.weights(in); err != nil {
		return err
	}
	if err := r.types(in); err != nil {
		return err
	}
	r.b.Append(in)
	return r.sums(in)
}

// sums adds up what people look at, and what the lanes of a group have parts of. Other sums wait until an
// instruction needs them: then those that it needs are added up together, one collective behind the other.
func (r *rewrite) sums(in *ir.Instr) error {
	for i, v := range in.Results {
		if v.Type.Partial != ir.PartialSum {
			continue
		}
		if axis := r.scatterAxis(v.Type); axis >= 0 {
			if err := r.scatter(in, v, axis); err != nil {
				return err
			}
		} else if in.Trace != "" && i == 0 {
			if _, err := r.whole(v, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// scatterAxis is the axis behind the group's along which a sum over its lanes is scattered; -1 if the value is no
// such sum.
func (r *rewrite) scatterAxis(t ir.Type) int {
	if t.Over != lane {
		return -1
	}
	for i, d := range t.Dims[:len(t.Dims)-1] {
		if d.Over == group && t.Dims[i+1].Split == 0 {
			return i + 1
		}
	}
	return -1
}

func (r *rewrite) scatter(in *ir.Instr, v *ir.Value, axis int) error {
	want := ir.Type{Elem: v.Type.Elem, Dims: append([]ir.Dim{}, v.Type.Dims...)}
	want.Dims[axis] = want.Dims[axis].PartOver(r.parts(lane), lane)
	sum, err := r.b.Op(ops.ReduceScatter, []*ir.Value{v}, ir.Attrs{{Name: "axis", Value: axis}, {Name: "over", Value: lane}}, &want, in.Span)
	if err != nil {
		return err
	}
	r.replace(v, sum.Results[0])
	return nil
}

// replace lets later uses see w instead of v, and traces too where v is what they record.
func (r *rewrite) replace(v, w *ir.Value) {
	r.instead[v] = w
	if in := v.Def; in != nil && v == in.Results[0] && in.Trace != "" {
		w.Def.Trace, in.Trace = in.Trace, ""
	}
}

// weights gives the instruction's weights their split types: those of the plan along their first axis, others
// along the axes that another operand has split. What an instruction has taken whole stays so.
func (r *rewrite) weights(in *ir.Instr) error {
	for i, a := range in.Args {
		if a == nil || a.Kind != ir.WeightValue || a.Type.IsSplit() {
			continue
		}
		if r.split[a] {
			splitAxis(a, 0, r.n, "")
			continue
		}
		mine := in.Letters(i)
		for j, other := range in.Args {
			if other == nil || j == i || other.Kind == ir.WeightValue && !r.split[other] {
				continue
			}
			for k, l := range in.Letters(j) {
				d := other.Type.Dims[k]
				for axis, m := range mine {
					if d.Split > 0 && l == m && a.Type.Dims[axis].Split == 0 && a.Type.Dims[axis].Name == d.Name {
						splitAxis(a, axis, d.Split, d.Over)
					}
				}
			}
		}
		switch {
		case !a.Type.IsSplit():
			r.taken[a] = in
		case r.taken[a] != nil:
			return fmt.Errorf("%s is split in %q, but whole in %q", a.Ref(), in, r.taken[a])
		}
	}
	return nil
}

func splitAxis(v *ir.Value, axis, n int, over string) {
	v.Type.Dims = append([]ir.Dim{}, v.Type.Dims...)
	v.Type.Dims[axis] = v.Type.Dims[axis].PartOver(n, over)
}

// types infers the results anew; where an op cannot take an operand split or partial, the operand is made whole
// first.
func (r *rewrite) types(in *ir.Instr) error {
	for range len(in.Args) + 1 {
		var want *ir.Type
		if in.Op == ops.ViewAs {
			want = r.viewed(in)
		}
		types, err := in.Op.Infer(in.Args, in.Attrs, r.m.Names(), want)
		if err == nil {
			for i, t := range types {
				if text := r.m.Mesh.Check(t); text != "" {
					return fmt.Errorf("%s: %s", in.Results[i].Ref(), text)
				}
				in.Results[i].Type = t
			}
			return nil
		}
		var at *ir.InferError
		if !errors.As(err, &at) || at.Operand < 0 || at.Operand >= len(in.Args) {
			return err
		}
		a := in.Args[at.Operand]
		if a == nil || a.Kind == ir.WeightValue || !a.Type.IsSplit() && a.Type.Partial == ir.NotPartial {
			return err
		}
		if in.Args[at.Operand], err = r.whole(a, in); err != nil {
			return err
		}
	}
	return fmt.Errorf("BUG: %s does not take its operands", in)
}

// gatherGroup puts the parts of a group's ranks together before a view that gives the groups an axis, where the
// layout says so: what was split over all ranks is then split over the groups.
func (r *rewrite) gatherGroup(in *ir.Instr) error {
	if in.Op != ops.ViewAs || r.grid == nil || r.layout.Groups != Gather {
		return nil
	}
	from, to := in.Args[0], in.Results[0].Type.Dims
	for i, d := range from.Type.Dims {
		j := sameStart(from.Type.Dims, i, to)
		if d.Split == 0 || d.Over != "" || j < 0 || !sameAxis(to[j].Whole(), *r.grid) {
			continue
		}
		want := ir.Type{Elem: from.Type.Elem, Dims: append([]ir.Dim{}, from.Type.Dims...)}
		want.Dims[i] = d.Whole().PartOver(r.parts(group), group)
		all, err := r.b.Op(ops.AllGather, []*ir.Value{from}, ir.Attrs{{Name: "axis", Value: i}, {Name: "over", Value: lane}}, &want, in.Span)
		if err != nil {
			return err
		}
		in.Args[0] = all.Results[0]
		return nil
	}
	return nil
}

// viewed is the view's result type with the operand's split axes split in it as well.
func (r *rewrite) viewed(in *ir.Instr) *ir.Type {
	from, to := in.Args[0].Type, in.Results[0].Type.Whole()
	to.Elem = ir.Elem{}
	for i, d := range from.Dims {
		j := sameStart(from.Dims, i, to.Dims)
		switch {
		case d.Split == 0 || j < 0: // an axis over the lanes that is joined with its group's stands for both below
		case r.grid != nil && d.Over == "" && sameAxis(to.Dims[j], *r.grid) && j+1 < len(to.Dims):
			to.Dims[j] = to.Dims[j].PartOver(r.parts(group), group)
			to.Dims[j+1] = to.Dims[j+1].PartOver(r.parts(lane), lane)
		case d.Over == group && i+1 < len(from.Dims) && from.Dims[i+1].Over == lane && sameStart(from.Dims, i+1, to.Dims) != j+1:
			to.Dims[j] = to.Dims[j].Part(r.n)
		default:
			to.Dims[j] = to.Dims[j].PartOver(d.Split, d.Over)
		}
	}
	return &to
}

// whole adds up or gathers a value until every rank has all of it.
func (r *rewrite) whole(v *ir.Value, at *ir.Instr) (*ir.Value, error) {
	span := v.Span
	if at != nil {
		span = at.Span
	}
	if v.Type.Partial != ir.NotPartial {
		sum, err := r.collective(ops.AllReduce, v, ir.Attrs{{Name: "over", Value: v.Type.Over}}, span)
		if err != nil {
			return nil, err
		}
		r.replace(v, sum)
		v = sum
	}
	for i, d := range v.Type.Dims {
		if d.Split > 0 {
			all, err := r.collective(ops.AllGather, v, ir.Attrs{{Name: "axis", Value: i}, {Name: "over", Value: d.Over}}, span)
			if err != nil {
				return nil, err
			}
			v = all
		}
	}
	return v, nil
}

func (r *rewrite) collective(op *ir.Op, v *ir.Value, attrs ir.Attrs, span diag.Span) (*ir.Value, error) {
	in, err := r.b.Op(op, []*ir.Value{v}, attrs, nil, span)
	if err != nil {
		return nil, err
	}
	return in.Results[0], nil
}
