package ops

import (
	"fmt"

	"flagc/ir"
)

// Add sums two values; the second may lack axes of the first, over which it is repeated.
var Add = define(ir.Op{
	Name:  "add",
	Doc:   "The sum of two values; b may lack axes of a, over which it is repeated.",
	Class: ir.Pointwise,
	Sig:   "a[*x] b[*z] -> y[*x]",
	Types: "float float -> promote",
	Rule:  broadcast,
	Flops: "x",
	Body:  "a + b",
})

// Mul multiplies two values, with the broadcasting of Add.
var Mul = define(ir.Op{
	Name:  "mul",
	Doc:   "The product of two values; b may lack axes of a, over which it is repeated.",
	Class: ir.Pointwise,
	Sig:   "a[*x] b[*z] -> y[*x]",
	Types: "float float -> promote",
	Rule:  broadcast,
	Zeros: true,
	Flops: "x",
	Body:  "a * b",
})

// Scale multiplies by a constant.
var Scale = define(ir.Op{
	Name:  "scale",
	Doc:   "The product with a constant.",
	Class: ir.Pointwise,
	Sig:   "x[*x] -> y[*x]",
	Types: "float -> =x",
	Attrs: []ir.AttrDecl{number("factor", "the constant")},
	Zeros: true,
	Flops: "x",
	Body:  "x * factor",
})

// Cast rounds to another number format.
var Cast = define(ir.Op{
	Name:  "cast",
	Doc:   "The value in another number format, rounded to nearest even.",
	Class: ir.Pointwise,
	Sig:   "x[*x] -> y[*x]",
	Types: "float -> attr",
	Attrs: []ir.AttrDecl{dtype("")},
	Zeros: true,
	Flops: "0",
	Body:  "x",
})

// SqrtSoftplus is the router's activation.
var SqrtSoftplus = define(ir.Op{
	Name:  "sqrt_softplus",
	Doc:   "√softplus(x), the activation of router logits; softplus is the identity above 20.",
	Spec:  "6",
	Class: ir.Pointwise,
	Sig:   "x[*x] -> y[*x]",
	Types: "f32 -> f32",
	Flops: "4*x",
	Body:  "sqrt(softplus(x))",
})

// SwiGLU is the clamped gated activation of an expert.
var SwiGLU = define(ir.Op{
	Name: "swiglu",
	Doc: "silu(gate) · up with gate clamped from above and up from both sides, unrounded. " +
		"An infinite limit clamps nothing.",
	Spec:  "6",
	Class: ir.Pointwise,
	Sig:   "gate[*x] up[*x] -> y[*x]",
	Types: "float float -> f32",
	Attrs: []ir.AttrDecl{number("limit", "the clamp")},
	Zeros: true,
	Flops: "7*x",
	Body:  "silu(min(gate, limit)) * clamp(up, -limit, limit)",
})

// broadcast checks that the axes of the second operand are axes of the first, in the same order.
func broadcast(f *ir.Inference) error {
	if _, err := BroadcastStrides(f.Args[0].Type, f.Args[1].Type); err != nil {
		return f.Errorf(1, "%s: %v", f.Op.Name, err)
	}
	return nil
}

// BroadcastStrides says, for each axis of a, which axis of b it is, or -1 where b is repeated.
func BroadcastStrides(a, b ir.Type) ([]int, error) {
	axes := make([]int, len(a.Dims))
	j := 0
	for i, d := range a.Dims {
		axes[i] = -1
		if j < len(b.Dims) && b.Dims[j].Equal(d) {
			axes[i] = j
			j++
		}
	}
	if j < len(b.Dims) {
		return nil, fmt.Errorf("axis %s of %s is not an axis of %s, or stands in another order", b.Dims[j].Name, b, a)
	}
	return axes, nil
}
