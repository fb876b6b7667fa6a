package gohost

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"flagc/ir"
)

// emitter writes the body of one function.
type emitter struct {
	g     *generator
	p     *plan
	in    *ir.Instr // the instruction being written
	lines []line
	used  []string // Go expressions of sizes, to know which symbols the function needs
	err   error
}

// line is one statement with the place in the model's source that it comes from.
type line struct {
	text   string
	source int
	note   string
}

// fail notes the first problem; later ones are consequences.
func (e *emitter) fail(format string, args ...any) string {
	if e.err == nil {
		e.err = fmt.Errorf("%s: %q (line %d): %s", e.p.f.FullName(), e.in, e.in.Span.Line, fmt.Sprintf(format, args...))
	}
	return "0"
}

func (e *emitter) statement(text string) {
	e.lines = append(e.lines, line{text: text, source: e.in.Span.Line})
}

// kernel calls a method of *cpu.Ctx, which Model embeds.
func (e *emitter) kernel(name string, args ...string) { e.statement("m." + name + list(args)) }

// function calls a function of package cpu.
func (e *emitter) function(name string, args ...string) { e.statement("cpu." + name + list(args)) }

func list(args []string) string { return "(" + strings.Join(args, ", ") + ")" }

// out is the slice of result i.
func (e *emitter) out(i int) string {
	v, err := e.p.value(e.in.Results[i])
	if err != nil {
		return e.fail("%v", err)
	}
	return v.expr()
}

// arg is operand i: a slice, or a weight in the form that the op's rule asks for.
func (e *emitter) arg(i int) string {
	a := e.in.Args[i]
	if a.Kind == ir.WeightValue {
		return "l." + e.g.sets[e.p.f.Params].paths[a.Name]
	}
	if r := e.g.rules[e.in.Op]; r != nil && r.weights[i] != asFloats {
		return e.fail("operand %d must be a weight", i)
	}
	v, err := e.p.value(a)
	if err != nil {
		return e.fail("%v", err)
	}
	if v.repr == halves {
		return e.fail("operand %d is a bf16 cache, which the op's kernel cannot read", i)
	}
	return v.expr()
}

// cache is operand i, which must be a state held in bf16.
func (e *emitter) cache(i int) string {
	v, err := e.p.value(e.in.Args[i])
	if err != nil {
		return e.fail("%v", err)
	}
	if v.repr != halves {
		return e.fail("operand %d must be a bf16 state", i)
	}
	return v.expr()
}

// keys is operand i as a bf16 cache, with the number of its rows in memory.
func (e *emitter) keys(i int) (expr, rows string) {
	return e.cache(i), e.rows(i)
}

// rows is how many rows the memory behind operand i has for each sequence: a view of a cache's first rows
// keeps the cache's.
func (e *emitter) rows(i int) string {
	return e.note(e.g.sizes.dim(e.p.root[e.in.Args[i]].Type.Dims[1]))
}

// kv is operand i as the keys of an attention: a cache, or the call's own keys.
func (e *emitter) kv(i int) string {
	v, err := e.p.value(e.in.Args[i])
	if err != nil {
		return e.fail("%v", err)
	}
	if v.repr == halves {
		return fmt.Sprintf("cpu.KV{H: %s, Rows: %s}", v.expr(), e.rows(i))
	}
	return fmt.Sprintf("cpu.KV{F: %s, Rows: %s}", v.expr(), e.axis(i, 1))
}

// note remembers a size expression.
func (e *emitter) note(text string) string {
	e.used = append(e.used, text)
	return text
}

func (e *emitter) sym(name string) string { return e.note(name) }

// axis is the size of an axis of operand i; negative axes count from the end.
func (e *emitter) axis(i, axis int) string {
	dims := e.in.Args[i].Type.Dims
	if axis < 0 {
		axis += len(dims)
	}
	return e.note(e.g.sizes.dim(dims[axis]))
}

func (e *emitter) product(dims []ir.Dim) string { return e.note(e.g.sizes.product(dims)) }

// size is a size attribute.
func (e *emitter) size(name string) string {
	d, _ := e.in.Attrs.Get(name).(ir.Dim)
	return e.note(e.g.sizes.dim(d))
}

// rounds says whether result i is stored as bf16.
func (e *emitter) rounds(i int) string {
	r := e.in.Results[i]
	return strconv.FormatBool(r.Type.Elem == ir.Plain(ir.BF16) || e.p.rounded[r])
}

// attr is an attribute: a named constant where the op has the same one everywhere, else its value.
func (e *emitter) attr(name string) string {
	if c := e.g.attrConst[e.in.Op.Name+"."+name]; c != "" {
		return c
	}
	return literal(e.in.Attrs.Get(name))
}

// literal writes an attribute's value.
func literal(v any) string {
	switch x := v.(type) {
	case float64:
		if math.IsInf(x, 0) {
			return fmt.Sprintf("float32(math.Inf(%d))", sign(x))
		}
		return strconv.FormatFloat(x, 'g', -1, 64)
	case int:
		return strconv.Itoa(x)
	}
	return fmt.Sprint(v)
}

// body writes all instructions of a function, then what is not computed in place.
func (e *emitter) body() error {
	for _, in := range e.p.f.Body {
		e.in = in
		switch r := rules[in.Op]; {
		case in.Op == nil:
			e.call()
		case r != nil && r.alias != nil && r.alias(e.p, in):
		case r != nil && r.emit != nil:
			r.emit(e, in)
		case in.Op.PointwiseBody() != nil:
			e.loop()
		default:
			e.fail("no rule writes the op %s", in.Op.Name)
		}
		if in.Trace != "" {
			e.trace()
		}
		if e.err != nil {
			return e.err
		}
	}
	for i, r := range e.p.results {
		if v := e.p.copies[i]; v != nil {
			e.copyResult(r, v)
		}
	}
	return e.err
}

func (e *emitter) copyResult(dst *variable, v *ir.Value) {
	src, err := e.p.value(v)
	if err != nil || src.repr == halves {
		e.fail("%s cannot be returned", v.Ref())
		return
	}
	e.lines = append(e.lines, line{text: "copy(" + dst.param + ", " + src.expr() + ")"})
}

// call runs another function at one of its instances.
func (e *emitter) call() {
	callee := e.in.Callee
	set := e.g.sets[callee.Params]
	at := e.in.At
	if own := e.p.f.Params.Instances; len(own) == 1 {
		at = ir.Join(own[0], at)
	} else {
		e.fail("a function with several instances calls another")
	}
	args := []string{"at", "&m." + set.instance(at)}
	for i := range e.in.Results {
		args = append(args, e.out(i))
	}
	for i := range e.in.Args {
		args = append(args, e.arg(i))
	}
	e.lines = append(e.lines, line{text: "m." + e.g.funcs[callee] + list(args), source: e.in.Span.Line, note: at})
}

// trace records the first result.
func (e *emitter) trace() {
	r := e.in.Results[0]
	v, err := e.p.value(r)
	if err != nil || v.repr == halves {
		e.fail("a cache cannot be traced")
		return
	}
	method := "F32"
	switch {
	case v.repr == ints:
		method = "I32"
	case r.Type.Elem == ir.Plain(ir.BF16):
		method = "BF16"
	}
	args := []string{"l.at", strconv.Quote(e.in.Trace), v.expr()}
	for _, d := range r.Type.Dims {
		args = append(args, e.note(e.g.sizes.dim(d)))
	}
	e.lines = append(e.lines, line{text: "m.rec." + method + list(args)})
}
