package frontend

import (
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
)

// returned is what a return statement yields.
type returned struct {
	values []*ir.Value
	bad    bool
	at     diag.Span
}

// exec runs the statements of a block until one returns. Blocks open no scope: what a static condition assigns
// is as if it stood there alone.
func (f *frame) exec(block *Block) (returned, bool) {
	for i, s := range block.Stmts {
		if !f.step(s.node) {
			return returned{bad: true}, true
		}
		out, done := f.stmt(s)
		if !done {
			continue
		}
		if s.Return != nil && i+1 < len(block.Stmts) {
			f.fail(block.Stmts[i+1].node, "this is never reached").
				WithNote(f.span(s.node), "the function returns here")
		}
		return out, true
	}
	return returned{}, false
}

func (f *frame) stmt(s *Stmt) (returned, bool) {
	switch {
	case s.Let != nil:
		f.let(s.Let)
	case s.Assign != nil:
		f.assignAll(s.Assign)
	case s.Trace != nil:
		f.trace(s.Trace)
	case s.For != nil:
		return f.loop(s.For)
	case s.When != nil:
		cond, ok := f.condition(s.When.Cond)
		switch {
		case !ok:
			return returned{bad: true}, false
		case cond:
			return f.exec(s.When.Then)
		case s.When.Else != nil:
			return f.exec(s.When.Else)
		}
	default:
		return f.returns(s.Return), true
	}
	return returned{}, false
}

func (f *frame) returns(s *Return) returned {
	out := returned{at: f.span(s.node)}
	for _, x := range s.Values {
		r := f.eval(x)
		if len(s.Values) == 1 && r.static == nil && !r.bad {
			out.values = r.values
			return out
		}
		v, ok := f.tensor(r, x.node, "return")
		out.values, out.bad = append(out.values, v), out.bad || !ok
	}
	return out
}

// let names a static value.
func (f *frame) let(l *Let) {
	v, ok := f.static(f.eval(l.Value), l.Value.node, "let "+l.Name.Text)
	if f.declare(l.Name, nil) {
		f.scope.set(l.Name.Text, &entity{static: v, bad: !ok, at: f.span(l.Name.node)})
	}
}

// maxLoop bounds loops and arrays; the deepest published model has 61 layers.
const maxLoop = 4096

// loop repeats a block; values that it assigns carry over from round to round.
func (f *frame) loop(s *For) (returned, bool) {
	n, ok := f.count(s.Range.Bound, "the bound of a loop", maxLoop)
	if !ok || !f.declare(s.Range.Index, nil) {
		return returned{bad: true}, false
	}
	defer f.scope.unset(s.Range.Index.Text)
	for i := 0; i < n; i++ {
		f.scope.set(s.Range.Index.Text, &entity{static: constant(i), at: f.span(s.Range.node)})
		if out, done := f.exec(s.Body); done {
			return out, true
		}
	}
	return returned{}, false
}

func (f *frame) assignAll(s *Assign) {
	r := f.eval(s.Value)
	if !r.bad && r.static != nil {
		f.fail(s.node, "%s is static: name it with let", f.src.text(s.Value.node)).
			WithHelp("let %s = …", s.Names[0].Text)
		r = poison
	}
	if !r.bad && len(r.values) != len(s.Names) {
		f.fail(s.node, "%s yields %s, but %s to name them", f.src.text(s.Value.node),
			plural(len(r.values), "value"), plural(len(s.Names), "name stands", "names stand"))
		r = poison
	}
	for i, name := range s.Names {
		if r.bad {
			f.poison(name)
			continue
		}
		f.assign(name, r.values[i])
	}
}

// poison marks a name whose value failed, so that its uses stay silent.
func (f *frame) poison(name *Name) {
	if n, _ := f.scope.lookup(name.Text); n == nil || n.static == nil && n.state == nil && n.part == nil {
		f.scope.set(name.Text, &entity{bad: true, at: f.span(name.node)})
	}
}

// assign gives a name, or a state, a new value.
func (f *frame) assign(name *Name, v *ir.Value) {
	n, where := f.scope.lookup(name.Text)
	free := n == nil || n.bad || n.value != nil && (where == f.scope || n.value.Kind == ir.ParamValue)
	switch {
	case reserved[name.Text]:
		f.fail(name.node, "%s is a word of the language and cannot be assigned", name.Text)
	case free:
		f.rename(v, name.Text)
		f.scope.set(name.Text, &entity{value: v, at: f.span(name.node)})
	case n.state != nil:
		want := n.state.Value.Type
		if !want.Equal(v.Type) {
			f.fail(name.node, "state %s is %s, but the value is %s", name.Text, want.Describe(), v.Type.Describe()).
				WithNote(n.at, "declared here")
			return
		}
		f.rename(v, name.Text)
		f.fn.now[n.state] = v
		if f.fn.pending[n.state].value == v {
			delete(f.fn.pending, n.state)
		}
	default:
		f.fail(name.node, "%s is %s and cannot be assigned", name.Text, n.what()).WithNote(n.at, "declared here")
	}
}

// rename gives an instruction's result the author's name, once. Names inside functions of the top level are
// not the model's own.
func (f *frame) rename(v *ir.Value, name string) {
	if f.site != nil || v.Kind != ir.ResultValue || f.fn.named[v] {
		return
	}
	f.fn.b.Rename(v, ir.Join(f.path, name))
	f.fn.named[v] = true
}

// trace records a value under a name; {l} in it stands for a static value.
func (f *frame) trace(s *Trace) {
	v, ok := f.tensor(f.eval(s.Value), s.Value.node, "trace")
	name, ok2 := f.interpolate(s)
	if !ok || !ok2 {
		return
	}
	if at, dup := f.fn.traces[name]; dup {
		f.fail(s.node, "the trace %q is recorded twice", name).WithNote(at, "first here")
		return
	}
	f.fn.traces[name] = f.span(s.node)
	text := f.src.text(s.Value.node)
	switch {
	case v.Kind != ir.ResultValue:
		f.fail(s.node, "%s is not computed here, so it cannot be traced: only results of ops and layers can", text)
	case v.Def.Results[0] != v:
		f.fail(s.node, "%s is not the first result of %s, which alone can be traced", text, v.Def.Name())
	case v.Def.Trace != "":
		f.fail(s.node, "%s is traced as %q already", text, v.Def.Trace)
	default:
		v.Def.Trace = name
	}
}

func (f *frame) interpolate(s *Trace) (string, bool) {
	var out strings.Builder
	rest := s.Name
	for {
		before, tail, found := strings.Cut(rest, "{")
		out.WriteString(before)
		if !found {
			return out.String(), true
		}
		name, after, closed := strings.Cut(tail, "}")
		n, _ := f.scope.lookup(name)
		if !closed || n == nil || n.static == nil {
			f.fail(s.node, "{%s} in the trace's name is no static value", name)
			return "", false
		}
		if k, ok := n.static.(integer); ok {
			out.WriteString(k.size.String())
		} else {
			out.WriteString(show(n.static))
		}
		rest = after
	}
}
