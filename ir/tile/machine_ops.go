package tile

import (
	"math"

	"flagc/runtime/formats"
)

// op compiles one op; nil if it does nothing at run time.
func (m *machine) op(op *Op, args map[string]Arg) func() {
	switch c := op.Code; {
	case c == ProgramID:
		m.program.refs++
		m.vals[op.Results[0]] = m.program
	case c == Scalar:
		m.constant(op.Results[0]).i[0] = int32(args[op.Param.Name].Scalar)
	case c == ConstInt:
		setInt(m.constant(op.Results[0]), op.Int)
	case c == ConstFloat:
		m.constant(op.Results[0]).f[0] = float32(op.Float)
	case c == Range:
		for k, t := 0, m.constant(op.Results[0]); k < len(t.i); k++ {
			t.i[k] = int32(k)
		}
	case c == Expand || c == Reshape:
		m.alias(op.Results[0], op.Args[0])
	case c == Full || c == Broadcast:
		return m.repeat(op.Args[0], op.Results[0])
	case c == Transpose:
		return m.transpose(op)
	case c.IsUnary():
		return m.unary(op)
	case c.IsBinary():
		return m.binary(op)
	case c == Where:
		return m.where(op)
	case c == Cast:
		return m.cast(op)
	case c == Bitcast:
		return m.bitcast(op)
	case c.IsReduction():
		return m.reduce(op)
	case c == Dot:
		return m.dot(op)
	case c == Load:
		return m.load(op)
	case c == Store:
		return m.store(op)
	case c == AtomicAdd:
		return m.atomicAdd(op)
	case c == Barrier:
		return m.barrier()
	case c == Wait: // launches follow each other here
	case c == Loop:
		return m.loop(op, args)
	case c == If:
		return m.branch(op, args)
	default:
		panic("BUG: op " + c.String() + " has no meaning")
	}
	return nil
}

func setInt(t *tile, n int64) {
	switch t.key.kind {
	case kindI:
		t.i[0] = int32(n)
	case kindL:
		t.l[0] = n
	case kindB:
		t.b[0] = n != 0
	}
}

// elem are the Go types of elements.
type elem interface{ float32 | int32 | int64 | bool }

// of picks the slice of a tile that has elements of type T.
func of[T elem](t *tile) []T {
	var out any
	switch any(*new(T)).(type) {
	case float32:
		out = t.f
	case int32:
		out = t.i
	case int64:
		out = t.l
	case bool:
		out = t.b
	}
	return out.([]T)
}

// plan walks over a result whose operands may repeat. The result is cut into pieces of n elements; in each, an
// operand is either a run of n elements or one element that repeats.
type plan struct {
	n    int
	runs []bool  // of operand k: a run
	at   [][]int // of operand k, piece j: the first element
}

// direct reports whether all operands have the result's elements.
func (p *plan) direct() bool { return p == nil }

// newPlan is nil where no operand repeats. Operands are scalars or have as many axes as the result.
func newPlan(to []int, operands ...[]int) *plan {
	total, repeats := length(to), false
	for _, o := range operands {
		repeats = repeats || length(o) != total
	}
	if !repeats {
		return nil
	}
	p := &plan{n: 1, runs: make([]bool, len(operands)), at: make([][]int, len(operands))}
	// Axes join the piece from the innermost on, as long as no operand changes between running and repeating.
	axis := len(to) - 1
	for decided := false; axis >= 0; axis-- {
		if to[axis] == 1 {
			continue
		}
		same := true
		for k, o := range operands {
			if r := runsAlong(o, axis); !decided {
				p.runs[k] = r
			} else if p.runs[k] != r {
				same = false
			}
		}
		if !same {
			break
		}
		decided = true
		p.n *= to[axis]
	}
	cut := p.n
	for cut > chunk && cut%2 == 0 {
		cut /= 2
	}
	for k, o := range operands {
		for _, first := range starts(to[:axis+1], o) {
			for j := 0; j < p.n; j += cut {
				if p.runs[k] {
					p.at[k] = append(p.at[k], first+j)
				} else {
					p.at[k] = append(p.at[k], first)
				}
			}
		}
	}
	p.n = cut
	return p
}

func runsAlong(o []int, axis int) bool { return len(o) > 0 && o[axis] > 1 }

// starts lists where an operand's elements lie for each index of the outer axes.
func starts(outer, o []int) []int {
	out := []int{0}
	for axis, n := range outer {
		stride := 0
		if runsAlong(o, axis) {
			stride = length(o[axis+1:])
		}
		next := make([]int, 0, len(out)*n)
		for _, first := range out {
			for i := range n {
				next = append(next, first+i*stride)
			}
		}
		out = next
	}
	return out
}

func length(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// piece is operand k of piece j as n elements; one that repeats is written out, unless the last piece had it too.
func piece[T elem](p *plan, k, j int, x, scratch []T) []T {
	at := p.at[k][j]
	if p.runs[k] {
		return x[at : at+p.n]
	}
	if p.n > len(scratch) { // an odd extent above the chunk; only programs that do not verify have one
		scratch = make([]T, p.n)
	} else if j > 0 && p.at[k][j-1] == at {
		return scratch[:p.n]
	}
	fill(scratch[:p.n], x[at])
	return scratch[:p.n]
}

func fill[T elem](to []T, x T) {
	for i := range to {
		to[i] = x
	}
}

// zip2 applies f to pieces of two operands.
func zip2[R, A, B elem](m *machine, p *plan, to []R, a []A, b []B, f func([]R, []A, []B)) func() {
	if p.direct() {
		return func() { f(to, a, b) }
	}
	as, bs := of[A](&m.scratch[0]), of[B](&m.scratch[1])
	return func() {
		for j := range p.at[0] {
			f(to[j*p.n:(j+1)*p.n], piece(p, 0, j, a, as), piece(p, 1, j, b, bs))
		}
	}
}

func (m *machine) where(op *Op) func() {
	r := op.Results[0]
	to, c, x, y := m.place(r), m.vals[op.Args[0]], m.vals[op.Args[1]], m.vals[op.Args[2]]
	p := newPlan(r.Sizes(), op.Args[0].Sizes(), op.Args[1].Sizes(), op.Args[2].Sizes())
	switch to.key.kind {
	case kindF:
		return choose(m, p, to.f, c.b, x.f, y.f)
	case kindI:
		return choose(m, p, to.i, c.b, x.i, y.i)
	case kindL:
		return choose(m, p, to.l, c.b, x.l, y.l)
	}
	return choose(m, p, to.b, c.b, x.b, y.b)
}

func choose[T elem](m *machine, p *plan, to []T, c []bool, x, y []T) func() {
	if p.direct() {
		return func() { chooseRun(to, c, x, y) }
	}
	cs, xs, ys := of[bool](&m.scratch[0]), of[T](&m.scratch[1]), of[T](&m.scratch[2])
	return func() {
		for j := range p.at[0] {
			chooseRun(to[j*p.n:(j+1)*p.n], piece(p, 0, j, c, cs), piece(p, 1, j, x, xs), piece(p, 2, j, y, ys))
		}
	}
}

func chooseRun[T elem](to []T, c []bool, x, y []T) {
	c, x, y = c[:len(to)], x[:len(to)], y[:len(to)]
	for i := range to {
		if c[i] {
			to[i] = x[i]
		} else {
			to[i] = y[i]
		}
	}
}

// repeat compiles Full and Broadcast.
func (m *machine) repeat(from, r *Value) func() {
	to, x := m.place(r), m.vals[from]
	p := newPlan(r.Sizes(), from.Sizes())
	switch to.key.kind {
	case kindF:
		return repeatRun(p, to.f, x.f)
	case kindI:
		return repeatRun(p, to.i, x.i)
	case kindL:
		return repeatRun(p, to.l, x.l)
	}
	return repeatRun(p, to.b, x.b)
}

func repeatRun[T elem](p *plan, to, x []T) func() {
	if p.direct() {
		return func() { copy(to, x) }
	}
	return func() {
		for j, at := range p.at[0] {
			if part := to[j*p.n : (j+1)*p.n]; p.runs[0] {
				copy(part, x[at:])
			} else {
				fill(part, x[at])
			}
		}
	}
}

func (m *machine) transpose(op *Op) func() {
	r, from := op.Results[0], op.Args[0].Sizes()
	strides, order := make([]int, len(from)), make([]int, 0, r.Len())
	for k, a := range op.Perm {
		strides[k] = length(from[a+1:])
	}
	order = append(order, 0)
	for k, d := range r.Sizes() {
		next := make([]int, 0, r.Len())
		for _, first := range order {
			for i := range d {
				next = append(next, first+i*strides[k])
			}
		}
		order = next
	}
	to, x := m.place(r), m.vals[op.Args[0]]
	switch to.key.kind {
	case kindF:
		return func() { gather(to.f, x.f, order) }
	case kindI:
		return func() { gather(to.i, x.i, order) }
	case kindL:
		return func() { gather(to.l, x.l, order) }
	}
	return func() { gather(to.b, x.b, order) }
}

func gather[T elem](to, x []T, order []int) {
	for i, k := range order {
		to[i] = x[k]
	}
}

// cast compiles a conversion. Widening floats and i8 to i32 changes no element.
func (m *machine) cast(op *Op) func() {
	from, to := op.Args[0].DType, op.Results[0].DType
	kf, kt := kindOf(from), kindOf(to)
	if kf == kindF && kt == kindF && holds(to, from) || kf == kindI && kt == kindI && to == I32 {
		m.alias(op.Results[0], op.Args[0])
		return nil
	}
	x, y := m.vals[op.Args[0]], m.place(op.Results[0])
	switch kt {
	case kindF:
		return castToFloat(to, y.f, x)
	case kindL:
		return convert(x, y.l, func(v float32) int64 { return truncate[int64](v, math.MinInt64, math.MaxInt64) },
			func(v int32) int64 { return int64(v) }, func(v int64) int64 { return v }, func(v bool) int64 { return one(v) })
	case kindB:
		return convert(x, y.b, func(v float32) bool { return v != 0 }, func(v int32) bool { return v != 0 },
			func(v int64) bool { return v != 0 }, func(v bool) bool { return v })
	}
	wrap := func(v int32) int32 { return v }
	if to == I8 {
		wrap = func(v int32) int32 { return int32(int8(v)) }
	}
	return convert(x, y.i, func(v float32) int32 { return wrap(truncate[int32](v, math.MinInt32, math.MaxInt32)) },
		wrap, func(v int64) int32 { return wrap(int32(v)) }, func(v bool) int32 { return int32(one(v)) })
}

func castToFloat(d DType, to []float32, x *tile) func() {
	if x.key.kind == kindF && d == BF16 { // the cast that kernels use most
		return func() {
			for k, v := range x.f {
				to[k] = formats.RoundBF16x32(v)
			}
		}
	}
	return convert(x, to, func(v float32) float32 { return roundTo(d, v) },
		func(v int32) float32 { return roundTo(d, float32(v)) },
		func(v int64) float32 { return roundTo(d, float32(v)) },
		func(v bool) float32 { return float32(one(v)) })
}

func one(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// convert applies the function that takes what x holds.
func convert[T elem](x *tile, to []T, f func(float32) T, i func(int32) T, l func(int64) T, b func(bool) T) func() {
	switch x.key.kind {
	case kindF:
		return func() { each(to, x.f, f) }
	case kindI:
		return func() { each(to, x.i, i) }
	case kindL:
		return func() { each(to, x.l, l) }
	}
	return func() { each(to, x.b, b) }
}

func each[T, S elem](to []T, x []S, f func(S) T) {
	for k, v := range x {
		to[k] = f(v)
	}
}

func (m *machine) bitcast(op *Op) func() {
	from, to := op.Args[0].DType, op.Results[0].DType
	if from == to {
		m.alias(op.Results[0], op.Args[0])
		return nil
	}
	x, y := m.vals[op.Args[0]], m.place(op.Results[0])
	switch {
	case kindOf(from) == kindI:
		return func() { each(y.f, x.i, func(v int32) float32 { return floatOf(to, uint32(v)) }) }
	case to == I8:
		return func() { each(y.i, x.f, func(v float32) int32 { return int32(int8(bitsOf(from, v))) }) }
	case to == I32:
		return func() { each(y.i, x.f, func(v float32) int32 { return int32(bitsOf(from, v)) }) }
	}
	return func() { each(y.f, x.f, func(v float32) float32 { return floatOf(to, bitsOf(from, v)) }) }
}
