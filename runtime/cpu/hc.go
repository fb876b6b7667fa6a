package cpu

import "math"

// HCPre mixes the hc residual streams of each token into the sub-layer's input, and computes how its
// output goes back (spec §4). x is [r,hc,width] bf16, fn the float32 weight [(2+hc)·hc, hc·width], scale
// [3], base [(2+hc)·hc]. Results: y [r,width] bf16, post [r,hc] and comb [r,hc,hc] float32, comb after
// iters Sinkhorn iterations.
func (c *Ctx) HCPre(y, post, comb, x []float32, fn *Matrix, scale, base []float32,
	hc, width, iters int, normEps, hcEps float32) {
	eachHCPre(c, &c.loops.hcPre, hcPre[float32]{y, post, comb, x, fn, scale, base, nil, hc, width, iters, normEps, hcEps})
}

// HCPre64 is HCPre that yields post and comb unrounded, for HCPost64.
func (c *Ctx) HCPre64(y []float32, post, comb []float64, x []float32, fn *Matrix, scale, base []float32,
	hc, width, iters int, normEps, hcEps float32) {
	eachHCPre(c, &c.loops.hcPre64, hcPre[float64]{y, post, comb, x, fn, scale, base, nil, hc, width, iters, normEps, hcEps})
}

type hcPre[F float32 | float64] struct {
	y              []float32
	post, comb     []F
	x              []float32
	fn             *Matrix
	scale, base    []float32
	mixes          []float64 // of x by fn
	hc, width      int
	iters          int
	normEps, hcEps float32
}

func eachHCPre[F float32 | float64](c *Ctx, l *hcPre[F], operands hcPre[F]) {
	*l = operands
	hc := l.hc
	rows := rowsOf("HCPre", l.x, hc*l.width)
	need("HCPre", "y", len(l.y), rows*l.width)
	need("HCPre", "post", len(l.post), rows*hc)
	need("HCPre", "comb", len(l.comb), rows*hc*hc)
	need("HCPre", "fn", l.fn.N, (2+hc)*hc)
	l.mixes = grow(&c.buf.wide, rows*l.fn.N)
	c.Linear64(l.mixes, l.x, l.fn)
	c.eachRow(rows, hc*l.width, l)
}

func (l *hcPre[F]) run(s *scratch, lo, hi int) {
	hc, width := l.hc, l.width
	n := (2 + hc) * hc
	f := grow(&s.f, hc+hc*hc)
	pre, square := f[:hc], f[hc:]
	for r := lo; r < hi; r++ {
		streams, m := l.x[r*hc*width:(r+1)*hc*width], l.mixes[r*n:(r+1)*n]
		g := inverseRMS(streams, l.normEps)
		mix := func(i, part int) float64 {
			return m[i]*g*float64(l.scale[part]) + float64(l.base[i])
		}
		for j := range hc {
			pre[j] = sigmoid(mix(j, 0)) + float64(l.hcEps)
			l.post[r*hc+j] = F(2 * sigmoid(mix(hc+j, 1)))
		}
		for i := range square {
			square[i] = mix(2*hc+i, 2)
		}
		sinkhorn(square, hc, l.iters, float64(l.hcEps))
		for i, v := range square {
			l.comb[r*hc*hc+i] = F(v)
		}
		weighStreams(l.y[r*width:(r+1)*width], streams, pre)
	}
}

// HCHead mixes the streams into the head's input, bf16 (spec §4): fn is [hc, hc·width], scale [1], base
// [hc].
func (c *Ctx) HCHead(dst, x []float32, fn *Matrix, scale, base []float32,
	hc, width int, normEps, hcEps float32) {
	rows := rowsOf("HCHead", x, hc*width)
	need("HCHead", "dst", len(dst), rows*width)
	need("HCHead", "fn", fn.N, hc)
	mixes := grow(&c.buf.wide, rows*hc)
	c.Linear64(mixes, x, fn)
	c.loops.hcHead = hcHead{dst, x, mixes, scale[0], base, hc, width, normEps, hcEps}
	c.eachRow(rows, hc*width, &c.loops.hcHead)
}

type hcHead struct {
	dst, x         []float32
	mixes          []float64
	scale          float32
	base           []float32
	hc, width      int
	normEps, hcEps float32
}

func (l *hcHead) run(s *scratch, lo, hi int) {
	hc, width := l.hc, l.width
	pre := grow(&s.f, hc)
	for r := lo; r < hi; r++ {
		streams := l.x[r*hc*width : (r+1)*hc*width]
		g := inverseRMS(streams, l.normEps)
		for j := range pre {
			m := l.mixes[r*hc+j] * g
			pre[j] = sigmoid(m*float64(l.scale)+float64(l.base[j])) + float64(l.hcEps)
		}
		weighStreams(l.dst[r*width:(r+1)*width], streams, pre)
	}
}

// HCPost writes the new residual streams: stream k of dst is post[k]·y + sum over j of comb[j,k]·x[j], bf16
// (spec §4). y is [r,width], x and dst are [r,hc,width]. dst must not be x.
func (c *Ctx) HCPost(dst, y, x, post, comb []float32, hc, width int) {
	eachHCPost(c, &c.loops.hcPost, hcPost[float32]{dst, y, x, post, comb, hc, width})
}

// HCPost64 is HCPost with what HCPre64 yields.
func (c *Ctx) HCPost64(dst, y, x []float32, post, comb []float64, hc, width int) {
	eachHCPost(c, &c.loops.hcPost64, hcPost[float64]{dst, y, x, post, comb, hc, width})
}

type hcPost[F float32 | float64] struct {
	dst, y, x  []float32
	post, comb []F
	hc, width  int
}

func eachHCPost[F float32 | float64](c *Ctx, l *hcPost[F], operands hcPost[F]) {
	*l = operands
	hc, width := l.hc, l.width
	rows := rowsOf("HCPost", l.y, width)
	need("HCPost", "x", len(l.x), rows*hc*width)
	need("HCPost", "dst", len(l.dst), len(l.x))
	need("HCPost", "post", len(l.post), rows*hc)
	need("HCPost", "comb", len(l.comb), rows*hc*hc)
	c.Pool.each(rows*hc, max(1, elementGrain/(width*hc)), l)
}

func (l *hcPost[F]) run(s *scratch, lo, hi int) {
	hc, width := l.hc, l.width
	sum := grow(&s.f, width)
	for i := lo; i < hi; i++ {
		r, k := i/hc, i%hc
		post := float64(l.post[i])
		for n, v := range l.y[r*width : (r+1)*width] {
			sum[n] = post * float64(v)
		}
		for j := range hc {
			f := float64(l.comb[r*hc*hc+j*hc+k])
			for n, v := range l.x[(r*hc+j)*width:][:width] {
				sum[n] += f * float64(v)
			}
		}
		out := l.dst[i*width : (i+1)*width]
		for n, v := range sum {
			out[n] = bf16(v)
		}
	}
}

// weighStreams writes the sum over streams of weight·stream, bf16.
func weighStreams(dst, streams []float32, weights []float64) {
	width := len(dst)
	for i := range dst {
		var sum float64
		for j, w := range weights {
			sum += w * float64(streams[j*width+i])
		}
		dst[i] = bf16(sum)
	}
}

// sinkhorn makes the n×n matrix m nearly doubly stochastic: a softmax of each row, then alternating
// normalisations, of which the last is by columns.
func sinkhorn(m []float64, n, iters int, eps float64) {
	for j := range n {
		row := m[j*n : (j+1)*n]
		top, sum := math.Inf(-1), 0.0
		for _, v := range row {
			top = max(top, v)
		}
		for k, v := range row {
			row[k] = math.Exp(v - top)
			sum += row[k]
		}
		for k := range row {
			row[k] = row[k]/sum + eps
		}
	}
	normalise(m, n, 1, n, eps)
	for range iters - 1 {
		normalise(m, n, n, 1, eps)
		normalise(m, n, 1, n, eps)
	}
}

// normalise divides each of n lines of m by its sum plus eps; lines start at multiples of line, their
// elements lie step apart.
func normalise(m []float64, n, line, step int, eps float64) {
	for i := range n {
		sum := eps
		for j := range n {
			sum += m[i*line+j*step]
		}
		for j := range n {
			m[i*line+j*step] /= sum
		}
	}
}
