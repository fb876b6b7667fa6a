package formats

import (
	"fmt"
	"math"
)

const (
	ue8m0Bias = 127
	ue8m0NaN  = 255

	// The smallest amax of the quantisers: a block below it is scaled as if it reached it.
	actFloorFP8 float32 = 1e-4
	actFloorFP4 float32 = 6 * 0x1p-126

	// Rounded to float32 before use: the official code multiplies by these instead of dividing.
	invE4M3Max float32 = 1.0 / E4M3Max
	invE2M1Max float32 = 1.0 / E2M1Max
)

// UE8M0ToFloat64 returns the scale 2^(b-127) that byte b stands for. Byte 0 is 2^-127, a subnormal in
// float32; byte 255 is NaN.
func UE8M0ToFloat64(b byte) float64 {
	if b == ue8m0NaN {
		return math.NaN()
	}
	return exp2(int(b) - ue8m0Bias)
}

// UE8M0FromExponent returns the byte that stores the scale 2^e. It fails outside -127 ≤ e ≤ 127.
func UE8M0FromExponent(e int) (byte, error) {
	if e < -ue8m0Bias || e >= ue8m0NaN-ue8m0Bias {
		return 0, fmt.Errorf("scale 2^%d does not fit in ue8m0: exponents are -127 to 127", e)
	}
	return byte(e + ue8m0Bias), nil
}

// ActScaleFP8 returns the power-of-two scale of a block quantised to E4M3 whose largest absolute value
// is amax: 2^ceil(log2(max(amax, 1e-4)/448)) by the float32 steps of spec §2.1. The smallest is 2^-22.
// An infinite amax gives an infinite scale, NaN gives NaN.
func ActScaleFP8(amax float64) float64 {
	return pow2Ceil(max(float32(amax), actFloorFP8) * invE4M3Max)
}

// ActScaleFP4 returns the power-of-two scale of a block quantised to E2M1:
// 2^ceil(log2(max(amax, 6·2^-126)/6)) by the float32 steps of spec §2.2. The smallest is 2^-126.
// An infinite amax gives an infinite scale, NaN gives NaN.
func ActScaleFP4(amax float64) float64 {
	return pow2Ceil(max(float32(amax), actFloorFP4) * invE2M1Max)
}

// pow2Ceil returns 2^ceil(log2 r) for a normal positive r, read off the bits: the exponent, plus one
// unless the fraction is zero.
func pow2Ceil(r float32) float64 {
	if r != r || r > math.MaxFloat32 {
		return float64(r)
	}
	u := math.Float32bits(r)
	e := int(u>>23) - 127
	if u&(1<<23-1) != 0 {
		e++
	}
	return exp2(e)
}

// exp2 returns 2^e for an exponent within the normal range of float64.
func exp2(e int) float64 { return math.Float64frombits(uint64(e+1023) << 52) }
