package tile

import (
	"math"

	"flagc/runtime/formats"
)

// roundTo rounds a float32 to a float format: to nearest, ties to even. E4M3 saturates; NaN stays.
func roundTo(d DType, x float32) float32 {
	switch d {
	case BF16:
		return formats.RoundBF16x32(x)
	case E4M3:
		return formats.RoundE4M3x32(x)
	case F16:
		return halfValue(halfBits(x))
	}
	return x
}

// holds reports whether every value of format d is one of format e, so that a cast changes nothing.
func holds(e, d DType) bool {
	return e == d || e == F32 || d == E4M3 && e != E4M3
}

// e4m3Bits is the code of a value of the format. A NaN keeps its sign, so that loading and storing keeps the byte.
func e4m3Bits(x float32) byte {
	if x != x {
		return 0x7F | byte(math.Float32bits(x)>>24)&0x80
	}
	return formats.E4M3FromFloat64(float64(x))
}

// e4m3Values are the values of the codes.
var e4m3Values = func() (t [256]float32) {
	for b := range t {
		t[b] = formats.E4M3ToFloat32(byte(b))
		if t[b] != t[b] {
			t[b] = math.Float32frombits(0x7FC00000 | uint32(b&0x80)<<24)
		}
	}
	return t
}()

// halfBits rounds to f16. Overflow gives infinity; a NaN becomes quiet.
func halfBits(x float32) uint16 {
	u := math.Float32bits(x)
	sign := uint16(u >> 16 & 0x8000)
	a := u &^ (1 << 31)
	switch {
	case a > 0x7F800000:
		return sign | 0x7E00
	case a >= 0x477FF000: // from the midpoint behind the largest f16 on
		return sign | 0x7C00
	case a < 0x38800000: // below the smallest normal: adding 0.5 rounds to the step 2^-24
		return sign | uint16(math.Float32bits(math.Float32frombits(a)+0.5)-0x3F000000)
	}
	a += 1<<12 - 1 + a>>13&1
	return sign | uint16((a-0x38000000)>>13)
}

func halfValue(b uint16) float32 {
	sign := uint32(b&0x8000) << 16
	exp, frac := b>>10&31, uint32(b&0x3FF)
	switch exp {
	case 0:
		return math.Float32frombits(math.Float32bits(float32(frac)*0x1p-24) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7F800000 | frac<<13)
	}
	return math.Float32frombits(sign | (uint32(exp)+112)<<23 | frac<<13)
}

// bitsOf and floatOf go between a float format's values and its bits.
func bitsOf(d DType, x float32) uint32 {
	switch d {
	case BF16:
		return uint32(formats.BF16FromFloat32(x))
	case F16:
		return uint32(halfBits(x))
	case E4M3:
		return uint32(e4m3Bits(x))
	}
	return math.Float32bits(x)
}

func floatOf(d DType, b uint32) float32 {
	switch d {
	case BF16:
		return formats.BF16ToFloat32(uint16(b))
	case F16:
		return halfValue(uint16(b))
	case E4M3:
		return e4m3Values[byte(b)]
	}
	return math.Float32frombits(b)
}

// truncate is the whole part of x as T: saturated where it does not fit, 0 for NaN.
func truncate[T int32 | int64](x float32, least, most T) T {
	switch f := float64(x); {
	case f != f:
		return 0
	case f <= float64(least):
		return least
	case f >= float64(most):
		return most
	default:
		return T(f)
	}
}
