package formats

import "math"

const (
	// A float64 has 45 more fraction bits than a bf16, a float32 has 16 more.
	bf16Drop64 = 52 - 7
	bf16Drop32 = 23 - 7

	// Biased float64 exponents of the smallest normal bf16, 2^-126, and of its top binade, 2^127.
	bf16MinExp64 = 1023 - 126
	bf16MaxExp64 = 1023 + 127

	// bf16Overflow is the midpoint between the largest bf16 and 2^128. As a tie it goes to the even
	// neighbour, which is infinity.
	bf16Overflow = 0x1.FFp127

	// bf16SubMagic has the unit in the last place 2^-133, the step of subnormal bf16: adding it to a
	// smaller non-negative number rounds that number to the step, and subtracting it is exact.
	bf16SubMagic = 0x1p-81
)

// RoundBF16 rounds x to the nearest bf16 value, ties to even, and returns that value as float64.
// Values from 2^128 - 2^119 on become infinite; NaN is returned as it is.
func RoundBF16(x float64) float64 {
	u := math.Float64bits(x)
	// One unsigned comparison selects the normal binades in which a carry cannot overflow.
	if u>>52&0x7FF-bf16MinExp64 < bf16MaxExp64-bf16MinExp64 {
		u += 1<<(bf16Drop64-1) - 1 + u>>bf16Drop64&1
		return math.Float64frombits(u &^ (1<<bf16Drop64 - 1))
	}
	return roundBF16Edge(x)
}

// roundBF16Edge is RoundBF16 for zeros, subnormals, the top binade, infinities and NaN.
func roundBF16Edge(x float64) float64 {
	a := math.Abs(x)
	switch {
	case a == 0 || a != a:
		return x
	case a >= bf16Overflow:
		return math.Copysign(math.Inf(1), x)
	case a < 0x1p-126:
		return math.Copysign((a+bf16SubMagic)-bf16SubMagic, x)
	}
	u := math.Float64bits(x)
	u += 1<<(bf16Drop64-1) - 1 + u>>bf16Drop64&1
	return math.Float64frombits(u &^ (1<<bf16Drop64 - 1))
}

// BF16FromFloat64 returns the bits of the bf16 nearest to x, ties to even, rounding once.
// Overflow gives infinity. A NaN keeps its sign and leading payload bits and becomes quiet.
func BF16FromFloat64(x float64) uint16 {
	if x != x {
		u := math.Float64bits(x)
		return uint16(u>>48)&0x8000 | 0x7FC0 | uint16(u>>bf16Drop64)&0x7F
	}
	// The rounded value is a bf16, so the narrowing to float32 is exact.
	return uint16(math.Float32bits(float32(RoundBF16(x))) >> bf16Drop32)
}

// BF16FromFloat32 returns the bits of the bf16 nearest to x, ties to even.
// Overflow gives infinity. A NaN keeps its sign and leading payload bits and becomes quiet.
func BF16FromFloat32(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>bf16Drop32) | 0x40
	}
	// A carry runs into the exponent as it should: the next binade, and infinity after the last.
	return uint16((u + 1<<(bf16Drop32-1) - 1 + u>>bf16Drop32&1) >> bf16Drop32)
}

// BF16ToFloat32 returns the value of the bf16 with bits b. It is exact.
func BF16ToFloat32(b uint16) float32 {
	return math.Float32frombits(uint32(b) << bf16Drop32)
}

// RoundBF16x32 rounds x to the nearest bf16 value, ties to even: RoundBF16 for a value that is
// float32 already.
func RoundBF16x32(x float32) float32 {
	if x != x {
		return x
	}
	u := math.Float32bits(x)
	u += 1<<(bf16Drop32-1) - 1 + u>>bf16Drop32&1
	return math.Float32frombits(u &^ (1<<bf16Drop32 - 1))
}
