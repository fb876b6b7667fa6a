package ops

import "flagc/ir"

// compute says which format a kernel multiplies in where the operands' own formats do not tell: FP4 weights can
// go into the product as they are, or widened, exactly, to FP8 or BF16. The result is the same.
var compute = optional(ir.AttrDecl{Name: "compute", Kind: ir.StringAttr,
	Doc: "number format that quantised weights are widened to for the product; as stored if empty"}, "")

// Linear is a projection without bias.
var Linear = define(ir.Op{
	Name: "linear",
	Doc: "y = x·wᵀ over the last axis. Quantised operands take part with their exact values, code × scale; " +
		"whether the input is quantised is the author's choice (act_quant) and shows in its type.",
	Spec:  "2.3",
	Class: ir.Contraction,
	Sig:   "x[*t,k] w[*n,k] -> y[*t,*n]",
	Types: "float|fp8 float|quant -> attr",
	Attrs: []ir.AttrDecl{dtype("bf16"), compute},
	Sum:   "k",
	Flops: "2*t*n*k",
	Eval: func(e *ir.Eval) {
		x, w, y := e.Args[0], e.Args[1], e.Out[0]
		k := x.Dim(-1)
		matmul(e, y.F, x.F, w, len(x.F)/k, w.Len()/k, k)
	},
})

// GroupedLinear projects each group of axes with weights of its own.
var GroupedLinear = define(ir.Op{
	Name:  "grouped_linear",
	Doc:   "y[g] = x[g]·w[g]ᵀ: each group g with its own weights, all in the weights' exact values.",
	Spec:  "5.7",
	Class: ir.Contraction,
	Sig:   "x[*t,g,k] w[g,r,k] -> y[*t,g,r]",
	Types: "float|fp8 float|quant -> attr",
	Attrs: []ir.AttrDecl{dtype("bf16"), compute},
	Sum:   "k",
	Flops: "2*t*g*r*k",
	Eval: func(e *ir.Eval) {
		x, w, y := e.Args[0], e.Args[1], e.Out[0]
		g, r, k := w.Dim(0), w.Dim(1), w.Dim(2)
		e.Parallel(len(x.F)/k*r, func(i int) {
			row, n := i/r, i%r
			y.F[i] = dot(x.F[row*k:(row+1)*k], w.F[(row%g*r+n)*k:][:k])
		})
	},
})

// ExpertLinear projects each token with the weights of the experts chosen for it.
var ExpertLinear = define(ir.Op{
	Name: "expert_linear",
	Doc: "y[n,j] = x[n]·w[ids[n,j]]ᵀ: slot j of token n goes through the expert chosen for it. The input may " +
		"differ from slot to slot. An id outside the range of e yields zeros.",
	Spec:  "6",
	Class: ir.Contraction,
	Sig:   "x[n,j?,k] ids[n,j]:e w[e,f,k] -> y[n,j,f]",
	Types: "float|fp8 i32 float|quant -> bf16",
	Attrs: []ir.AttrDecl{compute},
	Sum:   "k e",
	Zeros: true,
	Flops: "2*n*j*f*k",
	Eval:  expertLinear,
})

func expertLinear(e *ir.Eval) {
	x, ids, w, y := e.Args[0], e.Args[1], e.Args[2], e.Out[0]
	experts, f, k, j := w.Dim(0), w.Dim(1), w.Dim(2), ids.Dim(1)
	perSlot := len(x.Shape) == 3
	slots := make([][]int, experts)
	for i, id := range ids.I {
		if id >= 0 && int(id) < experts {
			slots[id] = append(slots[id], i)
		}
	}
	e.Parallel(experts, func(id int) {
		if len(slots[id]) == 0 {
			return
		}
		weights := w.Slice(id)
		for _, i := range slots[id] {
			row := i
			if !perSlot {
				row = i / j
			}
			in := x.F[row*k : (row+1)*k]
			for n := 0; n < f; n++ {
				y.F[i*f+n] = dot(in, weights[n*k:][:k])
			}
		}
	})
}

// Embedding looks tokens up.
var Embedding = define(ir.Op{
	Name:  "embedding",
	Doc:   "The table's row for each token id; an id outside the table yields zeros.",
	Spec:  "3",
	Class: ir.Injective,
	Sig:   "ids[*t]:v table[v,k] -> y[*t,k]",
	Types: "i32 float -> bf16",
	Sum:   "v",
	Flops: "0",
	Eval: func(e *ir.Eval) {
		ids, table, y := e.Args[0], e.Args[1], e.Out[0]
		k := table.Dim(1)
		for i, id := range ids.I {
			if id >= 0 && int(id) < table.Dim(0) {
				copy(y.F[i*k:(i+1)*k], table.Slice(int(id)))
			}
		}
	},
})

// matmul sets y[r,n] = Σ x[r,k]·w[n,k], in parallel over blocks of weight rows. A lazy weight has two axes and
// yields row by row.
func matmul(e *ir.Eval, y, x []float64, w *ir.Tensor, rows, n, k int) {
	row := func(j int) []float64 { return w.F[j*k:][:k] }
	if w.Lazy != nil {
		row = w.Lazy
	}
	const block = 16
	e.Parallel((n+block-1)/block, func(i int) {
		for j := i * block; j < min(n, (i+1)*block); j++ {
			wj := row(j)
			for r := 0; r < rows; r++ {
				y[r*n+j] = dot(x[r*k:][:k], wj)
			}
		}
	})
}

// dot sums in four strands, which the processor can overlap. Sums in float64 differ with their order only far
// below every storage rounding.
func dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a) && i+4 <= len(b); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}
