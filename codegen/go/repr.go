package gohost

import (
	"slices"

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

// findUnrounded finds the mixing weights of hyper-connections that pass from hc_pre to hc_post as they are, in float64:
// both results of the one go to the other and to nothing else, by way of calls or not. What entries take or yield is
// float32, as are recorded values.
func (g *generator) findUnrounded() {
	flow := valueFlow{of: map[*ir.Value]*ir.Value{}, rounded: map[*ir.Value]bool{}}
	called := g.m.Called()
	for _, f := range g.m.Funcs {
		if !called[f] {
			flow.round(f.Args...)
			flow.round(f.Return...)
		}
		if other := g.shared[f]; other != nil { // one method for both modes
			flow.join(f.Args, other.Args)
			flow.join(f.Return, other.Return)
		}
		for _, in := range f.Body {
			flow.instr(in)
		}
	}
	for changed := true; changed; {
		changed = false
		for _, f := range g.m.Funcs {
			for _, in := range f.Body {
				changed = flow.pair(mixingWeights(in)) || changed
			}
		}
	}
	g.unrounded = func(v *ir.Value) bool {
		return (v.Kind == ir.ResultValue || v.Kind == ir.ParamValue) && !flow.rounded[flow.root(v)]
	}
}

// mixingWeights are the weights that an hc_pre yields or an hc_post reads; nil for other instructions.
func mixingWeights(in *ir.Instr) []*ir.Value {
	switch in.Op {
	case ops.HCPre:
		return in.Results[1:]
	case ops.HCPost:
		return in.Args[2:]
	}
	return nil
}

// valueFlow joins values that are one across calls, and knows which are held in float32.
type valueFlow struct {
	of      map[*ir.Value]*ir.Value
	rounded map[*ir.Value]bool // by root
}

func (w *valueFlow) root(v *ir.Value) *ir.Value {
	for w.of[v] != nil {
		v = w.of[v]
	}
	return v
}

func (w *valueFlow) join(a, b []*ir.Value) {
	for i := range a {
		x, y := w.root(a[i]), w.root(b[i])
		if x != y {
			w.of[x] = y
			w.rounded[y] = w.rounded[y] || w.rounded[x]
		}
	}
}

func (w *valueFlow) round(list ...*ir.Value) {
	for _, v := range list {
		w.rounded[w.root(v)] = true
	}
}

func (w *valueFlow) instr(in *ir.Instr) {
	for _, t := range in.Traced() {
		w.round(in.Results[t.Result])
	}
	if in.Callee != nil {
		w.join(in.Args, in.Callee.Args)
		w.join(in.Results, in.Callee.Return)
		return
	}
	weights := mixingWeights(in)
	for _, list := range [][]*ir.Value{in.Args, in.Results} {
		for _, v := range list {
			if !slices.Contains(weights, v) {
				w.round(v)
			}
		}
	}
}

// pair rounds all of the weights if one is rounded, since kernels take them in one form, and reports whether that is new.
func (w *valueFlow) pair(weights []*ir.Value) bool {
	is := func(v *ir.Value) bool { return w.rounded[w.root(v)] }
	if !slices.ContainsFunc(weights, is) || !slices.ContainsFunc(weights, func(v *ir.Value) bool { return !is(v) }) {
		return false
	}
	w.round(weights...)
	return true
}
