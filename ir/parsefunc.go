package ir

import (
	"strings"

	"flagc/internal/diag"
)

// pendingCall is a call whose callee is resolved when the whole module is read.
type pendingCall struct {
	in   *Instr
	name string
	tok  token
}

func (p *parser) resolveCall(c pendingCall) {
	if c.in.Callee = p.mod.Func(c.name); c.in.Callee == nil {
		p.failAt(c.tok, "no function %s in this module", c.name)
	}
}

func (p *parser) function() {
	doc := p.lex.tok.doc
	p.expect("func")
	t := p.lex.tok
	full := p.ident("a function's name")
	cut := strings.LastIndexByte(full, '.')
	f := &Func{Doc: doc}
	if cut > 0 {
		f.Name, f.Mode = full[:cut], Mode(full[cut+1:])
	}
	if f.Mode != Prefill && f.Mode != Decode {
		p.failAt(t, "function %s ends neither in .prefill nor in .decode", full)
	}
	if p.mod.Func(full) != nil {
		p.failAt(t, "function %s is defined twice", full)
	}
	p.fn, p.values = f, map[string]*Value{}
	p.signature(f)
	p.expect("{")
	for p.err == nil && p.lex.tok.text != "return" && p.lex.tok.text != "&" {
		p.instr()
	}
	for p.err == nil && p.accept("&") {
		p.update()
	}
	p.expect("return")
	if !p.accept("}") {
		f.Return = append(f.Return, p.operand())
		for p.accept(",") {
			f.Return = append(f.Return, p.operand())
		}
		p.expect("}")
	}
	p.mod.Funcs = append(p.mod.Funcs, f)
}

// signature reads parameters, result types, the parameter set and the line.
func (p *parser) signature(f *Func) {
	p.expect("(")
	for p.err == nil && !p.accept(")") {
		if len(f.Args) > 0 {
			p.expect(",")
		}
		p.expect("%")
		v := p.define(ParamValue)
		p.expect(":")
		v.Type = p.typ()
		v.Place = p.place()
		f.Args = append(f.Args, v)
	}
	p.expect("->")
	p.expect("(")
	for p.err == nil && !p.accept(")") {
		if len(f.Results) > 0 {
			p.expect(",")
		}
		f.Results = append(f.Results, p.typ())
	}
	p.expect("uses")
	t := p.lex.tok
	if f.Params = p.findParams(p.ident("a parameter set")); f.Params == nil {
		p.failAt(t, "unknown parameter set %s", t)
	}
	f.Calls = p.frame()
	f.Span = p.line()
}

// define makes a new value of the name at the current token.
func (p *parser) define(kind ValueKind) *Value {
	t := p.lex.tok
	v := &Value{Kind: kind, Name: p.valueName()}
	if p.values[v.Name] != nil {
		p.failAt(t, "value %%%s is defined twice", v.Name)
	}
	p.values[v.Name] = v
	return v
}

func (p *parser) valueName() string {
	return p.ident("a value's name")
}

// instr reads one instruction. A call of a function that returns nothing begins with the word call.
func (p *parser) instr() {
	in := &Instr{}
	var names []token
	for p.err == nil && p.lex.tok.text != "call" {
		p.expect("%")
		names = append(names, p.lex.tok)
		p.ident("a value's name")
		if !p.accept(",") {
			p.expect("=")
			break
		}
	}
	opTok := p.lex.tok
	if name := p.ident("an op"); name == "call" {
		p.call(in)
	} else if name == "launch" {
		p.launch(in)
	} else if p.err == nil {
		if in.Op = p.ops.Lookup(name); in.Op == nil {
			p.failOp(opTok)
		}
		p.operands(in)
	}
	if p.err == nil && in.Op != nil {
		p.attrs(in)
	}
	p.expect(":")
	for i, n := range names {
		if i > 0 {
			p.expect(",")
		}
		v := &Value{Kind: ResultValue, Name: n.text, Def: in, Type: p.typ(), Place: p.place()}
		if p.values[v.Name] != nil {
			p.failAt(n, "value %%%s is defined twice", v.Name)
		}
		p.values[v.Name] = v
		in.Results = append(in.Results, v)
	}
	in.Span = p.line()
	for _, v := range in.Results {
		v.Span = in.Span
	}
	p.traces(in)
	p.fn.Body = append(p.fn.Body, in)
}

func (p *parser) failOp(t token) {
	if p.err == nil {
		d := diag.New(p.lex.span(t), "", "unknown op %s", t.text)
		p.err = d.WithHelp("%s", diag.DidYouMean(t.text, p.ops.Names()))
	}
}

func (p *parser) call(in *Instr) {
	t := p.lex.tok
	p.calls = append(p.calls, pendingCall{in, p.ident("a function's name"), t})
	p.operands(in)
	if p.accept("at") {
		in.At = p.ident("an instance")
	}
}

func (p *parser) operands(in *Instr) {
	for p.err == nil && (len(in.Args) == 0 && strings.Contains("%$&_", p.lex.tok.text) && p.lex.tok.text != "" ||
		len(in.Args) > 0 && p.accept(",")) {
		if p.accept("_") {
			in.Args = append(in.Args, nil)
			continue
		}
		in.Args = append(in.Args, p.operand())
	}
}

func (p *parser) operand() *Value {
	t := p.lex.tok
	switch {
	case p.accept("%"):
		n := p.lex.tok
		name := p.valueName()
		if v := p.values[name]; v != nil {
			return v
		}
		p.failAt(n, "value %%%s is not defined before its use", name)
	case p.fn.Params == nil && p.accept("$"):
		return p.argument(WeightValue)
	case p.fn.Params == nil && p.accept("&"):
		return p.argument(StateValue)
	case p.accept("$"):
		n := p.lex.tok
		if name := p.valueName(); p.err == nil {
			if w := p.fn.Params.Weight(name); w != nil {
				return w.Value
			}
			p.failAt(n, "parameter set %s has no weight %s", p.fn.Params.Name, name)
		}
	case p.accept("&"):
		n := p.lex.tok
		if name := p.valueName(); p.err == nil {
			if s := p.fn.Params.State(name); s != nil {
				return s.Value
			}
			p.failAt(n, "parameter set %s has no state %s", p.fn.Params.Name, name)
		}
	default:
		p.failAt(t, "expected an operand (%%value, $weight or &state), found %s", t)
	}
	return nil
}

func (p *parser) attrs(in *Instr) {
	if !p.accept("{") {
		p.complete(in)
		return
	}
	for p.err == nil && !p.accept("}") {
		if len(in.Attrs) > 0 {
			p.expect(",")
		}
		t := p.lex.tok
		name := p.ident("an attribute")
		p.expect("=")
		if p.err != nil {
			return
		}
		d := in.Op.Attr(name)
		if d == nil {
			p.failAt(t, "%s has no attribute %s", in.Op.Name, name)
			return
		}
		in.Attrs = append(in.Attrs, Attr{name, p.attrValue(d.Kind)})
	}
	p.complete(in)
}

// complete adds defaults; what is missing or wrong stays as it is, for Verify to report.
func (p *parser) complete(in *Instr) {
	if full, err := in.Op.Complete(in.Attrs); err == nil {
		in.Attrs = full
	}
}

func (p *parser) attrValue(kind AttrKind) any {
	switch kind {
	case IntAttr:
		if p.accept("-") {
			return -p.integer("an integer")
		}
		return p.integer("an integer")
	case FloatAttr:
		return p.float()
	case BoolAttr:
		if p.accept("true") {
			return true
		}
		p.expect("false")
		return false
	case StringAttr:
		return p.str("a name")
	}
	return p.dim()
}

func (p *parser) update() {
	t := p.lex.tok
	s := p.fn.Params.State(p.valueName())
	if s == nil {
		p.failAt(t, "parameter set %s has no state %s", p.fn.Params.Name, t.text)
	}
	p.expect("<-")
	v := p.operand()
	if p.err == nil {
		p.fn.Updates = append(p.fn.Updates, Update{s, v})
	}
}
