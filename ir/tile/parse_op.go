package tile

import (
	"math"
	"slices"
	"strconv"

	"flagc/internal/diag"
)

func sorted(words []string) []string {
	slices.Sort(words)
	return words
}

// codes maps the names in text to the ops.
var codes = func() map[string]Code {
	out := map[string]Code{}
	for c, name := range codeNames {
		if name != "" {
			out[name] = Code(c)
		}
	}
	return out
}()

// statement reads one op and returns the references that it defines.
func (p *parser) statement(b *Block) []string {
	op := &Op{Note: p.doc}
	var results []token
	if p.tok().kind == tokRef {
		p.list(func() { results = append(results, p.take(tokRef, "a value")) })
		p.expect("=")
	}
	at := p.tok()
	name := p.ident("an op")
	code, ok := codes[name]
	if p.err != nil {
		return nil
	}
	if !ok {
		p.failAt(at, "there is no op %s", name).Help = diag.DidYouMean(name, sorted(opNames()))
		return nil
	}
	op.Code = code
	switch code {
	case Loop:
		p.loop(op, results)
	case If:
		p.branch(op)
	default:
		p.operands(op, at)
		p.result(op, results)
	}
	if code != Loop && len(results) > 0 != (len(op.Results) > 0) {
		p.failAt(at, "%s yields %s", name, map[bool]string{true: "a value", false: "nothing"}[len(op.Results) > 0])
	}
	b.Ops = append(b.Ops, op)
	defined := make([]string, 0, len(results))
	for i, v := range op.Results {
		if v.Def = op; i < len(results) {
			p.define(results[i], v)
			defined = append(defined, results[i].text)
		}
	}
	p.end()
	return defined
}

func opNames() []string {
	var out []string
	for name := range codes {
		out = append(out, name)
	}
	return out
}

// result reads the type of the value that an op yields, if it yields one.
func (p *parser) result(op *Op, names []token) {
	if _, yields := op.Code.arity(); yields == 0 {
		return
	}
	if len(names) > 1 {
		p.failAt(names[1], "%s yields one value", op.Code)
	}
	p.expect(":")
	d, shape := p.typ()
	op.Results = []*Value{{DType: d, Shape: shape}}
}

// operands reads what stands behind an op's name.
func (p *parser) operands(op *Op, at token) {
	switch c := op.Code; c {
	case Scalar:
		op.Param = p.param()
	case ConstInt:
		p.whole(op)
	case ConstFloat:
		op.Float = p.float()
	case Load:
		p.place(op)
		op.Args = append(op.Args, p.mask())
		if op.Args[1] != nil {
			op.Float = math.NaN()
			if p.accept("else") {
				op.Float = p.float()
			}
		}
	case Store:
		p.place(op)
		p.expect("=")
		op.Args = append(op.Args, p.use(), nil)
		op.Args[2] = p.mask()
	case AtomicAdd:
		p.place(op)
		p.expect(",")
		op.Args = append(op.Args, p.use())
	default:
		if p.tok().kind == tokRef {
			p.list(func() { op.Args = append(op.Args, p.use()) })
		}
		if takes, _ := c.arity(); p.err == nil && len(op.Args) != takes {
			p.failAt(at, "%s takes %d operands, found %d", c, takes, len(op.Args))
		}
		p.attributes(op)
	}
}

func (p *parser) attributes(op *Op) {
	switch c := op.Code; {
	case c == Expand || c.IsReduction():
		p.expect("{")
		p.expect("axis")
		p.expect("=")
		op.Axis = p.small("an axis")
		p.expect("}")
	case c == Transpose:
		p.expect("{")
		p.expect("perm")
		p.expect("=")
		p.expect("[")
		if !p.at("]") {
			p.list(func() { op.Perm = append(op.Perm, p.small("an axis")) })
		}
		p.expect("]")
		p.expect("}")
	}
}

func (p *parser) param() *Param {
	t := p.tok()
	name := p.ident("a parameter")
	q := p.prog.Param(name)
	if p.err == nil && q == nil {
		var names []string
		for _, q := range p.prog.Params {
			names = append(names, q.Name)
		}
		p.failAt(t, "there is no parameter %s", name).Help = diag.DidYouMean(name, names)
	}
	return q
}

// whole reads a number or the name of a constant.
func (p *parser) whole(op *Op) {
	t := p.tok()
	if t.kind != tokWord || isDigit(t.text[0]) {
		op.Int = p.integer("a whole number or a constant")
		return
	}
	p.pos++
	if op.Const = p.prog.Const(t.text); op.Const == nil {
		var names []string
		for _, c := range p.prog.Consts {
			names = append(names, c.Name)
		}
		p.failAt(t, "there is no constant %s", t.text).Help = diag.DidYouMean(t.text, names)
		return
	}
	op.Int = int64(op.Const.Value)
}

// place reads "x[%at]".
func (p *parser) place(op *Op) {
	op.Param = p.param()
	p.expect("[")
	op.Args = append(op.Args, p.use())
	p.expect("]")
}

func (p *parser) mask() *Value {
	if p.accept("if") {
		return p.use()
	}
	return nil
}

// loop reads "%i = %from to %to step 4 with %a = %b { … }".
func (p *parser) loop(op *Op, results []token) {
	counter := p.take(tokRef, "the counter")
	p.expect("=")
	op.Args = []*Value{p.use(), nil}
	p.expect("to")
	op.Args[1] = p.use()
	p.expect("step")
	op.Step = p.small("the step")
	op.Body = &Block{Args: []*Value{{DType: I32}}}
	names := []token{counter}
	if p.accept("with") {
		p.list(func() {
			names = append(names, p.take(tokRef, "a value that the loop carries"))
			p.expect("=")
			if v := p.use(); v != nil {
				op.Args = append(op.Args, v)
				op.Body.Args = append(op.Body.Args, &Value{DType: v.DType, Shape: v.Shape})
				op.Results = append(op.Results, &Value{DType: v.DType, Shape: v.Shape})
			}
		})
	}
	op.While = p.accept("while")
	if p.err == nil && len(results) != len(op.Results) {
		p.failAt(counter, "the loop carries %s and yields %d", strconv.Itoa(len(op.Results)), len(results))
	}
	if p.err != nil {
		return
	}
	for i, t := range names {
		p.define(t, op.Body.Args[i])
	}
	p.nested(op.Body)
	if p.err == nil && len(op.Body.Yield) != len(op.Results) {
		p.failAt(p.tok(), "the loop carries %d values, its body yields %d", len(op.Results), len(op.Body.Yield))
	}
	for _, t := range names {
		delete(p.values, t.text)
	}
	p.expect("}")
}

// nested reads a block from "{" on; the "}" is left.
func (p *parser) nested(b *Block) {
	p.expect("{")
	p.end()
	p.block(b)
}

// branch reads "%c { … } else { … }".
func (p *parser) branch(op *Op) {
	op.Args = []*Value{p.use()}
	for _, b := range []**Block{&op.Body, &op.Else} {
		*b = &Block{}
		p.nested(*b)
		if p.err == nil && len((*b).Yield) > 0 {
			p.failAt(p.tok(), "a branch yields nothing")
		}
		p.expect("}")
		if !p.accept("else") {
			return
		}
	}
	if p.err == nil {
		p.fail("the end of the line")
	}
}
