package ir

import "strings"

// kernel reads a kernel function.
func (p *parser) kernel() {
	p.expect("kernel")
	t := p.lex.tok
	full := p.ident("a kernel's name")
	k := &Func{}
	if cut := strings.LastIndexByte(full, '.'); cut > 0 {
		k.Name, k.Mode = full[:cut], Mode(full[cut+1:])
	}
	if k.Mode != Prefill && k.Mode != Decode {
		p.failAt(t, "kernel %s ends neither in .prefill nor in .decode", full)
	}
	p.fn, p.values = k, map[string]*Value{}
	p.kernelArgs(k)
	p.expect("->")
	p.expect("(")
	for p.err == nil && !p.accept(")") {
		if len(k.Results) > 0 {
			p.expect(",")
		}
		k.Results = append(k.Results, p.typ())
	}
	p.expect("anchor")
	anchors := p.resultNames()
	var tail []token
	if p.accept("tail") {
		tail = p.resultNames()
	}
	k.Offered = p.accept("offered")
	p.expect("{")
	for p.err == nil && p.lex.tok.text != "return" {
		p.instr()
	}
	p.expect("return")
	for p.err == nil && !p.accept("}") {
		if len(k.Return) > 0 {
			p.expect(",")
		}
		k.Return = append(k.Return, p.operand())
	}
	k.Anchors, k.Tail = p.defining(anchors), p.defining(tail)
	p.mod.Kernels = append(p.mod.Kernels, k)
}

// kernelArgs reads arguments of all three kinds. Names are unique within a kind.
func (p *parser) kernelArgs(k *Func) {
	p.expect("(")
	for p.err == nil && !p.accept(")") {
		if len(k.Args) > 0 {
			p.expect(",")
		}
		v := &Value{}
		switch {
		case p.accept("%"):
			v.Kind = ParamValue
		case p.accept("$"):
			v.Kind = WeightValue
		case p.accept("&"):
			v.Kind = StateValue
		default:
			p.fail("expected an argument (%%value, $weight or &state), found %s", p.lex.tok)
		}
		t := p.lex.tok
		v.Name = p.valueName()
		if p.values[argKey(v.Kind, v.Name)] != nil {
			p.failAt(t, "argument %s is defined twice", v.Ref())
		}
		p.values[argKey(v.Kind, v.Name)] = v
		p.expect(":")
		v.Type = p.typ()
		k.Args = append(k.Args, v)
	}
}

// argKey is the key of a kernel's argument among the parser's values: weights and states have names of their own.
func argKey(kind ValueKind, name string) string {
	if kind == ParamValue {
		return name
	}
	return kind.Sigil() + name
}

// argument reads the name of a kernel's weight or state.
func (p *parser) argument(kind ValueKind) *Value {
	t := p.lex.tok
	name := p.valueName()
	v := p.values[argKey(kind, name)]
	if v == nil {
		p.failAt(t, "kernel %s has no argument %s%s", p.fn.FullName(), kind.Sigil(), name)
	}
	return v
}

// resultNames reads a list %a, %b, ….
func (p *parser) resultNames() []token {
	var names []token
	for p.err == nil {
		p.expect("%")
		names = append(names, p.lex.tok)
		p.valueName()
		if !p.accept(",") {
			break
		}
	}
	return names
}

// defining finds the instructions that the given results come first from.
func (p *parser) defining(names []token) []*Instr {
	var list []*Instr
	for _, t := range names {
		v := p.values[t.text]
		if p.err == nil && (v == nil || v.Def == nil || v.Def.Results[0] != v) {
			p.failAt(t, "%%%s is no first result of an instruction of kernel %s", t.text, p.fn.FullName())
		}
		if p.err == nil {
			list = append(list, v.Def)
		}
	}
	return list
}

// launch reads what follows the word.
func (p *parser) launch(in *Instr) {
	t := p.lex.tok
	name := p.ident("a kernel's name")
	for _, k := range p.mod.Kernels {
		if k.FullName() == name {
			in.Kernel = k
		}
	}
	if in.Kernel == nil {
		p.failAt(t, "no kernel %s stands before this launch", name)
	}
	p.operands(in)
}

// traces reads !"name" and !"name"=%result.
func (p *parser) traces(in *Instr) {
	for p.err == nil && p.accept("!") {
		name := p.str("a trace's name")
		if !p.accept("=") {
			if in.Trace != "" || len(in.Traces) > 0 || len(in.Results) == 0 {
				p.fail("the trace %q needs =%%result", name)
			}
			in.Trace = name
			continue
		}
		p.expect("%")
		t := p.lex.tok
		result := p.valueName()
		i := 0
		for i < len(in.Results) && in.Results[i].Name != result {
			i++
		}
		if i == 0 && in.Trace == "" || i >= len(in.Results) {
			p.failAt(t, "%%%s is no further result of this instruction", result)
		}
		in.Traces = append(in.Traces, Trace{i, name})
	}
}
