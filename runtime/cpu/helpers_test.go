package cpu

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"flagc/runtime/formats"

	"github.com/stretchr/testify/require"
)

// oneBF16 bounds a bf16 result computed from sums in another order: one step of the grid, relative.
const oneBF16 = 0x1p-7

// float32Sum bounds the relative error of a float32 sum, against the sum of magnitudes, for the lengths
// tested here: at most 2^11 roundings of 2^-24 each on any path.
const float32Sum = 0x1p-13

// float64Sum is float32Sum for float64: at most 2^11 roundings of 2^-53 each.
const float64Sum = 0x1p-42

// eachImplementation runs a test with every implementation that this machine can run, on one and on three
// workers.
func eachImplementation(t *testing.T, f func(t *testing.T, c *Ctx)) {
	chosen := active
	defer func() { active = chosen }()
	for _, k := range implementations {
		for _, threads := range []int{1, 3} {
			active = k
			c := NewCtx(threads)
			t.Run(k.name, func(t *testing.T) { f(t, c) })
			c.Close()
		}
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// randomBF16 returns n normal numbers on the bf16 grid.
func randomBF16(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = formats.RoundBF16x32(float32(r.NormFloat64()))
	}
	return x
}

func random32(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func random64(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

// randomMatrix returns a weight of finite values, at an odd address as in a mapped file.
func randomMatrix(t *testing.T, r *rand.Rand, enc Encoding, n, k int) *Matrix {
	t.Helper()
	m := Matrix{Enc: enc, N: n, K: k}
	data := make([]byte, 1+n*m.pitch())[1:]
	scale := make([]byte, m.scaleBytes())
	for i := range scale {
		scale[i] = byte(120 + r.IntN(12))
	}
	switch enc {
	case F32:
		for i := range n * k {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(r.NormFloat64())))
		}
	case BF16:
		for i := range n * k {
			binary.LittleEndian.PutUint16(data[2*i:], formats.BF16FromFloat32(float32(r.NormFloat64())))
		}
	default:
		for i := range data {
			data[i] = byte(r.Uint32())
			if enc == FP8 && data[i]&0x7F == 0x7F {
				data[i] = 0
			}
		}
	}
	out, err := NewMatrix(enc, n, k, data, scale)
	require.NoError(t, err)
	return out
}

// element reads one weight by the definition of its encoding.
func element(m *Matrix, n, k int) float64 {
	switch m.Enc {
	case F32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(m.Data[4*(n*m.K+k):])))
	case BF16:
		return float64(formats.BF16ToFloat32(binary.LittleEndian.Uint16(m.Data[2*(n*m.K+k):])))
	case FP8:
		tiles := (m.K + 127) / 128
		return float64(formats.E4M3ToFloat32(m.Data[n*m.K+k])) *
			formats.UE8M0ToFloat64(m.Scale[n/128*tiles+k/128])
	}
	code := m.Data[(n*m.K+k)/2]
	if k%2 == 1 {
		code >>= 4
	}
	return float64(formats.E2M1ToFloat32(code)) * formats.UE8M0ToFloat64(m.Scale[(n*m.K+k)/32])
}

// requireProduct checks one element of a product against float64.
func requireProduct(t *testing.T, got float32, x []float32, m *Matrix, n int, round bool) {
	t.Helper()
	var want, size float64
	for k, v := range x {
		p := float64(v) * element(m, n, k)
		want, size = want+p, size+math.Abs(p)
	}
	bound := size * float32Sum
	if round {
		require.Equal(t, formats.RoundBF16x32(got), got)
		bound += math.Abs(want) * oneBF16
	}
	require.InDelta(t, want, float64(got), bound, "row %d of %v %d×%d", n, m.Enc, m.N, m.K)
}

// requireBF16 checks float64 results rounded to bf16: nearly all equal, none further than one step.
func requireBF16(t *testing.T, want []float64, got []float32) {
	t.Helper()
	require.Len(t, got, len(want))
	different := 0
	for i, w := range want {
		if r := formats.RoundBF16(w); r != float64(got[i]) {
			different++
			require.InDelta(t, r, float64(got[i]), math.Abs(r)*oneBF16, "element %d", i)
		}
	}
	require.LessOrEqual(t, different, len(want)/200, "of %d values", len(want))
}
