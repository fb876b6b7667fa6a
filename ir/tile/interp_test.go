package tile

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// Elements as a buffer and back.

func packed(d DType, values ...float64) []byte {
	data, at := make([]byte, len(values)*d.Bytes()), counting(len(values))
	f, i := make([]float32, len(values)), make([]int32, len(values))
	for k, v := range values {
		f[k] = float32(v)
		if !d.IsFloat() {
			i[k] = int32(v)
		}
	}
	switch {
	case d.IsFloat():
		writeFloats(d)(data, at, f)
	case d == I8:
		writeBytes(data, at, i)
	default:
		writeInts(data, at, i)
	}
	return data
}

func unpacked(d DType, data []byte) []float64 {
	n := len(data) / d.Bytes()
	f, i, out := make([]float32, n), make([]int32, n), make([]float64, n)
	switch at := counting(n); {
	case d.IsFloat():
		readFloats(d)(f, data, at, 0)
	case d == I8:
		readBytes(i, data, at, 0)
	default:
		readInts(i, data, at, 0)
	}
	for k := range out {
		if out[k] = float64(i[k]); d.IsFloat() {
			out[k] = float64(f[k])
		}
	}
	return out
}

func counting(n int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = i
	}
	return at
}

// rowNorm divides rows of x by the root of their mean square.
func rowNorm(block int) *Program {
	b := NewBuilder("row_norm")
	x := b.Pointer("x", BF16, In, "rows", "s", "D")
	y := b.Pointer("y", BF16, Out, "the same, normalised", "s", "D")
	b.Scalar("s", "how many rows")
	cols := b.Const("D", 100, "features")
	n := b.Const("BLOCK", block, "features rounded up")
	b.Program.Grid = "s"
	lane := b.Range(n).Named("lane")
	mask := b.Lt(lane, b.IntOf(cols)).Named("mask")
	at := b.Add(b.Mul(b.ProgramID(), b.IntOf(cols)), lane).Named("at")
	v := b.LoadF32(x, at, mask, 0).Named("v")
	mean := b.Div(b.Sum(b.Mul(v, v), 0), b.Float(100)).Named("mean")
	b.Store(y, at, b.Mul(v, b.Rsqrt(b.AddF(mean, 1e-6))), mask)
	return b.Program
}

func wave(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Sin(float64(3*i)) * 4
	}
	return out
}

func TestInterpretRunsRows(t *testing.T) {
	const rows = 9
	x := packed(BF16, wave(rows*100)...)
	var want []float64
	for r := range rows {
		row, sum := unpacked(BF16, x)[r*100:][:100], 0.0
		for _, v := range row {
			sum += v * v
		}
		for _, v := range row {
			want = append(want, v/math.Sqrt(sum/100+1e-6))
		}
	}
	for name, opts := range map[string]Options{"ascending": {}, "shuffled": {Seed: 7}, "races": {Races: true},
		"both": {Races: true, Seed: 3}} {
		t.Run(name, func(t *testing.T) {
			y := make([]byte, len(x))
			args := map[string]Arg{"x": {Data: x}, "y": {Data: y}, "s": {Scalar: rows}}
			require.NoError(t, Interpret(rowNorm(128), args, opts))
			require.InDeltaSlice(t, want, unpacked(BF16, y), 0x1p-8*4) // half a step of bf16 below 8
		})
	}
}

// matmul multiplies tiles of bf16 in a loop over K.
func matmul(m, n, k int) *Program {
	b := NewBuilder("matmul")
	x := b.Pointer("x", BF16, In, "", "M", "K")
	w := b.Pointer("w", BF16, In, "rows of w are columns of the product", "N", "K")
	y := b.Pointer("y", F32, Out, "", "M", "N")
	b.Const("M", m, "")
	N, K := b.Const("N", n, ""), b.Const("K", k, "")
	bm, bn, bk := b.Const("BLOCK_M", min(m, 16), ""), b.Const("BLOCK_N", min(n, 64), ""), b.Const("BLOCK_K", min(k, 64), "")
	b.Program.Grid = "M // BLOCK_M * (N // BLOCK_N)"
	pid := b.ProgramID()
	across := b.Int(N.Size / bn.Size)
	rows := b.Add(b.Mul(b.Div(pid, across), b.IntOf(bm)), b.Range(bm)).Named("rows")
	cols := b.Add(b.Mul(b.Mod(pid, across), b.IntOf(bn)), b.Range(bn)).Named("cols")
	acc := b.Loop("k", b.Int(0), b.IntOf(K), bk.Size, []*Value{b.Zeros(bm, bn).Named("acc")}, func(i *Value, c []*Value) []*Value {
		depth := b.Add(i, b.Range(bk))
		xt := b.Load(x, b.Add(b.Mul(b.Col(rows), b.IntOf(K)), b.Row(depth)), nil, 0)
		wt := b.Load(w, b.Add(b.Mul(b.Col(cols), b.IntOf(K)), b.Row(depth)), nil, 0)
		return []*Value{b.Dot(xt, b.Transpose(wt, 1, 0), c[0])}
	})
	b.Store(y, b.Add(b.Mul(b.Col(rows), b.IntOf(N)), b.Row(cols)), acc[0], nil)
	return b.Program
}

func TestInterpretMultipliesInOrderOfK(t *testing.T) {
	const m, n, k = 32, 64, 128
	x, w, y := packed(BF16, wave(m*k)...), packed(BF16, wave(n*k)...), make([]byte, 4*m*n)
	require.NoError(t, Interpret(matmul(m, n, k), map[string]Arg{"x": {Data: x}, "w": {Data: w}, "y": {Data: y}}, Options{}))
	xs, ws := unpacked(BF16, x), unpacked(BF16, w)
	want := make([]float64, m*n)
	for i := range m {
		for j := range n {
			sum := float32(0)
			for l := range k {
				sum += float32(xs[i*k+l] * ws[j*k+l])
			}
			want[i*n+j] = float64(sum)
		}
	}
	require.Equal(t, want, unpacked(F32, y))
}

// apply runs f on tiles of eight elements loaded from x and y and returns what it stores.
func apply(t *testing.T, in, out DType, x, y []float64, f func(b *Builder, x, y *Value) *Value) []float64 {
	t.Helper()
	b := NewBuilder("one_op")
	px, py := b.Pointer("x", in, In, "", "8"), b.Pointer("y", in, In, "", "8")
	lane := b.Range(D(8))
	r := f(b, b.Load(px, lane, nil, 0), b.Load(py, lane, nil, 0))
	sizes, shape := r.Sizes(), []string{"8"}
	pz := b.Pointer("z", out, Out, "", shape...)
	for len(sizes) > 1 {
		r = b.Reshape(r, D(r.Len()))
		sizes = r.Sizes()
	}
	b.Store(pz, b.Range(D(r.Len())), r, nil)
	b.Program.Grid = "1"
	z := make([]byte, 8*out.Bytes())
	args := map[string]Arg{"x": {Data: packed(in, x...)}, "y": {Data: packed(in, y...)}, "z": {Data: z}}
	require.NoError(t, Interpret(b.Program, args, Options{}))
	return unpacked(out, z)[:r.Len()]
}

var (
	nan = math.NaN()
	inf = math.Inf(1)
)

func TestFloatOps(t *testing.T) {
	x := []float64{1, -2, 0.1, 4, nan, 3, inf, -0.5}
	y := []float64{3, 5, 0.2, -4, 1, nan, inf, 2}
	third, tenth := float64(float32(1)/3), float64(float32(0.1))
	for c, want := range map[Code][]float64{
		Add:     {4, 3, float64(float32(0.1) + float32(0.2)), 0, nan, nan, inf, 1.5},
		Sub:     {-2, -7, float64(float32(0.1) - float32(0.2)), 8, nan, nan, nan, -2.5},
		Mul:     {3, -10, float64(float32(0.1) * float32(0.2)), -16, nan, nan, inf, -1},
		Div:     {third, float64(float32(-0.4)), 0.5, -1, nan, nan, nan, -0.25},
		Minimum: {1, -2, tenth, -4, 1, 3, inf, -0.5},
		Maximum: {3, 5, float64(float32(0.2)), 4, 1, 3, inf, 2},
		Lt:      {1, 1, 1, 0, 0, 0, 0, 1},
		Le:      {1, 1, 1, 0, 0, 0, 1, 1},
		Gt:      {0, 0, 0, 1, 0, 0, 0, 0},
		Ge:      {0, 0, 0, 1, 0, 0, 1, 0},
		Eq:      {0, 0, 0, 0, 0, 0, 1, 0},
		Ne:      {1, 1, 1, 1, 1, 1, 0, 1},
		Neg:     {-1, 2, -tenth, -4, nan, -3, -inf, 0.5},
		Abs:     {1, 2, tenth, 4, nan, 3, inf, 0.5},
		Exp:     {float64(float32(math.E)), float64(float32(math.Exp(-2))), float64(float32(math.Exp(tenth))), float64(float32(math.Exp(4))), nan, float64(float32(math.Exp(3))), inf, float64(float32(math.Exp(-0.5)))},
		Log:     {0, nan, float64(float32(math.Log(tenth))), float64(float32(math.Log(4))), nan, float64(float32(math.Log(3))), inf, nan},
		Sqrt:    {1, nan, float64(float32(math.Sqrt(tenth))), 2, nan, float64(float32(math.Sqrt(3))), inf, nan},
		Rsqrt:   {1, nan, float64(float32(1 / math.Sqrt(tenth))), 0.5, nan, float64(float32(1 / math.Sqrt(3))), 0, nan},
		Floor:   {1, -2, 0, 4, nan, 3, inf, -1},
		Sum:     {nan}, Max: {inf}, Min: {-2},
	} {
		t.Run(c.String(), func(t *testing.T) {
			got := apply(t, F32, F32, x, y, func(b *Builder, x, y *Value) *Value {
				switch {
				case c.IsReduction():
					return b.Full(b.Reduce(c, x, 0), D(1))
				case c.IsUnary():
					return b.Unary(c, x)
				}
				return b.Cast(b.Binary(c, x, y), F32)
			})
			same(t, want, got)
		})
	}
}

func TestIntOps(t *testing.T) {
	x := []float64{7, 0, math.MaxInt32, 12, 100, 5, 1, 9}
	y := []float64{3, 5, 1, 12, 7, 31, 30, 2}
	signed := []float64{-7, 0, math.MaxInt32, -12, math.MinInt32, 5, -1, 9}
	for c, want := range map[Code][]float64{
		Div: {2, 0, math.MaxInt32, 1, 14, 0, 0, 4},
		Mod: {1, 0, 0, 0, 2, 5, 1, 1},
		Shl: {56, 0, -2, 49152, 12800, math.MinInt32, 1 << 30, 36},
		And: {3, 0, 1, 12, 4, 5, 0, 0},
		Or:  {7, 5, math.MaxInt32, 12, 103, 31, 31, 11},
		Xor: {4, 5, math.MaxInt32 - 1, 0, 99, 26, 31, 11},
		Add: {-4, 5, math.MinInt32, 0, math.MinInt32 + 7, 36, 29, 11},
		Sub: {-10, -5, math.MaxInt32 - 1, -24, math.MaxInt32 - 6, -26, -31, 7},
		Mul: {-21, 0, math.MaxInt32, -144, math.MinInt32, 155, -30, 18},
		Shr: {-1, 0, math.MaxInt32 >> 1, -1, math.MinInt32 >> 7, 0, -1, 2},
		Neg: {7, 0, -math.MaxInt32, 12, math.MinInt32, -5, 1, -9},
		Abs: {7, 0, math.MaxInt32, 12, math.MinInt32, 5, 1, 9},
		Lt:  {1, 1, 0, 1, 1, 1, 1, 0}, Eq: {0, 0, 0, 0, 0, 0, 0, 0}, Ne: {1, 1, 1, 1, 1, 1, 1, 1},
		Minimum: {-7, 0, 1, -12, math.MinInt32, 5, -1, 2}, Maximum: {3, 5, math.MaxInt32, 12, 7, 31, 30, 9},
		Sum: {-7}, Max: {math.MaxInt32}, Min: {math.MinInt32},
	} {
		for _, wide := range []DType{I32, I64} {
			t.Run(c.String()+" "+wide.String(), func(t *testing.T) {
				left := signed
				switch c {
				case Div, Mod, Shl, And, Or, Xor:
					left = x
				}
				got := apply(t, I32, I32, left, y, func(b *Builder, x, y *Value) *Value {
					x, y = b.Cast(x, wide), b.Cast(y, wide)
					switch {
					case c.IsReduction():
						return b.Cast(b.Full(b.Reduce(c, x, 0), D(1)), I32)
					case c.IsUnary():
						return b.Cast(b.Unary(c, x), I32)
					}
					return b.Cast(b.Binary(c, x, y), I32)
				})
				require.Equal(t, want, got)
			})
		}
	}
}

// same compares floats, taking NaN as equal to itself and +0 as unlike -0.
func same(t *testing.T, want, got []float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		if math.Float64bits(want[i]) != math.Float64bits(got[i]) && !(want[i] != want[i] && got[i] != got[i]) {
			t.Fatalf("element %d is %v, not %v\nall: %v", i, got[i], want[i], got)
		}
	}
}

func TestCasts(t *testing.T) {
	x := []float64{1.00390625, 1.01171875, 500, -0.001, nan, inf, 65520, -3.99}
	to := func(d DType) func(b *Builder, x, _ *Value) *Value {
		return func(b *Builder, x, _ *Value) *Value { return b.Cast(x, d) }
	}
	same(t, []float64{1, 1.015625, 500, float64(roundTo(BF16, -0.001)), nan, inf, 65536, -3.984375},
		apply(t, F32, BF16, x, x, to(BF16)))
	same(t, []float64{1, 1, 448, -0.001953125 * 0, nan, 448, 448, -4}[:3], apply(t, F32, E4M3, x, x, to(E4M3))[:3])
	same(t, []float64{nan, 448, 448, -4}, apply(t, F32, E4M3, x, x, to(E4M3))[4:])
	same(t, []float64{1.00390625, 1.01171875, 500, -0x1.064p-10, nan, inf, inf, -3.990234375}, apply(t, F32, F16, x, x, to(F16)))
	same(t, []float64{1, 1, 500, 0, 0, math.MaxInt32, 65520, -3}, apply(t, F32, I32, x, x, to(I32)))
	ints := []float64{-1, 127, 128, 255, 256, 300, -129, 16777217}
	same(t, []float64{-1, 127, -128, -1, 0, 44, 127, 1}, apply(t, I32, I8, ints, ints, to(I8)))
	same(t, []float64{-1, 127, 128, 255, 256, 300, -129, 16777216}, apply(t, I32, F32, ints, ints, to(F32)))
	same(t, []float64{-1, 127, -128, -1, 0, 44, 127, 1}, apply(t, I8, I32, ints, ints, to(I32)))
}

func TestBitcasts(t *testing.T) {
	codes := []float64{0x38, -128, 0x7F, -1, 1, 0x7E, -2, 0x40}
	floats := []float64{1, math.Copysign(0, -1), nan, nan, 0x1p-9, 448, -448, 2}
	same(t, floats, apply(t, I8, E4M3, codes, codes, func(b *Builder, x, _ *Value) *Value { return b.Bitcast(x, E4M3) }))
	same(t, codes, apply(t, I8, I8, codes, codes, func(b *Builder, x, _ *Value) *Value {
		return b.Bitcast(b.Bitcast(x, E4M3), I8)
	}))
	words := []float64{1, 0x3F800000, 0x7FC00000, -1, 5, 6, 7, 8}
	same(t, words, apply(t, I32, I32, words, words, func(b *Builder, x, _ *Value) *Value {
		return b.Bitcast(b.Bitcast(x, F32), I32)
	}))
}

func TestShapes(t *testing.T) {
	x := []float64{0, 1, 2, 3, 4, 5, 6, 7}
	for name, c := range map[string]struct {
		f    func(b *Builder, x, y *Value) *Value
		want []float64
	}{
		"transpose": {func(b *Builder, x, _ *Value) *Value {
			return b.Transpose(b.Reshape(x, D(2), D(4)), 1, 0)
		}, []float64{0, 4, 1, 5, 2, 6, 3, 7}},
		"transpose of three axes": {func(b *Builder, x, _ *Value) *Value {
			return b.Transpose(b.Reshape(x, D(2), D(2), D(2)), 1, 2, 0)
		}, []float64{0, 4, 1, 5, 2, 6, 3, 7}},
		"sum of columns": {func(b *Builder, x, _ *Value) *Value {
			return b.Sum(b.Reshape(x, D(2), D(4)), 0)
		}, []float64{4, 6, 8, 10}},
		"sum of rows": {func(b *Builder, x, _ *Value) *Value { return b.Sum(b.Reshape(x, D(2), D(4)), 1) }, []float64{6, 22}},
		"max in the middle": {func(b *Builder, x, _ *Value) *Value {
			return b.Max(b.Reshape(x, D(2), D(2), D(2)), 1)
		}, []float64{2, 3, 6, 7}},
		"row and column": {func(b *Builder, x, _ *Value) *Value {
			half := b.Sum(b.Reshape(x, D(2), D(4)), 0) // 4 6 8 10
			return b.Sub(b.Col(b.Sum(b.Reshape(x, D(2), D(4)), 1)), b.Row(half))
		}, []float64{2, 0, -2, -4, 18, 16, 14, 12}},
		"tile and scalar": {func(b *Builder, x, _ *Value) *Value { return b.Sub(b.Max(x, 0), x) }, []float64{7, 6, 5, 4, 3, 2, 1, 0}},
		"broadcast": {func(b *Builder, x, _ *Value) *Value {
			return b.BroadcastTo(b.Col(b.Sum(b.Reshape(x, D(2), D(4)), 1)), D(2), D(4))
		}, []float64{6, 6, 6, 6, 22, 22, 22, 22}},
		"full": {func(b *Builder, x, _ *Value) *Value { return b.BroadcastTo(b.Max(x, 0), D(8)) }, []float64{7, 7, 7, 7, 7, 7, 7, 7}},
		"where with three shapes": {func(b *Builder, x, _ *Value) *Value {
			rows := b.Reshape(x, D(2), D(4))
			return b.Where(b.Gt(b.Col(b.Sum(rows, 1)), b.Float(10)), b.Float(-1), rows)
		}, []float64{0, 1, 2, 3, -1, -1, -1, -1}},
	} {
		t.Run(name, func(t *testing.T) { same(t, c.want, apply(t, F32, F32, x, x, c.f)) })
	}
}

// TestLoopsCarryAllValuesAtOnce swaps two values in each round: Fibonacci's numbers.
func TestLoopsCarryAllValuesAtOnce(t *testing.T) {
	b := NewBuilder("fibonacci")
	out := b.Pointer("out", I32, Out, "", "n")
	n := b.Scalar("n", "")
	b.Loop("i", b.Int(0), n, 1, []*Value{b.Int(0), b.Int(1)}, func(i *Value, c []*Value) []*Value {
		b.Store(out, i, c[0], nil)
		return []*Value{c[1], b.Add(c[0], c[1])}
	})
	b.Program.Grid = "1"
	data := make([]byte, 40)
	require.NoError(t, Interpret(b.Program, map[string]Arg{"out": {Data: data}, "n": {Scalar: 10}}, Options{}))
	require.Equal(t, []float64{0, 1, 1, 2, 3, 5, 8, 13, 21, 34}, unpacked(I32, data))
}

// TestTheLastInstanceFinishes adds partial sums with a counter, as split kernels do.
func TestTheLastInstanceFinishes(t *testing.T) {
	b := NewBuilder("split_sum")
	x := b.Pointer("x", F32, In, "", "8 * n")
	part := b.Pointer("part", F32, Out, "", "n")
	sum := b.Pointer("sum", F32, Out, "", "1")
	count := b.Pointer("count", I32, InOut, "", "1")
	n, pid := b.Scalar("n", ""), b.ProgramID()
	b.Store(part, pid, b.Sum(b.LoadF32(x, b.Add(b.MulI(pid, 8), b.Range(D(8))), nil, 0), 0), nil)
	b.Barrier()
	before := b.AtomicAdd(count, b.Int(0), b.Int(1))
	b.If(b.Eq(before, b.SubI(n, 1)), func() {
		lane := b.Range(D(16))
		b.Store(sum, b.Int(0), b.Sum(b.LoadF32(part, lane, b.Lt(lane, n), 0), 0), nil)
	}, nil)
	b.Program.Grid = "n"
	for seed := range int64(4) {
		s := make([]byte, 4)
		args := map[string]Arg{"x": {Data: packed(F32, wave(80)...)}, "part": {Data: make([]byte, 40)}, "sum": {Data: s},
			"count": {Data: make([]byte, 4)}, "n": {Scalar: 10}}
		require.NoError(t, Interpret(b.Program, args, Options{Seed: seed, Races: true}))
		want := 0.0
		for _, v := range wave(80) {
			want += v
		}
		require.InDelta(t, want, unpacked(F32, s)[0], 1e-5)
		require.Equal(t, uint32(10), binary.LittleEndian.Uint32(args["count"].Data))
	}
}

// access loads one element per instance from x, at the offset that f makes, and stores it to y.
func copyKernel(f func(b *Builder, pid *Value) (from, mask, to *Value)) *Program {
	b := NewBuilder("copy")
	x, y := b.Pointer("x", F32, In, "", "4"), b.Pointer("y", F32, Out, "", "4")
	from, mask, to := f(b, b.ProgramID())
	b.Store(y, to, b.Load(x, from, mask, -7), nil)
	b.Program.Grid = "4"
	return b.Program
}

func TestFaults(t *testing.T) {
	straight := func(b *Builder, pid *Value) (from, mask, to *Value) { return pid, nil, pid }
	for name, c := range map[string]struct {
		f    func(b *Builder, pid *Value) (from, mask, to *Value)
		opts Options
		want string // "" for none
	}{
		"in range": {straight, Options{Races: true, LiveMasked: true}, ""},
		"load behind the end": {func(b *Builder, pid *Value) (from, mask, to *Value) { return b.AddI(pid, 2), nil, pid },
			Options{}, "kernel copy, instance 2, \"%3 = load x[%2] : f32\": element 4 of x, which has 4"},
		"load before the start": {func(b *Builder, pid *Value) (from, mask, to *Value) { return b.SubI(pid, 1), nil, pid },
			Options{}, "instance 0, \"%3 = load x[%2] : f32\": element -1 of x"},
		"store behind the end": {func(b *Builder, pid *Value) (from, mask, to *Value) { return pid, nil, b.AddI(pid, 1) },
			Options{}, "instance 3, \"store y[%2] = %3\": element 4 of y"},
		"masked lane outside": {func(b *Builder, pid *Value) (from, mask, to *Value) {
			return b.AddI(pid, 2), b.LtI(pid, 2), pid
		}, Options{}, ""},
		"masked lane outside is live": {func(b *Builder, pid *Value) (from, mask, to *Value) {
			return b.AddI(pid, 2), b.LtI(pid, 2), pid
		}, Options{LiveMasked: true}, "element 4 of x in a masked lane"},
		"masked lane outside is no gather": {func(b *Builder, pid *Value) (from, mask, to *Value) {
			return b.AddI(pid, 2), b.LtI(pid, 2), pid
		}, Options{LiveGathers: true}, ""},
		"masked lane of a gather": {func(b *Builder, pid *Value) (from, mask, to *Value) {
			lane := b.Range(D(2))
			x := b.Load(b.Program.Param("x"), lane, nil, 0)
			far := b.Add(b.AddI(b.Add(pid, lane), 2), b.Cast(b.Mul(x, b.Float(0)), I32))
			return far, b.LtI(far, 4), lane
		}, Options{LiveGathers: true}, "element 4 of x in a masked lane"},
		"offset in 64 bits": {func(b *Builder, pid *Value) (from, mask, to *Value) {
			return b.Mul(b.Cast(pid, I64), b.Cast(b.Int(1<<31-1), I64)), nil, pid
		}, Options{}, "element 2147483647 of x"},
		"two instances store differently": {func(b *Builder, pid *Value) (from, mask, to *Value) { return pid, nil, b.DivI(pid, 2) },
			Options{Races: true}, "instance 1, \"store y[%2] = %3\": element 0 of y is stored, and instance 0 stores something else"},
		"two instances store the same": {func(b *Builder, pid *Value) (from, mask, to *Value) {
			return b.DivI(pid, 2), nil, b.DivI(pid, 2)
		}, Options{Races: true}, ""},
		"negative division": {func(b *Builder, pid *Value) (from, mask, to *Value) { return b.DivI(b.SubI(pid, 3), 2), nil, pid },
			Options{}, "instance 0, \"%4 = div %2, %3 : i32\": -3 and 2: integers are divided"},
		"division by zero": {func(b *Builder, pid *Value) (from, mask, to *Value) { return b.Mod(pid, pid), nil, pid },
			Options{}, "instance 0, \"%1 = mod %0, %0 : i32\": 0 and 0"},
		"shift": {func(b *Builder, pid *Value) (from, mask, to *Value) { return b.Shr(pid, 32), nil, pid },
			Options{}, "a shift by 32 of 32 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			x, y := packed(F32, 1, 2, 3, 4), make([]byte, 16)
			err := Interpret(copyKernel(c.f), map[string]Arg{"x": {Data: x}, "y": {Data: y}}, c.opts)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			var fault *Fault
			require.True(t, errors.As(err, &fault))
		})
	}
}

func TestMaskedLanes(t *testing.T) {
	p := copyKernel(func(b *Builder, pid *Value) (from, mask, to *Value) { return pid, b.LtI(pid, 2), pid })
	y := make([]byte, 16)
	args := map[string]Arg{"x": {Data: packed(F32, 1, 2, 3, 4)}, "y": {Data: y}}
	require.NoError(t, Interpret(p, args, Options{}))
	same(t, []float64{1, 2, -7, -7}, unpacked(F32, y))
	require.NoError(t, Interpret(p, args, Options{PoisonMasked: true}))
	same(t, []float64{1, 2, nan, nan}, unpacked(F32, y))
}

func TestRacesBetweenLoadsAndStores(t *testing.T) {
	shift := func(barrier bool, by int) *Program {
		b := NewBuilder("shift")
		x := b.Pointer("x", I32, InOut, "", "5")
		pid := b.ProgramID()
		b.Store(x, pid, pid, nil)
		if barrier {
			b.Barrier()
		}
		b.Load(x, b.AddI(pid, by), nil, 0)
		b.Program.Grid = "4"
		return b.Program
	}
	for name, c := range map[string]struct {
		p    *Program
		want string
	}{
		"its own without a barrier": {shift(false, 0), "element 0 of x is loaded, and the instance has stored it since its last barrier"},
		"its own":                   {shift(true, 0), ""},
		"another's, stored later":   {shift(true, 1), "instance 1, \"store x[%0] = %0\": element 1 of x is stored, and another instance loads it"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Interpret(c.p, map[string]Arg{"x": {Data: make([]byte, 20)}}, Options{Races: true})
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	x := Arg{Data: make([]byte, 16)}
	p := copyKernel(func(b *Builder, pid *Value) (from, mask, to *Value) { return b.Add(pid, b.Scalar("n", "")), nil, pid })
	for want, args := range map[string]map[string]Arg{
		"parameter y has no argument":                          {"x": x, "n": {}},
		"there is no parameter z":                              {"x": x, "y": x, "z": x, "n": {}},
		"parameter n: 2147483648 does not fit i32":             {"x": x, "y": x, "n": {Scalar: 1 << 31}},
		"the argument has 12 bytes, 4 elements of f32 take 16": {"x": x, "y": {Data: make([]byte, 12)}, "n": {}},
	} {
		require.ErrorContains(t, Interpret(p, args, Options{}), want)
	}
	p.Grid = "n - 1"
	require.ErrorContains(t, Interpret(p, map[string]Arg{"x": x, "y": x, "n": {}}, Options{}), "-1 instances are out of range")
}

func TestHalf(t *testing.T) {
	for b := range 1 << 16 {
		v := halfValue(uint16(b))
		if v != v {
			require.NotZero(t, b&0x3FF)
			continue
		}
		require.Equal(t, uint16(b), halfBits(v))
		if b&0x7FFF < 0x7BFF && b < 0x8000 { // the midpoint goes to the even neighbour, all else to the nearer
			up := halfValue(uint16(b + 1))
			mid := (v + up) / 2
			require.Equal(t, uint16(b+b&1), halfBits(mid))
			require.Equal(t, uint16(b), halfBits(math.Nextafter32(mid, v)))
			require.Equal(t, uint16(b+1), halfBits(math.Nextafter32(mid, up)))
		}
	}
	require.Equal(t, uint16(0x7C00), halfBits(65520))
	require.Equal(t, uint16(0x7BFF), halfBits(65519.996))
}

func BenchmarkMatmul(b *testing.B) {
	const m, n, k = 64, 256, 1024
	p := matmul(m, n, k)
	args := map[string]Arg{"x": {Data: packed(BF16, wave(m*k)...)}, "w": {Data: packed(BF16, wave(n*k)...)}, "y": {Data: make([]byte, 4*m*n)}}
	for b.Loop() {
		require.NoError(b, Interpret(p, args, Options{}))
	}
	b.ReportMetric(float64(b.N)*m*n*k/b.Elapsed().Seconds()/1e6, "Mmac/s")
}

func BenchmarkRows(b *testing.B) {
	const rows = 2000
	p := rowNorm(128)
	x := packed(BF16, wave(rows*100)...)
	args := map[string]Arg{"x": {Data: x}, "y": {Data: make([]byte, len(x))}, "s": {Scalar: rows}}
	for b.Loop() {
		require.NoError(b, Interpret(p, args, Options{}))
	}
	b.ReportMetric(float64(b.N)*rows*128*7/b.Elapsed().Seconds()/1e6, "Melem/s")
}

func TestLoopsEndEarly(t *testing.T) {
	b := NewBuilder("early")
	b.Program.Grid, b.Program.Launch = "4", Launch{Warps: 1, Stages: 1}
	y := b.Pointer("y", I32, Out, "", "4")
	pid := b.ProgramID()
	goesOn := func(i *Value) *Value { return b.Lt(i, pid) }
	rounds := b.LoopWhile("i", b.Int(0), b.Int(2), 1, []*Value{goesOn(b.Int(0)), b.Int(0)}, func(i *Value, c []*Value) []*Value {
		return []*Value{goesOn(b.AddI(i, 1)), b.AddI(c[1], 1)}
	})[1]
	b.Store(y, pid, rounds, nil)
	require.NoError(t, Verify(b.Program))
	out := make([]byte, 16)
	require.NoError(t, Interpret(b.Program, map[string]Arg{"y": {Data: out}}, Options{}))
	require.Equal(t, []float64{0, 1, 2, 2}, unpacked(I32, out), "as many rounds as the number of the instance, two at most")
}
