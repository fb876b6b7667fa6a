package ops

import (
	"math"

	"flagc/ir"
	"flagc/runtime/formats"
)

// ActQuant quantises activations for a matrix product.
var ActQuant = define(ir.Op{
	Name: "act_quant",
	Doc: "The value as e4m3 codes with one power-of-two scale per block of the last axis, the smallest with " +
		"which the block's largest magnitude fits (at least 1e-4 is assumed).",
	Spec:  "2.1",
	Class: ir.Reduction,
	Sig:   "x[*t,k] -> q[*t,k]",
	Types: "bf16 -> fp8",
	Attrs: []ir.AttrDecl{integer("block", "elements that share a scale")},
	Zeros: true,
	Flops: "3*t*k",
	Rule: func(f *ir.Inference) error {
		block := f.Attrs.Int("block")
		f.Results[0].Elem = ir.Quantised(ir.FP8, 1, block)
		return needMultiple(f, 0, f.Dim("k"), 0, block)
	},
	Eval: func(e *ir.Eval) {
		copy(e.Out[0].F, e.Args[0].F)
		eachBlock(e, e.Attrs.Int("block"), 0, quantFP8)
	},
})

// ActQuantSim rounds to the grid of ActQuant and stays in bf16.
var ActQuantSim = define(ir.Op{
	Name: "act_quant_sim",
	Doc: "The value rounded to the grid of act_quant, as bf16; the last keep channels stay as they are. " +
		"Training saw the KV cache so, hence it is part of the model.",
	Spec:  "2.1",
	Class: ir.Reduction,
	Sig:   "x[*t,k] -> y[*t,k]",
	Types: "bf16 -> bf16",
	Attrs: []ir.AttrDecl{integer("block", "elements that share a scale"), integer("keep", "last channels that stay")},
	Whole: "k",
	Flops: "3*t*k",
	Rule: func(f *ir.Inference) error {
		return needMultiple(f, 0, f.Dim("k"), f.Attrs.Int("keep"), f.Attrs.Int("block"))
	},
	Eval: func(e *ir.Eval) {
		copy(e.Out[0].F, e.Args[0].F)
		eachBlock(e, e.Attrs.Int("block"), e.Attrs.Int("keep"), quantFP8)
	},
})

// FP4QuantSim rounds to the e2m1 grid and stays in bf16.
var FP4QuantSim = define(ir.Op{
	Name: "fp4_quant_sim",
	Doc: "The value rounded to e2m1 with one power-of-two scale per block of the last axis, as bf16; " +
		"queries and keys of the indexer are so.",
	Spec:  "2.2",
	Class: ir.Reduction,
	Sig:   "x[*t,k] -> y[*t,k]",
	Types: "bf16 -> bf16",
	Attrs: []ir.AttrDecl{integer("block", "elements that share a scale")},
	Whole: "k",
	Flops: "3*t*k",
	Rule: func(f *ir.Inference) error {
		return needMultiple(f, 0, f.Dim("k"), 0, f.Attrs.Int("block"))
	},
	Eval: func(e *ir.Eval) {
		copy(e.Out[0].F, e.Args[0].F)
		eachBlock(e, e.Attrs.Int("block"), 0, quantFP4)
	},
})

// eachBlock applies quant to every block of the result's rows, leaving the last keep channels alone.
func eachBlock(e *ir.Eval, block, keep int, quant func([]float64)) {
	y := e.Out[0]
	k := y.Dim(-1)
	e.Parallel(len(y.F)/max(k, 1), func(r int) {
		row := y.F[r*k : (r+1)*k-keep]
		for i := 0; i < len(row); i += block {
			quant(row[i:min(len(row), i+block)])
		}
	})
}

func quantFP8(x []float64) {
	s := formats.ActScaleFP8(amax(x))
	for i, v := range x {
		x[i] = formats.RoundE4M3(v/s) * s
	}
}

func quantFP4(x []float64) {
	s := formats.ActScaleFP4(amax(x))
	for i, v := range x {
		x[i] = formats.RoundE2M1(v/s) * s
	}
}

func amax(x []float64) float64 {
	a := 0.0
	for _, v := range x {
		a = math.Max(a, math.Abs(v))
	}
	return a
}

// Hadamard rotates channels so that quantisation errors spread.
var Hadamard = define(ir.Op{
	Name:  "hadamard",
	Doc:   "The Walsh–Hadamard transform of the last axis in Sylvester's order, times k^-0.5.",
	Spec:  "2.6",
	Class: ir.Reduction,
	Sig:   "x[*t,k] -> y[*t,k]",
	Types: "bf16 -> bf16",
	Whole: "k",
	Flops: "7*t*k",
	Rule: func(f *ir.Inference) error {
		if k, ok := f.Dim("k").Size.IsConst(); ok && (k < 1 || k&(k-1) != 0) {
			return f.Errorf(0, "hadamard: axis %s = %d is not a power of two", f.Dim("k").Name, k)
		}
		return nil
	},
	Eval: func(e *ir.Eval) {
		y := e.Out[0]
		copy(y.F, e.Args[0].F)
		k := y.Dim(-1)
		norm := 1 / math.Sqrt(float64(k))
		e.Parallel(len(y.F)/max(k, 1), func(r int) {
			row := y.F[r*k : (r+1)*k]
			butterflies(row)
			for i := range row {
				row[i] *= norm
			}
		})
	},
})

// butterflies computes the unscaled Walsh–Hadamard transform in place.
func butterflies(x []float64) {
	for h := 1; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			for j := i; j < i+h; j++ {
				x[j], x[j+h] = x[j]+x[j+h], x[j]-x[j+h]
			}
		}
	}
}
