package passes_test

import (
	"fmt"
	"slices"
	"time"

	"flagc/internal/diag"
	"flagc/ir"
)

// shrinkFor bounds how long a failure is made smaller.
const shrinkFor = 20 * time.Second

// report is a problem with the smallest module and the fewest passes found that still have it.
func report(p *problem) string {
	s := shrunk(p)
	return fmt.Sprintf("%s\n%v\nstill with %v and\n%s", p.Error(), p.steps, s.steps, s.m)
}

// shrunk takes things away for as long as the same kind of problem remains.
func shrunk(p *problem) *problem {
	until := time.Now().Add(shrinkFor)
	for smaller := true; smaller; {
		smaller = false
		for i := 0; i < len(p.steps); i++ {
			if q := p.without(p.m, slices.Delete(slices.Clone(p.steps), i, i+1)); q != nil {
				p, smaller = q, true
			}
		}
		for _, cut := range cuts {
			for i := 0; time.Now().Before(until); {
				m := p.m.Clone()
				if !cut(m, i) {
					break
				}
				if m.String() == p.m.String() {
					i++
				} else if q := p.without(m, p.steps); q != nil {
					p, smaller = q, true
				} else {
					i++
				}
			}
		}
	}
	return p
}

// without is the problem that a smaller module has, nil if it has none of the kind.
func (p *problem) without(m *ir.Module, steps []step) *problem {
	if len(steps) == 0 || m.Verify() != nil {
		return nil
	}
	q := walk(m, p.seed, steps, map[string]int{})
	if q == nil || q.kind != p.kind {
		return nil
	}
	return q
}

// cuts make a module smaller at place i, or leave it as it is where they cannot; false says that there are no more
// places.
var cuts = []func(m *ir.Module, i int) bool{
	func(m *ir.Module, i int) bool { // a function
		if i < len(m.Funcs) {
			m.Funcs = slices.Delete(m.Funcs, i, i+1)
		}
		return len(m.Funcs) > 0 && i <= len(m.Funcs)
	},
	cutReturn, cutInstr, cutOperand,
	func(m *ir.Module, i int) bool { // lines and traces
		f, at := place(m, i)
		if f == nil {
			return false
		}
		f.Body[at].Trace, f.Body[at].Span, f.Doc, f.Span = "", diag.Span{}, "", diag.Span{}
		return true
	},
	cutArgument, cutParams,
}

// place is the i-th instruction, counted from the end.
func place(m *ir.Module, i int) (*ir.Func, int) {
	for k := len(m.Funcs) - 1; k >= 0; k-- {
		f := m.Funcs[k]
		if i < len(f.Body) {
			return f, len(f.Body) - 1 - i
		}
		i -= len(f.Body)
	}
	return nil, 0
}

// cutInstr takes an instruction away whose results nothing but the end of the function uses as states.
func cutInstr(m *ir.Module, i int) bool {
	f, at := place(m, i)
	if f == nil {
		return false
	}
	in := f.Body[at]
	for _, r := range in.Results {
		for _, other := range f.Body {
			if slices.Contains(other.Args, r) {
				return true
			}
		}
		if slices.Contains(f.Return, r) {
			return true
		}
	}
	f.Body = slices.Delete(f.Body, at, at+1)
	f.Updates = slices.DeleteFunc(f.Updates, func(u ir.Update) bool { return slices.Contains(in.Results, u.Value) })
	return true
}

// cutOperand lets users of an instruction's result see another value of its type instead, the earliest.
func cutOperand(m *ir.Module, i int) bool {
	f, at := place(m, i)
	if f == nil {
		return false
	}
	for _, r := range f.Body[at].Results {
		instead := earlier(f, at, r.Type)
		if instead == nil {
			continue
		}
		for _, list := range append(operands(f), f.Return) {
			for j, v := range list {
				if v == r {
					list[j] = instead
				}
			}
		}
	}
	return true
}

func operands(f *ir.Func) [][]*ir.Value {
	var out [][]*ir.Value
	for _, in := range f.Body {
		out = append(out, in.Args)
	}
	return out
}

// earlier is the first value of a type that is defined before instruction at; indices are not exchanged.
func earlier(f *ir.Func, at int, t ir.Type) *ir.Value {
	if t.Elem.DType.IsInt() {
		return nil
	}
	list := slices.Clone(f.Args)
	for _, in := range f.Body[:at] {
		list = append(list, in.Results...)
	}
	for _, v := range list {
		if v.Type.Equal(t) {
			return v
		}
	}
	return nil
}

// cutReturn takes one result of a function away, and of its calls where nothing uses it.
func cutReturn(m *ir.Module, i int) bool {
	for _, f := range m.Funcs {
		if i >= len(f.Return) {
			i -= len(f.Return)
			continue
		}
		f.Return = slices.Delete(f.Return, i, i+1)
		f.Results = slices.Delete(f.Results, i, i+1)
		for _, caller := range m.Funcs {
			for _, in := range caller.Body {
				if in.Callee == f {
					in.Results = slices.Delete(in.Results, i, i+1) // a use that is left does not verify
					if len(in.Results) == 0 {
						in.Trace = ""
					}
				}
			}
		}
		return true
	}
	return false
}

// cutArgument takes a parameter of a function away.
func cutArgument(m *ir.Module, i int) bool {
	for _, f := range m.Funcs {
		if i >= len(f.Args) {
			i -= len(f.Args)
			continue
		}
		f.Args = slices.Delete(f.Args, i, i+1)
		for _, caller := range m.Funcs {
			for _, in := range caller.Body {
				if in.Callee == f {
					in.Args = slices.Delete(in.Args, i, i+1)
				}
			}
		}
		return true
	}
	return false
}

// cutParams takes away what no function uses: weights, states, and whole sets. It has one place.
func cutParams(m *ir.Module, i int) bool {
	used := map[*ir.Value]bool{}
	sets := map[*ir.Params]bool{}
	for _, f := range m.Funcs {
		sets[f.Params] = true
		for _, list := range operands(f) {
			for _, v := range list {
				used[v] = true
			}
		}
	}
	for _, s := range m.Params {
		s.Weights = slices.DeleteFunc(s.Weights, func(w *ir.Weight) bool { return !used[w.Value] })
		s.States = slices.DeleteFunc(s.States, func(st *ir.State) bool { return !used[st.Value] })
	}
	m.Params = slices.DeleteFunc(m.Params, func(s *ir.Params) bool { return !sets[s] })
	return i < 1
}
