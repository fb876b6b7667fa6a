package ops

import (
	"math"

	"flagc/ir"
)

var hcAttrs = []ir.AttrDecl{
	number("norm_eps", "added to the mean square of the streams"),
	number("hc_eps", "added to each mixing weight and to each divisor"),
}

// HCPre reads one vector from the residual streams and says how its update will be written back.
var HCPre = define(ir.Op{
	Name: "hc_pre",
	Doc: "Manifold hyper-connections, before a sublayer: y mixes the streams by pre; post says how much of the " +
		"sublayer's output each stream receives, comb how streams mix among each other, made doubly " +
		"stochastic by Sinkhorn's iterations, which end on columns.",
	Spec:  "4",
	Class: ir.Reduction,
	Sig:   "x[*t,hc,k] fn[m,n] scale[c] base[m] -> y[*t,k] post[*t,hc] comb[*t,hc,hc]",
	Types: "bf16 f32 f32 f32 -> bf16 f32 f32",
	Attrs: append([]ir.AttrDecl{integer("iters", "Sinkhorn iterations, the first included")}, hcAttrs...),
	Whole: "k hc",
	Flops: "2*t*hc*k*m",
	Rule: func(f *ir.Inference) error {
		hc, _ := f.Dim("hc").Size.IsConst()
		if err := needSize(f, "m", (2+hc)*hc); err != nil {
			return err
		}
		return hcShape(f, 3)
	},
	Eval: hcPre,
})

// hcShape checks that the mixing matrix spans all streams and that there are the given number of scales.
func hcShape(f *ir.Inference, scales int) error {
	hc, _ := f.Dim("hc").Size.IsConst()
	k, _ := f.Dim("k").Size.IsConst()
	if err := needSize(f, "n", hc*k); err != nil {
		return err
	}
	return needSize(f, "c", scales)
}

// needSize is an error unless the axis bound to letter has the given size.
func needSize(f *ir.Inference, letter string, want int) error {
	if d := f.Dim(letter); !d.Size.Equal(ir.Const(want)) {
		return f.Errorf(-1, "%s: axis %s (%s) has size %s, needs %d", f.Op.Name, letter, d.Name, d.Size, want)
	}
	return nil
}

func hcPre(e *ir.Eval) {
	x, fn, scale, base := e.Args[0], e.Args[1].F, e.Args[2].F, e.Args[3].F
	hc, d := x.Dim(-2), x.Dim(-1)
	n := hc * d
	normEps, eps, iters := e.Attrs.Float("norm_eps"), e.Attrs.Float("hc_eps"), e.Attrs.Int("iters")
	e.Parallel(len(x.F)/n, func(r int) {
		row := x.F[r*n : (r+1)*n]
		g := rsqrtMean(row, normEps)
		mix := make([]float64, (2+hc)*hc)
		for m := range mix {
			mix[m] = dot(fn[m*n:(m+1)*n], row) * g
		}
		post, comb := e.Out[1].F[r*hc:(r+1)*hc], e.Out[2].F[r*hc*hc:(r+1)*hc*hc]
		pre := make([]float64, hc)
		for j := range pre {
			pre[j] = sigmoid(mix[j]*scale[0]+base[j]) + eps
			post[j] = 2 * sigmoid(mix[hc+j]*scale[1]+base[hc+j])
		}
		for j := range comb {
			comb[j] = mix[2*hc+j]*scale[2] + base[2*hc+j]
		}
		sinkhorn(comb, hc, iters, eps)
		weightedStreams(e.Out[0].F[r*d:(r+1)*d], pre, row)
	})
}

func sigmoid(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

// weightedStreams sets y to the sum of the streams, each times its weight.
func weightedStreams(y, weights, streams []float64) {
	for i := range y {
		sum := 0.0
		for j, w := range weights {
			sum += w * streams[j*len(y)+i]
		}
		y[i] = sum
	}
}

// sinkhorn makes the n×n matrix c doubly stochastic: a softmax over rows, then columns and rows in turn. It ends on
// columns.
func sinkhorn(c []float64, n, iters int, eps float64) {
	for j := 0; j < n; j++ {
		row := c[j*n : (j+1)*n]
		top, sum := math.Inf(-1), 0.0
		for _, v := range row {
			top = math.Max(top, v)
		}
		for k := range row {
			row[k] = math.Exp(row[k] - top)
			sum += row[k]
		}
		for k := range row {
			row[k] = row[k]/sum + eps
		}
	}
	columns(c, n, eps)
	for i := 1; i < iters; i++ {
		rows(c, n, eps)
		columns(c, n, eps)
	}
}

func rows(c []float64, n int, eps float64) {
	for j := 0; j < n; j++ {
		sum := 0.0
		for k := 0; k < n; k++ {
			sum += c[j*n+k]
		}
		for k := 0; k < n; k++ {
			c[j*n+k] /= sum + eps
		}
	}
}

func columns(c []float64, n int, eps float64) {
	for k := 0; k < n; k++ {
		sum := 0.0
		for j := 0; j < n; j++ {
			sum += c[j*n+k]
		}
		for j := 0; j < n; j++ {
			c[j*n+k] /= sum + eps
		}
	}
}

// HCPost writes a sublayer's output back to all streams.
var HCPost = define(ir.Op{
	Name: "hc_post",
	Doc: "Manifold hyper-connections, after a sublayer: stream k becomes post[k]·y + Σ_j comb[j,k]·x[j]. The sum " +
		"runs over the first index of comb.",
	Spec:  "4",
	Class: ir.Reduction,
	Sig:   "y[*t,k] x[*t,hc,k] post[*t,hc] comb[*t,hc,hc] -> out[*t,hc,k]",
	Types: "bf16 bf16 f32 f32 -> bf16",
	Whole: "hc",
	Flops: "2*t*hc*hc*k",
	Eval: func(e *ir.Eval) {
		y, x, post, comb, out := e.Args[0].F, e.Args[1], e.Args[2].F, e.Args[3].F, e.Out[0].F
		hc, d := x.Dim(-2), x.Dim(-1)
		e.Parallel(len(x.F)/(hc*d), func(r int) {
			for k := 0; k < hc; k++ {
				for i := 0; i < d; i++ {
					sum := post[r*hc+k] * y[r*d+i]
					for j := 0; j < hc; j++ {
						sum += comb[(r*hc+j)*hc+k] * x.F[(r*hc+j)*d+i]
					}
					out[(r*hc+k)*d+i] = sum
				}
			}
		})
	},
})

// HCHead reads the final vector from the residual streams.
var HCHead = define(ir.Op{
	Name:  "hc_head",
	Doc:   "Manifold hyper-connections, at the end: the streams mixed by pre alone.",
	Spec:  "4",
	Class: ir.Reduction,
	Sig:   "x[*t,hc,k] fn[hc,n] scale[c] base[hc] -> y[*t,k]",
	Types: "bf16 f32 f32 f32 -> bf16",
	Attrs: hcAttrs,
	Whole: "k hc",
	Flops: "2*t*hc*hc*k",
	Rule:  func(f *ir.Inference) error { return hcShape(f, 1) },
	Eval: func(e *ir.Eval) {
		x, fn, scale, base := e.Args[0], e.Args[1].F, e.Args[2].F, e.Args[3].F
		hc, d := x.Dim(-2), x.Dim(-1)
		n := hc * d
		e.Parallel(len(x.F)/n, func(r int) {
			row := x.F[r*n : (r+1)*n]
			g := rsqrtMean(row, e.Attrs.Float("norm_eps"))
			pre := make([]float64, hc)
			for j := range pre {
				pre[j] = sigmoid(dot(fn[j*n:(j+1)*n], row)*g*scale[0]+base[j]) + e.Attrs.Float("hc_eps")
			}
			weightedStreams(e.Out[0].F[r*d:(r+1)*d], pre, row)
		})
	},
})
