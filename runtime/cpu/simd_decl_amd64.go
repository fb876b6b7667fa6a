package cpu

// The assembly routines; see routines for what they share.

//go:noescape
func rows4F32AVX512(out *float32, w *byte, stride, ahead int, x *float32, steps int)

//go:noescape
func rows4BF16AVX512(out *float32, w *byte, stride, ahead int, x *float32, steps int)

//go:noescape
func rows4E4M3AVX512(out *float32, w *byte, stride, ahead int, x *float32, steps int, scale *float32)

//go:noescape
func rows4E2M1AVX512(out *float32, w *byte, stride, ahead int, x *float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func e4m3x2AVX512(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)

//go:noescape
func e4m3x4AVX512(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)

//go:noescape
func e2m1x2AVX512(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func e2m1x4AVX512(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func widenBF16AVX512(dst *float32, src *byte, steps, ahead int)

//go:noescape
func widenE4M3AVX512(dst *float32, src *byte, steps, ahead int, scale float32)

//go:noescape
func widenE2M1AVX512(dst *float32, src *byte, steps, ahead int, scale *byte)

//go:noescape
func tile4x4AVX512(out *[16]float32, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)

//go:noescape
func dtile4x4AVX512(out *[16]float64, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)

//go:noescape
func mix4AVX512(acc *float64, accStride int, p *float64, pStride int, v *float32, vStride, entries, steps int)

//go:noescape
func rate16AVX512(sums, dots *float32, weight float32, steps int)

//go:noescape
func peak8AVX512(x *float64, steps int) float64

//go:noescape
func weigh8AVX512(x *float64, steps int, scale, top float64) (sum float64)

//go:noescape
func rows4F32AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int)

//go:noescape
func rows4BF16AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int)

//go:noescape
func rows4E4M3AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int, scale *float32)

//go:noescape
func rows4E2M1AVX2(out *float32, w *byte, stride, ahead int, x *float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func e4m3x2AVX2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)

//go:noescape
func e4m3x4AVX2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)

//go:noescape
func e2m1x2AVX2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func e2m1x4AVX2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func widenBF16AVX2(dst *float32, src *byte, steps, ahead int)

//go:noescape
func widenE4M3AVX2(dst *float32, src *byte, steps, ahead int, scale float32)

//go:noescape
func widenE2M1AVX2(dst *float32, src *byte, steps, ahead int, scale *byte)

//go:noescape
func tile4x4AVX2(out *[16]float32, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)

//go:noescape
func dtile4x4AVX2(out *[16]float64, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)

//go:noescape
func mix4AVX2(acc *float64, accStride int, p *float64, pStride int, v *float32, vStride, entries, steps int)

//go:noescape
func rate16AVX2(sums, dots *float32, weight float32, steps int)

//go:noescape
func peak8AVX2(x *float64, steps int) float64

//go:noescape
func weigh8AVX2(x *float64, steps int, scale, top float64) (sum float64)
