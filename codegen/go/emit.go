package gohost

import (
	"fmt"
	"math"
	"strings"

	"github.com/dave/jennifer/jen"

	"flagc/ir"
)

// emitter writes the body of one function.
type emitter struct {
	g     *generator
	p     *plan
	in    *ir.Instr // the instruction being written
	code  []jen.Code
	reads symbols // what the function's size expressions need
	err   error
}

// fail notes the first problem; later ones are consequences.
func (e *emitter) fail(format string, args ...any) *jen.Statement {
	if e.err == nil {
		problem := fmt.Sprintf(format, args...)
		e.err = fmt.Errorf("%s: %q (line %d): %s", e.p.f.FullName(), e.in, e.in.Span.Line, problem)
	}
	return jen.Lit(0)
}

// kernel calls a method of *cpu.Ctx, which Model embeds.
func (e *emitter) kernel(name string, args ...jen.Code) {
	e.statement(call(selector("m."+name), args...), "")
}

// wide is the ending of the kernels that pass unrounded mixing weights.
func (e *emitter) wide(weight *ir.Value) string {
	if e.g.unrounded(weight) {
		return "64"
	}
	return ""
}

// part is the ending of the kernels that leave their result as a part of a sum.
func (e *emitter) part() string {
	if e.in.Results[0].Type.Partial == ir.PartialSum {
		return "64"
	}
	return ""
}

// product64 calls a kernel that rounds its result or leaves it as a part of a sum.
func (e *emitter) product64(name string, args ...jen.Code) {
	if e.part() == "" {
		args = append(args, e.rounds(0))
	}
	e.kernel(name+e.part(), args...)
}

// meet calls a method of the communicator that the instruction names.
func (e *emitter) meet(name string, args ...jen.Code) {
	comm := e.g.comms[e.in.Attrs.Str("over")].name
	e.statement(call(selector("m."+comm+"."+name), args...), "")
}

// splits refuses what the kernels cannot do on a rank's part.
func (e *emitter) splits(r *rule) {
	in := e.in
	if in.Op == nil || in.Op.Class == ir.View || in.Op.Class == ir.Collective {
		return
	}
	for _, v := range in.Results {
		if v.Type.Partial == ir.PartialSum && (r == nil || !r.parts) {
			e.fail("no kernel of %s leaves a part of a sum unrounded", in.Op.Name)
		}
	}
	if in.LocalIndices() != nil && (r == nil || !r.indices) {
		e.fail("no kernel of %s takes indices of a split axis", in.Op.Name)
	}
}

// function calls a function of package cpu.
func (e *emitter) function(name string, args ...jen.Code) {
	e.statement(call(e.g.cpu(name), args...), "")
}

// statement adds a statement with the place in the model's source that it comes from, a note before it.
func (e *emitter) statement(code *jen.Statement, note string) {
	if o := e.origin(note); o != "" {
		code.Comment(o)
	}
	e.code = append(e.code, code)
}

// origin cites the instruction's line in the model's source; empty if it has none.
func (e *emitter) origin(note string) string {
	if e.in.Span.Line == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%s :%d", note, e.in.Span.Line))
}

// out is the slice of result i.
func (e *emitter) out(i int) *jen.Statement {
	v, err := e.p.value(e.in.Results[i])
	if err != nil {
		return e.fail("%v", err)
	}
	return v.code()
}

// arg is operand i: a slice, or a weight in the form that the op's rule asks for.
func (e *emitter) arg(i int) *jen.Statement {
	a := e.in.Args[i]
	if a.Kind == ir.WeightValue {
		return selector("l." + e.g.sets[e.p.f.Params].paths[a.Name])
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
	return v.code()
}

// cache is operand i, which must be a state held in bf16.
func (e *emitter) cache(i int) *jen.Statement {
	v, err := e.p.value(e.in.Args[i])
	if err != nil {
		return e.fail("%v", err)
	}
	if v.repr != halves {
		return e.fail("operand %d must be a bf16 state", i)
	}
	return v.code()
}

// rows is how many rows the memory behind operand i has for each sequence: a view of a cache's first rows
// keeps the cache's.
func (e *emitter) rows(i int) *jen.Statement {
	return e.note(e.g.sizes.dim(e.p.root[e.in.Args[i]].Type.Dims[1]))
}

// kv is operand i as the keys of an attention: a cache, or the call's own keys.
func (e *emitter) kv(i int) *jen.Statement {
	v, err := e.p.value(e.in.Args[i])
	if err != nil {
		return e.fail("%v", err)
	}
	if v.repr == halves {
		return e.g.cpu("KV").Values(pair("H", v.code()), pair("Rows", e.rows(i)))
	}
	return e.g.cpu("KV").Values(pair("F", v.code()), pair("Rows", e.axis(i, 1)))
}

// note remembers which symbols an expression reads, and returns its code.
func (e *emitter) note(x expr) *jen.Statement {
	e.reads = e.reads.union(x.reads)
	return x.code
}

func (e *emitter) sym(name string) *jen.Statement { return e.note(symbol(name)) }

// axis is the size of an axis of operand i; negative axes count from the end.
func (e *emitter) axis(i, axis int) *jen.Statement {
	dims := e.in.Args[i].Type.Dims
	if axis < 0 {
		axis += len(dims)
	}
	return e.note(e.g.sizes.dim(dims[axis]))
}

func (e *emitter) product(dims []ir.Dim) *jen.Statement { return e.note(e.g.sizes.product(dims)) }

// size is a size attribute.
func (e *emitter) size(name string) *jen.Statement {
	d, _ := e.in.Attrs.Get(name).(ir.Dim)
	return e.note(e.g.sizes.dim(d))
}

// rounds tells a kernel whether result i is stored as bf16.
func (e *emitter) rounds(i int) *jen.Statement { return jen.Lit(e.storedBF16(i)) }

func (e *emitter) storedBF16(i int) bool {
	r := e.in.Results[i]
	return r.Type.Elem == ir.Plain(ir.BF16) || e.p.rounded[r]
}

// attr is an attribute: a named constant where the op has the same one everywhere, else its value.
func (e *emitter) attr(name string) *jen.Statement {
	if c := e.g.attrConst[e.in.Op.Name+"."+name]; c != "" {
		return jen.Id(c)
	}
	switch x := e.in.Attrs.Get(name).(type) {
	case float64:
		if math.IsInf(x, 0) {
			return infinity(x)
		}
		return jen.Lit(x)
	case int, bool, string:
		return jen.Lit(x)
	}
	return e.fail("the attribute %s has no value that Go can write", name)
}

// infinity is an infinite float32, for which Go has no constant.
func infinity(x float64) *jen.Statement {
	sign := 1
	if x < 0 {
		sign = -1
	}
	return jen.Float32().Call(jen.Qual("math", "Inf").Call(jen.Lit(sign)))
}

// body writes all instructions of a function, then what is not computed in place.
func (e *emitter) body() error {
	var before *ir.Instr
	var meeting ir.Meeting
	for _, in := range e.p.f.Body {
		e.in = in
		e.splits(rules[in.Op])
		e.kernelStart(before)
		e.meetingStart(&meeting)
		before = in
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
		for _, t := range in.Traced() {
			e.trace(t)
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
	e.code = append(e.code, jen.Copy(dst.code(), src.code()))
}

// call runs another function at one of its instances.
func (e *emitter) call() {
	callee := e.in.Callee
	at := e.in.At
	if own := e.p.f.Params.Instances; len(own) == 1 {
		at = ir.Join(own[0], at)
	} else {
		e.fail("a function with several instances calls another")
	}
	args := []jen.Code{jen.Id("at"), jen.Op("&").Add(e.g.sets[callee.Params].instance(at))}
	for i := range e.in.Results {
		args = append(args, e.out(i))
	}
	for i := range e.in.Args {
		args = append(args, e.arg(i))
	}
	e.statement(call(selector("m."+e.g.funcs[callee]), args...), at)
}

// trace records a result.
func (e *emitter) trace(t ir.Trace) {
	r := e.in.Results[t.Result]
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
	args := []jen.Code{selector("l.at"), jen.Lit(t.Name), v.code()}
	for _, d := range r.Type.Dims {
		args = append(args, e.note(e.g.sizes.dim(d)))
	}
	e.code = append(e.code, call(selector("m.rec."+method), args...))
}
