package passes_test

import (
	"math"
	"slices"
	"strings"

	"flagc/ir"
	"flagc/ir/ops"
)

// moves are the ways in which a function grows, each as likely as its weight says.
var moves []move

type move struct {
	weight int
	make   func(*body)
}

func init() { // not where it is declared, since moves make others
	moves = []move{
		{4, (*body).add2}, {2, (*body).mul}, {2, (*body).scale}, {3, (*body).cast}, {1, (*body).softplus}, {2, (*body).gated},
		{6, (*body).view}, {1, (*body).repeat}, {1, (*body).last}, {2, (*body).concat},
		{6, (*body).linear}, {3, (*body).grouped}, {1, (*body).embedding}, {2, (*body).norm}, {1, (*body).headNorm},
		{3, (*body).quantise}, {1, (*body).simulate}, {1, (*body).hadamard}, {1, (*body).rope},
		// What ops make together in models.
		{4, (*body).expertPair}, {4, (*body).attention}, {3, (*body).experts}, {3, (*body).hyper}, {2, (*body).hyperHead},
		{2, (*body).ring}, {2, (*body).compress},
	}
}

func isFloat(v *ir.Value) bool { return v.Type.Elem.DType.IsFloat() && !v.Type.Elem.IsQuantised() }

func isBF16(v *ir.Value) bool { return v.Type.Elem == bf16 }

func isF32(v *ir.Value) bool { return v.Type.Elem == ir.Plain(ir.F32) }

// width is the constant size of the last axis, 0 if there is none.
func width(v *ir.Value) int {
	if len(v.Type.Dims) == 0 {
		return 0
	}
	k, _ := lastAxis(v).Size.IsConst()
	return k
}

func lastAxis(v *ir.Value) ir.Dim { return v.Type.Dims[len(v.Type.Dims)-1] }

// begins reports whether a value's first axes have these names.
func begins(v *ir.Value, names ...string) bool {
	if len(v.Type.Dims) < len(names) {
		return false
	}
	for i, n := range names {
		if v.Type.Dims[i].Name != n {
			return false
		}
	}
	return true
}

var (
	bf16 = ir.Plain(ir.BF16)
	f32  = ir.Plain(ir.F32)
	fp8  = ir.Quantised(ir.FP8, 128, 128)
	fp4  = ir.Quantised(ir.FP4, 1, 32)
)

// matrix is the encoding of a weight whose rows have k elements.
func (b *body) matrix(k ir.Dim) ir.Elem {
	n, _ := k.Size.IsConst()
	e := oneOf(b.grower, bf16, bf16, f32, fp8, fp8, fp8, fp4)
	if e == fp4 && n%32 != 0 || e.IsQuantised() && b.even && b.Intn(10) > 0 {
		return bf16
	}
	return e
}

// factor is an operand that a product can sum over exactly.
func (b *body) factor(v *ir.Value) bool {
	return width(v) > 0 && b.short[v] && !v.Type.Elem.DType.IsInt()
}

func (b *body) pairOf(fits func(*ir.Value) bool) (x, y *ir.Value) {
	x = b.pick(fits)
	y = b.pick(func(v *ir.Value) bool {
		if x == nil || !isFloat(v) || v == x {
			return false
		}
		_, err := ops.BroadcastStrides(x.Type, v.Type)
		return err == nil
	})
	return x, y
}

func (b *body) add2() {
	x, y := b.pairOf(isFloat)
	b.op(ops.Add, nil, x, y)
}

func (b *body) mul() {
	x, y := b.pairOf(isFloat)
	if x != nil && b.Intn(3) == 0 { // with a gain for each channel, as norms have
		if width(x) == 0 {
			return
		}
		y = b.weight(oneOf(b.grower, bf16, f32), lastAxis(x))
	}
	b.op(ops.Mul, nil, x, y)
}

func (b *body) scale() {
	b.op(ops.Scale, ir.Attrs{{Name: "factor", Value: oneOf(b.grower, 0.5, 0.3, -1.5)}}, b.pick(isFloat))
}

func (b *body) cast() {
	b.op(ops.Cast, ir.Attrs{{Name: "dtype", Value: oneOf(b.grower, "bf16", "bf16", "f32")}}, b.pick(isFloat))
}

func (b *body) softplus() { b.op(ops.SqrtSoftplus, nil, b.pick(isF32)) }

func (b *body) gated() {
	x := b.pick(isFloat)
	y := b.pick(func(v *ir.Value) bool {
		return x != nil && isFloat(v) && slices.EqualFunc(v.Type.Dims, x.Type.Dims, ir.Dim.Equal)
	})
	b.activate(x, y)
}

// activate is swiglu rounded to bf16.
func (b *body) activate(gate, up *ir.Value) *ir.Value {
	y := b.op(ops.SwiGLU, ir.Attrs{{Name: "limit", Value: oneOf(b.grower, 10.0, 0.5, math.Inf(1))}}, gate, up)
	return b.op(ops.Cast, ir.Attrs{{Name: "dtype", Value: "bf16"}}, y)
}

// view joins two axes, or splits one.
func (b *body) view() {
	v := b.pick(func(v *ir.Value) bool { return len(v.Type.Dims) > 0 })
	i := b.Intn(len(v.Type.Dims))
	if v.Type.Elem.IsQuantised() && i >= len(v.Type.Dims)-2 {
		return // scale blocks stay in their rows
	}
	if b.Intn(2) == 0 {
		b.join(v, i)
	} else {
		b.split(v, i)
	}
}

// viewed is a value under other axes.
func (b *body) viewed(v *ir.Value, dims []ir.Dim) *ir.Value {
	if v == nil {
		return nil
	}
	r := first(b.results(ops.ViewAs, nil, &ir.Type{Elem: v.Type.Elem, Dims: dims}, v))
	if r != nil && b.below[v] > 0 {
		b.below[r] = b.below[v]
	}
	return r
}

func (b *body) join(v *ir.Value, i int) *ir.Value {
	if v == nil || i < 0 || i+1 >= len(v.Type.Dims) {
		return nil
	}
	name := v.Type.Dims[i].Name + "*" + v.Type.Dims[i+1].Name
	if strings.ContainsAny(name, "+-/(,") {
		return nil
	}
	dims := slices.Clone(v.Type.Dims)
	return b.viewed(v, slices.Replace(dims, i, i+2, b.axis(name)))
}

func (b *body) split(v *ir.Value, i int) *ir.Value {
	d := v.Type.Dims[i]
	var parts []ir.Dim
	switch left, right, product := strings.Cut(d.Name, "*"); {
	case strings.ContainsAny(d.Name, "+-/(,"):
		return nil
	case product:
		parts = b.axes(left, right)
	case d.Name == "H":
		parts = b.axes("G", "P")
	default:
		k, ok := d.Size.IsConst()
		n := oneOf(b.grower, 2, 3, 4)
		if !ok || k%n != 0 {
			return nil
		}
		parts = []ir.Dim{{Name: text(n), Size: ir.Const(n)}, {Name: text(k / n), Size: ir.Const(k / n)}}
	}
	if parts[0].Equal(parts[1]) {
		return nil
	}
	return b.viewed(v, slices.Replace(slices.Clone(v.Type.Dims), i, i+1, parts...))
}

func text(n int) string { return ir.Const(n).String() }

func (b *body) repeat() {
	b.op(ops.Repeat, ir.Attrs{{Name: "hc", Value: b.axis(oneOf(b.grower, "hc", "2", "G"))}},
		b.pick(func(v *ir.Value) bool { return isFloat(v) && width(v) > 0 }))
}

func (b *body) last() {
	b.op(ops.Last, nil, b.pick(func(v *ir.Value) bool { return isFloat(v) && begins(v, "b", "s") }))
}

// concat joins two values that agree but along one axis.
func (b *body) concat() {
	x := b.pick(func(v *ir.Value) bool { return len(v.Type.Dims) > 0 && !v.Type.Elem.IsQuantised() })
	axis := b.Intn(len(x.Type.Dims))
	y := b.pick(func(v *ir.Value) bool {
		if v.Type.Elem != x.Type.Elem || len(v.Type.Dims) != len(x.Type.Dims) {
			return false
		}
		for i, d := range v.Type.Dims {
			if i != axis && !d.Equal(x.Type.Dims[i]) {
				return false
			}
		}
		return true
	})
	b.op(ops.Concat, ir.Attrs{{Name: "axis", Value: axis}}, x, y)
}

// linear projects onto one axis or two.
func (b *body) linear() {
	out := oneOf(b.grower, []string{"D"}, []string{"D"}, []string{"F"}, []string{"Q"}, []string{"H", "d"}, []string{"I", "c"},
		[]string{"G", "R"}, []string{"G*R"}, []string{"2*c"}, []string{"V"}, []string{"I"}, []string{"E"}, []string{"H*d"})
	b.project(b.pick(b.factor), oneOf(b.grower, "bf16", "bf16", "bf16", "f32"), out...)
}

func (b *body) project(x *ir.Value, dtype string, out ...string) *ir.Value {
	if x == nil || width(x) == 0 {
		return nil
	}
	w := b.weight(b.matrix(lastAxis(x)), append(b.axes(out...), lastAxis(x))...)
	return b.op(ops.Linear, ir.Attrs{{Name: "dtype", Value: dtype}}, x, w)
}

func (b *body) grouped() {
	x := b.pick(func(v *ir.Value) bool {
		if !b.factor(v) || len(v.Type.Dims) < 2 {
			return false
		}
		_, ok := v.Type.Dims[len(v.Type.Dims)-2].Size.IsConst()
		return ok
	})
	b.project2(x, oneOf(b.grower, "R", "d", "8"))
}

// project2 projects each group, which the axis before the last counts.
func (b *body) project2(x *ir.Value, out string) *ir.Value {
	if x == nil {
		return nil
	}
	n := len(x.Type.Dims)
	w := b.weight(b.matrix(lastAxis(x)), x.Type.Dims[n-2], b.axis(out), lastAxis(x))
	return b.op(ops.GroupedLinear, ir.Attrs{{Name: "dtype", Value: oneOf(b.grower, "bf16", "bf16", "f32")}}, x, w)
}

func (b *body) ids() *ir.Value {
	return b.pick(func(v *ir.Value) bool { return v.Type.Elem == ir.Plain(ir.I32) && b.below[v] > 0 })
}

func (b *body) embedding() {
	b.op(ops.Embedding, nil, b.ids(), b.weight(oneOf(b.grower, bf16, f32), b.axes("V", oneOf(b.grower, "D", "F"))...))
}

func eps(name string) ir.Attr { return ir.Attr{Name: name, Value: 1e-6} }

func (b *body) norm() {
	b.normed(b.pick(func(v *ir.Value) bool { return isFloat(v) && width(v) > 0 }))
}

func (b *body) normed(x *ir.Value) *ir.Value {
	if x == nil {
		return nil
	}
	return b.op(ops.RMSNorm, ir.Attrs{eps("eps")}, x, b.weight(oneOf(b.grower, bf16, f32), lastAxis(x)))
}

func (b *body) headNorm() {
	b.op(ops.HeadNorm, ir.Attrs{eps("eps")}, b.pick(func(v *ir.Value) bool { return isBF16(v) && width(v) > 0 }))
}

func (b *body) quantise() {
	b.quantised(b.pick(func(v *ir.Value) bool { return isBF16(v) && width(v)%32 == 0 }))
}

// quantised is what a projection multiplies: a value in blocks.
func (b *body) quantised(x *ir.Value) *ir.Value {
	return b.op(ops.ActQuant, ir.Attrs{{Name: "block", Value: oneOf(b.grower, 32, 32, 64, 128)}}, x)
}

// maybe quantises a value or leaves it.
func (b *body) maybe(x *ir.Value) *ir.Value {
	if b.Intn(3) == 0 {
		return x
	}
	if q := b.quantised(x); q != nil {
		return q
	}
	return x
}

func (b *body) simulate() {
	x := b.pick(func(v *ir.Value) bool { return isBF16(v) && width(v) > 0 })
	if b.Intn(2) == 0 {
		b.op(ops.FP4QuantSim, ir.Attrs{{Name: "block", Value: oneOf(b.grower, 4, 32)}}, x)
		return
	}
	b.op(ops.ActQuantSim, ir.Attrs{{Name: "block", Value: oneOf(b.grower, 4, 32, 64)}, {Name: "keep", Value: oneOf(b.grower, 0, 4)}}, x)
}

func (b *body) hadamard() {
	b.op(ops.Hadamard, nil, b.pick(func(v *ir.Value) bool { return isBF16(v) && width(v) > 0 }))
}

func (b *body) rope() {
	b.rotated(b.pick(func(v *ir.Value) bool { return isBF16(v) && begins(v, "b", "s") && width(v) > 1 }), b.Intn(2) == 0)
}

func (b *body) rotated(x *ir.Value, inverse bool) *ir.Value {
	attrs := ir.Attrs{{Name: "first", Value: b.axis("p")}, {Name: "dims", Value: oneOf(b.grower, 2, 4)}, {Name: "theta", Value: 100.0},
		{Name: "inverse", Value: inverse}}
	if b.Intn(2) == 0 {
		attrs = append(attrs, ir.Attr{Name: "factor", Value: 4}, ir.Attr{Name: "original", Value: 64},
			ir.Attr{Name: "beta_fast", Value: 32}, ir.Attr{Name: "beta_slow", Value: 1})
	}
	return b.op(ops.Rope, attrs, x)
}
