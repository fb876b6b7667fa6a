package formats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallFormat is a format whose values can be searched one by one.
type smallFormat struct {
	name     string
	grid     []float64 // non-negative values by ascending code
	round    func(float64) float64
	round32  func(float32) float32
	encode   func(float64) byte
	decode   func(byte) float32
	signMask byte
}

// e4m3Grid spells the format out: three fraction bits from 2^-6 on, multiples of 2^-9 below.
func e4m3Grid() (g []float64) {
	for m := range 8 {
		g = append(g, float64(m)/512)
	}
	for e := -6; e <= 8; e++ {
		for m := range 8 {
			g = append(g, (1+float64(m)/8)*math.Pow(2, float64(e)))
		}
	}
	return g[:len(g)-1] // the last code, 480, is NaN instead
}

var smallFormats = []smallFormat{
	{"e4m3", e4m3Grid(), RoundE4M3, RoundE4M3x32, E4M3FromFloat64, E4M3ToFloat32, 0x80},
	{"e2m1", []float64{0, .5, 1, 1.5, 2, 3, 4, 6},
		RoundE2M1, RoundE2M1x32, E2M1FromFloat64, E2M1ToFloat32, 0x08},
}

// slow finds the nearest code by search; of two at the same distance it takes the even one.
func (f smallFormat) slow(x float64) byte {
	a := min(math.Abs(x), f.grid[len(f.grid)-1])
	i, _ := slices.BinarySearch(f.grid, a)
	if i > 0 {
		below, above := a-f.grid[i-1], f.grid[i]-a
		if below < above || below == above && i&1 == 1 {
			i--
		}
	}
	if math.Signbit(x) {
		return byte(i) | f.signMask
	}
	return byte(i)
}

func (f smallFormat) check(t *testing.T, x float64) {
	t.Helper()
	want := f.slow(x)
	require.Equal(t, want, f.encode(x), "%s of %v", f.name, x)
	value := float64(f.decode(want))
	requireSame(t, value, f.round(x), x)
	if f32 := float32(x); float64(f32) == x {
		requireSame(t, value, float64(f.round32(f32)), x)
	}
}

func TestSmallFormatsAllCodes(t *testing.T) {
	for _, f := range smallFormats {
		for i, v := range f.grid {
			for _, s := range []float64{1, -1} {
				x := math.Copysign(v, s)
				code := byte(i)
				if s < 0 {
					code |= f.signMask
				}
				requireSame(t, x, float64(f.decode(code)), i)
				require.Equal(t, code, f.encode(x), "%s of %v", f.name, x)
				f.check(t, math.Nextafter(x, math.Inf(1)))
				f.check(t, math.Nextafter(x, math.Inf(-1)))
				if i+1 < len(f.grid) {
					mid := math.Copysign((v+f.grid[i+1])/2, s)
					f.check(t, mid)
					f.check(t, math.Nextafter(mid, math.Inf(1)))
					f.check(t, math.Nextafter(mid, math.Inf(-1)))
				}
			}
		}
		for _, x := range []float64{1e300, 449, 464, 480, math.MaxFloat64, math.SmallestNonzeroFloat64} {
			f.check(t, x)
			f.check(t, -x)
		}
		f.check(t, math.Inf(1))
		f.check(t, math.Inf(-1))
	}
}

func TestSmallFormatsRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, f := range smallFormats {
		for range 100_000 {
			f.check(t, math.Ldexp(rng.NormFloat64(), rng.IntN(24)-13))
			f.check(t, float64(float32(math.Ldexp(rng.NormFloat64(), rng.IntN(24)-13))))
		}
	}
}

// Every bf16 is what the quantisers really meet, in float32 as well.
func TestSmallFormatsOfBF16(t *testing.T) {
	for _, f := range smallFormats {
		for c := 0; c <= 0xFFFF; c++ {
			if x := float64(BF16ToFloat32(uint16(c))); x == x {
				f.check(t, x)
			}
		}
	}
}

func TestSmallFormatsNaN(t *testing.T) {
	nan := math.NaN()
	require.Equal(t, byte(0x7F), E4M3FromFloat64(nan))
	require.Equal(t, byte(0x7F), E4M3FromFloat64(math.Copysign(nan, -1)))
	require.True(t, math.IsNaN(RoundE4M3(nan)))
	require.True(t, math.IsNaN(float64(RoundE4M3x32(float32(nan)))))
	require.True(t, math.IsNaN(float64(E4M3ToFloat32(0x7F))))
	require.True(t, math.IsNaN(float64(E4M3ToFloat32(0xFF))))
	require.Equal(t, byte(7), E2M1FromFloat64(nan))
	require.Equal(t, 6.0, RoundE2M1(nan))
	require.Equal(t, float32(6), RoundE2M1x32(float32(nan)))
}

// Spec §2.2 lists these ties.
func TestE2M1Ties(t *testing.T) {
	for x, want := range map[float64]float64{.25: 0, .75: 1, 1.25: 1, 1.75: 2, 2.5: 2, 3.5: 4, 5: 4} {
		require.Equal(t, want, RoundE2M1(x), "%v", x)
		require.Equal(t, -want, RoundE2M1(-x), "%v", -x)
	}
}

func TestPackE2M1(t *testing.T) {
	require.Equal(t, byte(0x8F), PackE2M1(0xF, 0x8))
	for b := range 256 {
		even, odd := UnpackE2M1(byte(b))
		require.Equal(t, byte(b), PackE2M1(even, odd))
		require.Equal(t, E2M1ToFloat32(byte(b)), E2M1ToFloat32(even), "high bits are ignored")
	}
}
