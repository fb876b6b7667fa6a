package formats

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// slowBF16 rounds with math/big: 8 bits of precision, fewer below the normal range.
func slowBF16(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return x
	}
	_, exp := math.Frexp(x) // |x| is in [2^(exp-1), 2^exp)
	prec := min(8, exp+133) // the last bit is 2^-133
	if prec <= 0 {
		// Below the smallest subnormal 2^-133: up when above the half 2^-134, a tie goes to zero.
		if math.Abs(x) > 0x1p-134 {
			return math.Copysign(0x1p-133, x)
		}
		return math.Copysign(0, x)
	}
	r, _ := new(big.Float).SetPrec(uint(prec)).SetMode(big.ToNearestEven).SetFloat64(x).Float64()
	if math.Abs(r) >= 0x1p128 {
		return math.Copysign(math.Inf(1), x)
	}
	return r
}

func requireSame(t *testing.T, want, got float64, x any) {
	t.Helper()
	if math.Float64bits(want) != math.Float64bits(got) && !(want != want && got != got) {
		require.Failf(t, "values differ", "of %v: want %v, got %v", x, want, got)
	}
}

func checkBF16(t *testing.T, x float64) {
	t.Helper()
	want := slowBF16(x)
	requireSame(t, want, RoundBF16(x), x)
	requireSame(t, want, float64(BF16ToFloat32(BF16FromFloat64(x))), x)
	if f := float32(x); float64(f) == x {
		requireSame(t, want, float64(RoundBF16x32(f)), x)
		requireSame(t, want, float64(BF16ToFloat32(BF16FromFloat32(f))), x)
	}
}

func TestBF16AllCodes(t *testing.T) {
	for c := 0; c <= 0xFFFF; c++ {
		code := uint16(c)
		f := BF16ToFloat32(code)
		if f != f {
			require.Equal(t, code|0x40, BF16FromFloat32(f), "NaN %#x", c)
			require.Equal(t, code|0x40, BF16FromFloat64(float64(f)), "NaN %#x", c)
			require.True(t, math.IsNaN(RoundBF16(float64(f))))
			require.True(t, math.IsNaN(float64(RoundBF16x32(f))))
			continue
		}
		require.Equal(t, code, BF16FromFloat32(f))
		require.Equal(t, code, BF16FromFloat64(float64(f)))
		x := float64(f)
		checkBF16(t, x)
		if math.IsInf(x, 0) {
			continue
		}
		// The midpoint to the next code, and its neighbours in float64.
		next := float64(BF16ToFloat32(code + 1))
		if math.IsInf(next, 0) {
			next = math.Copysign(0x1p128, x)
		}
		mid := x + (next-x)/2
		for _, y := range []float64{mid, math.Nextafter(mid, 0), math.Nextafter(mid, next),
			math.Nextafter(x, 0), math.Nextafter(x, next)} {
			checkBF16(t, y)
		}
		even := code + code&1 // of code and code+1
		require.Equal(t, even, BF16FromFloat64(mid), "tie above %#x", c)
	}
}

func TestBF16Random(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		x := math.Float64frombits(rng.Uint64())
		checkBF16(t, x)
		// The whole range of bf16 and some binades around it.
		checkBF16(t, math.Ldexp(1+rng.Float64(), rng.IntN(270)-140)*float64(1-2*rng.IntN(2)))
	}
}

func TestBF16Edges(t *testing.T) {
	require.Equal(t, uint16(0x7F7F), BF16FromFloat64(math.Nextafter(0x1.FFp127, 0)))
	require.Equal(t, uint16(0x7F80), BF16FromFloat64(0x1.FFp127), "the tie at the top goes to infinity")
	require.Equal(t, uint16(0xFF80), BF16FromFloat64(-math.MaxFloat64))
	require.Equal(t, uint16(0x0000), BF16FromFloat64(0x1p-134))
	require.Equal(t, uint16(0x0001), BF16FromFloat64(math.Nextafter(0x1p-134, 1)))
	require.Equal(t, uint16(0x8000), BF16FromFloat64(-math.SmallestNonzeroFloat64))
	require.Equal(t, uint16(0x0080), BF16FromFloat64(math.Nextafter(0x1p-126, 0)), "up into the normals")
}

// Just above the midpoint of 1 and 1+2^-7; float32 drops the excess and leaves a tie.
func TestBF16RoundsOnce(t *testing.T) {
	x := 1 + 0x1p-8 + 0x1p-40
	require.Equal(t, uint16(0x3F81), BF16FromFloat64(x))
	require.Equal(t, 1+0x1p-7, RoundBF16(x))
	require.Equal(t, uint16(0x3F80), BF16FromFloat32(float32(x)), "through float32 the value is another")
}

func benchValues(n int) []float64 {
	rng := rand.New(rand.NewPCG(3, 4))
	v := make([]float64, n)
	for i := range v {
		v[i] = rng.NormFloat64()
	}
	return v
}

// The sinks keep the compiler from removing the measured calls.
var (
	sink64 float64
	sink32 float32
)

func BenchmarkRoundBF16(b *testing.B) {
	v := benchValues(1024)
	b.SetBytes(8 * 1024)
	for b.Loop() {
		s := 0.0
		for _, x := range v {
			s += RoundBF16(x)
		}
		sink64 = s
	}
}

func BenchmarkRoundBF16x32(b *testing.B) {
	v := make([]float32, 1024)
	for i, x := range benchValues(1024) {
		v[i] = float32(x)
	}
	b.SetBytes(4 * 1024)
	for b.Loop() {
		s := float32(0)
		for _, x := range v {
			s += RoundBF16x32(x)
		}
		sink32 = s
	}
}

func BenchmarkRoundE4M3(b *testing.B) {
	v := benchValues(1024)
	b.SetBytes(8 * 1024)
	for b.Loop() {
		s := 0.0
		for _, x := range v {
			s += RoundE4M3(x)
		}
		sink64 = s
	}
}
