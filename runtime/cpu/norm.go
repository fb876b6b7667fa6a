package cpu

import (
	"math"

	"flagc/runtime/formats"
)

// RMSNorm scales rows of len(w) values to unit root mean square and multiplies them by w; bf16 result
// (spec §2.4). dst may be x.
func (c *Ctx) RMSNorm(dst, x, w []float32, eps float32) {
	d := len(w)
	rows := rowsOf("RMSNorm", x, d)
	need("RMSNorm", "dst", len(dst), len(x))
	c.loops.norm = rmsNorm{dst, x, w, eps}
	c.eachRow(rows, d, &c.loops.norm)
}

type rmsNorm struct {
	dst, x, w []float32
	eps       float32
}

func (n *rmsNorm) run(_ *scratch, lo, hi int) {
	w := n.w
	d := len(w)
	for r := lo; r < hi; r++ {
		in, out := n.x[r*d:(r+1)*d], n.dst[r*d:(r+1)*d]
		g := inverseRMS(in, n.eps)
		for i, v := range in {
			out[i] = bf16(float64(w[i]) * (float64(v) * g))
		}
	}
}

// HeadNorm scales rows of d values to unit root mean square without a weight, in the bf16 steps of the
// official code: square, mean, sum with eps, inverse root and product are each rounded (spec §5.1).
// dst may be x.
func (c *Ctx) HeadNorm(dst, x []float32, d int, eps float32) {
	rows := rowsOf("HeadNorm", x, d)
	need("HeadNorm", "dst", len(dst), len(x))
	c.loops.headNorm = headNorm{dst, x, d, eps}
	c.eachRow(rows, d, &c.loops.headNorm)
}

type headNorm struct {
	dst, x []float32
	d      int
	eps    float32
}

func (n *headNorm) run(_ *scratch, lo, hi int) {
	for r := lo; r < hi; r++ {
		in, out := n.x[r*n.d:(r+1)*n.d], n.dst[r*n.d:(r+1)*n.d]
		var sum float64
		for _, v := range in {
			sum += float64(formats.RoundBF16x32(v * v)) // the product of two bf16 is exact
		}
		mean := float64(bf16(sum / float64(n.d)))
		g := bf16(1 / math.Sqrt(float64(bf16(mean+float64(n.eps)))))
		for i, v := range in {
			out[i] = formats.RoundBF16x32(v * g)
		}
	}
}

// inverseRMS is 1/sqrt(mean(x²)+eps).
func inverseRMS(x []float32, eps float32) float64 {
	return 1 / math.Sqrt(sumSquares(x)/float64(len(x))+float64(eps))
}

func sumSquares(x []float32) float64 {
	var s0, s1, s2, s3 float64
	for len(x) >= 4 {
		a, b, c, d := float64(x[0]), float64(x[1]), float64(x[2]), float64(x[3])
		s0, s1, s2, s3 = s0+a*a, s1+b*b, s2+c*c, s3+d*d
		x = x[4:]
	}
	for _, v := range x {
		s0 += float64(v) * float64(v)
	}
	return (s0 + s1) + (s2 + s3)
}

// Hadamard applies the Walsh–Hadamard transform in Sylvester order, times d^-1/2, to rows of d values;
// bf16 result (spec §2.6). d is a power of two. dst may be x.
func (c *Ctx) Hadamard(dst, x []float32, d int) {
	rows := rowsOf("Hadamard", x, d)
	need("Hadamard", "dst", len(dst), len(x))
	if d&(d-1) != 0 {
		panic("cpu: Hadamard: the width must be a power of two")
	}
	c.loops.hadamard = hadamard{dst, x, d}
	c.eachRow(rows, d, &c.loops.hadamard)
}

type hadamard struct {
	dst, x []float32
	d      int
}

func (t *hadamard) run(s *scratch, lo, hi int) {
	scale := 1 / math.Sqrt(float64(t.d))
	row := grow(&s.f, t.d)
	for r := lo; r < hi; r++ {
		for i, v := range t.x[r*t.d : (r+1)*t.d] {
			row[i] = float64(v)
		}
		for h := 1; h < t.d; h *= 2 {
			butterflies(row, h)
		}
		out := t.dst[r*t.d : (r+1)*t.d]
		for i, v := range row {
			out[i] = bf16(v * scale)
		}
	}
}

// butterflies replaces all pairs at distance h by sum and difference.
func butterflies(x []float64, h int) {
	for o := 0; o < len(x); o += 2 * h {
		a, b := x[o:o+h], x[o+h:o+2*h]
		for i := range a {
			a[i], b[i] = a[i]+b[i], a[i]-b[i]
		}
	}
}
