package eval

import (
	"fmt"

	"flagc/ir"
)

// pointwise evaluates an op that is an expression. Operands with fewer axes than the result are repeated along
// those that they lack.
func pointwise(in *ir.Instr, body *ir.Expr, e *ir.Eval) error {
	f, err := body.Compile(in.Op.Operands(), in.Attrs)
	if err != nil {
		return fmt.Errorf("BUG: op %s: %w", in.Op.Name, err)
	}
	out := e.Out[0]
	strides := make([][]int, len(e.Args))
	for i, a := range in.Args {
		strides[i] = alignedStrides(in.Results[0].Type, a.Type, e.Args[i].Shape)
	}
	inner := 1
	if n := len(out.Shape); n > 0 {
		inner = out.Shape[n-1]
	}
	if inner == 0 {
		return nil
	}
	e.Parallel(len(out.F)/inner, func(row int) {
		base, step := make([]int, len(strides)), make([]int, len(strides))
		rest := row
		for axis := len(out.Shape) - 2; axis >= 0; axis-- {
			index := rest % out.Shape[axis]
			rest /= out.Shape[axis]
			for i, s := range strides {
				base[i] += index * s[axis]
			}
		}
		x := make([]float64, len(strides))
		for i, s := range strides {
			if len(s) > 0 {
				step[i] = s[len(s)-1]
			}
		}
		for j := 0; j < inner; j++ {
			for i := range x {
				x[i] = e.Args[i].F[base[i]+j*step[i]]
			}
			out.F[row*inner+j] = f(x)
		}
	})
	return nil
}

// alignedStrides gives, for each axis of the result, the step of the operand along it, 0 where it has none.
// Axes match by name, in order.
func alignedStrides(result, operand ir.Type, shape []int) []int {
	own := make([]int, len(shape))
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		own[i] = step
		step *= shape[i]
	}
	strides := make([]int, len(result.Dims))
	j := 0
	for i, d := range result.Dims {
		if j < len(operand.Dims) && operand.Dims[j].Name == d.Name {
			strides[i] = own[j]
			j++
		}
	}
	return strides
}
