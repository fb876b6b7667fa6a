package ir

import (
	"math"
	"strings"

	"flagc/internal/diag"
)

// ParseModule reads the text that Module.String writes. file names the text in messages. Types and attributes
// are read as they stand: Verify checks them.
func ParseModule(text, file string, ops *OpSet) (*Module, error) {
	p := &parser{lex: newLexer(text, file), ops: ops, mod: &Module{}, names: map[string]int{}}
	p.header()
	for p.err == nil && p.lex.tok.kind != tokEOF {
		switch {
		case p.lex.tok.text == "params":
			p.paramSet()
		case p.lex.tok.text == "kernel":
			p.kernel()
		case p.lex.tok.text == "func":
			p.function()
		default:
			p.fail("expected params, kernel or func, found %s", p.lex.tok)
		}
	}
	for _, c := range p.calls {
		p.resolveCall(c)
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.mod, nil
}

func (p *parser) header() {
	p.expect("module")
	p.mod.Name = p.ident("the module's name")
	p.expect("from")
	p.mod.Source = p.str("the source's name")
	if p.accept("dims") {
		p.dims()
	}
	if p.accept("mesh") {
		p.mesh()
	}
	if p.accept("memory") {
		p.memory()
	}
}

// starts reports whether the token begins another part of the module.
func (t token) starts() bool {
	return t.text == "mesh" || t.text == "memory" || t.text == "params" || t.text == "kernel" || t.text == "func"
}

func (p *parser) dims() {
	for p.err == nil && p.lex.tok.kind == tokIdent && !p.lex.tok.starts() {
		t := p.lex.tok
		name := p.ident("a size's name")
		p.expect("=")
		value := p.integer("a size")
		if _, dup := p.names[name]; dup || IsSymbol(name) {
			p.failAt(t, "size %s is defined twice", name)
		}
		p.names[name] = value
		p.mod.Dims = append(p.mod.Dims, NamedSize{name, value})
	}
}

// maxRanks bounds the ranks of a mesh, so that hostile text cannot ask for a billion.
const maxRanks = 1 << 16

func (p *parser) mesh() {
	at := p.lex.tok
	for p.err == nil && p.lex.tok.kind == tokIdent && !p.lex.tok.starts() {
		t := p.lex.tok
		axis := MeshAxis{Name: p.ident("an axis of the mesh")}
		p.expect("=")
		axis.Size = p.integer("its number of ranks")
		if axis.Size < 2 || axis.Size > maxRanks || p.mod.Mesh.Ranks()*axis.Size > maxRanks {
			p.failAt(t, "an axis of the mesh has 2 ranks or more, and the mesh at most %d", maxRanks)
		}
		if p.mod.Mesh.order(axis.Name) >= 0 {
			p.failAt(t, "the mesh has two axes %s", axis.Name)
		}
		p.mod.Mesh = append(p.mod.Mesh, axis)
	}
	if p.mod.Mesh == nil {
		p.failAt(at, "expected the axes of the mesh, such as tp=8")
	}
}

// line reads an optional @N, the line of the model's source.
func (p *parser) line() diag.Span {
	if !p.accept("@") {
		return diag.Span{}
	}
	return diag.Span{File: p.mod.Source, Line: p.integer("a line number")}
}

func (p *parser) paramSet() {
	p.expect("params")
	t := p.lex.tok
	s := &Params{Name: p.ident("a parameter set's name")}
	if p.findParams(s.Name) != nil {
		p.failAt(t, "parameter set %s is defined twice", s.Name)
	}
	if p.accept("at") {
		s.Instances = append(s.Instances, p.ident("an instance"))
		for p.accept(",") {
			s.Instances = append(s.Instances, p.ident("an instance"))
		}
	} else {
		s.Instances = []string{""}
	}
	p.expect("{")
	for p.err == nil && !p.accept("}") {
		switch {
		case p.accept("weight"):
			p.weight(s)
		case p.accept("state"):
			p.state(s)
		default:
			p.fail("expected weight, state or }, found %s", p.lex.tok)
		}
	}
	p.mod.Params = append(p.mod.Params, s)
}

func (p *parser) findParams(name string) *Params {
	for _, s := range p.mod.Params {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (p *parser) weight(s *Params) {
	t := p.lex.tok
	v := &Value{Kind: WeightValue, Name: p.ident("a weight's name")}
	if s.Weight(v.Name) != nil {
		p.failAt(t, "weight %s is defined twice", v.Name)
	}
	p.expect(":")
	v.Type = p.typ()
	p.expect("from")
	w := &Weight{Value: v, Tensor: p.str("a tensor's name")}
	if p.accept("in") {
		w.From = p.elem()
	}
	for _, d := range v.Type.Dims {
		if k, ok := d.Size.IsConst(); !ok || k <= 0 {
			p.failAt(t, "weight %s has the axis %s, whose size is no positive constant", v.Name, d.Name)
		}
	}
	if w.IsMany() && len(v.Type.Dims) < 2 {
		p.failAt(t, "weight %s stands for many tensors but has no axis to count them", v.Name)
	}
	v.Span = p.line()
	s.Weights = append(s.Weights, w)
}

func (p *parser) state(s *Params) {
	t := p.lex.tok
	v := &Value{Kind: StateValue, Name: p.ident("a state's name")}
	if s.State(v.Name) != nil {
		p.failAt(t, "state %s is defined twice", v.Name)
	}
	p.expect(":")
	v.Type = p.typ()
	p.expect("=")
	init := p.float()
	v.Span = p.line()
	s.States = append(s.States, &State{Value: v, Init: init})
}

func (p *parser) float() float64 {
	sign := 1.0
	if p.accept("-") {
		sign = -1
	}
	t := p.lex.tok
	switch {
	case p.accept("inf"):
		return math.Inf(int(sign))
	case t.kind == tokNumber:
		p.lex.next()
		return sign * t.num()
	}
	p.fail("expected a number, found %s", t)
	return 0
}

// typ reads elem[dims].
func (p *parser) typ() Type {
	t := Type{Elem: p.elem(), Dims: []Dim{}}
	p.expect("[")
	for p.err == nil && !p.accept("]") {
		if len(t.Dims) > 0 {
			p.expect(",")
		}
		t.Dims = append(t.Dims, p.dim())
	}
	if p.accept("partial") {
		t.Partial = PartialSum
		if p.accept("(") {
			t.Partial = PartialOne
			p.expect("one")
			p.expect(")")
		}
		if p.accept("over") {
			t.Over = p.ident("an axis of the mesh")
		}
	}
	return t
}

func (p *parser) elem() Elem {
	t := p.lex.tok
	d, ok := ParseDType(p.ident("a number format"))
	if !ok {
		p.failAt(t, "unknown number format %s", t)
	}
	e := Plain(d)
	if !p.accept("<") {
		return e
	}
	e.Rows = p.integer("the rows of a scale block")
	x := p.lex.tok
	cols := p.ident("x and the columns of a scale block")
	for i, c := range cols {
		if i == 0 && c != 'x' || i > 0 && (c < '0' || c > '9') || len(cols) > 9 || len(cols) < 2 {
			p.failAt(x, "expected x and the columns of a scale block, found %s", x)
			break
		}
		if i > 0 {
			e.Cols = e.Cols*10 + int(c-'0')
		}
	}
	e.Scale = UE8M0
	if p.accept(",") {
		s := p.lex.tok
		if e.Scale, ok = ParseDType(p.ident("the scale's number format")); !ok {
			p.failAt(s, "unknown number format %s", s)
		}
	}
	p.expect(">")
	if e.Rows < 1 || e.Cols < 1 {
		p.failAt(x, "a scale block has at least one row and one column")
	}
	return e
}

// dim reads an axis or a size attribute: its name as text up to ',', ']', '}' or '=', and after '=' its size.
func (p *parser) dim() Dim {
	start := p.lex.tok
	depth := 0
	var name strings.Builder
	for p.err == nil {
		t := p.lex.tok
		if t.kind == tokEOF || depth == 0 && (t.text == "," || t.text == "]" || t.text == "}" || t.text == "=" || t.text == "|") {
			break
		}
		switch t.text {
		case "(":
			depth++
		case ")":
			depth--
		}
		if t.kind == tokString || depth < 0 || !strings.Contains("+-*/(),", t.text) && t.kind == tokPunct {
			p.fail("expected an axis, found %s", t)
		}
		name.WriteString(t.text)
		p.lex.next()
	}
	if name.Len() == 0 {
		p.fail("expected an axis, found %s", p.lex.tok)
		return Dim{}
	}
	whole := Dim{Name: name.String()}
	split, over := p.split()
	if p.accept("=") {
		whole.Size, whole.Split, whole.Over = p.size(0), split, over
		return whole
	}
	s, err := ParseSize(name.String(), p.names)
	if err != nil {
		p.failAt(start, "axis %s has no known size: write %s=SIZE", name.String(), name.String())
	}
	whole.Size = s
	return whole.PartOver(split, over)
}

// split reads what follows a split axis: "|8" over all ranks, "|group" over one axis of the mesh.
func (p *parser) split() (parts int, over string) {
	at := p.lex.tok
	if !p.accept("|") {
		return 0, ""
	}
	if p.lex.tok.kind != tokIdent {
		if parts = p.integer("the number of parts"); parts < 2 {
			p.failAt(at, "an axis is split into 2 parts or more")
		}
		return parts, ""
	}
	over = p.ident("an axis of the mesh")
	if parts = p.mod.Mesh.Size(over); parts < 2 {
		p.failAt(at, "the mesh has no axis %s", over)
	}
	return parts, over
}
