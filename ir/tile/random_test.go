package tile

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
)

// maker builds random programs that verify and do not fault: they load from two parameters, compute, loop and
// branch, and store what they have computed where no other instance stores.
type maker struct {
	*Builder
	rng    *rand.Rand
	pool   []*Value
	x      *Param
	n      *Param
	out    *Param
	pid    *Value
	stores int
}

const (
	outRoom   = 1024 // elements that one instance may store
	instances = 3
)

func randomProgram(seed int64) *Program {
	b := &maker{Builder: NewBuilder("random"), rng: rand.New(rand.NewSource(seed))}
	b.x = b.Pointer("x", BF16, In, "floats", "256")
	b.n = b.Pointer("n", I32, In, "numbers", "256")
	b.out = b.Pointer("out", F32, Out, "", "R * 3")
	b.Const("R", outRoom, "")
	wide := b.Const("W", 8, "")
	b.Program.Grid = "s"
	b.pid = b.ProgramID().Named("pid")
	lane := b.Range(wide).Named("lane")
	b.pool = append(b.pool, b.pid, lane, b.Scalar("s", "instances"), b.Float(1.5), b.Int(3), b.IntOf(wide),
		b.Col(b.Range(D(4))), b.Row(lane))
	b.steps(10+b.rng.Intn(30), 2)
	for _, v := range b.pool {
		if b.rng.Intn(3) == 0 {
			b.keep(v)
		}
	}
	b.keep(b.pool[len(b.pool)-1])
	return b.Program
}

func (b *maker) pick(ok func(v *Value) bool) *Value {
	for range 30 {
		if v := b.pool[b.rng.Intn(len(b.pool))]; ok(v) {
			return v
		}
	}
	return nil
}

func (b *maker) float() *Value {
	if v := b.pick(func(v *Value) bool { return v.DType == F32 }); v != nil {
		return v
	}
	return b.Float(b.rng.NormFloat64())
}

func (b *maker) number() *Value {
	if v := b.pick(func(v *Value) bool { return v.DType == I32 }); v != nil {
		return v
	}
	return b.Int(b.rng.Intn(9))
}

func (b *maker) bool() *Value {
	if v := b.pick(func(v *Value) bool { return v.DType == Bool }); v != nil {
		return v
	}
	return b.Lt(b.pid, b.Int(b.rng.Intn(3)))
}

// steps adds n steps; depth bounds the nesting.
func (b *maker) steps(n, depth int) {
	for range n {
		if v := b.step(depth); v != nil {
			if b.rng.Intn(4) == 0 {
				v.Named("v%d", b.rng.Intn(5))
			}
			if b.rng.Intn(8) == 0 {
				b.Note("step %d\nof many", b.rng.Intn(9))
			}
			b.pool = append(b.pool, v)
		}
	}
}

func (b *maker) step(depth int) *Value {
	switch b.rng.Intn(17) {
	case 0, 1:
		return b.binary([]Code{Add, Sub, Mul, Div, Minimum, Maximum, Lt, Ge, Eq}, b.float(), b.float())
	case 2, 3:
		return b.binary([]Code{Add, Sub, Mul, Minimum, Maximum, And, Or, Xor, Lt, Ne}, b.number(), b.number())
	case 4:
		return b.binary([]Code{Div, Mod, Shl, Shr}, b.AndI(b.number(), 31), b.AddI(b.AndI(b.number(), 15), 1))
	case 5:
		return b.Unary([]Code{Neg, Abs, Exp, Log, Sqrt, Rsqrt, Floor}[b.rng.Intn(7)], b.float())
	case 6:
		return b.Round(b.float(), []DType{BF16, F16, E4M3}[b.rng.Intn(3)])
	case 7:
		return b.Cast(b.number(), []DType{F32, I64, I8}[b.rng.Intn(3)])
	case 8:
		return b.where()
	case 9:
		return b.shape(b.float())
	case 10:
		return b.shape(b.number())
	case 11:
		at := b.AndI(b.number(), 255)
		return b.LoadF32(b.x, at, b.Ne(at, b.Int(7)), 2)
	case 12:
		return b.Load(b.n, b.AndI(b.number(), 255), nil, 0)
	case 13:
		return b.Dot(b.tile(b.float(), 4, 8), b.Transpose(b.tile(b.float(), 4, 8), 1, 0), b.Cast(b.tile(b.float(), 4, 4), F32))
	case 14:
		return b.binary([]Code{And, Or, Xor, Ne}, b.bool(), b.bool())
	case 15:
		return b.Int(b.rng.Intn(3))
	}
	if depth == 0 {
		return b.Float([]float64{0, 1, -0.5}[b.rng.Intn(3)])
	}
	return b.nested(depth - 1)
}

func (b *maker) binary(codes []Code, x, y *Value) *Value {
	if _, err := joint(x.Shape, y.Shape); err != nil || x.DType != y.DType {
		return nil
	}
	return b.Binary(codes[b.rng.Intn(len(codes))], x, y)
}

func (b *maker) where() *Value {
	c, x, y := b.bool(), b.float(), b.float()
	s, err := joint(x.Shape, y.Shape)
	if err == nil {
		_, err = joint(c.Shape, s)
	}
	if err != nil {
		return nil
	}
	return b.Where(c, x, y)
}

func (b *maker) shape(v *Value) *Value {
	switch rank := len(v.Shape); {
	case rank == 0:
		return b.BroadcastTo(v, D(4), D(8))
	case b.rng.Intn(3) == 0:
		return b.Reduce([]Code{Sum, Max, Min}[b.rng.Intn(3)], v, b.rng.Intn(rank))
	case rank == 1:
		return b.Expand(v, b.rng.Intn(2))
	case b.rng.Intn(2) == 0:
		return b.Transpose(v, 1, 0)
	}
	return b.Reshape(v, D(v.Len()))
}

// tile makes a tile of a shape out of anything.
func (b *maker) tile(v *Value, m, n int) *Value {
	for len(v.Shape) > 0 {
		v = b.Max(v, 0)
	}
	return b.Cast(b.Add(b.BroadcastTo(v, D(m), D(n)), b.Cast(b.Row(b.Range(D(n))), F32)), BF16)
}

// nested makes a loop or a branch. What is made inside stays inside.
func (b *maker) nested(depth int) *Value {
	outer := len(b.pool)
	inside := func() {
		b.steps(2+b.rng.Intn(6), depth)
		b.keep(b.pool[len(b.pool)-1])
	}
	if b.rng.Intn(3) == 0 {
		var otherwise func()
		if b.rng.Intn(2) == 0 {
			otherwise = func() { b.pool = b.pool[:outer]; inside() }
		}
		b.If(b.Eq(b.pid, b.Int(b.rng.Intn(3))), inside, otherwise)
		b.pool = b.pool[:outer]
		return nil
	}
	init := []*Value{b.float(), b.float(), b.number()}
	if b.rng.Intn(3) == 0 {
		return b.nestedWhile(outer, init[0], inside)
	}
	r := b.Loop("i", b.Int(0), b.Int(b.rng.Intn(4)), 1+b.rng.Intn(2), init, func(i *Value, c []*Value) []*Value {
		b.pool = append(append(b.pool, c...), i)
		inside()
		next := []*Value{c[0], c[1], b.pool[len(b.pool)-1]}
		if sameType(c[0], c[1]) {
			next[0], next[1] = c[1], c[0]
		}
		for k, v := range next {
			if !sameType(v, c[k]) {
				next[k] = c[k]
			}
		}
		if sum := b.binary([]Code{Add}, next[0], c[0]); sum != nil {
			next[0] = sum
		}
		return next
	})
	b.pool = append(b.pool[:outer], r[1:]...)
	return r[0]
}

// nestedWhile makes a loop that ends early in some instances.
func (b *maker) nestedWhile(outer int, init *Value, inside func()) *Value {
	ends := b.rng.Intn(4)
	goesOn := func(i *Value) *Value { return b.Lt(b.Add(i, b.pid), b.Int(ends)) }
	r := b.LoopWhile("i", b.Int(0), b.Int(3), 1, []*Value{goesOn(b.Int(0)), init}, func(i *Value, c []*Value) []*Value {
		b.pool = append(b.pool, c[1], i)
		inside()
		next := b.pool[len(b.pool)-1]
		if !sameType(next, c[1]) {
			next = c[1]
		}
		return []*Value{goesOn(b.AddI(i, 1)), b.Add(next, c[1])}
	})
	b.pool = append(b.pool[:outer], r[1])
	return r[1]
}

// keep stores a value at a place of its own.
func (b *maker) keep(v *Value) {
	v = b.Cast(v, F32)
	if b.stores+v.Len() > outRoom {
		return
	}
	at := b.AddI(b.MulI(b.pid, outRoom), b.stores)
	b.stores += v.Len()
	if len(v.Shape) > 0 {
		v = b.Reshape(v, D(v.Len()))
		at = b.Add(at, b.Range(D(v.Len())))
	}
	b.Store(b.out, at, v, nil)
}

func (b *maker) String() string { return fmt.Sprint(b.Program) }

// results runs a random program.
func results(t *testing.T, p *Program, opts Options) []byte {
	t.Helper()
	out := make([]byte, 4*outRoom*instances)
	numbers := make([]float64, 256)
	for i := range numbers {
		numbers[i] = float64(i*7919%1000 - 500)
	}
	args := map[string]Arg{"x": {Data: packed(BF16, wave(256)...)}, "n": {Data: packed(I32, numbers...)}, "out": {Data: out},
		"s": {Scalar: instances}}
	require.NoError(t, Interpret(p, args, opts), p)
	return out
}

const randomPrograms = 100

func TestRandomProgramsSharingTiles(t *testing.T) {
	for seed := range int64(randomPrograms) {
		p := randomProgram(seed)
		want := results(t, p, Options{separate: true})
		require.Equal(t, want, results(t, p, Options{}), p)
		require.Equal(t, want, results(t, p, Options{Seed: 5, Races: true, LiveMasked: true}), p)
	}
}

func TestRandomProgramsRoundTrip(t *testing.T) {
	for seed := range int64(randomPrograms) {
		text := randomProgram(seed).String()
		p, err := Parse(text, "random.tile")
		require.NoError(t, err, text)
		require.Equal(t, text, p.String())
		require.NoError(t, Verify(p))
	}
}
