package tile

import (
	"fmt"
	"sort"
	"strings"

	"flagc/internal/diag"
)

// The bounds of a tile and of a launch.
const (
	maxElements = 1 << 20
	maxWarps    = 64

	leastRegisters = 16
	mostRegisters  = 255 // as many as instructions can name where launches limit them
)

// Verify checks that a program is well formed and returns all that is not, each by the text of the op and with the
// label of the rule:
//
//	[name1] names of kernel, parameters, constants and values are identifiers and no words of Python; those of
//	        parameters and constants are unique
//	[expr1] grid, extents, bytes and flops are expressions over the constants and scalar parameters
//	[param1] parameters have a format in memory and an access; ops use those of the program, as they are declared
//	[ssa1]  a value is defined once, before its use, in a block that is still open
//	[form1] an op has its operands, results, attributes and blocks, and no others
//	[type1] formats go together; arithmetic is in f32, i32, i64 and i1
//	[shape1] shapes go together; extents are powers of two, or the declared constants that they are named after
//	[loop1] a loop counts upwards and carries values of one type each
//	[wait1] where launches are dependent every path waits once, and before that nothing is written and only what is settled
//	        is read; elsewhere nothing waits
func Verify(p *Program) error {
	v := &verifier{p: p, defined: map[*Value]bool{}, known: map[*Value]bool{}, blocks: map[*Block]bool{}}
	v.program()
	if p.Body == nil {
		v.report(nil, "form1", "there is no body")
		return v.list.Err()
	}
	if len(p.Body.Args)+len(p.Body.Yield) > 0 {
		v.report(nil, "form1", "the body takes and yields nothing")
	}
	v.block(p.Body)
	if v.list.Len() == 0 {
		v.waits()
	}
	return v.list.Err()
}

type verifier struct {
	p       *Program
	list    diag.List
	refs    map[*Value]string // made for the first message
	defined map[*Value]bool   // in the blocks that are open
	known   map[*Value]bool   // ever
	blocks  map[*Block]bool
}

// report adds a problem of an op, or of the program.
func (v *verifier) report(op *Op, label, format string, args ...any) {
	place := "kernel " + v.p.Name + ": "
	if op != nil {
		place += `"` + v.text(op) + `": `
	}
	v.list.Add(diag.New(diag.Span{}, label, "%s%s", place, fmt.Sprintf(format, args...)))
}

func (v *verifier) text(op *Op) string {
	if v.refs == nil {
		v.refs = nameValues(v.p)
	}
	return (&printer{refs: v.refs}).line(op)
}

// pythonWords cannot be names in a printed kernel; min and max are functions of expressions, tl and triton modules.
var pythonWords = wordSet(`False None True and as assert async await break class continue def del elif else except
	finally for from global if import in is lambda nonlocal not or pass raise return try while with yield
	min max tl triton`)

func wordSet(text string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(text) {
		out[w] = true
	}
	return out
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && (i == 0 || !isDigit(s[i])) {
			return false
		}
	}
	return s != ""
}

func (v *verifier) name(op *Op, what, name string) {
	if !isIdentifier(name) {
		v.report(op, "name1", "%s is named %q, expected an identifier", what, name)
	} else if pythonWords[name] {
		v.report(op, "name1", "%s is named %s, which is a word of Python or Triton", what, name)
	}
}

// program checks all that is declared outside of the body.
func (v *verifier) program() {
	p := v.p
	v.name(nil, "the kernel", p.Name)
	taken, known := map[string]bool{}, map[string]bool{}
	declare := func(what, name string) {
		v.name(nil, what, name)
		if taken[name] {
			v.report(nil, "name1", "%s is declared twice", name)
		}
		taken[name] = true
	}
	for _, c := range p.Consts {
		declare("a constant", c.Name)
		known[c.Name] = true
	}
	for _, q := range p.Params {
		declare("a parameter", q.Name)
		known[q.Name] = known[q.Name] || !q.Pointer
	}
	for _, q := range p.Params {
		v.param(q, known)
	}
	v.expr("grid", p.Grid, known)
	if p.Bytes != "" {
		v.expr("bytes", p.Bytes, known)
	}
	if p.Flops != "" {
		v.expr("flops", p.Flops, known)
	}
	if w := p.Launch.Warps; w < 1 || w > maxWarps || w&(w-1) != 0 {
		v.report(nil, "form1", "%d warps: expected a power of two up to %d", w, maxWarps)
	}
	if n := p.Launch.Registers; n != 0 && (n < leastRegisters || n > mostRegisters) {
		v.report(nil, "form1", "%d registers: expected %d to %d, or none", n, leastRegisters, mostRegisters)
	}
	switch d := p.Launch.Dependents; d {
	case NoDependents, LateDependents, EarlyDependents:
	default:
		v.report(nil, "form1", "dependents %q: expected late or early", d)
	}
	if p.Launch.Stages < 1 {
		v.report(nil, "form1", "%d stages: expected at least one", p.Launch.Stages)
	}
}

func (v *verifier) param(q *Param, known map[string]bool) {
	if !q.Pointer {
		if q.DType != I32 || len(q.Shape) > 0 {
			v.report(nil, "param1", "scalar %s is %s, expected i32 without extents", q.Name, q.DType)
		}
		return
	}
	if q.DType < I8 || q.DType > F32 {
		v.report(nil, "param1", "pointer %s is to %s, which has no format in memory", q.Name, q.DType)
	}
	if q.Access != In && q.Access != Out && q.Access != InOut {
		v.report(nil, "param1", "pointer %s has access %q, expected in, out or inout", q.Name, string(q.Access))
	}
	if q.Settled && q.Access != In {
		v.report(nil, "param1", "pointer %s is settled and has access %s: what is written is not settled", q.Name, q.Access)
	}
	for _, text := range q.Shape {
		v.expr("extent of "+q.Name, text, known)
	}
}

func (v *verifier) expr(what, text string, known map[string]bool) {
	names, err := ExprNames(text)
	if err != nil {
		v.report(nil, "expr1", "%s: %v", what, err)
		return
	}
	for _, n := range names {
		if !known[n] {
			v.report(nil, "expr1", "%s: %q uses %s, which is no constant and no scalar%s", what, text, n, oneOf(known))
		}
	}
}

// oneOf lists the names that are known.
func oneOf(known map[string]bool) string {
	var words []string
	for n, ok := range known {
		if ok {
			words = append(words, n)
		}
	}
	if words == nil {
		return ""
	}
	sort.Strings(words)
	return " (of " + strings.Join(words, ", ") + ")"
}

// block checks ops in order; what a block defines ends with it.
func (v *verifier) block(b *Block) {
	if v.blocks[b] {
		v.report(nil, "form1", "a block stands in two places")
		return
	}
	v.blocks[b] = true
	var mine []*Value
	define := func(op *Op, x *Value) {
		mine = append(mine, x)
		v.define(op, x)
	}
	for _, x := range b.Args {
		if x == nil {
			v.report(nil, "form1", "a block takes a value that is not there")
			return
		}
		define(nil, x)
	}
	for _, op := range b.Ops {
		ok := v.operands(op)
		if op == nil {
			continue
		}
		for _, x := range op.Results {
			if x != nil {
				define(op, x)
			}
		}
		if ok {
			v.value(op)
			v.nested(op)
		}
	}
	for _, x := range b.Yield {
		if x == nil || !v.defined[x] {
			v.report(nil, "ssa1", "a block yields %s, which is not defined in it", v.nameOf(x))
		}
	}
	for _, x := range mine {
		delete(v.defined, x)
	}
}

func (v *verifier) nameOf(x *Value) string {
	if v.refs == nil {
		v.refs = nameValues(v.p)
	}
	return (&printer{refs: v.refs}).ref(x)
}

// define holds [ssa1] and [name1] of a value, and that its shape is a tile's.
func (v *verifier) define(op *Op, x *Value) {
	if v.known[x] {
		v.report(op, "ssa1", "%s is defined twice", v.nameOf(x))
	}
	v.known[x], v.defined[x] = true, true
	if x.Def != op {
		v.report(op, "ssa1", "%s names another op as the one that defines it", v.nameOf(x))
	}
	if x.Name != "" {
		v.name(op, "a value", x.Name)
	}
	if !x.DType.known() {
		v.report(op, "type1", "%s has no known format, but %s", v.nameOf(x), x.DType)
	}
	v.extents(op, x)
}

// extents holds [shape1] of a single value.
func (v *verifier) extents(op *Op, x *Value) {
	n := 1
	for _, d := range x.Shape {
		if d.Size < 1 || d.Size&(d.Size-1) != 0 {
			v.report(op, "shape1", "extent %s is no power of two", d)
			return
		}
		if n *= min(d.Size, 2*maxElements); n > maxElements {
			v.report(op, "shape1", "the tile has more than %d elements", maxElements)
			return
		}
		if d.Name == "" {
			continue
		}
		if c := v.p.Const(d.Name); c == nil {
			v.report(op, "shape1", "extent %s is named after a constant that is not declared", d)
		} else if c.Value != d.Size {
			v.report(op, "shape1", "extent %s is named after a constant that is %d", d, c.Value)
		}
	}
}

func (d DType) known() bool { return d >= Bool && d <= F32 }

// operands holds [form1] and [ssa1] of what an op takes; only then is it looked at further.
func (v *verifier) operands(op *Op) bool {
	if op == nil || op.Code == 0 || int(op.Code) >= len(codeNames) {
		v.report(nil, "form1", "there is an op without a meaning")
		return false
	}
	takes, yields := op.Code.arity()
	if op.Code == Loop {
		takes, yields = max(2, len(op.Args)), max(0, len(op.Args)-2)
	}
	if len(op.Args) != takes {
		v.report(op, "form1", "%s takes %d operands, not %d", op.Code, takes, len(op.Args))
		return false
	}
	if len(op.Results) != yields {
		v.report(op, "form1", "%s yields %d values, not %d", op.Code, yields, len(op.Results))
		return false
	}
	ok := true
	for i, x := range op.Args {
		switch {
		case x == nil && i == takes-1 && (op.Code == Load || op.Code == Store): // no mask
		case x == nil:
			v.report(op, "form1", "operand %d is missing", i)
			ok = false
		case !v.defined[x]:
			v.report(op, "ssa1", "%s is used where it is not defined", v.nameOf(x))
			ok = ok && v.known[x] // its type is known all the same
		}
	}
	for i, x := range op.Results {
		if x == nil {
			v.report(op, "form1", "result %d is missing", i)
			ok = false
		}
	}
	return ok
}

// arity is how many operands an op takes and how many values it yields.
func (c Code) arity() (takes, yields int) {
	switch {
	case c <= Range:
		return 0, 1
	case c.IsBinary():
		return 2, 1
	}
	switch c {
	case Where, Dot:
		return 3, 1
	case Load, AtomicAdd:
		return 2, 1
	case Store:
		return 3, 0
	case Barrier, Wait:
		return 0, 0
	case If:
		return 1, 0
	}
	return 1, 1
}

// nested checks the blocks that an op holds.
func (v *verifier) nested(op *Op) {
	switch {
	case op.Code == Loop && op.Body != nil && op.Else == nil:
		if v.loop(op) {
			v.block(op.Body)
		}
	case op.Code == If && op.Body != nil:
		for _, b := range []*Block{op.Body, op.Else} {
			if b == nil {
				continue
			}
			if len(b.Args)+len(b.Yield) > 0 {
				v.report(op, "form1", "a branch takes and yields nothing")
			}
			v.block(b)
		}
	case op.Code == Loop || op.Code == If || op.Body != nil || op.Else != nil:
		v.report(op, "form1", "%s has blocks that are not its own, or lacks one", op.Code)
	}
}

// loop holds [loop1].
func (v *verifier) loop(op *Op) bool {
	b := op.Body
	if op.Step < 1 {
		v.report(op, "loop1", "step %d: a loop counts upwards", op.Step)
	}
	for _, x := range op.Args[:2] {
		if x.DType != I32 || len(x.Shape) > 0 {
			v.report(op, "loop1", "%s is %s, expected i32", v.nameOf(x), typeText(x))
		}
	}
	if len(b.Args) != len(op.Results)+1 || len(b.Yield) != len(op.Results) {
		v.report(op, "loop1", "%d values go in, the body takes a counter and %d and yields %d", len(op.Results),
			len(b.Args)-1, len(b.Yield))
		return false
	}
	if c := b.Args[0]; c == nil || c.DType != I32 || len(c.Shape) > 0 {
		v.report(op, "loop1", "the counter must be i32")
	}
	if op.While && (len(op.Results) == 0 || op.Results[0].DType != Bool || len(op.Results[0].Shape) > 0) {
		v.report(op, "loop1", "the first value that the loop carries says whether it goes on, and must be i1")
	}
	for k, r := range op.Results {
		for _, x := range []*Value{op.Args[k+2], b.Args[k+1], b.Yield[k]} {
			if x != nil && !sameType(x, r) {
				v.report(op, "loop1", "%s is %s, and the value that it becomes is %s", v.nameOf(x), typeText(x), typeText(r))
			}
		}
	}
	return true
}
