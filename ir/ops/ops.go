// Package ops declares the operators of the graph IR, one Go literal each: what an op means, over which axes,
// with which roundings inside. Shapes, messages, documentation and the reference result follow from these
// declarations.
//
// The package must not know targets, kernels or models. Evaluation functions compute in float64 and leave
// their results unrounded: the interpreter rounds each result once, to its type. What a function rounds itself
// are the roundings inside an op that the specification names.
package ops

import (
	"fmt"

	"flagc/ir"
)

// All is the set of every operator declared here.
var All = &ir.OpSet{}

// define adds an operator to All.
func define(o ir.Op) *ir.Op { return All.Define(o) }

// number declares a required attribute that is a number.
func number(name, doc string) ir.AttrDecl {
	return ir.AttrDecl{Name: name, Kind: ir.FloatAttr, Doc: doc}
}

// integer declares a required integer attribute.
func integer(name, doc string) ir.AttrDecl {
	return ir.AttrDecl{Name: name, Kind: ir.IntAttr, Doc: doc}
}

// size declares a required size attribute.
func size(name, doc string) ir.AttrDecl {
	return ir.AttrDecl{Name: name, Kind: ir.SizeAttr, Doc: doc}
}

// optional gives an attribute a default.
func optional(d ir.AttrDecl, value any) ir.AttrDecl {
	d.Default = value
	return d
}

// dtype declares the attribute that chooses the result's number format.
func dtype(def string) ir.AttrDecl {
	d := ir.AttrDecl{Name: "dtype", Kind: ir.StringAttr, Doc: "number format of the result, bf16 or f32"}
	if def != "" {
		d.Default = def
	}
	return d
}

// needMultiple is an error about operand i unless the axis, when constant, is a multiple of block.
func needMultiple(f *ir.Inference, i int, axis ir.Dim, less, block int) error {
	k, ok := axis.Size.IsConst()
	if block < 1 {
		return f.Errorf(-1, "%s: block must be at least 1, not %d", f.Op.Name, block)
	}
	if !ok || k >= less && (k-less)%block == 0 {
		return nil
	}
	kept := ""
	if less > 0 {
		kept = fmt.Sprintf(" less %d kept channels", less)
	}
	return f.Errorf(i, "%s: axis %s = %d%s is not a multiple of the block %d", f.Op.Name, axis.Name, k, kept, block)
}
