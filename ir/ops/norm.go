package ops

import (
	"math"

	"flagc/ir"
	"flagc/runtime/formats"
)

// RMSNorm normalises the last axis and applies a learned gain.
var RMSNorm = define(ir.Op{
	Name:  "rms_norm",
	Doc:   "w · x / √(mean(x²) + eps) over the last axis, rounded once.",
	Spec:  "2.4",
	Class: ir.Reduction,
	Sig:   "x[*t,k] w[k] -> y[*t,k]",
	Types: "float float -> bf16",
	Attrs: []ir.AttrDecl{number("eps", "added to the mean square")},
	Whole: "k",
	Flops: "4*t*k",
	Eval: func(e *ir.Eval) {
		x, w, y, eps := e.Args[0].F, e.Args[1].F, e.Out[0].F, e.Attrs.Float("eps")
		k := len(w)
		e.Parallel(len(x)/max(k, 1), func(r int) {
			g := rsqrtMean(x[r*k:(r+1)*k], eps)
			for i := 0; i < k; i++ {
				y[r*k+i] = w[i] * (x[r*k+i] * g)
			}
		})
	},
})

// rsqrtMean is 1 / √(mean(x²) + eps).
func rsqrtMean(x []float64, eps float64) float64 {
	return 1 / math.Sqrt(dot(x, x)/float64(len(x))+eps)
}

// HeadNorm normalises each head of q.
var HeadNorm = define(ir.Op{
	Name: "head_norm",
	Doc: "x / √(mean(x²) + eps) over the last axis without gain, in bf16 step by step: square, mean, sum with " +
		"eps, reciprocal root and product are each rounded.",
	Spec:  "5.1",
	Class: ir.Reduction,
	Sig:   "x[*t,k] -> y[*t,k]",
	Types: "bf16 -> bf16",
	Attrs: []ir.AttrDecl{number("eps", "added to the mean square")},
	Whole: "k",
	Flops: "4*t*k",
	Eval: func(e *ir.Eval) {
		x, y := e.Args[0].F, e.Out[0].F
		k := e.Args[0].Dim(-1)
		eps := float64(float32(e.Attrs.Float("eps")))
		e.Parallel(len(x)/max(k, 1), func(r int) {
			row := x[r*k : (r+1)*k]
			sum := 0.0
			for _, v := range row {
				sum += formats.RoundBF16(v * v)
			}
			mean := formats.RoundBF16(sum / float64(k))
			g := formats.RoundBF16(1 / math.Sqrt(formats.RoundBF16(mean+eps)))
			for i, v := range row {
				y[r*k+i] = v * g
			}
		})
	},
})
