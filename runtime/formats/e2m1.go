package formats

import "math"

// E2M1: 1 sign, 2 exponent (bias 1) and 1 fraction bit. No NaN, no infinity.
const (
	// E2M1Max is the largest E2M1 value.
	E2M1Max = 6

	e2m1Sign = 8

	// Numbers whose unit in the last place is 1/2, 1 and 2: the steps of E2M1 below 2, below 4 and
	// above; see bf16SubMagic.
	e2m1Half64, e2m1One64, e2m1Two64 = 0x1p51, 0x1p52, 0x1p53
	e2m1Half32, e2m1One32, e2m1Two32 = 0x1p22, 0x1p23, 0x1p24
)

var e2m1Values = [16]float32{
	0, 0.5, 1, 1.5, 2, 3, 4, 6,
	float32(math.Copysign(0, -1)), -0.5, -1, -1.5, -2, -3, -4, -6,
}

// RoundE2M1 rounds x to the nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 or their negatives, saturating at ±6.
// Ties go to the even code: 0.25→0, 0.75→1, 1.25→1, 1.75→2, 2.5→2, 3.5→4, 5→4.
// NaN, which the format cannot hold, gives 6: the code that E2M1FromFloat64 gives it.
func RoundE2M1(x float64) float64 {
	a := math.Abs(x)
	switch {
	case a < 2:
		a = (a + e2m1Half64) - e2m1Half64
	case a < 4:
		a = (a + e2m1One64) - e2m1One64
	case a < E2M1Max:
		a = (a + e2m1Two64) - e2m1Two64
	case a != a:
		return E2M1Max
	default:
		a = E2M1Max
	}
	return math.Copysign(a, x)
}

// RoundE2M1x32 is RoundE2M1 for a value that is float32 already.
func RoundE2M1x32(x float32) float32 {
	u := math.Float32bits(x)
	a := math.Float32frombits(u &^ (1 << 31))
	switch {
	case a < 2:
		a = (a + e2m1Half32) - e2m1Half32
	case a < 4:
		a = (a + e2m1One32) - e2m1One32
	case a < E2M1Max:
		a = (a + e2m1Two32) - e2m1Two32
	case a != a:
		return E2M1Max
	default:
		a = E2M1Max
	}
	return math.Float32frombits(math.Float32bits(a) | u&(1<<31))
}

// E2M1FromFloat64 returns the 4-bit code of RoundE2M1(x); bit 3 is the sign, so that -0 is 8.
// NaN gives 7, the code of 6, as the saturating conversion of GPUs does.
func E2M1FromFloat64(x float64) byte {
	r := RoundE2M1(x)
	code := byte(0)
	if math.Signbit(r) {
		code, r = e2m1Sign, -r
	}
	switch {
	case r <= 2: // codes 0 to 4 count halves
		return code | byte(r*2)
	case r == 3:
		return code | 5
	case r == 4:
		return code | 6
	}
	return code | 7
}

// E2M1ToFloat32 returns the value of the E2M1 code in the low four bits; the others are ignored.
func E2M1ToFloat32(code byte) float32 { return e2m1Values[code&15] }

// PackE2M1 joins two codes as the checkpoint does: the element of even index in the low four bits.
func PackE2M1(even, odd byte) byte { return even&15 | odd<<4 }

// UnpackE2M1 splits a byte into the codes of the elements of even and of odd index.
func UnpackE2M1(b byte) (even, odd byte) { return b & 15, b >> 4 }
