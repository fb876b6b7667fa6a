package triton

import (
	"fmt"
	"math"
	"strings"

	"flagc/ir/tile"
)

// value is the expression of a value: its variable, or what computes it.
func (l *plan) value(v *tile.Value) *node {
	if x := l.vars[v]; x != nil {
		return newAtom(x.name)
	}
	return l.expr(v)
}

// operators are the elementwise ops that Python writes between or before their operands.
var operators = map[tile.Code]struct {
	text string
	prec int
}{
	tile.Add: {"+", precSum}, tile.Sub: {"-", precSum}, tile.Mul: {"*", precProduct},
	tile.Mod: {"%", precProduct}, tile.Div: {"//", precProduct},
	tile.And: {"&", precAnd}, tile.Or: {"|", precOr}, tile.Xor: {"^", precXor},
	tile.Shl: {"<<", precShift}, tile.Shr: {">>", precShift},
	tile.Lt: {"<", precCompare}, tile.Le: {"<=", precCompare}, tile.Gt: {">", precCompare},
	tile.Ge: {">=", precCompare}, tile.Eq: {"==", precCompare}, tile.Ne: {"!=", precCompare},
}

// functions are the ops that are calls of the same form everywhere. Square roots and quotients have the short forms,
// which on some machines are off by two units in the last place of float32: what is stored is rounded to bf16 or judged
// within what float32 sums are off, and the forms that round correctly take three times as long there.
var functions = map[tile.Code]string{
	tile.Abs: "tl.abs", tile.Exp: "tl.exp", tile.Log: "tl.log", tile.Sqrt: "tl.sqrt", tile.Rsqrt: "tl.rsqrt",
	tile.Floor: "tl.floor", tile.Minimum: "tl.minimum", tile.Maximum: "tl.maximum", tile.Where: "tl.where",
	tile.Sum: "tl.sum", tile.Max: "tl.max", tile.Min: "tl.min",
}

// expr is the expression that computes a value.
func (l *plan) expr(v *tile.Value) *node {
	op := v.Def
	switch op.Code {
	case tile.ProgramID:
		return newAtom("tl.program_id(0)")
	case tile.Scalar:
		return newAtom(op.Param.Name)
	case tile.ConstInt, tile.ConstFloat:
		return l.constant(v)
	case tile.Range:
		return newAtom(fmt.Sprintf("tl.arange(0, %s)", l.dim(v.Shape[0])))
	case tile.Full:
		return l.full(v, l.value(op.Args[0]))
	case tile.Expand, tile.Broadcast, tile.Reshape, tile.Transpose:
		return l.view(v)
	case tile.Cast, tile.Bitcast:
		return l.cast(v)
	case tile.Dot:
		return l.dot(op)
	case tile.Load:
		return l.load(op)
	case tile.AtomicAdd:
		return newCall("tl.atomic_add", l.address(op), l.value(op.Args[1]), newKeyword("sem", newAtom(`"acq_rel"`)))
	}
	return l.arithmetic(v)
}

// arithmetic is the expression of elementwise ops and reductions.
func (l *plan) arithmetic(v *tile.Value) *node {
	op := v.Def
	switch {
	case op.Code == tile.Neg:
		return &node{kind: prefix, text: "-", prec: precUnary, args: []*node{l.value(op.Args[0])}}
	case op.Code == tile.Not && len(v.Shape) == 0:
		return &node{kind: prefix, text: "not ", prec: precNot, args: []*node{l.value(op.Args[0])}}
	case op.Code == tile.Not:
		return &node{kind: prefix, text: "~", prec: precUnary, args: []*node{l.value(op.Args[0])}}
	case operators[op.Code].text != "":
		return l.operator(op)
	}
	var args []*node
	for _, a := range op.Args {
		if n := l.bare(a); n != nil && op.Code == tile.Where {
			args = append(args, n)
			continue
		}
		args = append(args, l.value(a))
	}
	if op.Code.IsReduction() {
		args = append(args, newKeyword("axis", newAtom(fmt.Sprint(op.Axis))))
	}
	return newCall(functions[op.Code], args...)
}

// bare is a literal that takes the format of what it stands beside, nil if v is no such number.
func (l *plan) bare(v *tile.Value) *node {
	if !l.inline[v] || v.Def.Code != tile.Cast || v.Def.Args[0].Def == nil || v.Def.Args[0].Def.Code != tile.ConstFloat {
		return nil
	}
	x := v.Def.Args[0].Def.Float
	exact := math.IsInf(x, 0) || x == math.Trunc(x) && math.Abs(x) <= 256
	if !exact || v.DType == tile.E4M3 {
		return nil
	}
	return newAtom(floatText(x))
}

// operator writes x op y. Bit masks read as hexadecimal numbers; x + -1 reads as x - 1.
func (l *plan) operator(op *tile.Op) *node {
	o := operators[op.Code]
	if op.Code == tile.Div && op.Results[0].DType.IsFloat() {
		o.text = "/"
	}
	x, y := l.value(op.Args[0]), l.value(op.Args[1])
	switch {
	case op.Code == tile.And || op.Code == tile.Or || op.Code == tile.Xor:
		x, y = l.mask(op.Args[0], x), l.mask(op.Args[1], y)
	case op.Code == tile.Shl || op.Code == tile.Shr:
		x = l.mask(op.Args[0], x)
	case o.prec == precSum && y.kind == atom && y.prec == precUnary:
		y = newAtom(y.text[1:])
		o.text = map[string]string{"+": "-", "-": "+"}[o.text]
	}
	return &node{kind: binary, text: o.text, prec: o.prec, args: []*node{x, y}}
}

func (l *plan) mask(v *tile.Value, n *node) *node {
	if v.Def == nil || v.Def.Code != tile.ConstInt || v.Def.Const != nil || v.Def.Int <= 9 && v.Def.Int >= -9 {
		return n
	}
	return newAtom(hexText(v.Def.Int))
}

// view is an expression whose elements are those of another.
func (l *plan) view(v *tile.Value) *node {
	op := v.Def
	x := l.value(op.Args[0])
	switch {
	case len(op.Args[0].Shape) == 0:
		return l.full(v, x)
	case len(v.Shape) == 0:
		return newCall("tl.sum", l.flattened(op.Args[0], x), newKeyword("axis", newAtom("0")))
	case op.Code == tile.Expand:
		return l.expand(v)
	case op.Code == tile.Broadcast:
		return newCall("tl.broadcast_to", x, l.shape(v.Shape))
	case op.Code == tile.Reshape:
		return newCall("tl.reshape", x, l.shape(v.Shape))
	case len(v.Shape) == 2 && op.Perm[0] == 1:
		return newCall("tl.trans", x)
	}
	return newCall("tl.permute", x, newAtom(strings.ReplaceAll(fmt.Sprint(op.Perm), " ", ", ")))
}

// flattened is a tile of one element as a vector.
func (l *plan) flattened(v *tile.Value, x *node) *node {
	if len(v.Shape) == 1 {
		return x
	}
	return newCall("tl.reshape", x, newAtom("[1]"))
}

// expand writes all axes that are inserted one after the other as one subscript.
func (l *plan) expand(v *tile.Value) *node {
	inserted := []int{v.Def.Axis}
	base := v.Def.Args[0]
	for l.vars[base] == nil && base.Def.Code == tile.Expand && len(base.Def.Args[0].Shape) > 0 {
		inserted = append(inserted, base.Def.Axis)
		base = base.Def.Args[0]
	}
	axes := make([]string, len(base.Shape))
	for i := range axes {
		axes[i] = ":"
	}
	for i := len(inserted) - 1; i >= 0; i-- {
		at := inserted[i]
		axes = append(axes[:at], append([]string{"None"}, axes[at:]...)...)
	}
	return newSuffix(l.value(base), "["+strings.Join(axes, ", ")+"]")
}

// full is a tile of one scalar.
func (l *plan) full(v *tile.Value, x *node) *node {
	if x.kind == atom && (x.text == "0" || x.text == "0.0") {
		return newCall("tl.zeros", l.shape(v.Shape), newAtom(dtypeName(v.DType)))
	}
	return newCall("tl.full", l.shape(v.Shape), x, newAtom(dtypeName(v.DType)))
}

func (l *plan) cast(v *tile.Value) *node {
	x := v.Def.Args[0]
	d := dtypeName(v.DType)
	if v.Def.Code == tile.Bitcast {
		if len(x.Shape) == 0 {
			return newCall("tl.cast", l.value(x), newAtom(d), newKeyword("bitcast", newAtom("True")))
		}
		return newSuffix(l.value(x), fmt.Sprintf(".to(%s, bitcast=True)", d))
	}
	if isConst(x) && l.inline[x] {
		return newCall("tl.full", newAtom("[]"), l.value(x), newAtom(d))
	}
	if l.mayBeNumber(x) { // which has no methods
		return newCall("tl.cast", l.value(x), newAtom(d))
	}
	return newSuffix(l.value(x), fmt.Sprintf(".to(%s)", d))
}

// mayBeNumber reports whether a value can be a plain number of Python: arguments that the compiler specialises for,
// counters under the interpreter, and what is computed from such alone.
func (l *plan) mayBeNumber(v *tile.Value) bool {
	if len(v.Shape) > 0 {
		return false
	}
	if v.Def == nil {
		return true
	}
	switch c := v.Def.Code; {
	case c == tile.Scalar, c == tile.ConstInt, c == tile.ConstFloat, c == tile.Loop:
		return true
	case c.IsBinary() && operators[c].text != "", c == tile.Neg, c == tile.Not:
		for _, a := range v.Def.Args {
			if !l.mayBeNumber(a) {
				return false
			}
		}
		return true
	}
	return false
}

// dot multiplies in full precision: float32 operands are not shortened, and sums of e4m3 products are not left to an
// accumulator that is narrower than float32.
func (l *plan) dot(op *tile.Op) *node {
	args := []*node{l.value(op.Args[0]), l.value(op.Args[1])}
	if !l.isZeros(op.Args[2]) {
		args = append(args, l.value(op.Args[2]))
	}
	switch op.Args[0].DType {
	case tile.F32:
		args = append(args, newKeyword("input_precision", newAtom(`"ieee"`)))
	case tile.E4M3:
		args = append(args, newKeyword("max_num_imprecise_acc", newAtom("0")))
	}
	return newCall("tl.dot", args...)
}

func (l *plan) isZeros(v *tile.Value) bool {
	return l.inline[v] && v.Def.Code == tile.Full && isConst(v.Def.Args[0]) &&
		v.Def.Args[0].Def.Float == 0 && v.Def.Args[0].Def.Int == 0
}

func (l *plan) load(op *tile.Op) *node {
	args := []*node{l.address(op)}
	if mask := op.Args[1]; mask != nil {
		other := floatText(op.Float)
		if !op.Param.DType.IsFloat() {
			other = fmt.Sprint(int64(op.Float))
		}
		args = append(args, newKeyword("mask", l.value(mask)))
		if !math.IsNaN(op.Float) {
			args = append(args, newKeyword("other", newAtom(other)))
		}
	}
	return newCall("tl.load", args...)
}

// address is the pointer that a load, store or atomic op goes to. Triton takes the shape from the pointer, so offsets
// that repeat along an axis of the mask or the value are broadcast.
func (l *plan) address(op *tile.Op) *node {
	offsets := op.Args[0]
	p := newAtom(op.Param.Name)
	if x := l.accessShape(op); len(x) > 0 && !equalSizes(x, offsets.Shape) {
		at := l.value(offsets)
		if len(offsets.Shape) == 0 {
			return &node{kind: binary, text: "+", prec: precSum,
				args: []*node{p, newCall("tl.full", l.shape(x), at, newAtom(dtypeName(offsets.DType)))}}
		}
		return &node{kind: binary, text: "+", prec: precSum,
			args: []*node{p, newCall("tl.broadcast_to", at, l.shape(x))}}
	}
	if isConst(offsets) && offsets.Def.Int == 0 && offsets.Def.Const == nil {
		return p
	}
	return onto(p, l.value(offsets))
}

// onto adds the terms of a sum to a pointer one by one, as authors write it.
func onto(p, offsets *node) *node {
	if offsets.kind == binary && (offsets.text == "+" || offsets.text == "-") {
		return &node{kind: binary, text: offsets.text, prec: precSum, args: []*node{onto(p, offsets.args[0]), offsets.args[1]}}
	}
	return &node{kind: binary, text: "+", prec: precSum, args: []*node{p, offsets}}
}

// accessShape is the shape of a load or store as a whole.
func (l *plan) accessShape(op *tile.Op) []tile.Dim {
	var shape []tile.Dim
	for _, v := range op.Args {
		if v == nil {
			continue
		}
		if len(shape) == 0 {
			shape = append([]tile.Dim{}, v.Shape...)
			continue
		}
		for i := range v.Shape {
			if shape[i].Size == 1 {
				shape[i] = v.Shape[i]
			}
		}
	}
	return shape
}

func equalSizes(x, y []tile.Dim) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i].Size != y[i].Size {
			return false
		}
	}
	return true
}
