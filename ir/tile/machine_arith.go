package tile

import "math"

func (m *machine) unary(op *Op) func() {
	x, to := m.vals[op.Args[0]], m.place(op.Results[0])
	switch to.key.kind {
	case kindF:
		return floatUnary(op.Code, to.f, x.f)
	case kindI:
		return intUnary(op.Code, to.i, x.i)
	case kindL:
		return intUnary(op.Code, to.l, x.l)
	}
	return func() {
		for i, v := range x.b {
			to.b[i] = !v
		}
	}
}

// inexact are the functions of a device's mathematics unit, here rounded once from float64.
var inexact = map[Code]func(float64) float64{
	Exp: math.Exp, Log: math.Log, Sqrt: math.Sqrt, Floor: math.Floor,
	Rsqrt: func(v float64) float64 { return 1 / math.Sqrt(v) },
}

func floatUnary(c Code, to, x []float32) func() {
	if f := inexact[c]; f != nil {
		return func() {
			for i, v := range x {
				to[i] = float32(f(float64(v)))
			}
		}
	}
	if c == Neg {
		return func() {
			for i, v := range x {
				to[i] = -v
			}
		}
	}
	return func() { // Abs
		for i, v := range x {
			to[i] = math.Float32frombits(math.Float32bits(v) &^ (1 << 31))
		}
	}
}

func intUnary[T int32 | int64](c Code, to, x []T) func() {
	if c == Neg {
		return func() {
			for i, v := range x {
				to[i] = -v
			}
		}
	}
	return func() { // Abs
		for i, v := range x {
			to[i] = max(v, -v)
		}
	}
}

func (m *machine) binary(op *Op) func() {
	x, y, r := m.vals[op.Args[0]], m.vals[op.Args[1]], op.Results[0]
	to, p := m.place(r), newPlan(r.Sizes(), op.Args[0].Sizes(), op.Args[1].Sizes())
	var step func()
	switch k := x.key.kind; {
	case k == kindB:
		return zip2(m, p, to.b, x.b, y.b, boolRun(op.Code))
	case op.Code.IsComparison() && k == kindF:
		return zip2(m, p, to.b, x.f, y.f, compareRun[float32](op.Code))
	case op.Code.IsComparison() && k == kindI:
		return zip2(m, p, to.b, x.i, y.i, compareRun[int32](op.Code))
	case op.Code.IsComparison():
		return zip2(m, p, to.b, x.l, y.l, compareRun[int64](op.Code))
	case k == kindF:
		return zip2(m, p, to.f, x.f, y.f, floatRun(op.Code))
	case k == kindI:
		step = zip2(m, p, to.i, x.i, y.i, intRun[int32](op.Code, 32))
	default:
		step = zip2(m, p, to.l, x.l, y.l, intRun[int64](op.Code, 64))
	}
	if c := op.Code; c == Div || c == Mod || c == Shl || c == Shr {
		return func() {
			m.now = op
			step()
		}
	}
	return step
}

// The loops stand once for each op, so that none decides or calls anything per element.

func floatRun(c Code) func(to, x, y []float32) {
	switch c {
	case Div:
		return func(to, x, y []float32) {
			x, y = x[:len(to)], y[:len(to)]
			for i := range to {
				to[i] = x[i] / y[i]
			}
		}
	case Minimum:
		return func(to, x, y []float32) {
			x, y = x[:len(to)], y[:len(to)]
			for i := range to {
				to[i] = less(x[i], y[i])
			}
		}
	case Maximum:
		return func(to, x, y []float32) {
			x, y = x[:len(to)], y[:len(to)]
			for i := range to {
				to[i] = more(x[i], y[i])
			}
		}
	}
	return sumRun[float32](c)
}

// less and more prefer a number to a NaN.
func less(x, y float32) float32 {
	if x < y || y != y {
		return x
	}
	return y
}

func more(x, y float32) float32 {
	if x > y || y != y {
		return x
	}
	return y
}

// sumRun is Add, Sub and Mul.
func sumRun[T float32 | int32 | int64](c Code) func(to, x, y []T) {
	switch c {
	case Add:
		return func(to, x, y []T) {
			x, y = x[:len(to)], y[:len(to)]
			for i := range to {
				to[i] = x[i] + y[i]
			}
		}
	case Sub:
		return func(to, x, y []T) {
			x, y = x[:len(to)], y[:len(to)]
			for i := range to {
				to[i] = x[i] - y[i]
			}
		}
	case Mul:
		return func(to, x, y []T) {
			x, y = x[:len(to)], y[:len(to)]
			for i := range to {
				to[i] = x[i] * y[i]
			}
		}
	}
	panic("BUG: " + c.String() + " is not arithmetic")
}

func intRun[T int32 | int64](c Code, width T) func(to, x, y []T) {
	switch c {
	case Div:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				checkDivision(int64(v), int64(y[i]))
				to[i] = v / y[i]
			}
		}
	case Mod:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				checkDivision(int64(v), int64(y[i]))
				to[i] = v % y[i]
			}
		}
	case Shl:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				checkShift(int64(y[i]), int64(width))
				to[i] = v << y[i]
			}
		}
	case Shr:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				checkShift(int64(y[i]), int64(width))
				to[i] = v >> y[i]
			}
		}
	}
	if f := bitRun[T](c); f != nil {
		return f
	}
	return sumRun[T](c)
}

// bitRun is what is done to integers without arithmetic.
func bitRun[T int32 | int64](c Code) func(to, x, y []T) {
	switch c {
	case Minimum:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = min(v, y[i])
			}
		}
	case Maximum:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = max(v, y[i])
			}
		}
	case And:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = v & y[i]
			}
		}
	case Or:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = v | y[i]
			}
		}
	case Xor:
		return func(to, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = v ^ y[i]
			}
		}
	}
	return nil
}

func checkDivision(x, y int64) {
	if x < 0 || y <= 0 {
		trapf("%d and %d: integers are divided where neither is negative and the divisor is not zero", x, y)
	}
}

func checkShift(n, width int64) {
	if n < 0 || n >= width {
		trapf("a shift by %d of %d bits", n, width)
	}
}

// compareRun compares numbers; with a NaN only Ne holds.
func compareRun[T float32 | int32 | int64](c Code) func(to []bool, x, y []T) {
	switch c {
	case Lt:
		return func(to []bool, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = v < y[i]
			}
		}
	case Le:
		return func(to []bool, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = v <= y[i]
			}
		}
	case Gt:
		return func(to []bool, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = v > y[i]
			}
		}
	case Ge:
		return func(to []bool, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = v >= y[i]
			}
		}
	case Eq:
		return func(to []bool, x, y []T) {
			for i, v := range x[:len(to)] {
				to[i] = v == y[i]
			}
		}
	}
	return func(to []bool, x, y []T) {
		for i, v := range x[:len(to)] {
			to[i] = v != y[i]
		}
	}
}

func boolRun(c Code) func(to, x, y []bool) {
	f := map[Code]func(x, y bool) bool{
		And: func(x, y bool) bool { return x && y },
		Or:  func(x, y bool) bool { return x || y },
		Xor: func(x, y bool) bool { return x != y },
		Eq:  func(x, y bool) bool { return x == y },
		Ne:  func(x, y bool) bool { return x != y },
	}[c]
	switch c {
	case And:
		return func(to, x, y []bool) {
			for i, v := range x[:len(to)] {
				to[i] = v && y[i]
			}
		}
	case Or:
		return func(to, x, y []bool) {
			for i, v := range x[:len(to)] {
				to[i] = v || y[i]
			}
		}
	}
	return func(to, x, y []bool) {
		for i, v := range x[:len(to)] {
			to[i] = f(v, y[i])
		}
	}
}
