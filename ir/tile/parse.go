package tile

import (
	"strconv"
	"strings"

	"flagc/internal/diag"
)

// The bounds on hostile text.
const (
	maxText    = 4 << 20
	maxNesting = 64
	maxAxes    = 16
	maxExtent  = 1<<31 - 1
)

// Parse reads the text that Print writes. file names the text in messages. Formats and shapes are read as they
// stand: Verify checks them.
func Parse(text, file string) (*Program, error) {
	r := reader{file: file}
	if len(text) > maxText {
		return nil, diag.New(diag.Span{File: file}, "", "a text of %d bytes is longer than %d", len(text), maxText)
	}
	r.lines = strings.Split(text, "\n")
	p := &parser{reader: r, prog: &Program{Body: &Block{}}, values: map[string]*Value{}}
	p.advance()
	p.header()
	p.expect("{")
	p.end()
	p.block(p.prog.Body)
	if p.at("yield") {
		p.fail("an op or \"}\"")
	}
	p.expect("}")
	p.end()
	if p.err == nil && !p.done {
		p.fail("the end of the text")
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.prog, nil
}

type parser struct {
	reader
	prog   *Program
	values map[string]*Value // of the open blocks, by reference
	depth  int
}

func (p *parser) header() {
	q := p.prog
	q.Doc = p.doc
	p.expect("kernel")
	q.Name = p.ident("the kernel's name")
	if p.accept("from") {
		q.Source = p.take(tokString, "where the kernel comes from, in quotes").text
	}
	p.end()
	for p.at("const") || p.at("scalar") || p.at("settled") || p.at("in") || p.at("out") || p.at("inout") {
		p.declaration()
	}
	q.Grid = p.fact("grid")
	p.expect("launch")
	p.expect("warps")
	p.expect("=")
	q.Launch.Warps = p.small("the number of warps")
	p.expect("stages")
	p.expect("=")
	q.Launch.Stages = p.small("the number of stages")
	if p.accept("registers") {
		p.expect("=")
		q.Launch.Registers = p.small("the number of registers")
	}
	if p.accept("dependents") {
		p.expect("=")
		q.Launch.Dependents = Dependents(p.ident("late or early"))
	}
	p.end()
	if p.at("bytes") {
		q.Bytes = p.fact("bytes")
	}
	if p.at("flops") {
		q.Flops = p.fact("flops")
	}
}

// small is a whole number that fits 32 bits.
func (p *parser) small(what string) int {
	t := p.tok()
	n := p.integer(what)
	if n != int64(int32(n)) {
		p.failAt(t, "%d is out of range", n)
	}
	return int(n)
}

// fact reads a word and an expression.
func (p *parser) fact(word string) string {
	p.expect(word)
	t := p.tok()
	text := p.rest()
	p.checkExpr(t, text)
	p.end()
	return text
}

func (p *parser) checkExpr(t token, text string) {
	if p.err != nil {
		return
	}
	if _, err := parseSizeExpr(text); err != nil {
		p.failAt(t, "%v", err)
	}
}

func (p *parser) declaration() {
	settled := p.accept("settled")
	word := p.take(tokWord, "a declaration").text
	if settled && p.err == nil && word != "in" && word != "out" && word != "inout" {
		p.failAt(p.tok(), "only pointers are settled, not a %s", word)
	}
	name := p.tok()
	doc := p.cur.comment
	id := p.ident("a name")
	if p.err == nil && (p.prog.Param(id) != nil || p.prog.Const(id) != nil) {
		p.failAt(name, "%s is declared twice", id)
	}
	switch word {
	case "const":
		p.expect("=")
		n := p.integer("the constant's value")
		p.prog.Consts = append(p.prog.Consts, &Const{id, int(n), doc})
	case "scalar":
		p.prog.Params = append(p.prog.Params, &Param{Name: id, DType: I32, Access: In, Doc: doc})
	default:
		p.expect(":")
		q := &Param{Name: id, Pointer: true, Access: Access(word), DType: p.dtype(), Settled: settled, Doc: doc}
		q.Shape = p.extents()
		p.prog.Params = append(p.prog.Params, q)
	}
	p.end()
}

// extents reads the expressions of a parameter's shape, between brackets.
func (p *parser) extents() []string {
	t := p.tok()
	p.expect("[")
	text, ok := strings.CutSuffix(p.rest(), "]")
	if p.err == nil && !ok {
		p.failAt(t, "the extents lack a closing bracket")
	}
	if text == "" {
		return nil
	}
	var out []string
	depth, start := 0, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == ',' && depth == 0:
			part := strings.TrimSpace(text[start:i])
			p.checkExpr(t, part)
			out = append(out, part)
			start = i + 1
		case text[i] == '(':
			depth++
		case text[i] == ')':
			depth--
		}
	}
	return out
}

func (p *parser) dtype() DType {
	t := p.tok()
	name := p.ident("a number format")
	for d := Bool; d <= F32; d++ {
		if d.String() == name {
			return d
		}
	}
	if p.err == nil {
		p.failAt(t, "%s is no number format", name).Help = diag.DidYouMean(name, dtypeNames[1:])
	}
	return 0
}

// typ reads a format with extents: "bf16[BLOCK=64, 128]".
func (p *parser) typ() (DType, []Dim) {
	d := p.dtype()
	if !p.accept("[") {
		return d, nil
	}
	var shape []Dim
	p.list(func() {
		var dim Dim
		if t := p.tok(); t.kind == tokWord && !isDigit(t.text[0]) {
			dim.Name = p.ident("a constant")
			p.expect("=")
		}
		t := p.tok()
		n := p.integer("an extent")
		if n < 1 || n > maxExtent || len(shape) == maxAxes {
			p.failAt(t, "expected up to %d extents between 1 and %d", maxAxes, maxExtent)
		}
		dim.Size = int(n)
		shape = append(shape, dim)
	})
	p.expect("]")
	return d, shape
}

// block reads ops until "}" or "yield".
func (p *parser) block(b *Block) {
	if p.depth++; p.depth > maxNesting {
		p.failAt(p.tok(), "blocks are nested deeper than %d", maxNesting)
	}
	defer func() { p.depth-- }()
	var mine []string
	for p.err == nil && !p.done && !p.at("}") && !p.at("yield") {
		mine = append(mine, p.statement(b)...)
	}
	if p.at("yield") && p.depth > 1 {
		p.pos++
		p.list(func() { b.Yield = append(b.Yield, p.use()) })
		p.end()
	}
	for _, ref := range mine {
		delete(p.values, ref)
	}
}

// use reads a reference to a value.
func (p *parser) use() *Value {
	t := p.take(tokRef, "a value")
	v, ok := p.values[t.text]
	if p.err == nil && !ok {
		names := make([]string, 0, len(p.values))
		for n := range p.values {
			names = append(names, n)
		}
		d := p.failAt(t, "%s is not defined here", t.text)
		d.Help = diag.DidYouMean(t.text, sorted(names))
	}
	return v
}

// define gives a reference its value.
func (p *parser) define(t token, v *Value) {
	if p.err != nil {
		return
	}
	name, _, _ := strings.Cut(t.text[1:], ".")
	if _, err := strconv.Atoi(name); err == nil {
		name = ""
	} else if isDigit(name[0]) {
		p.failAt(t, "%s is neither a number nor a name", t.text)
	}
	if p.values[t.text] != nil {
		p.failAt(t, "%s is defined twice", t.text)
	}
	v.Name = name
	p.values[t.text] = v
}
