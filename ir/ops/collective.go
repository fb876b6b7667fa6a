package ops

import "flagc/ir"

// AllReduce adds the parts of all ranks.
var AllReduce = define(ir.Op{
	Name: "all_reduce",
	Doc: "The sum of a partial value over the ranks, on every rank, rounded once: where the whole graph rounds it. " +
		"Parts are carried unrounded, so that the sum does not depend on how many there are.",
	Class: ir.Collective,
	Sig:   "x[*x] -> y[*x]",
	Types: "float -> =x",
	Flops: "x",
	Rule: func(f *ir.Inference) error {
		if f.Args[0].Type.Partial == ir.NotPartial {
			return f.Errorf(0, "all_reduce: %s is no part of a sum", f.Args[0].Ref())
		}
		return nil
	},
	Collective: func(ranks []*ir.Eval) {
		sum := ranks[0].Out[0].F
		for _, e := range ranks {
			for i, v := range e.Args[0].F {
				sum[i] += v
			}
		}
		for _, e := range ranks[1:] {
			copy(e.Out[0].F, sum)
		}
	},
})

// AllGather puts the parts of a split axis together.
var AllGather = define(ir.Op{
	Name:  "all_gather",
	Doc:   "The parts of a split axis of all ranks one behind the other, on every rank.",
	Class: ir.Collective,
	Sig:   "x[*x] -> y[*y]",
	Types: "any -> =x",
	Attrs: []ir.AttrDecl{integer("axis", "the split axis, counted from 0")},
	Flops: "0",
	Rule: func(f *ir.Inference) error {
		t, axis := f.Args[0].Type, f.Attrs.Int("axis")
		if axis < 0 || axis >= len(t.Dims) || t.Dims[axis].Split == 0 {
			return f.Errorf(0, "all_gather: axis %d of %s is not split", axis, t)
		}
		dims := append([]ir.Dim{}, t.Dims...)
		dims[axis] = dims[axis].Whole()
		f.Results[0] = ir.Type{Elem: t.Elem, Dims: dims}
		return nil
	},
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
