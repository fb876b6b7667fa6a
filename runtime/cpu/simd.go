package cpu

import (
	"math"
	"slices"

	"flagc/runtime/formats"
)

// kernels is one implementation of the inner loops that everything else is built from.
type kernels struct {
	name string

	// arrange copies a row of activations into the form that rows and widen expect for an encoding.
	arrange func(dst, x []float32, enc Encoding)

	// gain multiplies what tile computes from an arranged row, to undo arrange's scaling.
	gain func(enc Encoding) float32

	// rows computes out[4i+r] = w[n+r]·x[at[i]:][:K] for r < count and i < len(at), both at most 4, with
	// arranged x. count is 4 or 1, and all rows lie in one scale tile.
	rows func(out *[16]float32, w *Matrix, n, count int, x []float32, at []int, s *scratch)

	// widen writes columns k0..k1 of row n of w as float32, in arranged order, scale applied. k0 is a
	// multiple of 128.
	widen func(dst []float32, w *Matrix, n, k0, k1 int)

	// tile computes out[4i+j] = a[at[i]:][:k]·b[bt[j]:][:k].
	tile tiler[float32]

	// dtile is tile with float64 sums.
	dtile tiler[float64]

	// mix adds sum over e of p[r][e]·v[e] to row r of acc, in float64; v is [entries,d].
	mix func(acc []float64, accStride int, p []float64, pStride, rows int, v []float32, entries, d int)

	// rate adds one head's terms to index scores: sums += bf16(relu(bf16(dots))·weight).
	rate func(sums, dots []float32, weight float32)

	// half widens bf16 values.
	half func(dst []float32, src []uint16)

	// peak is the largest of x, of which there are a positive multiple of scoreStep.
	peak func(x []float64) float64

	// weigh turns scores, as many as for peak, into bf16(exp(x·scale-top)) and returns the sum before
	// rounding. Exponentials are within weighError, relative; weights below the smallest normal bf16 number
	// may keep the 8 bits that bf16 itself cannot.
	weigh func(x []float64, scale, top float64) float64
}

// tiler is the type of kernels.tile and kernels.dtile.
type tiler[F float32 | float64] func(out *[16]F, a []float32, at *[4]int, b []float32, bt *[4]int, k int)

// scoreStep is what the number of scores is filled up to a multiple of.
const scoreStep = 8

// implementations are those that this machine can run, the fastest last. The list is complete when the
// program's own initialisation starts.
var implementations = []*kernels{&generic}

// active is the implementation in use. It is set when the program starts and by tests.
var active = &generic

// choose returns the implementation of the given name, or the fastest if there is none: the name comes from
// the environment, where one that was meant for another machine must not stop the program.
func choose(name string) *kernels {
	for _, k := range implementations {
		if k.name == name {
			return k
		}
	}
	return implementations[len(implementations)-1]
}

// generic is the portable implementation.
var generic = kernels{
	name:    "generic",
	arrange: func(dst, x []float32, _ Encoding) { copy(dst, x) },
	gain:    func(Encoding) float32 { return 1 },
	rows: func(out *[16]float32, w *Matrix, n, count int, x []float32, at []int, _ *scratch) {
		for i, o := range at {
			for r := range count {
				out[4*i+r] = w.dotRange(n+r, 0, w.K, x[o:o+w.K])
			}
		}
	},
	widen: func(dst []float32, w *Matrix, n, k0, k1 int) { w.widenRange(dst, n, k0, k1) },
	tile:  tileGeneric[float32],
	dtile: tileGeneric[float64],
	mix: func(acc []float64, accStride int, p []float64, pStride, rows int, v []float32, entries, d int) {
		mixColumns(acc, accStride, p, pStride, rows, v, entries, d, 0)
	},
	rate:  rateGeneric,
	half:  halfGeneric,
	peak:  func(x []float64) float64 { return slices.Max(x) },
	weigh: weighGeneric,
}

// Implementation names the kernels in use: "avx512", "avx2" or "generic".
func Implementation() string { return active.name }

func tileGeneric[F float32 | float64](out *[16]F, a []float32, at *[4]int, b []float32, bt *[4]int, k int) {
	for i := range 4 {
		x := a[at[i] : at[i]+k]
		for j := range 4 {
			out[4*i+j] = F(dot(x, b[bt[j]:bt[j]+k]))
		}
	}
}

// dot is the inner product of two vectors of equal length, in four interleaved sums.
func dot(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
		s2 += float64(a[i+2]) * float64(b[i+2])
		s3 += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// mixColumns is kernels.mix for the columns from first on.
func mixColumns(acc []float64, accStride int, p []float64, pStride, rows int,
	v []float32, entries, d, first int) {
	for r := range rows {
		dst := acc[r*accStride+first : r*accStride+d]
		for e, f := range p[r*pStride : r*pStride+entries] {
			for i, value := range v[e*d+first : e*d+d] {
				dst[i] += f * float64(value)
			}
		}
	}
}

func rateGeneric(sums, dots []float32, weight float32) {
	for i, v := range dots[:len(sums)] {
		v = max(formats.RoundBF16x32(v), 0)
		sums[i] += formats.RoundBF16x32(v * weight)
	}
}

func halfGeneric(dst []float32, src []uint16) {
	for i, v := range src {
		dst[i] = formats.BF16ToFloat32(v)
	}
}

func weighGeneric(x []float64, scale, top float64) float64 {
	var sum float64
	for i, v := range x {
		p := math.Exp(v*scale - top)
		sum += p
		x[i] = formats.RoundBF16(p)
	}
	return sum
}

// scaleCache holds the scales of the FP8 tile row last used by one worker, as float32.
type scaleCache struct {
	w      *Matrix
	row    int
	scales []float32
}

// tile returns the scales of the tile row that holds row n, each times factor.
func (s *scaleCache) tile(w *Matrix, n int, factor float64) []float32 {
	row := n / tileSize
	if s.w == w && s.row == row {
		return s.scales
	}
	tiles := ceilDiv(w.K, tileSize)
	s.w, s.row, s.scales = w, row, s.scales[:0]
	for _, b := range w.Scale[row*tiles : (row+1)*tiles] {
		s.scales = append(s.scales, float32(formats.UE8M0ToFloat64(b)*factor))
	}
	return s.scales
}
