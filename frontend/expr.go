package frontend

import (
	"math"
	"strconv"

	"flagc/internal/diag"
	"flagc/ir"
)

// frame evaluates expressions: where names are looked up, and into which function instructions go.
type frame struct {
	*elaborator
	scope *scope
	fn    *function // nil where only static values exist
	path  string    // of the module instance, from its layer
	site  *site     // inside a function of the top level: its call in a module
}

// site is where a function of the top level was called from.
type site struct {
	at   diag.Span
	name string
}

// result is what an expression yields: a static value, or the values of instructions.
type result struct {
	static static
	values []*ir.Value
	bad    bool
}

// poison is the result of what failed: it fits everywhere and causes no further messages.
var poison = result{bad: true}

// span is where a piece of syntax stands.
func (f *frame) span(n node) diag.Span { return f.src.span(n) }

// fail reports a mistake at n; inside a function of the top level a note says where it was called from.
func (f *frame) fail(n node, format string, args ...any) *diag.Diagnostic {
	d := f.report(f.span(n), format, args...)
	if f.site != nil {
		d.WithNote(f.site.at, "%s is called here", f.site.name)
	}
	return d
}

func (f *frame) eval(x *Expr) result {
	if x.Then == nil {
		return f.chain(x.First, x.Rest)
	}
	cond, ok := f.boolean(f.chain(x.First, x.Rest), x.First.node)
	switch {
	case !ok:
		return poison
	case cond:
		return f.eval(x.Then)
	}
	return f.eval(x.Else)
}

// name is the expression if it is nothing but a name, otherwise nil.
func (x *Expr) name() *Name {
	o := x.First
	bare := x.Then == nil && len(x.Rest) == 0 && len(o.Signs) == 0 && o.As == nil
	if !bare || o.Ref == nil || o.Ref.Index != nil || o.Ref.Call != nil {
		return nil
	}
	return o.Ref.Name
}

// precedence of the operators, the loosest first; ^ alone groups to the right.
var precedence = map[string]int{"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3,
	"+": 4, "-": 4, "*": 5, "/": 5, "^": 6}

// split finds the operator that is applied last.
func split(rest []*Term) int {
	at := 0
	for i, t := range rest {
		if p, q := precedence[t.Op], precedence[rest[at].Op]; p < q || p == q && t.Op != "^" {
			at = i
		}
	}
	return at
}

// chain evaluates operands with operators between them.
func (f *frame) chain(first *Operand, rest []*Term) result {
	if len(rest) == 0 {
		return f.operand(first)
	}
	i := split(rest)
	op := rest[i]
	left := f.chain(first, rest[:i])
	if op.Op == "&&" || op.Op == "||" {
		cond, ok := f.boolean(left, first.node)
		if !ok {
			return poison
		}
		if cond == (op.Op == "||") {
			return left
		}
		right := f.chain(op.Value, rest[i+1:])
		if _, ok := f.boolean(right, op.Value.node); !ok {
			return poison
		}
		return right
	}
	right := f.chain(op.Value, rest[i+1:])
	x, ok := f.static(left, first.node, operandOf+op.Op)
	if !ok {
		return poison
	}
	y, ok := f.static(right, op.Value.node, operandOf+op.Op)
	if !ok {
		return poison
	}
	v, err := binary(op.Op, x, y)
	if err != nil {
		f.fail(node{first.Pos, op.EndPos}, "%v", err)
		return poison
	}
	return result{static: v}
}

// operand evaluates an atom, then its axes, then its signs.
func (f *frame) operand(o *Operand) result {
	var r result
	switch {
	case o.Number != nil:
		r = f.number(o)
	case o.String != nil:
		r = result{static: *o.String}
	case o.Paren != nil:
		r = f.eval(o.Paren)
	default:
		r = f.ref(o.Ref)
	}
	if o.As != nil {
		r = f.view(r, o)
	}
	for i := len(o.Signs) - 1; i >= 0 && !r.bad; i-- {
		r = f.sign(o.Signs[i], r, o.node)
	}
	return r
}

func (f *frame) number(o *Operand) result {
	if k, err := strconv.Atoi(*o.Number); err == nil && k <= maxInteger {
		return result{static: constant(k)}
	}
	v, err := strconv.ParseFloat(*o.Number, 64)
	if err != nil || math.IsInf(v, 0) {
		f.fail(o.node, "the number %s is out of range", *o.Number)
		return poison
	}
	return result{static: v}
}

func (f *frame) sign(op string, r result, n node) result {
	if op == "!" {
		cond, ok := f.boolean(r, n)
		return result{static: !cond, bad: !ok}
	}
	v, ok := f.static(r, n, operandOf+"-")
	if !ok {
		return poison
	}
	switch x := v.(type) {
	case float64:
		return result{static: -x}
	case integer:
		if v, err := arith('-', constant(0), x); err == nil {
			return result{static: v}
		}
	}
	f.fail(n, "- needs a number, not %s", kindOf(v))
	return poison
}

// ref evaluates a name, an element of a list, or a call.
func (f *frame) ref(r *Ref) result {
	if r.Call != nil {
		return f.call(r)
	}
	n := f.resolve(r.Name)
	switch {
	case n == nil || n.bad:
		return poison
	case n.part != nil:
		f.fail(r.node, "%s is a part of the model, not a value", r.Name.Text).
			WithHelp("call it: %s(…)", f.src.text(r.node))
		return poison
	case r.Index != nil:
		return f.element(r, n)
	case n.static != nil:
		return result{static: n.static}
	case f.fn == nil:
		f.fail(r.node, "%s is %s, but this must be known before the model runs", r.Name.Text, n.what())
		return poison
	}
	return result{values: []*ir.Value{f.read(n)}}
}

// read returns the current value of a tensor and marks it used.
func (f *frame) read(n *entity) *ir.Value {
	if n.state == nil {
		f.used[n.value] = true
		return n.value
	}
	f.used[n.state.Value] = true
	if now := f.fn.now[n.state]; now != nil {
		return now
	}
	return n.state.Value
}

// element evaluates name[index] for a list of the configuration.
func (f *frame) element(r *Ref, n *entity) result {
	items, ok := n.static.(list)
	if !ok {
		f.fail(r.node, "%s is %s, not a list", r.Name.Text, n.what())
		return poison
	}
	i, ok := f.integer(r.Index, "an index")
	if !ok {
		return poison
	}
	k, fixed := i.size.IsConst()
	if !fixed || k < 0 || k >= len(items) {
		f.fail(r.Index.node, "index %s is outside %s, which has %d elements", show(i), r.Name.Text, len(items))
		return poison
	}
	return result{static: items[k]}
}

// resolve finds what a name stands for, or reports that nothing does.
func (f *frame) resolve(name *Name) *entity {
	if n, _ := f.scope.lookup(name.Text); n != nil {
		return n
	}
	if f.fn == nil && (name.Text == "prefill" || name.Text == "decode") {
		f.fail(name.node, "%s is known inside functions only: what a module declares is the same in both",
			name.Text)
		return nil
	}
	d := f.fail(name.node, "unknown name %s", name.Text)
	if at, ok := f.assigned[name.Text]; ok && f.fn != nil {
		d.WithNote(at, "%s is assigned here, but not on the way that %s takes", name.Text, f.fn.ir.FullName())
		return nil
	}
	if f.funcs[name.Text] != nil || f.ops.Lookup(name.Text) != nil {
		d.Message = name.Text + " is a function, not a value"
		d.WithHelp("call it: %s(…)", name.Text)
		return nil
	}
	d.Help = diag.DidYouMean(name.Text, f.scope.visible(nil))
	return nil
}

// view evaluates x as [axes].
func (f *frame) view(r result, o *Operand) result {
	v, ok := f.tensor(r, o.node, "x as [axes]")
	if !ok {
		return poison
	}
	dims, ok := f.axes(o.As)
	if !ok {
		return poison
	}
	want := ir.Type{Elem: v.Type.Elem, Dims: dims}
	view := f.ops.Lookup("view")
	in, err := f.fn.b.Op(view, []*ir.Value{v}, nil, &want, f.where(o.node))
	if err != nil {
		d := f.fail(o.node, "%s", f.words(err, []argument{{text: f.src.text(o.Ref.orNode(o)), result: r}}))
		f.declared(d, v)
		return poison
	}
	return result{values: in.Results[:1]}
}

// orNode is where the atom of an operand with axes stands.
func (r *Ref) orNode(o *Operand) node {
	if r == nil {
		return o.node
	}
	return r.node
}

// where is the place that an instruction written at n is said to come from: functions of the top level are
// abbreviations, so what they expand to comes from their call.
func (f *frame) where(n node) diag.Span {
	if f.site != nil {
		return f.site.at
	}
	return f.span(n)
}
