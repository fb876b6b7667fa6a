package ops

import "flagc/ir"

// ranksAxis is the axis along which ranks leave one element each.
const ranksAxis = "ranks"

// Argmax finds the largest number of each row.
var Argmax = define(ir.Op{
	Name: "argmax",
	Doc: "The largest number of each row and its place, the first of equals. A rank that has a part of the row " +
		"finds its own: a place counts from the part's first, and pick says which part is best.",
	Class: ir.Selection,
	Sig:   "x[b,v] -> value[b,r] place[b,r]",
	Types: "f32 -> f32 i32",
	Parts: "v",
	Flops: "b*v",
	Rule: func(f *ir.Inference) error {
		v := f.Dim("v")
		one := ir.Dim{Name: ranksAxis, Size: ir.Const(1)}
		if v.Split > 0 {
			one.Split, one.Over = v.Split, v.Over
		}
		f.SetDim("r", one)
		return nil
	},
	Eval: func(e *ir.Eval) {
		x, value, place := e.Args[0], e.Out[0].F, e.Out[1].I
		v := x.Dim(1)
		e.Parallel(len(value), func(i int) {
			best := first(x.F[i*v : (i+1)*v])
			value[i], place[i] = x.F[i*v+best], int32(best)
		})
	},
})

// first is the place of the largest number, the first of equals.
func first(x []float64) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// Pick finds the best of the parts of a row.
var Pick = define(ir.Op{
	Name:  "pick",
	Doc:   "The place in a row of the largest of what argmax found in its parts, of equals in the first part.",
	Class: ir.Selection,
	Sig:   "value[b,r] place[b,r] -> token[b,o]",
	Types: "f32 i32 -> i32",
	Attrs: []ir.AttrDecl{integer("part", "elements of each part")},
	Whole: "r",
	Flops: "b*r",
	Rule: func(f *ir.Inference) error {
		f.SetDim("o", ir.Dim{Name: "1", Size: ir.Const(1)})
		return nil
	},
	Eval: func(e *ir.Eval) {
		value, place, token := e.Args[0], e.Args[1].I, e.Out[0].I
		r, part := value.Dim(1), e.Attrs.Int("part")
		for i := range token {
			best := first(value.F[i*r : (i+1)*r])
			token[i] = int32(best*part) + place[i*r+best]
		}
	},
})

// Perturb makes scores whose argmax is a draw.
var Perturb = define(ir.Op{
	Name: "perturb",
	Doc: "Scores of which the largest stands at place i with the probability softmax(x / temperature)_i, if noise " +
		"is drawn from the exponential distribution: the logarithm of the softmax over the noise, but for what all " +
		"places have in common. A temperature counts as 1e-5 at least.",
	Spec:  "9",
	Class: ir.Pointwise,
	Sig:   "x[*x] noise[*x] temperature[*z] -> y[*x]",
	Types: "f32 f32 f32 -> f32",
	Flops: "4*x",
	Rule: func(f *ir.Inference) error {
		if _, err := BroadcastStrides(f.Args[0].Type, f.Args[2].Type); err != nil {
			return f.Errorf(2, "%s: %v", f.Op.Name, err)
		}
		return nil
	},
	Body: "x / max(temperature, 0.00001) - log(noise)",
})
