package passes

import (
	"errors"
	"fmt"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/ops"
)

// shard splits weights and values over the ranks of a mesh and puts collectives where a result is a part of a
// sum or a whole axis is needed. What can be split follows from the ops' signatures: an axis of a weight is a
// candidate if everything that is made of it keeps it until an op sums over it (see path). The module
// becomes the program of one rank, the same on all.
func shard(m *ir.Module, opts Options) error {
	if opts.TP < 2 || isSharded(m) {
		return nil
	}
	s := newSharder(m, opts.TP)
	if err := s.plan(); err != nil {
		return err
	}
	m.Mesh = ir.Mesh{{Name: "tp", Size: opts.TP}}
	for _, f := range m.Funcs {
		if err := s.function(f); err != nil {
			return fmt.Errorf("%s: %w", f.FullName(), err)
		}
	}
	return nil
}

// isSharded reports whether the module is the program of one rank of several already.
func isSharded(m *ir.Module) bool {
	for _, set := range m.Params {
		for _, w := range set.Weights {
			if isSplit(w.Value.Type) {
				return true
			}
		}
	}
	return false
}

// sharder splits one module into n parts.
type sharder struct {
	m     *ir.Module
	n     int
	uses  map[*ir.Value][]use
	of    map[*ir.Value]*ir.Weight
	split map[*ir.Value]bool // weights to be split along their first axis
}

// use is one place where a value is an operand.
type use struct {
	fn      *ir.Func
	in      *ir.Instr // nil where the function returns the value
	operand int
}

func newSharder(m *ir.Module, n int) *sharder {
	s := &sharder{m: m, n: n, uses: map[*ir.Value][]use{}, of: map[*ir.Value]*ir.Weight{}, split: map[*ir.Value]bool{}}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			s.of[w.Value] = w
		}
	}
	for _, f := range m.Funcs {
		for _, in := range f.Body {
			for i, a := range in.Args {
				if a != nil {
					s.uses[a] = append(s.uses[a], use{f, in, i})
				}
			}
		}
		for _, v := range f.Return {
			s.uses[v] = append(s.uses[v], use{fn: f})
		}
	}
	return s
}

// plan decides which weights are split along their first axis, and refuses degrees for which one of them cannot
// be: all reasons in one answer.
func (s *sharder) plan() error {
	var all []*diag.Diagnostic
	for _, r := range s.reasons() {
		all = append(all, diag.New(r.at, "shard1", "%s", r.Text))
	}
	if all == nil {
		return nil
	}
	return &diag.Errors{Items: all} // not a diag.List, which stops at ten
}

// Reason says why a model cannot be split over a number of ranks.
type Reason struct {
	Weight string `json:"weight"` // the first weight that meets it
	Text   string `json:"reason"`
	at     diag.Span
}

// reasons makes the plan and collects what is against it, each reason once.
func (s *sharder) reasons() []Reason {
	var out []Reason
	seen := map[string]bool{}
	for _, set := range s.m.Params {
		for _, w := range set.Weights {
			v := w.Value
			if len(v.Type.Dims) == 0 || len(s.uses[v]) == 0 {
				continue
			}
			p := &path{sharder: s}
			if !p.value(v, 0) {
				continue
			}
			p.stored(w, 0)
			for _, text := range p.found {
				if !seen[text] {
					seen[text] = true
					out = append(out, Reason{v.Name, text, v.Span})
				}
			}
			s.split[v] = true
		}
	}
	return out
}

// Degrees lists, for each number of ranks from 1 to most, why the model cannot be split over them; nil where it
// can.
func Degrees(m *ir.Module, most int) [][]Reason {
	out := make([][]Reason, most)
	for n := 2; n <= most; n++ {
		out[n-1] = newSharder(m, n).reasons()
	}
	return out
}

// function rewrites one function into the program of a rank.
func (s *sharder) function(f *ir.Func) error {
	b := ir.NewBuilder(s.m, f)
	r := &rewrite{sharder: s, b: b, instead: map[*ir.Value]*ir.Value{}}
	body := f.Body
	f.Body = nil
	for _, in := range body {
		if err := r.instr(in); err != nil {
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
	r.weights(in)
	if err := r.types(in); err != nil {
		return err
	}
	r.b.Append(in)
	for _, v := range in.Results {
		if v.Type.Partial == ir.PartialSum {
			sum, err := r.b.Op(ops.AllReduce, []*ir.Value{v}, nil, nil, in.Span)
			if err != nil {
				return err
			}
			r.replace(v, sum.Results[0], in)
		}
	}
	return nil
}

// replace lets later uses see w instead of a result v of in, and traces too where v is what they record.
func (r *rewrite) replace(v, w *ir.Value, in *ir.Instr) {
	r.instead[v] = w
	if v == in.Results[0] {
		w.Def.Trace, in.Trace = in.Trace, ""
	}
}

// weights gives the instruction's weights their split types: those of the plan along their first axis, others
// along an axis that another operand has split.
func (r *rewrite) weights(in *ir.Instr) {
	for i, a := range in.Args {
		if a == nil || a.Kind != ir.WeightValue || isSplit(a.Type) {
			continue
		}
		if r.split[a] {
			splitAxis(a, 0, r.n)
			continue
		}
		mine := in.Letters(i)
		for j, other := range in.Args {
			if other == nil || j == i {
				continue
			}
			for k, l := range in.Letters(j) {
				for axis, m := range mine {
					if other.Type.Dims[k].Split > 0 && l == m && !isSplit(a.Type) && a.Type.Dims[axis].Name == other.Type.Dims[k].Name {
						splitAxis(a, axis, r.n)
					}
				}
			}
		}
	}
}

func isSplit(t ir.Type) bool {
	for _, d := range t.Dims {
		if d.Split > 0 {
			return true
		}
	}
	return false
}

func splitAxis(v *ir.Value, axis, n int) {
	v.Type.Dims = append([]ir.Dim{}, v.Type.Dims...)
	v.Type.Dims[axis] = v.Type.Dims[axis].Part(n)
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
				in.Results[i].Type = t
			}
			return nil
		}
		var at *ir.InferError
		if !errors.As(err, &at) || at.Operand < 0 || at.Operand >= len(in.Args) {
			return err
		}
		a := in.Args[at.Operand]
		if a == nil || a.Kind == ir.WeightValue || !isSplit(a.Type) && a.Type.Partial == ir.NotPartial {
			return err
		}
		if in.Args[at.Operand], err = r.whole(a, in); err != nil {
			return err
		}
	}
	return fmt.Errorf("BUG: %s does not take its operands", in)
}

// viewed is the view's result type with the operand's split axis split in it as well.
func (r *rewrite) viewed(in *ir.Instr) *ir.Type {
	from, to := in.Args[0].Type, in.Results[0].Type.Whole()
	for i, d := range from.Dims {
		if d.Split == 0 {
			continue
		}
		if j := sameStart(from.Dims, i, to.Dims); j >= 0 {
			to.Dims[j] = to.Dims[j].Part(d.Split)
		}
	}
	to.Elem = ir.Elem{}
	return &to
}

// whole adds up or gathers a value until every rank has all of it.
func (r *rewrite) whole(v *ir.Value, at *ir.Instr) (*ir.Value, error) {
	span := v.Span
	if at != nil {
		span = at.Span
	}
	if v.Type.Partial != ir.NotPartial {
		in, err := r.b.Op(ops.AllReduce, []*ir.Value{v}, nil, nil, span)
		if err != nil {
			return nil, err
		}
		v = in.Results[0]
	}
	for i, d := range v.Type.Dims {
		if d.Split > 0 {
			in, err := r.b.Op(ops.AllGather, []*ir.Value{v}, ir.Attrs{{Name: "axis", Value: i}}, nil, span)
			if err != nil {
				return nil, err
			}
			v = in.Results[0]
		}
	}
	return v, nil
}
