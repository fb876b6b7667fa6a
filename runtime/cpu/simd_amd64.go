package cpu

import (
	"os"
	"unsafe"
)

//go:noescape
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

//go:noescape
func xgetbv() uint32

//go:noescape
func rows4F32(out *float32, w *byte, stride, ahead int, x *float32, steps int)

//go:noescape
func rows4BF16(out *float32, w *byte, stride, ahead int, x *float32, steps int)

//go:noescape
func rows4E4M3(out *float32, w *byte, stride, ahead int, x *float32, steps int, scale *float32)

//go:noescape
func rows4E2M1(out *float32, w *byte, stride, ahead int, x *float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func e4m3x2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)

//go:noescape
func e4m3x4(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int, scale *float32)

//go:noescape
func e2m1x2(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func e2m1x4(out *[8]float32, w *byte, stride, ahead int, x *[4]*float32, steps int,
	scale *byte, scaleStride int)

//go:noescape
func widenBF16(dst *float32, src *byte, steps, ahead int)

//go:noescape
func widenE4M3(dst *float32, src *byte, steps, ahead int, scale float32)

//go:noescape
func widenE2M1(dst *float32, src *byte, steps, ahead int, scale *byte)

//go:noescape
func tile4x4(out *[16]float32, a0, a1, a2, a3, b0, b1, b2, b3 *float32, steps int)

//go:noescape
func mix4(acc *float32, accStride int, p *float32, pStride int, v *float32, vStride, entries, steps int)

//go:noescape
func rate16(sums, dots *float32, weight float32, steps int)

func init() {
	if hasAVX512() && os.Getenv("FLAGC_CPU") != "generic" {
		active = &avx512
	}
}

// hasAVX512 reports whether the processor has AVX-512 F and BW and the system saves its registers.
func hasAVX512() bool {
	if top, _, _, _ := cpuid(0, 0); top < 7 {
		return false
	}
	const osxsave = 1 << 27
	if _, _, c, _ := cpuid(1, 0); c&osxsave == 0 {
		return false
	}
	const saved = 0xE6 // SSE, AVX, opmask and both halves of the 512-bit state
	if xgetbv()&saved != saved {
		return false
	}
	const f, bw = 1 << 16, 1 << 30
	_, b, _, _ := cpuid(7, 0)
	return b&f != 0 && b&bw != 0
}

var avx512 = kernels{
	name:    "avx512",
	arrange: arrangeAVX512,
	gain:    gainAVX512,
	rows:    rowsAVX512,
	widen:   widenAVX512,
	tile:    tileAVX512,
	mix:     mixAVX512,
	rate:    rateAVX512,
	half:    halfAVX512,
}

// e4m3Gain scales the vector of an e4m3 product. The codes widened in place are 2^-120 too small; giving
// 2^32 to the vector and the rest, e4m3Rest, to the tile scale keeps products of activations above 2^-31
// (the smallest non-zero value of ActQuant) from losing bits, and tile scales up to 2^39 from overflow.
const (
	e4m3Gain = 0x1p32
	e4m3Rest = 0x1p88
)

// arrangeAVX512 copies one row of activations into the order and scale in which the kernels for enc read
// it: e4m3 scaled by e4m3Gain; e2m1 with each 128 elements transposed from [16][8] to [8][16].
func arrangeAVX512(dst, x []float32, enc Encoding) {
	switch enc {
	case FP8:
		for i, v := range x {
			dst[i] = v * e4m3Gain
		}
	case FP4:
		whole := len(x) &^ 127
		for o := 0; o < whole; o += 128 {
			arrangeE2M1((*[128]float32)(dst[o:]), (*[128]float32)(x[o:]))
		}
		copy(dst[whole:], x[whole:])
	default:
		copy(dst, x)
	}
}

func arrangeE2M1(dst, x *[128]float32) {
	for i := range 16 {
		for j := range 8 {
			dst[j*16+i] = x[i*8+j]
		}
	}
}

// gainAVX512 is the factor that undoes the scaling of arrangeAVX512.
func gainAVX512(enc Encoding) float32 {
	if enc == FP8 {
		return 1 / e4m3Gain
	}
	return 1
}

// rowsAVX512 computes up to four rows of a product with up to four vectors; see kernels.rows.
func rowsAVX512(out *[16]float32, w *Matrix, n, count int, x []float32, at []int, s *scaleCache) {
	done := w.K &^ 15
	if w.Enc == FP4 {
		done = w.K &^ 127
	}
	pitch := w.pitch()
	data := w.Data[n*pitch : (n+count)*pitch]
	switch {
	case done == 0:
		clear(out[:])
	case len(at) > 1 && count == 4 && (w.Enc == FP8 || w.Enc == FP4):
		rowsShared(out, w, n, data, x, at, done, s)
	default:
		for i, o := range at {
			rowsSingle((*[4]float32)(out[4*i:]), w, n, count, data, x[o:o+w.K], done, s)
		}
	}
	if done == w.K {
		return
	}
	gain := gainAVX512(w.Enc)
	for i, o := range at {
		for r := range count {
			out[4*i+r] += w.dotRange(n+r, done, w.K, x[o:o+w.K]) * gain
		}
	}
}

// rowsSingle multiplies the first done columns of rows n.. with one vector.
func rowsSingle(out *[4]float32, w *Matrix, n, count int, data []byte, x []float32, done int, s *scaleCache) {
	stride, blocks := w.pitch(), w.K/blockSize
	ahead := prefetchAhead(stride)
	if count < 4 { // the missing rows repeat the first and are ignored
		stride, blocks = 0, 0
	}
	switch w.Enc {
	case F32:
		rows4F32(&out[0], &data[0], stride, ahead, &x[0], done/16)
	case BF16:
		rows4BF16(&out[0], &data[0], stride, ahead, &x[0], done/16)
	case FP8:
		rows4E4M3(&out[0], &data[0], stride, ahead, &x[0], done/16, &s.tile(w, n, e4m3Rest)[0])
	case FP4:
		rows4E2M1(&out[0], &data[0], stride, ahead, &x[0], done/128, &w.Scale[w.scaleIndex(n, 0)], blocks)
	}
}

// rowsShared multiplies the first done columns of four rows with two to four vectors at once. A third
// vector alone is doubled.
func rowsShared(out *[16]float32, w *Matrix, n int, data []byte, x []float32, at []int,
	done int, s *scaleCache) {
	var vectors [4]*float32
	for i := range vectors {
		vectors[i] = &x[at[min(i, len(at)-1)]:][:w.K][0]
	}
	var sums [8]float32
	pitch, ahead := w.pitch(), prefetchAhead(w.pitch())
	if len(at) == 2 {
		if w.Enc == FP8 {
			e4m3x2(&sums, &data[0], pitch, ahead, &vectors, done/16, &s.tile(w, n, e4m3Rest)[0])
		} else {
			e2m1x2(&sums, &data[0], pitch, ahead, &vectors, done/128, &w.Scale[w.scaleIndex(n, 0)], w.K/blockSize)
		}
		copy(out[:], sums[:])
		return
	}
	for r := 0; r < 4; r += 2 {
		if w.Enc == FP8 {
			e4m3x4(&sums, &data[r*pitch], pitch, ahead, &vectors, done/16, &s.tile(w, n, e4m3Rest)[0])
		} else {
			scale := &w.Scale[w.scaleIndex(n+r, 0)]
			e2m1x4(&sums, &data[r*pitch], pitch, ahead, &vectors, done/128, scale, w.K/blockSize)
		}
		for i := range len(at) {
			out[4*i+r], out[4*i+r+1] = sums[i], sums[4+i]
		}
	}
}

// prefetchAhead is the distance in bytes at which weights are requested early: the same place in the next
// group of four rows, which also spans the page boundaries at which the processor's own prefetch stops.
func prefetchAhead(pitch int) int { return 4 * pitch }

// widenAVX512 widens columns k0 to k1 of a row; see kernels.widen.
func widenAVX512(dst []float32, w *Matrix, n, k0, k1 int) {
	row := w.Data[n*w.pitch() : (n+1)*w.pitch()]
	ahead := w.pitch()
	done := k0 + (k1-k0)&^15
	switch {
	case done == k0:
	case w.Enc == F32: // this machine's own byte order
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), 4*(done-k0)), row[4*k0:])
	case w.Enc == BF16:
		widenBF16(&dst[0], &row[2*k0], (done-k0)/16, ahead)
	case w.Enc == FP8:
		for k := k0; k < done; k += 128 {
			s := ue8m0(w.Scale[w.scaleIndex(n, k)])
			widenE4M3(&dst[k-k0], &row[k], min(128, done-k)/16, ahead, s)
		}
	case w.Enc == FP4:
		done = k0 + (k1-k0)&^127
		if done > k0 {
			widenE2M1(&dst[0], &row[k0/2], (done-k0)/128, ahead, &w.Scale[w.scaleIndex(n, k0)])
		}
	}
	w.widenRange(dst[done-k0:], n, done, k1)
}

// tileAVX512 computes a 4×4 block of dot products; see kernels.tile.
func tileAVX512(out *[16]float32, a []float32, at *[4]int, b []float32, bt *[4]int, k int) {
	if k == 0 {
		*out = [16]float32{}
		return
	}
	for i := range 4 {
		_, _ = a[at[i]+k-1], b[bt[i]+k-1]
	}
	tile4x4(out, &a[at[0]], &a[at[1]], &a[at[2]], &a[at[3]], &b[bt[0]], &b[bt[1]], &b[bt[2]], &b[bt[3]], k/16)
	for j := k &^ 15; j < k; j++ {
		for r := range 16 {
			out[r] += a[at[r/4]+j] * b[bt[r%4]+j]
		}
	}
}

// mixAVX512 adds weighted rows; see kernels.mix.
func mixAVX512(acc []float32, accStride int, p []float32, pStride, rows int, v []float32, entries, d int) {
	if entries == 0 || rows == 0 {
		return
	}
	_, _, _ = acc[(rows-1)*accStride+d-1], p[(rows-1)*pStride+entries-1], v[entries*d-1]
	const size = 4 // bytes of a float32
	done := d &^ 31
	for r := 0; r < rows && done > 0; {
		if rows-r >= 4 {
			mix4(&acc[r*accStride], accStride*size, &p[r*pStride], pStride*size, &v[0], d*size, entries, done/32)
			r += 4
			continue
		}
		mix4(&acc[r*accStride], 0, &p[r*pStride], 0, &v[0], d*size, entries, done/32)
		r++
	}
	if done < d {
		mixColumns(acc, accStride, p, pStride, rows, v, entries, d, done)
	}
}

// rateAVX512 adds one head's terms to index scores; see kernels.rate.
func rateAVX512(sums, dots []float32, weight float32) {
	dots = dots[:len(sums)]
	done := len(sums) &^ 15
	if done > 0 {
		rate16(&sums[0], &dots[0], weight, done/16)
	}
	rateGeneric(sums[done:], dots[done:], weight)
}

// halfAVX512 widens bf16 values; see kernels.half.
func halfAVX512(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	done := len(src) &^ 15
	if done > 0 {
		widenBF16(&dst[0], (*byte)(unsafe.Pointer(&src[0])), done/16, 0)
	}
	halfGeneric(dst[done:], src[done:])
}
