package tile

import (
	"fmt"
	"math"
	"slices"
)

func sameType(x, y *Value) bool { return x.DType == y.DType && slices.Equal(x.Sizes(), y.Sizes()) }

// value holds [param1], [type1] and [shape1] of an op whose operands are there.
func (v *verifier) value(op *Op) {
	for _, x := range append(slices.Clone(op.Args), op.Results...) {
		if x != nil && !x.DType.known() {
			return // said where it is defined
		}
	}
	if !v.param1(op) {
		return
	}
	d, err := resultType(op)
	if err != nil {
		v.report(op, "type1", "%v", err)
		return
	}
	shape, err := resultShape(op)
	if err != nil {
		v.report(op, "shape1", "%v", err)
		return
	}
	if op.Code == Loop || len(op.Results) == 0 {
		return
	}
	r := op.Results[0]
	if r.DType != d {
		v.report(op, "type1", "the result is %s, expected %s", r.DType, d)
	}
	if !slices.Equal(r.Sizes(), shape) {
		v.report(op, "shape1", "the result has extents %v, expected %v", r.Sizes(), shape)
	}
}

// param1 holds that an op uses a parameter or constant of the program as it is declared.
func (v *verifier) param1(op *Op) bool {
	if op.Code == ConstInt && op.Const != nil && (v.p.Const(op.Const.Name) != op.Const || int64(op.Const.Value) != op.Int) {
		v.report(op, "param1", "constant %s is not declared, or not as %d", op.Const.Name, op.Int)
		return false
	}
	switch op.Code {
	case Scalar, Load, Store, AtomicAdd:
	default:
		return true
	}
	q := op.Param
	switch {
	case q == nil || v.p.Param(q.Name) != q:
		v.report(op, "param1", "%s is not a parameter of the program", paramName(q))
		return false
	case q.Pointer == (op.Code == Scalar):
		v.report(op, "param1", "%s is %s", q.Name, map[bool]string{true: "a pointer", false: "a scalar"}[q.Pointer])
		return false
	case op.Code == Store && q.Access == In:
		v.report(op, "param1", "%s is declared as in and is stored to", q.Name)
	case op.Code == AtomicAdd && q.Access != InOut:
		v.report(op, "param1", "%s is declared as %s, and an atomic_add reads and writes it", q.Name, q.Access)
	}
	return true
}

// Sets of formats.
func isWhole(d DType) bool    { return d == I32 || d == I64 }
func isComputed(d DType) bool { return d == F32 || isWhole(d) }

// resultType is the format that an op yields, or what is wrong with those of its operands.
func resultType(op *Op) (DType, error) {
	switch c := op.Code; {
	case c == ProgramID || c == Scalar || c == Range:
		return I32, nil
	case c == ConstInt:
		return constType(op)
	case c == ConstFloat:
		if math.IsInf(float64(float32(op.Float)), 0) && !math.IsInf(op.Float, 0) {
			return 0, fmt.Errorf("%v does not fit f32", op.Float)
		}
		return F32, nil
	case c >= Full && c <= Transpose:
		return op.Args[0].DType, nil
	case c.IsUnary():
		return unaryType(c, op.Args[0].DType)
	case c.IsBinary():
		return binaryType(c, op.Args[0].DType, op.Args[1].DType)
	case c == Where:
		return whereType(op)
	case c == Cast:
		return castType(op.Args[0].DType, op.Results[0].DType)
	case c == Bitcast:
		return bitcastType(op.Args[0].DType, op.Results[0].DType)
	case c.IsReduction():
		if d := op.Args[0].DType; !isComputed(d) {
			return 0, fmt.Errorf("%s of %s, expected f32, i32 or i64", c, d)
		}
		return op.Args[0].DType, nil
	case c == Dot:
		return dotType(op)
	case c == If && op.Args[0].DType != Bool:
		return 0, fmt.Errorf("the condition is %s, expected i1", op.Args[0].DType)
	case c == Load || c == Store || c == AtomicAdd:
		return accessType(op)
	}
	return 0, nil
}

func constType(op *Op) (DType, error) {
	d := op.Results[0].DType
	least, most := int64(math.MinInt32), int64(math.MaxInt32)
	switch d {
	case I32:
	case I64:
		least, most = math.MinInt64, math.MaxInt64
	case I8:
		least, most = math.MinInt8, math.MaxInt8
	case Bool:
		least, most = 0, 1
	default:
		return 0, fmt.Errorf("a whole number is %s, expected i1, i8, i32 or i64", d)
	}
	if op.Int < least || op.Int > most {
		return 0, fmt.Errorf("%d does not fit %s", op.Int, d)
	}
	return d, nil
}

func unaryType(c Code, d DType) (DType, error) {
	switch c {
	case Not:
		if d != Bool {
			return 0, fmt.Errorf("not of %s, expected i1", d)
		}
	case Neg, Abs:
		if !isComputed(d) {
			return 0, fmt.Errorf("%s of %s, expected f32, i32 or i64", c, d)
		}
	default:
		if d != F32 {
			return 0, fmt.Errorf("%s of %s, expected f32", c, d)
		}
	}
	return d, nil
}

func binaryType(c Code, x, y DType) (DType, error) {
	if x != y {
		return 0, fmt.Errorf("%s of %s and %s, expected one format", c, x, y)
	}
	switch c {
	case And, Or, Xor:
		if !isWhole(x) && x != Bool {
			return 0, fmt.Errorf("%s of %s, expected i1, i32 or i64", c, x)
		}
	case Mod, Shl, Shr:
		if !isWhole(x) {
			return 0, fmt.Errorf("%s of %s, expected i32 or i64", c, x)
		}
	case Eq, Ne:
		if !isComputed(x) && x != Bool {
			return 0, fmt.Errorf("%s of %s, expected f32, i32, i64 or i1", c, x)
		}
	default:
		if !isComputed(x) {
			return 0, fmt.Errorf("%s of %s, expected f32, i32 or i64", c, x)
		}
	}
	if c.IsComparison() {
		return Bool, nil
	}
	return x, nil
}

func whereType(op *Op) (DType, error) {
	if d := op.Args[0].DType; d != Bool {
		return 0, fmt.Errorf("the condition is %s, expected i1", d)
	}
	if x, y := op.Args[1].DType, op.Args[2].DType; x != y {
		return 0, fmt.Errorf("where of %s and %s, expected one format", x, y)
	}
	return op.Args[1].DType, nil
}

// castType allows conversions that mean the same everywhere: between floats, between integers, and between f32 and
// integers that f32 reaches without a second rounding or an overflow that nobody defines.
func castType(from, to DType) (DType, error) {
	integer := func(d DType) bool { return d == I8 || isWhole(d) }
	switch {
	case from == to, from.IsFloat() && to.IsFloat(), integer(from) && integer(to):
	case from == Bool && (integer(to) || to == F32), integer(from) && to == F32, from == F32 && isWhole(to):
	case to == Bool:
		return 0, fmt.Errorf("a cast of %s to i1: compare with zero instead", from)
	default:
		return 0, fmt.Errorf("a cast of %s to %s: go by way of f32 and i32", from, to)
	}
	return to, nil
}

func bitcastType(from, to DType) (DType, error) {
	if from.Bytes() != to.Bytes() || from == Bool != (to == Bool) {
		return 0, fmt.Errorf("the bits of %s are not those of %s", from, to)
	}
	return to, nil
}

func dotType(op *Op) (DType, error) {
	x, y, acc := op.Args[0].DType, op.Args[1].DType, op.Args[2].DType
	if x != y || !x.IsFloat() {
		return 0, fmt.Errorf("dot of %s and %s, expected one float format", x, y)
	}
	if acc != F32 {
		return 0, fmt.Errorf("the accumulator is %s, expected f32", acc)
	}
	return F32, nil
}

func accessType(op *Op) (DType, error) {
	if d := op.Args[0].DType; !isWhole(d) {
		return 0, fmt.Errorf("the offset is %s, expected i32 or i64", d)
	}
	d := op.Param.DType
	if op.Code == AtomicAdd {
		if d != I32 || op.Args[1].DType != I32 {
			return 0, fmt.Errorf("an atomic_add of %s to %s, expected i32", op.Args[1].DType, d)
		}
		return I32, nil
	}
	if mask := op.Args[len(op.Args)-1]; mask != nil && mask.DType != Bool {
		return 0, fmt.Errorf("the mask is %s, expected i1", mask.DType)
	}
	if op.Code == Store && op.Args[1].DType != d {
		return 0, fmt.Errorf("%s is stored to a pointer to %s", op.Args[1].DType, d)
	}
	if op.Code == Load && !d.IsFloat() && !math.IsNaN(op.Float) && !wholeIn(op.Float, d) {
		return 0, fmt.Errorf("masked lanes hold %v, which is no %s", op.Float, d)
	}
	return d, nil
}

func wholeIn(x float64, d DType) bool {
	bits := 8*d.Bytes() - 1
	return x == math.Floor(x) && x >= -math.Ldexp(1, bits) && x < math.Ldexp(1, bits)
}

// resultShape is the shape that an op yields, or what is wrong with those of its operands.
func resultShape(op *Op) ([]int, error) {
	switch c := op.Code; {
	case c == Range:
		if r := op.Results[0].Sizes(); len(r) != 1 {
			return nil, fmt.Errorf("a range has one axis, not %d", len(r))
		}
		return op.Results[0].Sizes(), nil
	case c == Full:
		return op.Results[0].Sizes(), scalars(op.Args[0])
	case c == Expand:
		return expandShape(op)
	case c == Broadcast:
		return broadcastShape(op)
	case c == Reshape:
		if x, r := op.Args[0], op.Results[0]; x.Len() != r.Len() {
			return nil, fmt.Errorf("%d elements become %d", x.Len(), r.Len())
		}
		return op.Results[0].Sizes(), nil
	case c == Transpose:
		return transposeShape(op)
	case c.IsUnary(), c == Cast, c == Bitcast:
		return op.Args[0].Sizes(), nil
	case c.IsBinary(), c == Where, c == Load:
		return jointShape(op.Args)
	case c.IsReduction():
		from := op.Args[0].Sizes()
		if op.Axis < 0 || op.Axis >= len(from) {
			return nil, fmt.Errorf("axis %d of %d", op.Axis, len(from))
		}
		return slices.Delete(from, op.Axis, op.Axis+1), nil
	case c == Dot:
		return dotShape(op)
	case c == Store:
		return storeShape(op)
	case c == AtomicAdd, c == If:
		return []int{}, scalars(op.Args...)
	}
	return []int{}, nil
}

func scalars(args ...*Value) error {
	for _, x := range args {
		if len(x.Shape) > 0 {
			return fmt.Errorf("a tile of %v where a scalar is expected", x.Sizes())
		}
	}
	return nil
}

func jointShape(args []*Value) ([]int, error) {
	out := &Value{}
	for _, x := range args {
		if x == nil {
			continue
		}
		var err error
		if out.Shape, err = joint(out.Shape, x.Shape); err != nil {
			return nil, fmt.Errorf("shapes do not go together: %w", err)
		}
	}
	return out.Sizes(), nil
}

func expandShape(op *Op) ([]int, error) {
	from := op.Args[0].Sizes()
	if op.Axis < 0 || op.Axis > len(from) {
		return nil, fmt.Errorf("axis %d of %d", op.Axis, len(from)+1)
	}
	return slices.Insert(from, op.Axis, 1), nil
}

func broadcastShape(op *Op) ([]int, error) {
	from, to := op.Args[0].Sizes(), op.Results[0].Sizes()
	fits := len(from) == len(to)
	for i := 0; fits && i < len(from); i++ {
		fits = from[i] == to[i] || from[i] == 1
	}
	if !fits {
		return nil, fmt.Errorf("extents %v do not repeat to %v", from, to)
	}
	return to, nil
}

func transposeShape(op *Op) ([]int, error) {
	from := op.Args[0].Sizes()
	sorted := slices.Sorted(slices.Values(op.Perm))
	for i, a := range sorted {
		if a != i || len(sorted) != len(from) {
			return nil, fmt.Errorf("%v orders no %d axes", op.Perm, len(from))
		}
	}
	if len(sorted) != len(from) {
		return nil, fmt.Errorf("%v orders no %d axes", op.Perm, len(from))
	}
	out := make([]int, len(from))
	for i, a := range op.Perm {
		out[i] = from[a]
	}
	return out, nil
}

func dotShape(op *Op) ([]int, error) {
	x, y, acc := op.Args[0].Sizes(), op.Args[1].Sizes(), op.Args[2].Sizes()
	if len(x) != 2 || len(y) != 2 || x[1] != y[0] || !slices.Equal(acc, []int{x[0], y[1]}) {
		return nil, fmt.Errorf("%v times %v plus %v, expected [M, K], [K, N] and [M, N]", x, y, acc)
	}
	return acc, nil
}

// storeShape holds that each lane has an offset of its own.
func storeShape(op *Op) ([]int, error) {
	shape, err := jointShape(op.Args)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(shape, op.Args[0].Sizes()) {
		return nil, fmt.Errorf("%v lanes are stored to offsets %v", shape, op.Args[0].Sizes())
	}
	return shape, nil
}
