package ops

import (
	"strings"

	"flagc/ir"
)

// ViewAs gives the same elements other axes.
var ViewAs = define(ir.Op{
	Name: "view",
	Doc: "The same elements in the same order under other axes: axes are joined (b, s → b*s) or split " +
		"(H → G, P where H = G·P). The result's type is ascribed.",
	Class: ir.View,
	Sig:   "x[*x] -> y[*y]",
	Types: "any -> =x",
	Rule:  viewRule,
	Flops: "0",
	Eval: func(e *ir.Eval) {
		copy(e.Out[0].F, e.Args[0].F)
		copy(e.Out[0].I, e.Args[0].I)
	},
})

// viewRule takes the ascribed axes if they are a regrouping of the operand's, in the same order.
func viewRule(f *ir.Inference) error {
	if f.Want == nil {
		return f.Errorf(-1, "view needs the axes that it shall have: write x as [axes]")
	}
	from, to := f.Args[0].Type, *f.Want
	if to.Elem.DType != ir.Invalid && to.Elem != from.Elem {
		return f.Errorf(-1, "view cannot change %s to %s", from.Elem, to.Elem)
	}
	a, b := factors(from.Dims, f.Names), factors(to.Dims, f.Names)
	for len(a) > 0 && len(b) > 0 && a[0].Equal(b[0]) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1].Equal(b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if !product(a).Equal(product(b)) || shareName(a, b) || !sameParts(a, b) {
		return f.Errorf(0, "view: %s cannot be seen as [%s]: the axes do not regroup in order",
			from.Describe(), strings.TrimSuffix(strings.TrimPrefix(ir.Type{Elem: from.Elem, Dims: to.Dims}.Describe(),
				from.Elem.String()+"["), "]"))
	}
	f.Results[0] = ir.Type{Elem: from.Elem, Dims: to.Dims}
	return nil
}

// factors splits product axes ("G*R") into their factors where every factor's size is known.
func factors(dims []ir.Dim, names map[string]int) []ir.Dim {
	var out []ir.Dim
	for _, d := range dims {
		var parts []ir.Dim
		for _, name := range strings.Split(d.Name, "*") {
			s, err := ir.ParseSize(name, names)
			if err != nil {
				parts = nil
				break
			}
			parts = append(parts, ir.Dim{Name: name, Size: s})
		}
		if parts == nil || !product(parts).Equal(d.Whole().Size) || !divides(d.Split, parts[0]) {
			parts = []ir.Dim{d.Whole()}
		}
		if d.Split > 0 { // elements are row-major, so splitting a product splits its first factor
			parts[0] = parts[0].PartOver(d.Split, d.Over)
		}
		out = append(out, parts...)
	}
	return out
}

// divides reports whether n parts of an axis are equal.
func divides(n int, d ir.Dim) bool {
	k, ok := d.Size.IsConst()
	return n == 0 || !ok || k%n == 0
}

func product(dims []ir.Dim) ir.Size {
	p := ir.Const(1)
	for _, d := range dims {
		p = p.Mul(d.Size)
	}
	return p
}

func shareName(a, b []ir.Dim) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Name == y.Name && x.Split == y.Split && x.Over == y.Over {
				return true
			}
		}
	}
	return false
}

// sameParts reports whether a regrouping of axes leaves every rank with the elements that it has: what is split
// varies slowest on both sides. An axis split over all ranks of a grid is the same as two, each split over one axis
// of the grid.
func sameParts(a, b []ir.Dim) bool {
	x, okA := leadingSplits(a)
	y, okB := leadingSplits(b)
	if !okA || !okB {
		return false
	}
	if len(x) == len(y) {
		for i := range x {
			if x[i].Split != y[i].Split || x[i].Over != y[i].Over {
				return false
			}
		}
		return true
	}
	if len(x) > len(y) {
		x, y = y, x
	}
	return len(x) == 1 && len(y) == 2 && x[0].Over == "" && x[0].Split == y[0].Split*y[1].Split
}

// leadingSplits lists the split axes; ok says that before each of them nothing varies on one rank.
func leadingSplits(dims []ir.Dim) (splits []ir.Dim, ok bool) {
	before := ir.Const(1)
	for _, d := range dims {
		if d.Split > 0 {
			if !before.Equal(ir.Const(1)) {
				return nil, false
			}
			splits = append(splits, d)
		}
		before = before.Mul(d.Size)
	}
	return splits, true
}

// Repeat inserts an axis along which the last axis' vectors are repeated.
var Repeat = define(ir.Op{
	Name:  "repeat",
	Doc:   "Every vector of the last axis, repeated along a new axis before it.",
	Class: ir.Injective,
	Sig:   "x[*t,k] -> y[*t,hc,k]",
	Types: "float -> =x",
	Attrs: []ir.AttrDecl{size("hc", "the new axis")},
	Flops: "0",
	Eval: func(e *ir.Eval) {
		x, y := e.Args[0].F, e.Out[0].F
		k, n := e.Out[0].Dim(-1), e.Out[0].Dim(-2)
		for r := 0; r < len(x)/max(k, 1); r++ {
			for j := 0; j < n; j++ {
				copy(y[(r*n+j)*k:], x[r*k:(r+1)*k])
			}
		}
	},
})

// Last keeps the last token of the call.
var Last = define(ir.Op{
	Name:  "last",
	Doc:   "The last token of the call.",
	Spec:  "7",
	Class: ir.Injective,
	Sig:   "x[b,s,*k] -> y[b,*k]",
	Types: "float -> =x",
	Flops: "0",
	Eval: func(e *ir.Eval) {
		x, y, b, s := e.Args[0].F, e.Out[0].F, e.Args[0].Dim(0), e.Args[0].Dim(1)
		k := len(y) / b
		for i := 0; i < b; i++ {
			copy(y[i*k:(i+1)*k], x[(i*s+s-1)*k:])
		}
	},
})

// Take keeps the first rows of each sequence.
var Take = define(ir.Op{
	Name:  "take",
	Doc:   "The first n rows of each sequence: what a cache holds so far.",
	Class: ir.View,
	Sig:   "x[b,j,d] -> y[b,n,d]",
	Types: "float -> =x",
	Attrs: []ir.AttrDecl{size("n", "rows to keep")},
	Flops: "0",
	Eval: func(e *ir.Eval) {
		x, y := e.Args[0], e.Out[0]
		d, j, n := x.Dim(2), x.Dim(1), y.Dim(1)
		for b := 0; b < x.Dim(0); b++ {
			copy(y.F[b*n*d:(b+1)*n*d], x.F[b*j*d:])
		}
	},
})

// Concat joins two values along one axis.
var Concat = define(ir.Op{
	Name:  "concat",
	Doc:   "Two values one behind the other along one axis; the other axes are equal.",
	Class: ir.Injective,
	Sig:   "a[*x] b[*z] -> y[*y]",
	Types: "any any -> =a",
	Attrs: []ir.AttrDecl{integer("axis", "the axis to join, counted from 0")},
	Rule:  concatRule,
	Flops: "0",
	Eval:  concat,
})

func concatRule(f *ir.Inference) error {
	a, b, axis := f.Args[0].Type, f.Args[1].Type, f.Attrs.Int("axis")
	if len(a.Dims) != len(b.Dims) || axis < 0 || axis >= len(a.Dims) || a.Elem != b.Elem {
		return f.Errorf(1, "concat: %s and %s cannot be joined along axis %d", a, b, axis)
	}
	dims := append([]ir.Dim{}, a.Dims...)
	for i := range dims {
		if i == axis {
			sum := a.Dims[i].Size.Add(b.Dims[i].Size)
			dims[i] = ir.Dim{Name: sum.String(), Size: sum}
		} else if !dims[i].Equal(b.Dims[i]) {
			return f.Errorf(1, "concat: axis %s of %s differs from %s of %s", b.Dims[i].Name, b, dims[i].Name, a)
		}
	}
	f.Results[0] = ir.Type{Elem: a.Elem, Dims: dims}
	return nil
}

func concat(e *ir.Eval) {
	a, b, axis := e.Args[0], e.Args[1], e.Attrs.Int("axis")
	outer, inner := 1, 1
	for i, n := range a.Shape {
		if i < axis {
			outer *= n
		} else if i > axis {
			inner *= n
		}
	}
	na, nb := a.Shape[axis]*inner, b.Shape[axis]*inner
	for o := 0; o < outer; o++ {
		if a.F != nil {
			copy(e.Out[0].F[o*(na+nb):], a.F[o*na:(o+1)*na])
			copy(e.Out[0].F[o*(na+nb)+na:], b.F[o*nb:(o+1)*nb])
		} else {
			copy(e.Out[0].I[o*(na+nb):], a.I[o*na:(o+1)*na])
			copy(e.Out[0].I[o*(na+nb)+na:], b.I[o*nb:(o+1)*nb])
		}
	}
}
