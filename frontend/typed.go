package frontend

import (
	"strings"

	"flagc/ir"
)

// operandOf begins the words for a place in arithmetic.
const operandOf = "an operand of "

// static demands a static value; what names the place that needs it.
func (f *frame) static(r result, n node, what string) (static, bool) {
	if r.bad {
		return nil, false
	}
	if r.static == nil {
		d := f.fail(n, "%s must be known before the model runs, but %s is a tensor", what, f.src.text(n))
		if strings.HasPrefix(what, operandOf) {
			d.WithHelp("arithmetic on tensors is written with ops: add, mul, scale")
		}
		return nil, false
	}
	return r.static, true
}

// boolean demands a static condition.
func (f *frame) boolean(r result, n node) (value, ok bool) {
	v, ok := f.static(r, n, "a condition")
	if !ok {
		return false, false
	}
	if value, ok = v.(bool); !ok {
		f.fail(n, "%s is %s, not a condition", f.src.text(n), kindOf(v))
	}
	return value, ok
}

// condition evaluates a static condition.
func (f *frame) condition(x *Expr) (value, ok bool) { return f.boolean(f.eval(x), x.node) }

// integer evaluates a size.
func (f *frame) integer(x *Expr, what string) (integer, bool) {
	v, ok := f.static(f.eval(x), x.node, what)
	if !ok {
		return integer{}, false
	}
	n, ok := v.(integer)
	if !ok {
		f.fail(x.node, "%s must be an integer, but %s is %s", what, f.src.text(x.node), kindOf(v))
	}
	return n, ok
}

// count evaluates a fixed number of things between 0 and limit.
func (f *frame) count(x *Expr, what string, limit int) (int, bool) {
	n, ok := f.integer(x, what)
	if !ok {
		return 0, false
	}
	k, fixed := n.size.IsConst()
	if !fixed || k < 0 || k > limit {
		f.fail(x.node, "%s must be a fixed number from 0 to %d, not %s", what, limit, show(n))
		return 0, false
	}
	return k, true
}

// tensor demands exactly one value of the model.
func (f *frame) tensor(r result, n node, what string) (*ir.Value, bool) {
	switch {
	case r.bad:
		return nil, false
	case r.static != nil:
		f.fail(n, "%s needs a tensor, but %s is the static value %s", what, f.src.text(n), show(r.static))
		return nil, false
	case len(r.values) != 1:
		f.fail(n, "%s needs one value, but %s yields %d", what, f.src.text(n), len(r.values))
		return nil, false
	}
	return r.values[0], true
}

// axes evaluates sizes in brackets.
func (f *frame) axes(a *Axes) ([]ir.Dim, bool) {
	dims, all := []ir.Dim{}, true
	for _, x := range a.Sizes {
		n, ok := f.integer(x, "an axis")
		if !ok {
			all = false
			continue
		}
		if k, fixed := n.size.IsConst(); fixed && k < 1 {
			f.fail(x.node, "axis %s has the size %d", f.src.text(x.node), k)
			all = false
		}
		dims = append(dims, n.dim())
	}
	return dims, all
}

// typ evaluates a type. Weights are stored in blocks that share a scale; elsewhere formats are plain.
func (f *frame) typ(t *Type, weight bool) (ir.Type, bool) {
	d, known := ir.ParseDType(t.Elem.Text)
	if !known {
		f.fail(t.Elem.node, "unknown number format %s", t.Elem.Text).
			Help = didYouMean(t.Elem.Text, formats...)
	}
	dims, ok := f.axes(t.Axes)
	elem := ir.Plain(d)
	switch {
	case weight && d == ir.FP8:
		elem = ir.Quantised(d, 128, 128)
	case weight && d == ir.FP4:
		elem = ir.Quantised(d, 1, 32)
	}
	return ir.Type{Elem: elem, Dims: dims}, ok && known
}
