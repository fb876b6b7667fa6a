package formats

import "math"

// E4M3FN: 1 sign, 4 exponent (bias 7) and 3 fraction bits. Largest value 448, smallest normal 2^-6,
// subnormal step 2^-9, NaN at 0x7F and 0xFF, no infinity.
const (
	// E4M3Max is the largest finite E4M3 value.
	E4M3Max = 448

	e4m3NaN       = 0x7F
	e4m3MinNormal = 0x1p-6
	e4m3Drop64    = 52 - 3
	e4m3Drop32    = 23 - 3

	// Numbers whose unit in the last place is the subnormal step 2^-9; see bf16SubMagic.
	e4m3SubMagic64 = 0x1p43
	e4m3SubMagic32 = 0x1p14
)

// e4m3Values holds the value of every code.
var e4m3Values = e4m3Table()

func e4m3Table() (t [256]float32) {
	for c := range t {
		exp, frac := c>>3&15, float64(c&7)
		v := math.Ldexp(frac, -9)
		if exp > 0 {
			v = math.Ldexp(8+frac, exp-10)
		}
		if c&0x7F == e4m3NaN {
			v = math.NaN()
		}
		if c >= 0x80 {
			v = -v
		}
		t[c] = float32(v)
	}
	return t
}

// RoundE4M3 rounds x to the nearest E4M3 value, ties to even, saturating at ±448 (infinities too).
// NaN stays NaN.
func RoundE4M3(x float64) float64 {
	a := math.Abs(x)
	switch {
	case a < e4m3MinNormal:
		return math.Copysign((a+e4m3SubMagic64)-e4m3SubMagic64, x)
	case a >= E4M3Max:
		return math.Copysign(E4M3Max, x)
	case a != a:
		return x
	}
	u := math.Float64bits(x)
	u += 1<<(e4m3Drop64-1) - 1 + u>>e4m3Drop64&1
	return math.Float64frombits(u &^ (1<<e4m3Drop64 - 1))
}

// RoundE4M3x32 is RoundE4M3 for a value that is float32 already.
func RoundE4M3x32(x float32) float32 {
	u := math.Float32bits(x)
	sign := u & (1 << 31)
	a := math.Float32frombits(u &^ (1 << 31))
	switch {
	case a < e4m3MinNormal:
		a = (a + e4m3SubMagic32) - e4m3SubMagic32
		return math.Float32frombits(math.Float32bits(a) | sign)
	case a >= E4M3Max:
		return math.Float32frombits(math.Float32bits(E4M3Max) | sign)
	case a != a:
		return x
	}
	u += 1<<(e4m3Drop32-1) - 1 + u>>e4m3Drop32&1
	return math.Float32frombits(u &^ (1<<e4m3Drop32 - 1))
}

// E4M3FromFloat64 returns the code of the E4M3 value nearest to x, ties to even, saturating at ±448.
// Every NaN gives 0x7F.
func E4M3FromFloat64(x float64) byte {
	if x != x {
		return e4m3NaN
	}
	u := math.Float64bits(RoundE4M3(x))
	sign := byte(u >> 56 & 0x80)
	a := math.Float64frombits(u &^ (1 << 63))
	if a < e4m3MinNormal {
		return sign | byte(a*512)
	}
	// Exponent and fraction lie side by side in both formats: shift, then move the bias to 7.
	return sign | byte(u>>e4m3Drop64-(1023-7)<<3)&0x7F
}

// E4M3ToFloat32 returns the value of an E4M3 code. It is exact; 0x7F and 0xFF are NaN.
func E4M3ToFloat32(code byte) float32 { return e4m3Values[code] }
