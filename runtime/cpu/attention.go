package cpu

import "math"

// entryBlock is how many entries share one step of the running maximum; it decides what is rounded
// together, so it is part of the result (spec §5.6).
const entryBlock = 64

// KV is the key space of a sparse attention, keys and values in one: Rows rows for each batch row, as
// float32 (a call's own keys) or as a bf16 cache. Exactly one of F and H is set.
type KV struct {
	F    []float32
	H    []uint16
	Rows int
}

// gather widens row n of batch row b into dst.
func (kv *KV) gather(dst []float32, b, n int) {
	at := (b*kv.Rows + n) * len(dst)
	if kv.H != nil {
		active.half(dst, kv.H[at:at+len(dst)])
		return
	}
	copy(dst, kv.F[at:at+len(dst)])
}

// SparseAttention attends from every head of each query to the listed rows of kv (spec §5.6): q and dst are
// [batch,s,heads,d], entries [batch,s,n] with -1 for holes, sink [heads] joins the denominator alone.
// Entries are taken in blocks of 64 with a running maximum; the weights that multiply values are
// rounded to bf16, those in the denominator are not. bf16 result; a query without entries gives zeros. scale
// is above 0.
func (c *Ctx) SparseAttention(dst, q []float32, kv KV, entries []int32, sink []float32,
	batch, s, heads, d, n int, scale float64) {
	need("SparseAttention", "q", len(q), batch*s*heads*d)
	need("SparseAttention", "dst", len(dst), len(q))
	need("SparseAttention", "kv", max(len(kv.F), len(kv.H)), batch*kv.Rows*d)
	need("SparseAttention", "entries", len(entries), batch*s*n)
	need("SparseAttention", "sink", len(sink), heads)
	groups := headGroups(batch*s, heads)
	c.loops.attention = sparseAttention{dst, q, kv, entries, sink, s, heads, d, n, scale, groups}
	c.Pool.each(batch*s*groups, 1, &c.loops.attention)
}

type sparseAttention struct {
	dst, q         []float32
	kv             KV
	entries        []int32
	sink           []float32
	s, heads, d, n int
	scale          float64
	groups         int // of heads, for each query
}

func (l *sparseAttention) run(s *scratch, lo, hi int) {
	perGroup := ceilDiv(l.heads, l.groups)
	for item := lo; item < hi; item++ {
		i, h0 := item/l.groups, item%l.groups*perGroup
		h1 := min(h0+perGroup, l.heads)
		if h0 >= h1 {
			continue
		}
		a := attention{s, &l.kv, h1 - h0, l.d, l.scale}
		from, to := (i*l.heads+h0)*l.d, (i*l.heads+h1)*l.d
		a.query(l.dst[from:to], l.q[from:to], l.entries[i*l.n:(i+1)*l.n], l.sink[h0:h1], i/l.s)
	}
}

// headGroups splits the heads of few queries, so that decoding has work for every processor. It depends
// on the shape alone.
func headGroups(queries, heads int) int {
	const wanted, least = 16, 8
	return max(1, min(wanted/max(queries, 1), heads/least))
}

// attention is the work of some heads of one query.
type attention struct {
	*scratch
	kv       *KV
	heads, d int
	scale    float64
}

// query runs all blocks. Per head, f holds the running maximum and the denominator.
func (a *attention) query(dst, q []float32, entries []int32, sink []float32, b int) {
	state := grow(&a.f, 2*a.heads)
	top, total := state[:a.heads], state[a.heads:]
	for h := range top {
		top[h], total[h] = math.Inf(-1), 0
	}
	acc := grow(&a.g, a.heads*a.d)
	clear(acc)
	rows := grow(&a.a, entryBlock*a.d)
	scores := grow(&a.h, a.heads*entryBlock)
	for len(entries) > 0 {
		count := 0
		for _, e := range entries[:min(entryBlock, len(entries))] {
			if e >= 0 {
				a.kv.gather(rows[count*a.d:(count+1)*a.d], b, int(e))
				count++
			}
		}
		entries = entries[min(entryBlock, len(entries)):]
		if count == 0 {
			continue
		}
		dotMatrix(a.scratch, active.dtile, &a.dsums, scores, entryBlock, q, rows, a.heads, count, a.d)
		for h := range a.heads {
			rescale := a.weights(scores[h*entryBlock:][:entryBlock], count, &top[h], &total[h])
			if rescale != 1 {
				for i := range acc[h*a.d : (h+1)*a.d] {
					acc[h*a.d+i] *= rescale
				}
			}
		}
		active.mix(acc, a.d, scores, entryBlock, a.heads, rows, count, a.d)
	}
	for h, z := range sink {
		divisor := total[h] + math.Exp(float64(z)-top[h])
		for i := h * a.d; i < (h+1)*a.d; i++ {
			dst[i] = 0
			if total[h] > 0 {
				dst[i] = bf16(acc[i] / divisor)
			}
		}
	}
}

// weights turns the first count products of a block into bf16 weights relative to the new maximum, adds the
// unrounded ones to the denominator and returns the factor for what earlier blocks have summed. scores
// holds entryBlock values.
func (a *attention) weights(scores []float64, count int, top, total *float64) (rescale float64) {
	scores = scores[:ceilDiv(count, scoreStep)*scoreStep]
	for i := count; i < len(scores); i++ {
		scores[i] = math.Inf(-1) // weighs nothing
	}
	largest := max(*top, active.peak(scores)*a.scale)
	sum := active.weigh(scores, a.scale, largest)
	rescale = math.Exp(*top - largest)
	*top, *total = largest, *total*rescale+sum
	return rescale
}
