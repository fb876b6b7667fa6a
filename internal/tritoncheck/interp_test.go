package tritoncheck

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"flagc/runtime/formats"

	"github.com/stretchr/testify/require"
)

const kernelDir = "testdata/kernels"

// need skips a test whose tool is missing and says what therefore was not checked. In CI every tool must be there.
func need(t testing.TB, err error) {
	t.Helper()
	var missing *Unavailable
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		t.Skipf("not checked: %s", missing)
	}
	require.NoError(t, err)
}

var shared struct {
	sync.Once
	*Interpreter
	error
}

// interpreter is the pool of all tests; starting Python takes longer than most of them.
func interpreter(t testing.TB) *Interpreter {
	shared.Do(func() { shared.Interpreter, shared.error = NewInterpreter(context.Background()) })
	need(t, shared.error)
	return shared.Interpreter
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.Interpreter != nil {
		shared.Close()
	}
	os.Exit(code)
}

// launch interprets a sample kernel; scalars by name serve its grid as they serve the kernel.
func launch(t *testing.T, name string, c Case) {
	t.Helper()
	m, err := ReadManifest(kernelDir)
	require.NoError(t, err)
	k := m.Kernel(name)
	values := map[string]int64{}
	for n, v := range k.Constants {
		values[n] = int64(v)
	}
	require.Len(t, c.Args, len(k.Params))
	for i, a := range c.Args {
		require.Equal(t, k.Params[i], a.Param)
		values[a.Name] = a.Int
	}
	grid, err := EvalGrid(k.Grid, values)
	require.NoError(t, err)
	c.Dir, c.Kernel, c.Grid = m.Dir, name, int(grid)
	require.NoError(t, interpreter(t).Run(t.Context(), c))
}

// ramp is a row of distinct values that bf16 and e4m3 hold exactly.
func ramp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i%13-6) / 4
	}
	return v
}

func TestInterpretGEMV(t *testing.T) {
	const n, k = 21, 256
	x, w, y := ramp(k), ramp(n*k), make([]byte, 2*n)
	launch(t, "fp8_gemv", Case{Args: []Arg{
		Pointer("x", "bf16", "in", bf16Bytes(x)), Pointer("w", "e4m3", "in", e4m3Bytes(w)),
		Pointer("w_scale", "f32", "in", f32Bytes([]float32{0.5, 2})), Pointer("y", "bf16", "out", y), Int("n", "i32", n),
	}})
	for i := range n {
		sum := 0.0
		for j := range k {
			sum += float64(x[j]) * float64(w[i*k+j]) * []float64{0.5, 2}[j/128]
		}
		require.Equal(t, float32(formats.RoundBF16(sum)), bf16Value(y, i), "row %d", i)
	}
}

func TestInterpretMatmuls(t *testing.T) {
	const m, n = 19, 32
	check := func(k int, x, w []float32, y []byte, scale func(row, block int) float64) {
		for i := range m {
			for j := range n {
				sum := 0.0
				for l := range k {
					sum += float64(x[i*k+l]) * float64(w[j*k+l]) * scale(i, l/128)
				}
				require.Equal(t, float32(formats.RoundBF16(sum)), bf16Value(y, i*n+j), "%d, %d", i, j)
			}
		}
	}
	x, w, y := ramp(m*128), ramp(n*128), make([]byte, 2*m*n)
	launch(t, "bf16_matmul", Case{Args: []Arg{
		Pointer("x", "bf16", "in", bf16Bytes(x)), Pointer("w", "bf16", "in", bf16Bytes(w)),
		Pointer("y", "bf16", "out", y), Int("m", "i32", m),
	}})
	check(128, x, w, y, func(int, int) float64 { return 1 })

	x, w = ramp(m*256), ramp(n*256)
	scale := make([]float32, 2*m)
	for i := range scale {
		scale[i] = float32(math.Ldexp(1, i%5-2))
	}
	launch(t, "fp8_matmul", Case{Args: []Arg{
		Pointer("x", "e4m3", "in", e4m3Bytes(x)), Pointer("x_scale", "f32", "in", f32Bytes(scale)),
		Pointer("w", "e4m3", "in", e4m3Bytes(w)), Pointer("w_scale", "f32", "in", f32Bytes([]float32{0.25, 4})),
		Pointer("y", "bf16", "out", y), Int("m", "i32", m),
	}})
	check(256, x, w, y, func(row, block int) float64 { return float64(scale[2*row+block]) * []float64{0.25, 4}[block] })
}

func TestInterpretWidening(t *testing.T) {
	codes := make([]byte, 250)
	for i := range codes {
		codes[i] = byte(i)
	}
	y := make([]byte, 4*len(codes))
	launch(t, "fp4_widen", Case{Args: []Arg{
		Pointer("w", "i8", "in", codes), Pointer("y", "bf16", "out", y), Int("n", "i32", int64(len(codes))),
	}})
	for i, c := range codes {
		low, high := formats.UnpackE2M1(c)
		require.True(t, sameFloat(formats.E2M1ToFloat32(low), bf16Value(y, 2*i)), "%02x", c)
		require.True(t, sameFloat(formats.E2M1ToFloat32(high), bf16Value(y, 2*i+1)), "%02x", c)
	}
}

func TestInterpretActQuant(t *testing.T) {
	const rows, d = 3, 256
	x := ramp(rows * d)
	for i := range x {
		x[i] = formats.RoundBF16x32(x[i] * float32(math.Exp(float64(i/128)-3)))
	}
	clear(x[:128]) // the floor under the largest value
	y, scale := make([]byte, rows*d), make([]byte, 4*rows*d/128)
	launch(t, "act_quant", Case{Args: []Arg{
		Pointer("x", "bf16", "in", bf16Bytes(x)), Pointer("y", "e4m3", "out", y),
		Pointer("scale", "f32", "out", scale), Int("rows", "i32", rows),
	}})
	for b := range rows * d / 128 {
		amax := 0.0
		for _, v := range x[b*128 : b*128+128] {
			amax = max(amax, math.Abs(float64(v)))
		}
		s := formats.ActScaleFP8(amax)
		require.Equal(t, float32(s), f32Values(scale)[b])
		for i := b * 128; i < b*128+128; i++ {
			require.Equal(t, formats.E4M3FromFloat64(float64(x[i])/s), y[i])
		}
	}
}

func TestInterpretSections(t *testing.T) {
	const rows, d = 5, 64
	x, weight := ramp(rows*d), ramp(d)
	cos, sin := make([]float32, d/2), make([]float32, d/2)
	for i := range cos {
		cos[i], sin[i] = float32(math.Cos(float64(i))), float32(math.Sin(float64(i)))
	}
	y, z := make([]byte, 2*rows*d), make([]byte, 4*rows)
	launch(t, "norm_rope", Case{Reverse: true, Args: []Arg{
		Pointer("x", "bf16", "in", bf16Bytes(x)), Pointer("weight", "bf16", "in", bf16Bytes(weight)),
		Pointer("cos", "f32", "in", f32Bytes(cos)), Pointer("sin", "f32", "in", f32Bytes(sin)),
		Pointer("y", "bf16", "out", y), Pointer("z", "f32", "out", z), Int("rows", "i32", rows), Float("eps", "f32", 1e-6),
	}})
	for r := range rows {
		row := x[r*d : r*d+d]
		square, top, total := 0.0, math.Inf(-1), 0.0
		for _, v := range row {
			square += float64(v) * float64(v)
			top = max(top, float64(v))
		}
		for _, v := range row {
			total += math.Exp(float64(v) - top)
		}
		require.InDelta(t, top+math.Log(total)+math.Sqrt(math.Abs(top)), f32Values(z)[r], 1e-5)
		norm := func(i int) float64 {
			return formats.RoundBF16(float64(row[i]) / math.Sqrt(square/d+1e-6) * float64(weight[i]))
		}
		for i := range d / 2 {
			a, b, c, s := norm(2*i), norm(2*i+1), float64(cos[i]), float64(sin[i])
			// One unit in the last place of bf16 where float32 and float64 lie on two sides of a tie.
			require.InDelta(t, a*c-b*s, bf16Value(y, r*d+2*i), 0.02)
			require.InDelta(t, a*s+b*c, bf16Value(y, r*d+2*i+1), 0.02)
		}
	}
}

func TestInterpretTicketInEveryOrder(t *testing.T) {
	x := ramp(500)
	want := 0.0
	for _, v := range x {
		want += float64(v)
	}
	for _, order := range []Case{{}, {Reverse: true}, {Concurrent: true}} {
		part, ticket, y := make([]byte, 16), make([]byte, 4), make([]byte, 4)
		order.Args = []Arg{
			Pointer("x", "f32", "in", f32Bytes(x)), Pointer("part", "f32", "inout", part),
			Pointer("ticket", "i32", "inout", ticket), Pointer("y", "f32", "out", y), Int("n", "i32", 500),
		}
		launch(t, "split_sum", order)
		require.Equal(t, float32(want), f32Values(y)[0])
		require.Equal(t, make([]byte, 4), ticket)
	}
}

func TestInterpretGatherWithoutEntries(t *testing.T) {
	const h, d, entries = 16, 64, 20
	q, kv, sink := ramp(h*d), ramp(40*d), make([]float32, h)
	for _, index := range []func(i int) int32{
		func(int) int32 { return -1 },
		func(i int) int32 { return int32(i*7%40) - int32(i%3*100) },
	} {
		var list []int32
		ib := make([]byte, 0, 4*entries)
		for i := range entries {
			v := max(index(i), -1)
			list = append(list, v)
			ib = append(ib, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
		}
		y := make([]byte, 2*h*d)
		launch(t, "gather_attention", Case{Args: []Arg{
			Pointer("q", "bf16", "in", bf16Bytes(q)), Pointer("kv", "bf16", "in", bf16Bytes(kv)),
			Pointer("index", "i32", "in", ib), Pointer("sink", "f32", "in", f32Bytes(sink)),
			Pointer("y", "bf16", "out", y), Int("entries", "i32", entries),
		}})
		for i := range h {
			score, top := map[int]float64{}, 0.0
			for t, at := range list {
				if at < 0 {
					continue
				}
				for l := range d {
					score[t] += float64(q[i*d+l]) * float64(kv[int(at)*d+l])
				}
				top = max(top, score[t])
			}
			total := math.Exp(-top)
			for _, s := range score {
				total += math.Exp(s - top)
			}
			for l := range d {
				sum := 0.0
				for t, s := range score {
					sum += math.Exp(s-top) * float64(kv[int(list[t])*d+l])
				}
				// The kernel rounds the weights of the sum to bf16, 8 bits.
				require.InDelta(t, sum/total, bf16Value(y, i*d+l), 1.5/128)
			}
		}
	}
}

func TestInterpretBarrierOfTheGrid(t *testing.T) {
	x, mid, y := ramp(64), make([]byte, 256), make([]byte, 256)
	launch(t, "grid_barrier", Case{Concurrent: true, Args: []Arg{
		Pointer("x", "f32", "in", f32Bytes(x)), Pointer("mid", "f32", "out", mid),
		Pointer("count", "i32", "inout", make([]byte, 4)), Pointer("y", "f32", "out", y),
	}})
	for i := range 64 {
		require.Equal(t, 2*x[(3-i/16)*16+i%16], f32Values(y)[i])
	}
}

func TestInterpretFindsFaults(t *testing.T) {
	run := func(kernel string, change func(*Case)) ([]float32, error) {
		y := make([]byte, 4*50)
		c := Case{Dir: "testdata/faulty", File: "faulty.py", Kernel: kernel, Grid: 1, Args: []Arg{
			Pointer("x", "f32", "in", f32Bytes(ramp(50))), Pointer("y", "f32", "out", y), Int("n", "i32", 50),
		}}
		if change != nil {
			change(&c)
		}
		err := interpreter(t).Run(t.Context(), c)
		return f32Values(y), err
	}
	for _, c := range []struct{ kernel, kind, want string }{
		{"no_mask", "AccessError", "faulty.py:10: program 0: load outside x, which has 50 elements of fp32: elements 50 to 63, in 14 of 64 active lanes"},
		{"store_beyond", "AccessError", "faulty.py:18: program 0: store outside y, which has 50 elements of fp32: elements 50 to 63, in 14 of 64 active lanes"},
		{"before_start", "AccessError", "faulty.py:24: program 0: load outside x, which has 50 elements of fp32: element -1, in 1 of 50 active lanes"},
		{"writes_input", "AccessError", "faulty.py:30: program 0: store to x, which is declared as an input"},
		{"reads_output", "AccessError", "faulty.py:36: program 0: load of y[0], an output that nothing has written there"},
		{"index_overflow", "OverflowError", "faulty.py:47: program 0: int32 product gives 26843545600: widen to int64, or use uint32 where it should wrap"},
	} {
		_, err := run(c.kernel, nil)
		require.EqualError(t, err, c.want)
		var fault *Fault
		require.ErrorAs(t, err, &fault)
		require.Equal(t, c.kind, fault.Kind)
	}

	y, err := run("sums_masked_lanes", nil)
	require.NoError(t, err)
	require.True(t, y[0] != y[0], "a lane without a value must show")

	y, err = run("relies_on_other", nil)
	require.NoError(t, err)
	require.False(t, y[0] != y[0])
	y, err = run("relies_on_other", func(c *Case) { c.IgnoreOther = true })
	require.NoError(t, err)
	require.True(t, y[0] != y[0], "a target that ignores other leaves garbage there")

	y, err = run("order_matters", func(c *Case) { c.Grid = 3 })
	require.NoError(t, err)
	z, err := run("order_matters", func(c *Case) { c.Grid, c.Reverse = 3, true })
	require.NoError(t, err)
	require.NotEqual(t, y[0], z[0])

	_, err = run("no_mask", func(c *Case) { c.Args = c.Args[1:] })
	require.ErrorContains(t, err, "no_mask takes x, y, n, BLOCK; the case gives y, n")
	_, err = run("missing", nil)
	require.ErrorContains(t, err, "has no attribute 'missing'")
}

func TestInterpretStopsAKernelThatWaits(t *testing.T) {
	p := interpreter(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("two seconds are enough"))
	defer cancel()
	c := Case{Dir: "testdata/faulty", File: "faulty.py", Kernel: "waits_forever", Grid: 1, Args: []Arg{
		Pointer("x", "f32", "in", make([]byte, 4)), Pointer("y", "f32", "out", make([]byte, 4)), Int("n", "i32", 1),
	}}
	require.EqualError(t, p.Run(ctx, c), "waits_forever: stopped: two seconds are enough")
	c.Args[0] = Pointer("x", "f32", "in", f32Bytes([]float32{1}))
	require.NoError(t, p.Run(t.Context(), c), "the pool goes on with a new process")
	require.Equal(t, []float32{1}, f32Values(c.Args[1].Data))
}

func TestWithoutPython(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	e := environment{tool: "Triton", checks: "everything", requirements: []string{"requirements-triton.txt"}, pythons: []string{"python3"}}
	_, err := e.interpreter(t.Context())
	require.EqualError(t, err, "everything: no Triton on this machine: none of python3 on PATH is a Python 3.11 or newer with venv")
	cell := CellOf(fmt.Errorf("kernel k: %w", err))
	require.Equal(t, NotPossible, cell.State)
	require.Contains(t, cell.Why, "no Triton on this machine")
}

func TestEvalGrid(t *testing.T) {
	values := map[string]int64{"n": 33, "BLOCK_N": 16}
	for expr, want := range map[string]int64{
		"7": 7, "(n + 15) // 16 * 8": 24, "n % 16 - 2": -1, "-7 // 2": -4, "-7 % 3": 2, "min(n, 5, 9) * max(2, 3)": 15,
		"(n+BLOCK_N-1)//BLOCK_N": 3, "2 - 3 - 4": -5, "--n": 33,
	} {
		got, err := EvalGrid(expr, values)
		require.NoError(t, err)
		require.Equal(t, want, got, expr)
	}
	for expr, want := range map[string]string{
		"n +": `grid "n +": expected a value, found ""`, "m": `grid "m": unknown name m`, "(n": `grid "(n": expected ")", found ""`,
		"n // 0": `grid "n // 0": division by zero`, "n n": `grid "n n": unexpected "n"`, "3x": `grid "3x": 3x is not a number`,
	} {
		_, err := EvalGrid(expr, values)
		require.EqualError(t, err, want)
	}
}
