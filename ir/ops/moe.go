package ops

import "flagc/ir"

// TopExperts chooses experts by score.
var TopExperts = define(ir.Op{
	Name:  "top_experts",
	Doc:   "The k experts of highest score + bias for each token, best first, equal sums by lower id.",
	Spec:  "6",
	Class: ir.Selection,
	Sig:   "scores[n,e] bias[e] -> chosen[n,k]",
	Types: "f32 f32 -> i32",
	Attrs: []ir.AttrDecl{size("k", "experts per token")},
	Whole: "e",
	Flops: "n*e",
	Rule: func(f *ir.Inference) error {
		e, k := f.Dim("e"), f.Dim("k")
		have, ok1 := e.Size.IsConst()
		want, ok2 := k.Size.IsConst()
		if ok1 && ok2 && want > have {
			return f.Errorf(0, "top_experts: cannot choose %d of %s = %d experts", want, e.Name, have)
		}
		return nil
	},
	Eval: func(e *ir.Eval) {
		scores, bias, y := e.Args[0], e.Args[1].F, e.Out[0]
		n, k := scores.Dim(1), y.Dim(1)
		e.Parallel(scores.Dim(0), func(i int) {
			biased := make([]float64, n)
			for j := range biased {
				biased[j] = scores.F[i*n+j] + bias[j]
			}
			for j, id := range ranked(biased)[:k] {
				y.I[i*k+j] = int32(id)
			}
		})
	},
})

// HashExperts looks the experts of a token up in a table.
var HashExperts = define(ir.Op{
	Name:  "hash_experts",
	Doc:   "The experts that the table lists for each token's id.",
	Spec:  "6",
	Class: ir.Selection,
	Sig:   "ids[n]:v table[v,k] -> chosen[n,k]",
	Types: "i32 int -> i32",
	Whole: "v",
	Flops: "0",
	Eval: func(e *ir.Eval) {
		ids, table, y := e.Args[0], e.Args[1], e.Out[0]
		k := y.Dim(1)
		for i, id := range ids.I {
			copy(y.I[i*k:(i+1)*k], table.I[int(id)*k:])
		}
	},
})

// RouteWeights weighs the chosen experts.
var RouteWeights = define(ir.Op{
	Name:  "route_weights",
	Doc:   "The chosen experts' scores divided by their sum, times scale.",
	Spec:  "6",
	Class: ir.Reduction,
	Sig:   "scores[n,e] chosen[n,k]:e -> weights[n,k]",
	Types: "f32 i32 -> f32",
	Attrs: []ir.AttrDecl{number("scale", "what the weights sum to")},
	Whole: "e k",
	Flops: "3*n*k",
	Eval: func(e *ir.Eval) {
		scores, chosen, y := e.Args[0], e.Args[1], e.Out[0]
		n, k, scale := scores.Dim(1), y.Dim(1), e.Attrs.Float("scale")
		for i := 0; i < y.Dim(0); i++ {
			sum := 0.0
			for j := 0; j < k; j++ {
				w := scores.F[i*n+int(chosen.I[i*k+j])]
				y.F[i*k+j] = w
				sum += w
			}
			for j := 0; j < k; j++ {
				y.F[i*k+j] = y.F[i*k+j] / sum * scale
			}
		}
	},
})

// SumSlots adds the experts' outputs of each token.
var SumSlots = define(ir.Op{
	Name:  "sum_slots",
	Doc:   "The sum over the slots of each token, unrounded.",
	Spec:  "6",
	Class: ir.Reduction,
	Sig:   "y[n,j,k] -> z[n,k]",
	Types: "float -> f32",
	Sum:   "j",
	Zeros: true,
	Flops: "n*j*k",
	Eval: func(e *ir.Eval) {
		y, z := e.Args[0], e.Out[0].F
		j, k := y.Dim(1), y.Dim(2)
		for i := range z {
			for slot := 0; slot < j; slot++ {
				z[i] += y.F[(i/k*j+slot)*k+i%k]
			}
		}
	},
})
