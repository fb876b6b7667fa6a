package cpu

import (
	"slices"

	"flagc/runtime/formats"
)

// hole marks an entry that attention skips.
const hole = -1

// WindowEntries lists the window of each query of a prefill from position 0, as rows of the call's own
// keys (spec §5.3): dst is [batch,s,min(s,window)], oldest first, holes last.
func (c *Ctx) WindowEntries(dst []int32, batch, s, window int) {
	width := min(s, window)
	need("WindowEntries", "dst", len(dst), batch*s*width)
	for i := range batch * s {
		t := i % s
		first := max(t-window+1, 0)
		for j := range width {
			dst[i*width+j] = int32(first + j)
			if first+j > t {
				dst[i*width+j] = hole
			}
		}
	}
}

// RingEntries lists the window of the query at position p as rows of the ring buffer (spec §5.3): dst is
// [batch,window], oldest first, holes last.
func (c *Ctx) RingEntries(dst []int32, batch, p, window int) {
	need("RingEntries", "dst", len(dst), batch*window)
	for i := range dst {
		t := max(p-window+1, 0) + i%window
		dst[i] = int32(t % window)
		if t > p {
			dst[i] = hole
		}
	}
}

// CausalEntries lists the compressed entries that each query may see: dst is [batch,s,n]; entry e appears
// as e+first once its window of ratio tokens is complete, that is if e < (p+i+1)/ratio.
func (c *Ctx) CausalEntries(dst []int32, batch, s, p, n, ratio, first int) {
	need("CausalEntries", "dst", len(dst), batch*s*n)
	for i := range batch * s {
		visible := (p + i%s + 1) / ratio
		for e := range n {
			dst[i*n+e] = hole
			if e < visible {
				dst[i*n+e] = int32(e + first)
			}
		}
	}
}

// TopEntries lists, for each query, the k best-scored of the n entries that it may see (see
// CausalEntries), best first, ties to the lower entry, then holes: scores is [batch,s,n], ids [batch,s,k].
func (c *Ctx) TopEntries(ids []int32, scores []float32, batch, s, p, n, k, ratio, first int) {
	need("TopEntries", "scores", len(scores), batch*s*n)
	need("TopEntries", "ids", len(ids), batch*s*k)
	c.loops.topEntries = topEntries{ids, scores, s, p, n, k, ratio, first}
	c.eachRow(batch*s, 4*n, &c.loops.topEntries)
}

type topEntries struct {
	ids                      []int32
	scores                   []float32
	s, p, n, k, ratio, first int
}

func (l *topEntries) run(s *scratch, lo, hi int) {
	for i := lo; i < hi; i++ {
		top := grow(&s.keys, l.k)[:0]
		for e, v := range l.scores[i*l.n:][:min(l.n, (l.p+i%l.s+1)/l.ratio)] {
			top = offer(top, rankKey(v, e), l.k)
		}
		slices.Sort(top)
		out := l.ids[i*l.k : (i+1)*l.k]
		for j := range out {
			out[j] = hole
			if j < len(top) {
				out[j] = keyIndex(top[len(top)-1-j]) + int32(l.first)
			}
		}
	}
}

// keyBlock is how many index keys are widened and scored at a time.
const keyBlock = 64

// IndexScore rates compressed entries for each query (spec §5.5): with every step rounded to bf16,
// dst[b,i,j] = sum over h of relu(q[b,i,h]·keys[b,j])·w[b,i,h]. q is [batch,s,heads,d], w [batch,s,heads],
// keys a bf16 cache [batch,keyRows,d] of which the first n rows are rated, dst [batch,s,n].
func (c *Ctx) IndexScore(dst, q []float32, keys []uint16, w []float32, batch, s, heads, d, n, keyRows int) {
	need("IndexScore", "dst", len(dst), batch*s*n)
	c.loops.rate = rateKeys{dst: dst, q: q, w: w, keys: keys, s: s, heads: heads, d: d, n: n, keyRows: keyRows}
	c.rateKeys(batch)
}

// IndexScore64 is IndexScore that leaves the sums over heads unrounded, as parts of sums over more heads.
func (c *Ctx) IndexScore64(dst []float64, q []float32, keys []uint16, w []float32,
	batch, s, heads, d, n, keyRows int) {
	need("IndexScore64", "dst", len(dst), batch*s*n)
	c.loops.rate = rateKeys{wide: dst, q: q, w: w, keys: keys, s: s, heads: heads, d: d, n: n, keyRows: keyRows}
	c.rateKeys(batch)
}

// rateKeys is the work of IndexScore, or of IndexScore64 if wide is set instead of dst.
type rateKeys struct {
	dst                     []float32
	wide                    []float64
	q, w                    []float32
	keys                    []uint16
	s, heads, d, n, keyRows int
}

func (c *Ctx) rateKeys(batch int) {
	l := &c.loops.rate
	need("IndexScore", "q", len(l.q), batch*l.s*l.heads*l.d)
	need("IndexScore", "w", len(l.w), batch*l.s*l.heads)
	need("IndexScore", "keys", len(l.keys), batch*l.keyRows*l.d)
	c.Pool.each(batch*ceilDiv(l.n, keyBlock), 1, l)
}

func (l *rateKeys) run(s *scratch, lo, hi int) {
	heads, d := l.heads, l.d
	blocks := ceilDiv(l.n, keyBlock)
	for item := lo; item < hi; item++ {
		b, first := item/blocks, item%blocks*keyBlock
		count := min(keyBlock, l.n-first)
		keys := grow(&s.a, keyBlock*d)[:count*d] // whole blocks, so that memory does not follow the position
		active.half(keys, l.keys[(b*l.keyRows+first)*d:][:count*d])
		dots := grow(&s.b, heads*keyBlock)[:heads*count]
		for i := b * l.s; i < (b+1)*l.s; i++ {
			dotMatrix(s, active.tile, &s.sums, dots, count, l.q[i*heads*d:(i+1)*heads*d], keys, heads, count, d)
			w, at := l.w[i*heads:(i+1)*heads], i*l.n+first
			if l.wide != nil {
				addScores(l.wide[at:at+count], dots, w, s)
			} else {
				roundScores(l.dst[at:at+count], dots, w, s)
			}
		}
	}
}

// roundScores sums the rated products of all heads in steps of bf16: dots is [heads,entries], w [heads].
func roundScores(dst, dots, w []float32, s *scratch) {
	count := len(dst)
	sums := grow(&s.c, keyBlock)[:count]
	clear(sums)
	for h, weight := range w {
		active.rate(sums, dots[h*count:(h+1)*count], weight)
	}
	for j, v := range sums {
		dst[j] = formats.RoundBF16x32(v)
	}
}

// addScores sums the rated products of all heads unrounded.
func addScores(dst []float64, dots, w []float32, s *scratch) {
	count := len(dst)
	term := grow(&s.c, keyBlock)[:count]
	clear(dst)
	for h, weight := range w {
		clear(term)
		active.rate(term, dots[h*count:(h+1)*count], weight)
		for j, v := range term {
			dst[j] += float64(v)
		}
	}
}

// dotMatrix writes out[i,j] = a[i]·b[j] for rows of d values, in the precision of tile, whose results pass
// through block; rows of out lie stride apart.
func dotMatrix[F float32 | float64](scr *scratch, tile tiler[F], block *[16]F,
	out []F, stride int, a, b []float32, rows, cols, d int) {
	at, bt := &scr.places, &scr.columns
	for i := 0; i < rows; i += 4 {
		for r := range at {
			at[r] = min(i+r, rows-1) * d
		}
		for j := 0; j < cols; j += 4 {
			for r := range bt {
				bt[r] = min(j+r, cols-1) * d
			}
			tile(block, a, at, b, bt, d)
			for r := range min(4, rows-i) {
				copy(out[(i+r)*stride+j:][:min(4, cols-j)], block[4*r:])
			}
		}
	}
}
