package formats

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUE8M0(t *testing.T) {
	require.Equal(t, 0x1p-127, UE8M0ToFloat64(0))
	require.Equal(t, 1.0, UE8M0ToFloat64(127))
	require.Equal(t, 0x1p127, UE8M0ToFloat64(254))
	require.True(t, math.IsNaN(UE8M0ToFloat64(255)))
	for b := range 255 {
		require.Equal(t, math.Pow(2, float64(b-127)), UE8M0ToFloat64(byte(b)))
		got, err := UE8M0FromExponent(b - 127)
		require.NoError(t, err)
		require.Equal(t, byte(b), got)
	}
	for _, e := range []int{-128, 128, math.MinInt, math.MaxInt} {
		_, err := UE8M0FromExponent(e)
		require.ErrorContains(t, err, "exponents are -127 to 127")
	}
}

// The known answers of spec §17.
func TestActScaleKnownAnswers(t *testing.T) {
	require.Equal(t, 1.0, ActScaleFP8(448))
	require.Equal(t, 2.0, ActScaleFP8(450))
	require.Equal(t, 0x1p-8, ActScaleFP8(1))
	require.Equal(t, 0x1p-22, ActScaleFP8(0))
	require.Equal(t, 1.0, ActScaleFP4(6))
	require.Equal(t, 2.0, ActScaleFP4(7))
	require.Equal(t, 0x1p-126, ActScaleFP4(0))
}

func TestActBlocksKnownAnswers(t *testing.T) {
	block := []float64{3, -0.7109375, 0.01171875, 100.5, -448, 0.00099945068}
	want := []float64{3, -0.6875, 0.01171875, 104, -448, 0.001953125}
	for i, x := range block {
		s := ActScaleFP8(448)
		require.Equal(t, want[i], RoundBF16(RoundE4M3(x/s)*s))
	}
	block = []float64{0.30078125, -1.296875, 2, 7, 0.050048828}
	want = []float64{0, -1, 2, 8, 0}
	for i, x := range block {
		s := ActScaleFP4(7)
		require.Equal(t, want[i], RoundBF16(RoundE2M1(x/s)*s))
	}
}

// slowScale returns the smallest 2^e with limit·2^e ≥ max(amax, floor), in exact arithmetic.
func slowScale(amax, floor, limit float64) float64 {
	a := new(big.Rat).SetFloat64(max(amax, floor))
	_, below := math.Frexp(max(amax, floor) / limit)
	for e := below - 3; ; e++ {
		s := math.Ldexp(1, e)
		if new(big.Rat).SetFloat64(limit*s).Cmp(a) >= 0 {
			return s
		}
	}
}

// The float32 steps with the rounded reciprocal give the exact answer for every bf16 amax.
func TestActScaleOfEveryBF16(t *testing.T) {
	for c := 0; c < 0x7F80; c++ {
		amax := float64(BF16ToFloat32(uint16(c)))
		require.Equal(t, slowScale(amax, 1e-4, 448), ActScaleFP8(amax), "amax %v", amax)
		require.Equal(t, slowScale(amax, 6*0x1p-126, 6), ActScaleFP4(amax), "amax %v", amax)
	}
}

func TestActScaleNonFinite(t *testing.T) {
	require.True(t, math.IsInf(ActScaleFP8(math.Inf(1)), 1))
	require.True(t, math.IsInf(ActScaleFP4(math.Inf(1)), 1))
	require.True(t, math.IsNaN(ActScaleFP8(math.NaN())))
	require.True(t, math.IsNaN(ActScaleFP4(math.NaN())))
}
