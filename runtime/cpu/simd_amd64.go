package cpu

import (
	"os"
	"unsafe"
)

//go:noescape
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

//go:noescape
func xgetbv() uint32

func init() {
	if hasAVX2() {
		implementations = append(implementations, vectorKernels(&avx2Routines))
	}
	if hasAVX512() {
		implementations = append(implementations, vectorKernels(&avx512Routines))
	}
	active = choose(os.Getenv("FLAGC_CPU"))
}

// Bits of the register states that the system saves.
const (
	savedYMM = 0x06 // SSE, AVX
	savedZMM = 0xE6 // these, opmask and both halves of the 512-bit state
)

// hasAVX2 reports whether the processor has AVX2 and FMA and the system saves their registers.
func hasAVX2() bool {
	const avx2, fma = 1 << 5, 1 << 12
	leaf1, leaf7 := features(savedYMM)
	return leaf1&fma != 0 && leaf7&avx2 != 0
}

// hasAVX512 reports whether the processor has AVX-512 F and BW and the system saves its registers.
func hasAVX512() bool {
	const f, bw = 1 << 16, 1 << 30
	_, leaf7 := features(savedZMM)
	return leaf7&f != 0 && leaf7&bw != 0
}

// features returns register C of CPUID leaf 1 and register B of leaf 7, or zeros unless the system saves
// the given registers.
func features(saved uint32) (leaf1, leaf7 uint32) {
	const osxsave = 1 << 27
	if top, _, _, _ := cpuid(0, 0); top < 7 {
		return 0, 0
	}
	_, _, leaf1, _ = cpuid(1, 0)
	if leaf1&osxsave == 0 || xgetbv()&saved != saved {
		return 0, 0
	}
	_, leaf7, _, _ = cpuid(7, 0)
	return leaf1, leaf7
}

// vectorKernels are the kernels built from a set of routines.
func vectorKernels(v *routines) *kernels {
	return &kernels{
		name:    v.name,
		arrange: v.arrange,
		gain:    vectorGain,
		rows:    v.rows,
		widen:   v.widen,
		tile:    v.tile,
		dtile:   v.dtile,
		mix:     v.mix,
		rate:    v.rate,
		half:    v.half,
		peak:    v.peak,
		weigh:   v.weigh,
	}
}

// e4m3Gain scales the vector of an e4m3 product. The codes widened in place are 2^-120 too small; giving
// 2^32 to the vector and the rest, e4m3Rest, to the tile scale keeps products of activations above 2^-31
// (the smallest non-zero value of ActQuant) from losing bits, and tile scales up to 2^39 from overflow.
const (
	e4m3Gain = 0x1p32
	e4m3Rest = 0x1p88
)

// arrange copies one row of activations into the order and scale in which the routines for enc read it:
// e4m3 scaled by e4m3Gain; e2m1 with each 128 elements transposed.
func (v *routines) arrange(dst, x []float32, enc Encoding) {
	switch enc {
	case FP8:
		for i, f := range x {
			dst[i] = f * e4m3Gain
		}
	case FP4:
		whole := len(x) &^ 127
		for o := 0; o < whole; o += 128 {
			v.arrangeE2M1((*[128]float32)(dst[o:]), (*[128]float32)(x[o:]))
		}
		copy(dst[whole:], x[whole:])
	default:
		copy(dst, x)
	}
}

// vectorGain is the factor that undoes the scaling of routines.arrange.
func vectorGain(enc Encoding) float32 {
	if enc == FP8 {
		return 1 / e4m3Gain
	}
	return 1
}

// rows computes up to four rows of a product with up to four vectors; see kernels.rows.
func (v *routines) rows(out *[16]float32, w *Matrix, n, count int, x []float32, at []int, s *scratch) {
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
		v.rowsShared(out, w, n, data, x, at, done, s)
	default:
		for i, o := range at {
			v.rowsSingle((*[4]float32)(out[4*i:]), w, n, count, data, x[o:o+w.K], done, s)
		}
	}
	if done == w.K {
		return
	}
	gain := vectorGain(w.Enc)
	for i, o := range at {
		for r := range count {
			out[4*i+r] += w.dotRange(n+r, done, w.K, x[o:o+w.K]) * gain
		}
	}
}

// rowsSingle multiplies the first done columns of rows n.. with one vector.
func (v *routines) rowsSingle(out *[4]float32, w *Matrix, n, count int, data []byte,
	x []float32, done int, s *scratch) {
	stride, blocks := w.pitch(), w.K/blockSize
	ahead := prefetchAhead(stride)
	if count < 4 { // the missing rows repeat the first and are ignored
		stride, blocks = 0, 0
	}
	switch w.Enc {
	case F32:
		v.rows4F32(&out[0], &data[0], stride, ahead, &x[0], done/16)
	case BF16:
		v.rows4BF16(&out[0], &data[0], stride, ahead, &x[0], done/16)
	case FP8:
		v.rows4E4M3(&out[0], &data[0], stride, ahead, &x[0], done/16, &s.scales.tile(w, n, e4m3Rest)[0])
	case FP4:
		v.rows4E2M1(&out[0], &data[0], stride, ahead, &x[0], done/128, &w.Scale[w.scaleIndex(n, 0)], blocks)
	}
}

// rowsShared multiplies the first done columns of four rows with two to four vectors at once. A third
// vector alone is doubled.
func (v *routines) rowsShared(out *[16]float32, w *Matrix, n int, data []byte, x []float32, at []int,
	done int, s *scratch) {
	vectors, sums := &s.vectors, &s.shared
	for i := range vectors {
		vectors[i] = &x[at[min(i, len(at)-1)]:][:w.K][0]
	}
	pitch, ahead := w.pitch(), prefetchAhead(w.pitch())
	if len(at) == 2 {
		if w.Enc == FP8 {
			v.e4m3x2(sums, &data[0], pitch, ahead, vectors, done/16, &s.scales.tile(w, n, e4m3Rest)[0])
		} else {
			v.e2m1x2(sums, &data[0], pitch, ahead, vectors, done/128, &w.Scale[w.scaleIndex(n, 0)], w.K/blockSize)
		}
		copy(out[:], sums[:])
		return
	}
	for r := 0; r < 4; r += 2 {
		if w.Enc == FP8 {
			v.e4m3x4(sums, &data[r*pitch], pitch, ahead, vectors, done/16, &s.scales.tile(w, n, e4m3Rest)[0])
		} else {
			scale := &w.Scale[w.scaleIndex(n+r, 0)]
			v.e2m1x4(sums, &data[r*pitch], pitch, ahead, vectors, done/128, scale, w.K/blockSize)
		}
		for i := range len(at) {
			out[4*i+r], out[4*i+r+1] = sums[i], sums[4+i]
		}
	}
}

// prefetchAhead is the distance in bytes at which weights are requested early: the same place in the next
// group of four rows, which also spans the page boundaries at which the processor's own prefetch stops.
func prefetchAhead(pitch int) int { return 4 * pitch }

// widen widens columns k0 to k1 of a row; see kernels.widen.
func (v *routines) widen(dst []float32, w *Matrix, n, k0, k1 int) {
	row := w.Data[n*w.pitch() : (n+1)*w.pitch()]
	ahead := w.pitch()
	done := k0 + (k1-k0)&^15
	switch {
	case done == k0:
	case w.Enc == F32: // this machine's own byte order
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), 4*(done-k0)), row[4*k0:])
	case w.Enc == BF16:
		v.widenBF16(&dst[0], &row[2*k0], (done-k0)/16, ahead)
	case w.Enc == FP8:
		for k := k0; k < done; k += 128 {
			s := ue8m0(w.Scale[w.scaleIndex(n, k)])
			v.widenE4M3(&dst[k-k0], &row[k], min(128, done-k)/16, ahead, s)
		}
	case w.Enc == FP4:
		done = k0 + (k1-k0)&^127
		if done > k0 {
			v.widenE2M1(&dst[0], &row[k0/2], (done-k0)/128, ahead, &w.Scale[w.scaleIndex(n, k0)])
		}
	}
	w.widenRange(dst[done-k0:], n, done, k1)
}

// tile computes a 4×4 block of dot products; see kernels.tile.
func (v *routines) tile(out *[16]float32, a []float32, at *[4]int, b []float32, bt *[4]int, k int) {
	if k == 0 {
		*out = [16]float32{}
		return
	}
	for i := range 4 {
		_, _ = a[at[i]+k-1], b[bt[i]+k-1]
	}
	v.tile4x4(out, &a[at[0]], &a[at[1]], &a[at[2]], &a[at[3]], &b[bt[0]], &b[bt[1]], &b[bt[2]], &b[bt[3]], k/16)
	for j := k &^ 15; j < k; j++ {
		for r := range 16 {
			out[r] += a[at[r/4]+j] * b[bt[r%4]+j]
		}
	}
}

// dtile computes a 4×4 block of dot products in float64; see kernels.dtile.
func (v *routines) dtile(out *[16]float64, a []float32, at *[4]int, b []float32, bt *[4]int, k int) {
	if k == 0 {
		*out = [16]float64{}
		return
	}
	for i := range 4 {
		_, _ = a[at[i]+k-1], b[bt[i]+k-1]
	}
	v.dtile4x4(out, &a[at[0]], &a[at[1]], &a[at[2]], &a[at[3]], &b[bt[0]], &b[bt[1]], &b[bt[2]], &b[bt[3]], k/16)
	for j := k &^ 15; j < k; j++ {
		for r := range 16 {
			out[r] += float64(a[at[r/4]+j]) * float64(b[bt[r%4]+j])
		}
	}
}

// mix adds weighted rows; see kernels.mix.
func (v *routines) mix(acc []float64, accStride int, p []float64, pStride, rows int,
	x []float32, entries, d int) {
	if entries == 0 || rows == 0 {
		return
	}
	_, _, _ = acc[(rows-1)*accStride+d-1], p[(rows-1)*pStride+entries-1], x[entries*d-1]
	const size, wide = 4, 8 // bytes of a float32 and of a float64
	done := d &^ 15
	for r := 0; r < rows && done > 0; {
		if rows-r >= 4 {
			v.mix4(&acc[r*accStride], accStride*wide, &p[r*pStride], pStride*wide, &x[0], d*size, entries, done/16)
			r += 4
			continue
		}
		v.mix4(&acc[r*accStride], 0, &p[r*pStride], 0, &x[0], d*size, entries, done/16)
		r++
	}
	if done < d {
		mixColumns(acc, accStride, p, pStride, rows, x, entries, d, done)
	}
}

// rate adds one head's terms to index scores; see kernels.rate.
func (v *routines) rate(sums, dots []float32, weight float32) {
	dots = dots[:len(sums)]
	done := len(sums) &^ 15
	if done > 0 {
		v.rate16(&sums[0], &dots[0], weight, done/16)
	}
	rateGeneric(sums[done:], dots[done:], weight)
}

// half widens bf16 values; see kernels.half.
func (v *routines) half(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	done := len(src) &^ 15
	if done > 0 {
		v.widenBF16(&dst[0], (*byte)(unsafe.Pointer(&src[0])), done/16, 0)
	}
	halfGeneric(dst[done:], src[done:])
}

// peak is the largest of some values; see kernels.peak.
func (v *routines) peak(x []float64) float64 { return v.peak8(&x[0], len(x)/scoreStep) }

// weigh makes weights of scores; see kernels.weigh.
func (v *routines) weigh(x []float64, scale, top float64) float64 {
	return v.weigh8(&x[0], len(x)/scoreStep, scale, top)
}
