package triton

import (
	enc "encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir/tile"
	"flagc/runtime/formats"
	"flagc/targets"
)

// scalarsOf are arguments at which the samples do all that they can.
var scalarsOf = map[string]map[string]int{
	"linear_bf16":      {"m": 21},
	"sparse_attention": {"tokens": 3, "rows": 40, "n": 50},
	"act_quant":        {"blocks": 5},
	"turns":            {"n": 5},
	"sections":         {"m": 6},
	"widen_fp4":        {"n": 384},
	"odds":             {"n": 50},
	"search":           {"tokens": 7},
	"small":            {"m": 16},
	"gather":           {"m": 4, "rows": 9, "n": 50},
}

func envOf(p *tile.Program) map[string]int {
	env := map[string]int{}
	for name, n := range scalarsOf[p.Name] {
		env[name] = n
	}
	for _, c := range p.Consts {
		env[c.Name] = c.Value
	}
	return env
}

// arguments fills what a program reads with numbers that its format holds, the same for the same seed.
func arguments(t testing.TB, p *tile.Program, seed int64) map[string]tile.Arg {
	t.Helper()
	rng := rand.New(rand.NewSource(seed))
	env, args := envOf(p), map[string]tile.Arg{}
	for _, q := range p.Params {
		if !q.Pointer {
			args[q.Name] = tile.Arg{Scalar: env[q.Name]}
			continue
		}
		n := 1
		for _, extent := range q.Shape {
			d, err := tile.EvalExpr(extent, env)
			require.NoError(t, err)
			n *= d
		}
		args[q.Name] = tile.Arg{Data: elements(rng, q, n, env)}
	}
	return args
}

func elements(rng *rand.Rand, q *tile.Param, n int, env map[string]int) []byte {
	data := make([]byte, n*q.DType.Bytes())
	if q.Access == tile.Out || q.Name == "count_ptr" {
		return data
	}
	for i := range n {
		x := float32(rng.NormFloat64())
		switch q.DType {
		case tile.F32:
			enc.LittleEndian.PutUint32(data[4*i:], math.Float32bits(x))
		case tile.I32: // rows of another parameter, or none
			enc.LittleEndian.PutUint32(data[4*i:], uint32(int32(rng.Intn(env["rows"]+1)-1)))
		case tile.BF16:
			enc.LittleEndian.PutUint16(data[2*i:], uint16(math.Float32bits(x)>>16))
		case tile.F16:
			enc.LittleEndian.PutUint16(data[2*i:], 0x3c00)
		default:
			if data[i] = byte(rng.Intn(256)); q.DType == tile.E4M3 && data[i]&0x7f == 0x7f {
				data[i] = 0x38
			}
		}
	}
	return data
}

// run interprets a program and returns all its memory.
func run(t testing.TB, p *tile.Program, args map[string]tile.Arg, opts tile.Options) map[string][]byte {
	t.Helper()
	require.NoError(t, tile.Verify(p))
	require.NoError(t, tile.Interpret(p, args, opts))
	out := map[string][]byte{}
	for name, a := range args {
		out[name] = a.Data
	}
	return out
}

// requireSame holds that a rewritten program does what the old one did, and that the old one is untouched.
func requireSame(t testing.TB, p *tile.Program, rewrite func(*tile.Program) *tile.Program, opts tile.Options) *tile.Program {
	t.Helper()
	before := p.String()
	q := rewrite(p)
	require.Equal(t, before, p.String(), "the old program changed")
	want := run(t, p, arguments(t, p, 1), tile.Options{})
	got := run(t, q, arguments(t, p, 1), opts)
	require.Equal(t, want, got)
	return q
}

// gather loads rows by number, -1 for none, and leaves the check of the number to the mask.
func gather() *tile.Program {
	b := tile.NewBuilder("gather")
	b.Program.Grid = "m"
	ids := b.Pointer("ids_ptr", tile.I32, tile.In, "", "m", "N")
	x := b.Pointer("x_ptr", tile.BF16, tile.In, "", "rows", "D")
	y := b.Pointer("y_ptr", tile.F32, tile.Out, "", "m", "D")
	z := b.Pointer("z_ptr", tile.F32, tile.Out, "", "m", "N")
	b.Scalar("m", "")
	rows := b.Scalar("rows", "")
	n, d := b.Const("N", 16, ""), b.Const("D", 32, "")
	pid := b.ProgramID()
	at := b.Add(b.Mul(pid, b.IntOf(n)), b.Range(n))
	id := b.Load(ids, at, b.Lt(b.Range(n), b.Int(13)), -1).Named("id")
	valid := b.And(b.GeI(id, 0), b.Lt(id, rows)).Named("valid")
	offs := b.Add(b.Mul(b.Col(id), b.IntOf(d)), b.Row(b.Range(d)))
	v := b.LoadF32(x, offs, b.Col(valid), 0).Named("v")
	b.Store(y, b.Add(b.Mul(pid, b.IntOf(d)), b.Range(d)), b.Sum(v, 0), nil)
	w := b.LoadF32(x, b.Mul(id, b.IntOf(d)), valid, 0)
	b.Store(z, at, b.MulF(w, 2), valid)
	b.Store(z, at, b.Float(7), b.And(valid, b.Lt(id, b.Int(0))))
	return b.Program
}

func programsUnderTest() map[string]func() *tile.Program {
	out := map[string]func() *tile.Program{"gather": gather, "repeated": func() *tile.Program { return repeated(true) },
		"repeated unmasked": func() *tile.Program { return repeated(false) }}
	for name, sample := range samples {
		out[name] = sample
	}
	return out
}

// TestRewritesKeepTheMeaning runs every program before and after every rewrite.
func TestRewritesKeepTheMeaning(t *testing.T) {
	all := map[string]func(*tile.Program) *tile.Program{
		"copy":         func(p *tile.Program) *tile.Program { return rewritten(p, nil) },
		"flatten":      func(p *tile.Program) *tile.Program { return Flatten(p, 2) },
		"fp8":          BytesForFP8,
		"transpose":    TransposeByLoad,
		"live masked":  LiveMasked,
		"read once":    ReadOnce,
		"masked where": MaskedWhere,
		"guard stores": GuardStores,
		"warps":        func(p *tile.Program) *tile.Program { return FewerWarps(p, 2) },
		"stages":       func(p *tile.Program) *tile.Program { return FewerStages(p, 1) },
		"wide": func(p *tile.Program) *tile.Program {
			return WideOffsets(p, func(*tile.Param) bool { return true }, nil)
		},
		"wide where it may be": func(p *tile.Program) *tile.Program {
			return WideOffsets(p, func(*tile.Param) bool { return true }, scalarsOf[p.Name])
		},
	}
	for name, rewrite := range all {
		for sample, p := range programsUnderTest() {
			t.Run(name+"/"+sample, func(t *testing.T) {
				q := requireSame(t, p(), rewrite, tile.Options{})
				if name == "copy" {
					require.Equal(t, p().String(), q.String())
				}
			})
		}
	}
}

// TestWideOffsets holds what is counted in i64: positions that i32 may not hold, of large tensors alone.
func TestWideOffsets(t *testing.T) {
	env := map[string]int{"m": 1 << 16}
	legal, violations := Legalize(far(tile.I32), targets.H100, env)
	require.Empty(t, violations)
	require.Contains(t, tile.Print(legal), ": i64[64]")
	_, violations = Legalize(far(tile.I32), targets.P800, env)
	require.Contains(t, fmt.Sprint(violations), "far_ptr", "vectors of i64 are forbidden there")
	legal, _ = Legalize(far(tile.I32), targets.H100, map[string]int{"m": 1 << 15})
	require.NotContains(t, tile.Print(legal), "i64", "2^31 elements")
}

// TestLegalizeKeepsTheMeaning runs every program as it is for every target.
func TestLegalizeKeepsTheMeaning(t *testing.T) {
	for _, target := range targets.All() {
		for sample, p := range programsUnderTest() {
			legal := func(p *tile.Program) *tile.Program {
				q, _ := Legalize(p, target, scalarsOf[p.Name])
				return q
			}
			t.Run(target.Name+"/"+sample, func(t *testing.T) {
				requireSame(t, p(), legal, tile.Options{PoisonMasked: target.Loads.OtherIgnored.Is(true)})
			})
		}
	}
}

func TestMaskedWhereHidesGarbage(t *testing.T) {
	for sample, p := range programsUnderTest() {
		t.Run(sample, func(t *testing.T) { requireSame(t, p(), MaskedWhere, tile.Options{PoisonMasked: true}) })
	}
	plain := run(t, gather(), arguments(t, gather(), 1), tile.Options{})
	poisoned := run(t, gather(), arguments(t, gather(), 1), tile.Options{PoisonMasked: true})
	require.NotEqual(t, plain["y_ptr"], poisoned["y_ptr"], "the program shows garbage without the rewrite")
}

func TestLiveMaskedKeepsAddressesInRange(t *testing.T) {
	require.ErrorContains(t, tile.Interpret(gather(), arguments(t, gather(), 1), tile.Options{LiveMasked: true}), "masked")
	requireSame(t, gather(), LiveMasked, tile.Options{LiveMasked: true})
	p := shifted()
	p.Grid = "1"
	requireSame(t, p, LiveMasked, tile.Options{LiveMasked: true})
}

func TestGuardStoresBranches(t *testing.T) {
	count := func(p *tile.Program) (n int) {
		p.Body.Walk(func(op *tile.Op) {
			if op.Code == tile.If {
				n++
			}
		})
		return n
	}
	once := GuardStores(gather())
	require.Equal(t, 2, count(once))
	require.Equal(t, 2, count(GuardStores(once)), "a second time finds nothing to do")
}

func TestFlattenBoundsTheGrid(t *testing.T) {
	q := Flatten(linearBF16(), 3)
	n, err := tile.EvalExpr(q.Grid, envOf(q))
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, "min((m + BLOCK_M - 1) // BLOCK_M * (N // BLOCK_N), 3)", q.Grid)
	require.Contains(t, string(Print(q)), "for pid in range(tl.program_id(0), programs, 3):")
}

func TestTransposeByLoadLeavesNone(t *testing.T) {
	q := TransposeByLoad(sparseAttention())
	require.NotContains(t, q.String(), "transpose")
}

// conversions stores widened bytes, and numbers rounded to e4m3 as bytes and as numbers.
func conversions(n int) *tile.Program {
	b := tile.NewBuilder("conversions")
	b.Program.Grid = "1"
	block := b.Const("N", n, "")
	bytes := b.Pointer("bytes", tile.E4M3, tile.In, "", "N")
	x := b.Pointer("x", tile.F32, tile.In, "", "N")
	wide := b.Pointer("wide", tile.F32, tile.Out, "", "N")
	half := b.Pointer("half", tile.BF16, tile.Out, "", "N")
	codes := b.Pointer("codes", tile.E4M3, tile.Out, "", "N")
	grid := b.Pointer("grid", tile.F32, tile.Out, "", "N")
	at := b.Range(block)
	b.Store(wide, at, b.LoadF32(bytes, at, nil, 0), nil)
	b.Store(half, at, b.Load(bytes, at, b.Lt(at, b.Int(200)), 2.5), nil)
	xs := b.Load(x, at, nil, 0)
	b.Store(codes, at, xs, nil)
	b.Store(grid, at, b.Round(xs, tile.E4M3), nil)
	return b.Program
}

// TestBytesForFP8IsExact tries every byte, and numbers at and around every boundary of rounding.
func TestBytesForFP8IsExact(t *testing.T) {
	values := hardFloats()
	n := 4096
	require.LessOrEqual(t, len(values), n)
	data := map[string]tile.Arg{
		"bytes": {Data: make([]byte, n)}, "x": {Data: make([]byte, 4*n)}, "wide": {Data: make([]byte, 4*n)},
		"half": {Data: make([]byte, 2*n)}, "codes": {Data: make([]byte, n)}, "grid": {Data: make([]byte, 4*n)},
	}
	for i := range n {
		data["bytes"].Data[i] = byte(i)
		enc.LittleEndian.PutUint32(data["x"].Data[4*i:], math.Float32bits(values[i%len(values)]))
	}
	p := conversions(n)
	q := BytesForFP8(p)
	require.NotContains(t, q.String(), "e4m3")
	want := copyOf(run(t, p, data, tile.Options{}))
	got := run(t, q, data, tile.Options{})
	for i := range n {
		require.Equal(t, want["codes"][i], got["codes"][i], "code of %v", values[i%len(values)])
		for _, name := range []string{"wide", "grid"} {
			w := math.Float32frombits(enc.LittleEndian.Uint32(want[name][4*i:]))
			g := math.Float32frombits(enc.LittleEndian.Uint32(got[name][4*i:]))
			require.Equal(t, math.Signbit(float64(w)), math.Signbit(float64(g)), "%s %d", name, i)
			require.True(t, w == g || w != w && g != g, "%s: %v became %v", name, w, g)
		}
	}
	require.Equal(t, want["half"], got["half"])
}

func copyOf(m map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range m {
		out[k] = append([]byte(nil), v...)
	}
	return out
}

// hardFloats are all values of e4m3, the middles between neighbours, what lies one float32 beside these, and extremes.
func hardFloats() []float32 {
	var out []float32
	add := func(x float32) {
		for _, y := range []float32{x, math.Nextafter32(x, 1e9), math.Nextafter32(x, 0)} {
			out = append(out, y, -y)
		}
	}
	for code := range 0x7f {
		x := formats.E4M3ToFloat32(byte(code))
		add(x)
		if code < 0x7e {
			add((x + formats.E4M3ToFloat32(byte(code+1))) / 2)
		}
	}
	for _, x := range []float32{464, 480, 1e30, 1e-30, 1e-44, math.MaxFloat32, float32(math.Inf(1))} {
		add(x)
	}
	return append(out, float32(math.NaN()))
}
