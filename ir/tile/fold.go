package tile

import (
	"math"
	"slices"
)

// constOf is the whole number that all elements of a value are, if that is known.
func constOf(v *Value) *Op {
	for v.Def != nil {
		switch v.Def.Code {
		case ConstInt:
			return v.Def
		case Full, Broadcast, Expand, Reshape, Transpose:
			v = v.Def.Args[0]
		default:
			return nil
		}
	}
	return nil
}

func isInt(v *Value, n int64) bool {
	c := constOf(v)
	return c != nil && c.Int == n
}

func isFloat(v *Value, x float64) bool {
	return v.Def != nil && v.Def.Code == ConstFloat && math.Float64bits(v.Def.Float) == math.Float64bits(x)
}

// fold returns the value that an op's result is equal to, or nil; it may also write the op anew as a simpler one.
func (s *simplifier) fold(op *Op) *Value {
	switch c := op.Code; {
	case c.IsBinary():
		s.regroup(op)
		if s.compute(op) || s.vanish(op) {
			return nil
		}
		x := identity(op)
		if x != nil && sameType(x, op.Results[0]) {
			return x
		}
	case c == Not || c == Neg:
		if d := op.Args[0].Def; d != nil && d.Code == c {
			return d.Args[0]
		}
	case c == Where:
		return foldWhere(op)
	case c == Cast:
		return s.foldCast(op)
	case c == Full && len(op.Results[0].Shape) == 0:
		return op.Args[0]
	case c == Expand || c == Broadcast || c == Reshape || c == Transpose:
		return s.foldShape(op)
	}
	return nil
}

// identity is the operand that the other does not change. The identities of floats hold for every number, for -0
// and for infinities.
func identity(op *Op) *Value {
	x, y := op.Args[0], op.Args[1]
	if x.DType == F32 {
		switch op.Code {
		case Mul:
			if isFloat(x, 1) {
				return y
			}
			return when(isFloat(y, 1), x)
		case Div:
			return when(isFloat(y, 1), x)
		case Sub:
			return when(isFloat(y, 0), x)
		}
		return nil
	}
	all := int64(-1) // all bits
	if x.DType == Bool {
		all = 1
	}
	switch op.Code {
	case Add, Or, Xor:
		if isInt(x, 0) {
			return y
		}
		return when(isInt(y, 0), x)
	case Sub, Shl, Shr:
		return when(isInt(y, 0), x)
	case Mul:
		if isInt(x, 1) {
			return y
		}
		return when(isInt(y, 1), x)
	case Div:
		return when(isInt(y, 1), x)
	case And:
		if isInt(x, all) {
			return y
		}
		return when(isInt(y, all), x)
	}
	return nil
}

func when(ok bool, v *Value) *Value {
	if ok {
		return v
	}
	return nil
}

// vanish writes an op anew whose result is zero whatever the other operand is.
func (s *simplifier) vanish(op *Op) bool {
	x, y := op.Args[0], op.Args[1]
	if x.DType == F32 {
		return false
	}
	switch op.Code {
	case Mul, And:
		if isInt(x, 0) || isInt(y, 0) {
			s.setConst(op, 0)
			return true
		}
	case Mod:
		if isInt(y, 1) {
			s.setConst(op, 0)
			return true
		}
	}
	return false
}

// setConst makes an op yield a number in all its elements.
func (s *simplifier) setConst(op *Op, n int64) {
	s.changed = true
	r := op.Results[0]
	if len(r.Shape) == 0 {
		*op = Op{Code: ConstInt, Int: n, Results: op.Results, Note: op.Note}
		return
	}
	*op = Op{Code: Full, Args: []*Value{s.constant(n, r.DType)}, Results: op.Results, Note: op.Note}
}

// constant puts a number before the op at hand.
func (s *simplifier) constant(n int64, d DType) *Value {
	op := &Op{Code: ConstInt, Int: n}
	op.Results = []*Value{{DType: d, Def: op}}
	s.out = append(s.out, op)
	return op.Results[0]
}

// plain is the number of a constant without a name; one with a name stays in the text as that.
func plain(v *Value) (int64, bool) {
	c := constOf(v)
	if c == nil || c.Const != nil {
		return 0, false
	}
	return c.Int, true
}

// compute folds an op of two numbers.
func (s *simplifier) compute(op *Op) bool {
	x, okX := plain(op.Args[0])
	y, okY := plain(op.Args[1])
	if !okX || !okY {
		return false
	}
	n, ok := wholeResult(op.Code, op.Args[0].DType, x, y)
	if ok {
		s.setConst(op, n)
	}
	return ok
}

// wholeResult computes as the interpreter does; what would be a fault is not computed.
func wholeResult(c Code, d DType, x, y int64) (int64, bool) {
	width := int64(8 * d.Bytes())
	if (c == Div || c == Mod) && (x < 0 || y <= 0) || (c == Shl || c == Shr) && (y < 0 || y >= width) {
		return 0, false
	}
	if c.IsComparison() {
		run := [1]bool{}
		compareRun[int64](c)(run[:], []int64{x}, []int64{y})
		return one(run[0]), true
	}
	if d == Bool && c != And && c != Or && c != Xor {
		return 0, false
	}
	run := [1]int64{}
	intRun[int64](c, 64)(run[:], []int64{x}, []int64{y})
	if d == I32 {
		run[0] = int64(int32(run[0]))
	}
	return run[0], true
}

// regroup turns (x + a) + b into x + (a + b), and products likewise, of integers, which wrap in any order.
func (s *simplifier) regroup(op *Op) {
	x, y := op.Args[0], op.Args[1]
	if op.Code != Add && op.Code != Mul || !isWhole(x.DType) || x.Def == nil || x.Def.Code != op.Code {
		return
	}
	a, okA := scalarNumber(x.Def.Args[1])
	b, okB := scalarNumber(y)
	if !okA || !okB || !sameType(x.Def.Args[0], x) {
		return
	}
	n, _ := wholeResult(op.Code, x.DType, a, b)
	op.Args = []*Value{x.Def.Args[0], s.constant(n, x.DType)}
	s.changed = true
}

func scalarNumber(v *Value) (int64, bool) {
	if len(v.Shape) > 0 {
		return 0, false
	}
	return plain(v)
}

func foldWhere(op *Op) *Value {
	c, x, y := op.Args[0], op.Args[1], op.Args[2]
	if k := constOf(c); k != nil {
		if k.Int != 0 {
			y = x
		}
		x = y
	}
	if x == y && sameType(x, op.Results[0]) {
		return x
	}
	return nil
}

// foldCast drops casts that change nothing, and a cast that takes back one that lost nothing.
func (s *simplifier) foldCast(op *Op) *Value {
	x, to := op.Args[0], op.Results[0].DType
	if x.DType == to {
		return x
	}
	if d := x.Def; d != nil && d.Code == Cast && d.Args[0].DType == to && keeps(x.DType, to) {
		return d.Args[0]
	}
	if n, ok := scalarNumber(x); ok && (to == I64 || to == I32 && n == int64(int32(n))) {
		s.setConst(op, n)
	} else if ok && to == F32 && float64(float32(n)) == float64(n) && n > -1<<24 && n < 1<<24 {
		*op = Op{Code: ConstFloat, Float: float64(n), Results: op.Results, Note: op.Note}
		s.changed = true
	}
	return nil
}

// keeps reports whether a cast from format from to format to loses nothing.
func keeps(to, from DType) bool {
	if from.IsFloat() && to.IsFloat() {
		return holds(to, from)
	}
	return !from.IsFloat() && !to.IsFloat() && from.Bytes() <= to.Bytes() && from != Bool
}

// foldShape drops what orders or repeats nothing, joins two steps to one, and makes a repeated scalar at once in
// the shape that it is wanted in.
func (s *simplifier) foldShape(op *Op) *Value {
	x, r := op.Args[0], op.Results[0]
	if op.Code == Broadcast || op.Code == Reshape {
		if slices.Equal(x.Sizes(), r.Sizes()) {
			return x
		}
	}
	if op.Code == Transpose && slices.IsSorted(op.Perm) {
		return x
	}
	d := x.Def
	switch {
	case d == nil:
	case d.Code == Full:
		*op = Op{Code: Full, Args: d.Args, Results: op.Results, Note: op.Note}
		s.changed = true
	case op.Code == Reshape && (d.Code == Reshape || d.Code == Expand), op.Code == Broadcast && d.Code == Broadcast:
		op.Args = []*Value{d.Args[0]}
		s.changed = true
	case op.Code == Transpose && d.Code == Transpose:
		perm := make([]int, len(op.Perm))
		for i, a := range op.Perm {
			perm[i] = d.Perm[a]
		}
		op.Args, op.Perm = []*Value{d.Args[0]}, perm
		s.changed = true
	}
	return nil
}
