package gohost

import (
	"github.com/dave/jennifer/jen"

	"flagc/ir"
	"flagc/ir/ops"
)

// repr is how the program holds a value.
type repr uint8

// Activations are float32 whatever their number format; caches stay in bf16. What is not rounded between two
// kernels that can take it so is float64.
const (
	floats  repr = iota // []float32
	doubles             // []float64
	ints                // []int32
	halves              // []uint16
)

// code is the Go type.
func (r repr) code() *jen.Statement {
	return []*jen.Statement{jen.Index().Float32(), jen.Index().Float64(), jen.Index().Int32(), jen.Index().Uint16()}[r]
}

var reprMethod = [...]string{"Floats", "Doubles", "Ints", "Halves"} // of an arena

// reprOf tells how a value is held: only states are kept in bf16.
func reprOf(v *ir.Value) repr {
	switch {
	case v.Type.Elem.DType.IsInt():
		return ints
	case v.Kind == ir.StateValue && v.Type.Elem.DType == ir.BF16:
		return halves
	case v.Type.Partial == ir.PartialSum:
		return doubles // until the ranks have added their parts
	}
	return floats
}

// unrounded reports whether the mixing weights of a hyper-connection pass between its two kernels as they are,
// in float64: both results of hc_pre are read by hc_post and by nothing else.
func unrounded(f *ir.Func, in *ir.Instr) bool {
	if in.Op != ops.HCPre {
		return false
	}
	weights := map[*ir.Value]bool{in.Results[1]: true, in.Results[2]: true}
	for _, v := range f.Return {
		if weights[v] {
			return false
		}
	}
	for _, user := range f.Body {
		for i, a := range user.Args {
			if weights[a] && (user.Op != ops.HCPost || i < 2 || user.Args[2].Def != user.Args[3].Def) {
				return false
			}
		}
	}
	return true
}
