package cpu

import (
	"math"

	"flagc/runtime/formats"
)

// RingWrite stores the keys of tokens p..p+s-1 in ring buffers: token t in row t mod window of its batch
// row's cache. kv is [batch,s,d], cache [batch,rows,d] in bf16. Of more than window tokens, only the
// last stay.
func (c *Ctx) RingWrite(cache []uint16, kv []float32, batch, rows, d, s, p, window int) {
	need("RingWrite", "cache", len(cache), batch*rows*d)
	need("RingWrite", "kv", len(kv), batch*s*d)
	for b := range batch {
		for i := max(0, s-window); i < s; i++ {
			at := (b*rows + (p+i)%window) * d
			narrow(cache[at:at+d], kv[(b*s+i)*d:][:d])
		}
	}
}

// CacheWrite stores n entries of each batch row in cache rows at..at+n-1: x is [batch,n,d], cache
// [batch,rows,d] in bf16.
func (c *Ctx) CacheWrite(cache []uint16, x []float32, batch, rows, d, n, at int) {
	need("CacheWrite", "cache", len(cache), batch*rows*d)
	need("CacheWrite", "x", len(x), batch*n*d)
	if at+n > rows {
		need("CacheWrite", "cache", rows, at+n)
	}
	for b := range batch {
		narrow(cache[(b*rows+at)*d:][:n*d], x[b*n*d:(b+1)*n*d])
	}
}

func narrow(dst []uint16, x []float32) {
	for i, v := range x {
		dst[i] = formats.BF16FromFloat32(v)
	}
}

// ResetState makes a compressor's state that of a new sequence: keys 0, scores -inf.
func ResetState(kvState, scoreState []float32) {
	clear(kvState)
	for i := range scoreState {
		scoreState[i] = float32(math.Inf(-1))
	}
}

// compression is the shape and the operands of one CompressPool.
type compression struct {
	dst, kvState, scoreState, kv, score, ape []float32

	s, p, ratio, d, overlap int // overlap: 2 with overlapping windows, else 1
	emitted                 int
	round                   bool
}

// CompressPool feeds tokens p..p+s-1 to a compressor and writes the pooled entries of the windows that
// they complete (spec §5.4), for any p and s. With o = 2 if overlap is set and 1 otherwise: kv and score are
// the raw projections [batch,s,o·d], ape is [ratio,o·d], the states are [batch,o·ratio,o·d] (see
// ResetState), dst is [batch,(p+s)/ratio-p/ratio,d], rounded to bf16 if round is set.
func (c *Ctx) CompressPool(dst, kvState, scoreState, kv, score, ape []float32,
	batch, s, p, ratio, d int, overlap, round bool) {
	o := 1
	if overlap {
		o = 2
	}
	z := &c.loops.compress
	*z = compression{dst, kvState, scoreState, kv, score, ape, s, p, ratio, d, o, (p+s)/ratio - p/ratio, round}
	need("CompressPool", "kv", len(kv), batch*s*o*d)
	need("CompressPool", "score", len(score), len(kv))
	need("CompressPool", "ape", len(ape), ratio*o*d)
	need("CompressPool", "kvState", len(kvState), batch*o*ratio*o*d)
	need("CompressPool", "scoreState", len(scoreState), len(kvState))
	need("CompressPool", "dst", len(dst), batch*z.emitted*d)
	c.Pool.each(batch*ceilDiv(d, channels), max(1, elementGrain/(s*o*channels)), z)
}

// channels is how many channels make a share: they never meet, so ranges of them are independent.
const channels = 32

func (z *compression) run(_ *scratch, lo, hi int) {
	perRow := ceilDiv(z.d, channels)
	for i := lo; i < hi; i++ {
		first := i % perRow * channels
		z.feed(i/perRow, first, min(first+channels, z.d))
	}
}

// feed runs the state machine for channels c0..c1-1 of one batch row.
func (z *compression) feed(b, c0, c1 int) {
	width, depth := z.overlap*z.d, z.overlap*z.ratio
	kvState, scoreState := z.kvState[b*depth*width:][:depth*width], z.scoreState[b*depth*width:][:depth*width]
	current := (z.overlap - 1) * z.ratio // first row of the window being filled
	entry := b * z.emitted
	for i := range z.s {
		slot := (z.p + i) % z.ratio
		from, to, bias := (b*z.s+i)*width, (current+slot)*width, slot*width
		for half := range z.overlap {
			o := half * z.d
			copy(kvState[to+o+c0:to+o+c1], z.kv[from+o+c0:from+o+c1])
			for c := o + c0; c < o+c1; c++ {
				scoreState[to+c] = z.score[from+c] + z.ape[bias+c]
			}
		}
		if slot+1 < z.ratio {
			continue
		}
		for c := c0; c < c1; c++ {
			z.dst[entry*z.d+c] = narrowed(z.pool(kvState, scoreState, c), z.round)
		}
		entry++
		if z.overlap == 2 {
			z.shift(kvState, c0, c1)
			z.shift(scoreState, c0, c1)
		}
	}
}

// pool is the softmax-weighted mean of channel c. Rows of the earlier window, if there is one, take part
// with their first half, those of the current one with their last.
func (z *compression) pool(kvState, scoreState []float32, c int) float64 {
	width := z.overlap * z.d
	at := func(row int) int { return row*width + row/z.ratio*z.d + c }
	top := math.Inf(-1)
	for row := range z.overlap * z.ratio {
		top = max(top, float64(scoreState[at(row)]))
	}
	var sum, total float64
	for row := range z.overlap * z.ratio {
		e := math.Exp(float64(scoreState[at(row)]) - top)
		total += e
		sum += e * float64(kvState[at(row)])
	}
	return sum / total
}

// shift makes the completed window the earlier one.
func (z *compression) shift(state []float32, c0, c1 int) {
	width := 2 * z.d
	for row := range z.ratio {
		for _, o := range [2]int{0, z.d} {
			to, from := row*width+o, (row+z.ratio)*width+o
			copy(state[to+c0:to+c1], state[from+c0:from+c1])
		}
	}
}
