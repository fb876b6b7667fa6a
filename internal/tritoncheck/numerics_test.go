package tritoncheck

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"flagc/runtime/formats"

	"github.com/stretchr/testify/require"
)

const numericsBlock = 4096 // BLOCK of testdata/numerics

func f32Bytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func f32Values(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

func bf16Bytes(v []float32) []byte {
	b := make([]byte, 0, 2*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint16(b, formats.BF16FromFloat32(x))
	}
	return b
}

func bf16Code(b []byte, i int) uint16 { return binary.LittleEndian.Uint16(b[2*i:]) }

func bf16Value(b []byte, i int) float32 { return formats.BF16ToFloat32(bf16Code(b, i)) }

func e4m3Bytes(v []float32) []byte {
	b := make([]byte, len(v))
	for i, x := range v {
		b[i] = formats.E4M3FromFloat64(float64(x))
	}
	return b
}

// sameFloat is equality that tells zeros apart and takes every NaN for the same.
func sameFloat(a, b float32) bool {
	return a != a && b != b || math.Float32bits(a) == math.Float32bits(b)
}

// hardFloats are float32 values around everything that can go wrong in narrowing: each bf16 with each kind of
// rest below it, and each e4m3 value and midpoint with its neighbours.
func hardFloats() (v []float32) {
	for high := range uint32(1 << 16) {
		for _, low := range []uint32{0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF} {
			v = append(v, math.Float32frombits(high<<16|low))
		}
	}
	for code := range 256 {
		a := formats.E4M3ToFloat32(byte(code))
		b := formats.E4M3ToFloat32(byte(code + 1))
		for _, x := range []float32{a, (a + b) / 2} {
			v = append(v, math.Nextafter32(x, float32(math.Inf(-1))), x, math.Nextafter32(x, float32(math.Inf(1))))
		}
	}
	for len(v)%numericsBlock != 0 {
		v = append(v, 0)
	}
	return v
}

func TestNarrowingIsTheHardwares(t *testing.T) {
	p := interpreter(t)
	v := hardFloats()
	bf16, e4m3, f16 := make([]byte, 2*len(v)), make([]byte, len(v)), make([]byte, 2*len(v))
	require.NoError(t, p.Run(t.Context(), Case{
		Dir: "testdata/numerics", File: "casts.py", Kernel: "narrow", Grid: len(v) / numericsBlock,
		Args: []Arg{
			Pointer("x", "f32", "in", f32Bytes(v)), Pointer("b", "bf16", "out", bf16),
			Pointer("q", "e4m3", "out", e4m3), Pointer("h", "f16", "out", f16),
		},
	}))
	for i, x := range v {
		if want := formats.BF16FromFloat32(x); bf16Code(bf16, i) != want {
			t.Fatalf("%x as bf16: got %04x, want %04x", math.Float32bits(x), bf16Code(bf16, i), want)
		}
		if want := formats.E4M3FromFloat64(float64(x)); e4m3[i] != want {
			t.Fatalf("%v as e4m3: got %02x, want %02x", x, e4m3[i], want)
		}
	}
}

func TestWideningIsExact(t *testing.T) {
	p := interpreter(t)
	const n = 1 << 16
	codes, halves := make([]byte, n), make([]byte, 0, 2*n)
	for i := range n {
		codes[i] = byte(i)
		halves = binary.LittleEndian.AppendUint16(halves, uint16(i))
	}
	qf32, qbf16, bf32, be4m3 := make([]byte, 4*n), make([]byte, 2*n), make([]byte, 4*n), make([]byte, n)
	require.NoError(t, p.Run(t.Context(), Case{
		Dir: "testdata/numerics", File: "casts.py", Kernel: "widen", Grid: n / numericsBlock,
		Args: []Arg{
			Pointer("q", "e4m3", "in", codes), Pointer("b", "bf16", "in", halves),
			Pointer("q_f32", "f32", "out", qf32), Pointer("q_bf16", "bf16", "out", qbf16),
			Pointer("b_f32", "f32", "out", bf32), Pointer("b_e4m3", "e4m3", "out", be4m3),
		},
	}))
	wide, half := f32Values(qf32), f32Values(bf32)
	for i := range n {
		q, b := formats.E4M3ToFloat32(byte(i)), formats.BF16ToFloat32(uint16(i))
		require.True(t, sameFloat(q, wide[i]), "e4m3 %02x: %v", byte(i), wide[i])
		require.True(t, sameFloat(q, bf16Value(qbf16, i)), "e4m3 %02x as bf16: %v", byte(i), bf16Value(qbf16, i))
		require.True(t, sameFloat(b, half[i]), "bf16 %04x: %v", i, half[i])
		require.Equal(t, formats.E4M3FromFloat64(float64(b)), be4m3[i], "bf16 %04x as e4m3", i)
	}
}

func TestArithmeticInBF16RoundsOnce(t *testing.T) {
	p := interpreter(t)
	r := rand.New(rand.NewPCG(1, 2))
	const n = 2 * numericsBlock
	x, y := make([]float32, n), make([]float32, n)
	for i := range n {
		x[i] = formats.BF16ToFloat32(uint16(r.Uint32()))
		y[i] = formats.BF16ToFloat32(formats.BF16FromFloat32(x[i] * float32(r.NormFloat64())))
	}
	xb, yb := bf16Bytes(x), bf16Bytes(y)
	total, product, larger, chosen := make([]byte, 2*n), make([]byte, 2*n), make([]byte, 2*n), make([]byte, 2*n)
	count := make([]byte, 4*n/numericsBlock)
	require.NoError(t, p.Run(t.Context(), Case{
		Dir: "testdata/numerics", File: "casts.py", Kernel: "arithmetic", Grid: n / numericsBlock,
		Args: []Arg{
			Pointer("x", "bf16", "in", xb), Pointer("y", "bf16", "in", yb), Pointer("total", "bf16", "out", total),
			Pointer("product", "bf16", "out", product), Pointer("larger", "bf16", "out", larger),
			Pointer("chosen", "bf16", "out", chosen), Pointer("count", "i32", "out", count),
		},
	}))
	less := 0
	for i := range n {
		a, b := bf16Value(xb, i), bf16Value(yb, i)
		require.True(t, sameFloat(formats.RoundBF16x32(a+b), bf16Value(total, i)), "%v + %v: %v", a, b, bf16Value(total, i))
		require.True(t, sameFloat(formats.RoundBF16x32(a*b), bf16Value(product, i)), "%v * %v: %v", a, b, bf16Value(product, i))
		max := a
		if b > a || a != a { // a NaN gives way to a number
			max = b
		}
		require.Equal(t, max != max, bf16Value(larger, i) != bf16Value(larger, i))
		if max == max {
			require.Equal(t, max, bf16Value(larger, i))
		}
		want := b
		if a < b && b > 0 {
			want = a
		}
		require.True(t, sameFloat(want, bf16Value(chosen, i)))
		if a < b {
			less++
		}
	}
	got := 0
	for i := range n / numericsBlock {
		got += int(binary.LittleEndian.Uint32(count[4*i:]))
	}
	require.Equal(t, less, got)
}

func TestDotsAccumulateExactly(t *testing.T) {
	p := interpreter(t)
	r := rand.New(rand.NewPCG(3, 4))
	const m, k = 16, 64
	draw := func() []float32 {
		v := make([]float32, m*k)
		for i := range v {
			v[i] = float32(r.NormFloat64() * math.Exp(2*r.NormFloat64()))
		}
		return v
	}
	x, y, q, s := bf16Bytes(draw()), bf16Bytes(draw()), e4m3Bytes(draw()), e4m3Bytes(draw())
	bf16, e4m3, f32, sums := make([]byte, 4*m*m), make([]byte, 4*m*m), make([]byte, 4*m*m), make([]byte, 2*m)
	require.NoError(t, p.Run(t.Context(), Case{
		Dir: "testdata/numerics", File: "casts.py", Kernel: "dots", Grid: 1,
		Args: []Arg{
			Pointer("x", "bf16", "in", x), Pointer("y", "bf16", "in", y), Pointer("q", "e4m3", "in", q),
			Pointer("r", "e4m3", "in", s), Pointer("bf16", "f32", "out", bf16), Pointer("e4m3", "f32", "out", e4m3),
			Pointer("f32", "f32", "out", f32), Pointer("sums", "bf16", "out", sums),
		},
	}))
	for i := range m {
		row := 0.0
		for l := range k {
			row += float64(bf16Value(x, i*k+l))
		}
		require.Equal(t, float32(formats.RoundBF16(row)), bf16Value(sums, i))
		for j := range m {
			var wide, narrow float64
			for l := range k {
				wide += float64(bf16Value(x, i*k+l)) * float64(bf16Value(y, j*k+l))
				narrow += float64(formats.E4M3ToFloat32(q[i*k+l])) * float64(formats.E4M3ToFloat32(s[j*k+l]))
			}
			// float64 sums in two orders may round to neighbouring float32 values.
			near := func(want float64, got float32) bool {
				w := float32(want)
				return got == w || got == math.Nextafter32(w, float32(math.Inf(1))) || got == math.Nextafter32(w, float32(math.Inf(-1)))
			}
			require.True(t, near(wide, f32Values(bf16)[i*m+j]))
			require.True(t, near(wide, f32Values(f32)[i*m+j]))
			require.True(t, near(narrow, f32Values(e4m3)[i*m+j]))
		}
	}
}
