package gohost

import (
	"github.com/dave/jennifer/jen"

	"flagc/ir"
)

// repr is how the program holds a value.
type repr uint8

// Activations are float32 whatever their number format; caches stay in bf16.
const (
	floats repr = iota // []float32
	ints               // []int32
	halves             // []uint16
)

// code is the Go type.
func (r repr) code() *jen.Statement {
	return []*jen.Statement{jen.Index().Float32(), jen.Index().Int32(), jen.Index().Uint16()}[r]
}

var reprMethod = [...]string{"Floats", "Ints", "Halves"} // of an arena

// reprOf tells how a value is held: only states are kept in bf16.
func reprOf(v *ir.Value) repr {
	switch {
	case v.Type.Elem.DType.IsInt():
		return ints
	case v.Kind == ir.StateValue && v.Type.Elem.DType == ir.BF16:
		return halves
	}
	return floats
}
