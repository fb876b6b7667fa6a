package cpu

// routines are the assembly routines of one instruction set. Both sets agree on operands, on steps (16
// elements or columns; 128 of e2m1; 8 scores) and on results up to the order of sums. They differ in the
// order in which e2m1 elements are arranged. A routine reads and writes only what its steps cover.
type routines struct {
	name string

	// rows4* multiply four rows, stride bytes apart, with one vector. Rows wanted next lie ahead bytes on.
	// Those of F32 and BF16 sum runs of products in float64, eight products of a run to a float32 lane.
	rows4F32  func(out *float32, w *byte, stride, ahead int, x *float32, steps int)
	rows4BF16 func(out *float32, w *byte, stride, ahead int, x *float32, steps int)
	rows4E4M3 func(out *float32, w *byte, stride, ahead int, x *float32, steps int, scale *float32)
	rows4E2M1 func(out *float32, w *byte, stride, ahead int, x *float32, steps int,
		scale *byte, scaleStride int)

	// e4m3x2, e2m1x2 multiply four rows with two vectors (out[4i+r]), e4m3x4 and e2m1x4 two rows with four
	// (out[4r+i]).
	e4m3x2, e4m3x4 func(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
		scale *float32)
	e2m1x2, e2m1x4 func(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
		scale *byte, scaleStride int)

	widenBF16 func(dst *float32, src *byte, steps, ahead int)
	widenE4M3 func(dst *float32, src *byte, steps, ahead int, scale float32)
	widenE2M1 func(dst *float32, src *byte, steps, ahead int, scale *byte)

	tile4x4 func(out *[16]float32, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)
	rate16  func(sums, dots *float32, weight float32, steps int)

	// These widen to float64 and sum in it.
	dtile4x4 func(out *[16]float64, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)
	mix4     func(acc *float64, accStride int, p *float64, pStride int, v *float32, vStride, entries, steps int)
	peak8    func(x *float64, steps int) float64
	weigh8   func(x *float64, steps int, scale, top float64) (sum float64)

	// arrangeE2M1 puts 128 elements in the order of rows4E2M1, e2m1x2, e2m1x4 and widenE2M1.
	arrangeE2M1 func(dst, x *[128]float32)
}

// avx512Routines need AVX-512 F and BW.
var avx512Routines = routines{
	name:        "avx512",
	rows4F32:    rows4F32AVX512,
	rows4BF16:   rows4BF16AVX512,
	rows4E4M3:   rows4E4M3AVX512,
	rows4E2M1:   rows4E2M1AVX512,
	e4m3x2:      e4m3x2AVX512,
	e4m3x4:      e4m3x4AVX512,
	e2m1x2:      e2m1x2AVX512,
	e2m1x4:      e2m1x4AVX512,
	widenBF16:   widenBF16AVX512,
	widenE4M3:   widenE4M3AVX512,
	widenE2M1:   widenE2M1AVX512,
	tile4x4:     tile4x4AVX512,
	dtile4x4:    dtile4x4AVX512,
	mix4:        mix4AVX512,
	rate16:      rate16AVX512,
	peak8:       peak8AVX512,
	weigh8:      weigh8AVX512,
	arrangeE2M1: arrangeE2M1AVX512,
}

// avx2Routines need AVX2 and FMA.
var avx2Routines = routines{
	name:        "avx2",
	rows4F32:    rows4F32AVX2,
	rows4BF16:   rows4BF16AVX2,
	rows4E4M3:   rows4E4M3AVX2,
	rows4E2M1:   rows4E2M1AVX2,
	e4m3x2:      e4m3x2AVX2,
	e4m3x4:      e4m3x4AVX2,
	e2m1x2:      e2m1x2AVX2,
	e2m1x4:      e2m1x4AVX2,
	widenBF16:   widenBF16AVX2,
	widenE4M3:   widenE4M3AVX2,
	widenE2M1:   widenE2M1AVX2,
	tile4x4:     tile4x4AVX2,
	dtile4x4:    dtile4x4AVX2,
	mix4:        mix4AVX2,
	rate16:      rate16AVX2,
	peak8:       peak8AVX2,
	weigh8:      weigh8AVX2,
	arrangeE2M1: arrangeE2M1AVX2,
}

// arrangeE2M1AVX512 transposes [16][8] to [8][16]: nibble j of sixteen words of codes is one register.
func arrangeE2M1AVX512(dst, x *[128]float32) {
	for i := range 16 {
		for j := range 8 {
			dst[j*16+i] = x[i*8+j]
		}
	}
}

// arrangeE2M1AVX2 takes each 64 elements, a register of codes, as [2][2][4][4] (128-bit lane, half of the
// lane's bytes, pair of bytes, place in the pair) and transposes them to [half][place][lane][pair].
func arrangeE2M1AVX2(dst, x *[128]float32) {
	for o := 0; o < 128; o += 64 {
		for c := range 8 {
			for i := range 8 {
				dst[o+8*c+i] = x[o+i/4*32+c/4*16+i%4*4+c%4]
			}
		}
	}
}
