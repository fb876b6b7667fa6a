package ops

import "flagc/ir"

// over names the communicator of a collective.
var over = ir.AttrDecl{Name: "over", Kind: ir.StringAttr, Doc: "the axis of the mesh whose ranks meet; empty for all ranks",
	Default: ""}

// AllReduce adds the parts of all ranks.
var AllReduce = define(ir.Op{
	Name: "all_reduce",
	Doc: "The sum of a partial value over the ranks, on every rank, rounded once: where the whole graph rounds it. " +
		"Parts are carried unrounded, so that the sum does not depend on how many there are.",
	Class: ir.Collective,
	Sig:   "x[*x] -> y[*x]",
	Types: "float -> =x",
	Attrs: []ir.AttrDecl{over},
	Flops: "x",
	Rule: func(f *ir.Inference) error {
		t := f.Args[0].Type
		if err := isPart(f, t); err != nil {
			return err
		}
		f.Results[0] = ir.Type{Elem: t.Elem, Dims: t.Dims}
		return nil
	},
	Collective: func(ranks []*ir.Eval) {
		sum := ranks[0].Out[0].F
		addParts(sum, ranks)
		for _, e := range ranks[1:] {
			copy(e.Out[0].F, sum)
		}
	},
})

// isPart demands that a type is a part of a sum over the collective's ranks.
func isPart(f *ir.Inference, t ir.Type) error {
	switch name := f.Attrs.Str("over"); {
	case t.Partial == ir.NotPartial:
		return f.Errorf(0, "%s: %s is no part of a sum", f.Op.Name, f.Args[0].Ref())
	case t.Over != name:
		return f.Errorf(0, "%s over %q: %s is a part of a sum over %q", f.Op.Name, name, f.Args[0].Ref(), t.Over)
	}
	return nil
}

// addParts sums the first operands of all ranks.
func addParts(sum []float64, ranks []*ir.Eval) {
	for _, e := range ranks {
		for i, v := range e.Args[0].F {
			sum[i] += v
		}
	}
}

// ReduceScatter adds the parts of all ranks and leaves each with a part of the sum.
var ReduceScatter = define(ir.Op{
	Name: "reduce_scatter",
	Doc: "The sum of a partial value over the ranks, rounded once, of which each rank gets one part along an axis. " +
		"The result's type is ascribed.",
	Class: ir.Collective,
	Sig:   "x[*x] -> y[*y]",
	Types: "float -> =x",
	Attrs: []ir.AttrDecl{integer("axis", "the axis that the ranks divide among them, counted from 0"), over},
	Flops: "x",
	Rule:  reduceScatterRule,
	Collective: func(ranks []*ir.Eval) {
		axis, x := ranks[0].Attrs.Int("axis"), ranks[0].Args[0]
		sum := make([]float64, x.Len())
		addParts(sum, ranks)
		inner := 1
		for _, n := range ranks[0].Out[0].Shape[axis:] {
			inner *= n
		}
		for r, e := range ranks {
			to := e.Out[0].F
			for o := 0; o < len(to)/max(inner, 1); o++ {
				copy(to[o*inner:(o+1)*inner], sum[(o*len(ranks)+r)*inner:])
			}
		}
	},
})

func reduceScatterRule(f *ir.Inference) error {
	t, axis, name := f.Args[0].Type, f.Attrs.Int("axis"), f.Attrs.Str("over")
	if err := isPart(f, t); err != nil {
		return err
	}
	if axis < 0 || axis >= len(t.Dims) || t.Dims[axis].Split > 0 {
		return f.Errorf(0, "reduce_scatter: axis %d of %s cannot be divided among the ranks", axis, t)
	}
	if f.Want == nil || axis >= len(f.Want.Dims) {
		return f.Errorf(-1, "reduce_scatter needs the type that it shall yield")
	}
	d := t.Dims[axis]
	part := d.PartOver(f.Want.Dims[axis].Split, name)
	if !part.Whole().Size.Equal(d.Size) || part.Split < 2 {
		return f.Errorf(0, "reduce_scatter: axis %s = %s cannot be divided into %d parts", d.Name, d.Size, f.Want.Dims[axis].Split)
	}
	dims := append([]ir.Dim{}, t.Dims...)
	dims[axis] = part
	f.Results[0] = ir.Type{Elem: t.Elem, Dims: dims}
	return nil
}

// AllGather puts the parts of a split axis together.
var AllGather = define(ir.Op{
	Name: "all_gather",
	Doc: "The parts of a split axis of all ranks one behind the other, on every rank. Over the last axis of a mesh, an " +
		"axis that is split over all ranks becomes one that is split over the first; that type is ascribed.",
	Class: ir.Collective,
	Sig:   "x[*x] -> y[*y]",
	Types: "any -> =x",
	Attrs: []ir.AttrDecl{integer("axis", "the split axis, counted from 0"), over},
	Flops: "0",
	Rule:  allGatherRule,
	Collective: func(ranks []*ir.Eval) {
		axis := ranks[0].Attrs.Int("axis")
		inner := 1
		for _, n := range ranks[0].Args[0].Shape[axis:] {
			inner *= n
		}
		for _, to := range ranks {
			for r, from := range ranks {
				gatherPart(to.Out[0], from.Args[0], r, len(ranks), inner)
			}
		}
	},
})

func allGatherRule(f *ir.Inference) error {
	t, axis, name := f.Args[0].Type, f.Attrs.Int("axis"), f.Attrs.Str("over")
	if axis < 0 || axis >= len(t.Dims) || t.Dims[axis].Split == 0 {
		return f.Errorf(0, "all_gather: axis %d of %s is not split", axis, t)
	}
	d := t.Dims[axis]
	dims := append([]ir.Dim{}, t.Dims...)
	switch {
	case d.Over == name:
		dims[axis] = d.Whole()
	case d.Over == "" && f.Want != nil && axis < len(f.Want.Dims) && f.Want.Dims[axis].Over != "":
		to := f.Want.Dims[axis]
		if to.Over == name || to.Split < 2 || d.Split%to.Split != 0 || d.Split == to.Split {
			return f.Errorf(0, "all_gather over %q: axis %s cannot stay split over %q", name, d.Name, to.Over)
		}
		dims[axis] = d.Whole().PartOver(to.Split, to.Over)
	default:
		return f.Errorf(0, "all_gather over %q: axis %s of %s is split over %q", name, d.Name, t, d.Over)
	}
	f.Results[0] = ir.Type{Elem: t.Elem, Dims: dims}
	return nil
}

// gatherPart copies the part of rank r into its place in every outer row; inner is the length of a part's row.
func gatherPart(to, from *ir.Tensor, r, ranks, inner int) {
	for o := 0; o < from.Len()/max(inner, 1); o++ {
		at := (o*ranks + r) * inner
		if from.I != nil {
			copy(to.I[at:], from.I[o*inner:(o+1)*inner])
		} else {
			copy(to.F[at:], from.F[o*inner:(o+1)*inner])
		}
	}
}
