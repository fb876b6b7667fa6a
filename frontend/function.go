package frontend

import (
	"flagc/internal/diag"
	"flagc/ir"
)

// function is an IR function under construction.
type function struct {
	ir     *ir.Func
	b      *ir.Builder
	mode   ir.Mode
	now    map[*ir.State]*ir.Value // states that were assigned
	named  map[*ir.Value]bool      // values that have an author's name
	traces map[string]diag.Span
	called map[string]diag.Span // instances of layers
	active []node               // functions being expanded, for recursion

	pending map[*ir.State]pending // states that were consumed, and not assigned since
}

// pending is the value that ought to be assigned to a state.
type pending struct {
	at    diag.Span
	op    string
	value *ir.Value
}

func (e *elaborator) newFunction(f *ir.Func) *function {
	return &function{
		ir: f, b: ir.NewBuilder(e.mod, f), mode: f.Mode,
		now: map[*ir.State]*ir.Value{}, named: map[*ir.Value]bool{},
		traces: map[string]diag.Span{}, called: map[string]diag.Span{},
		pending: map[*ir.State]pending{},
	}
}

// body is what functions of layers and entries share.
type body struct {
	name    string
	at      node
	params  []*Param
	results *Results
	block   *Block
}

// build makes the IR function of a layer or an entry for one mode, or nil after errors.
func (e *elaborator) build(what body, inst *instance, mode ir.Mode) *ir.Func {
	out := &ir.Func{Name: what.name, Mode: mode, Params: inst.params}
	out.Doc, out.Span = e.src.doc(what.at), e.src.span(what.at)
	if e.mod.Func(out.FullName()) != nil {
		e.report(out.Span, "the name %s is taken by a kind of layer", what.name).WithHelp("choose another name")
		return nil
	}
	scope := newScope(inst.scope)
	f := &frame{elaborator: e, scope: scope}
	for name, value := range map[string]bool{"prefill": mode == ir.Prefill, "decode": mode == ir.Decode} {
		scope.set(name, &entity{static: value})
	}
	ok := true
	for _, p := range what.params {
		ok = f.parameter(out, p) && ok
	}
	if !ok {
		return nil
	}
	f.fn = e.newFunction(out)
	f.scope = newScope(scope)
	f.fn.active = []node{what.at}
	values, ok := f.run(what.block, what.at, what.results)
	if !ok {
		return nil
	}
	out.Return = values
	for _, v := range values {
		out.Results = append(out.Results, v.Type)
	}
	for _, s := range inst.params.States {
		if left, ok := f.fn.pending[s]; ok {
			e.report(left.at, "%s replaces the state %s, but its result is not assigned to it", left.op, s.Value.Name).
				WithNote(s.Value.Span, "declared here")
		}
		if v := f.fn.now[s]; v != nil {
			out.Updates = append(out.Updates, ir.Update{State: s, Value: v})
		}
	}
	removeDead(out)
	return out
}

// parameter declares one parameter of a layer or an entry, which must have a type.
func (f *frame) parameter(out *ir.Func, p *Param) bool {
	if p.Type == nil || p.Default != nil {
		f.fail(p.node, "parameter %s of a layer or an entry is a tensor: it needs a type and has no default",
			p.Name.Text)
		return false
	}
	t, ok := f.typ(p.Type, false)
	if !ok || !f.declare(p.Name, nil) {
		return false
	}
	v := &ir.Value{Kind: ir.ParamValue, Name: p.Name.Text, Type: t, Span: f.span(p.node)}
	out.Args = append(out.Args, v)
	f.scope.set(p.Name.Text, &entity{value: v, at: v.Span})
	return true
}

// run executes a function's body and checks what it returns against its declaration.
func (f *frame) run(block *Block, at node, declared *Results) ([]*ir.Value, bool) {
	before := f.errs.Len()
	returned, done := f.exec(block)
	if f.errs.Len() > before || f.stopped {
		return nil, false
	}
	if !done {
		f.fail(at, "the function ends without return")
		return nil, false
	}
	values := returned.values
	if returned.bad {
		return nil, false
	}
	if declared == nil {
		return values, true
	}
	if len(declared.Types) != len(values) {
		f.fail(declared.node, "the function declares %s, but returns %d", plural(len(declared.Types), "result"),
			len(values)).WithNote(returned.at, "returned here")
		return nil, false
	}
	for i, t := range declared.Types {
		want, ok := f.typ(t, false)
		if !ok {
			return nil, false
		}
		if !sameType(want, values[i].Type) {
			f.fail(t.node, "the function declares %s, but returns %s", want.Describe(), values[i].Type.Describe()).
				WithNote(returned.at, "returned here")
			return nil, false
		}
	}
	return values, true
}

// declare refuses a name that is taken in the same scope or belongs to the language.
func (f *frame) declare(name *Name, into *scope) bool {
	if into == nil {
		into = f.scope
	}
	if reserved[name.Text] {
		f.fail(name.node, "%s is a word of the language and cannot be declared", name.Text)
		return false
	}
	if n := into.names[name.Text]; n != nil {
		f.fail(name.node, "%s is declared twice", name.Text).WithNote(n.at, "first declared here")
		return false
	}
	return true
}

// reserved are the names that mean the same everywhere, in models or in the text of the IR.
var reserved = map[string]bool{
	"b": true, "s": true, "p": true, "m": true, "prefill": true, "decode": true,
	"true": true, "false": true, "inf": true, "min": true, "params": true,
	"bf16": true, "f32": true, "fp8": true, "fp4": true, "i32": true, "i64": true,
}
