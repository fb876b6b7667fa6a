package cpu

import (
	"math"
	"slices"
	"testing"

	"flagc/runtime/formats"

	"github.com/stretchr/testify/require"
)

// Whatever the split into calls, token t ends in row t mod window and only the last window stay.
func TestRingWrite(t *testing.T) {
	c := context(t)
	const batch, window, d = 2, 128, 3
	for _, total := range []int{1, 127, 128, 129, 255, 256, 300} {
		for _, first := range []int{total, 1, 100} {
			cache := make([]uint16, batch*(window+2)*d)
			for p := 0; p < total; {
				s := min(total-p, max(1, first))
				if p > 0 {
					s = 1
				}
				kv := make([]float32, batch*s*d)
				for i := range kv {
					kv[i] = float32(p + i/d%s + 1)
				}
				c.RingWrite(cache, kv, batch, window+2, d, s, p, window)
				p += s
			}
			for i, v := range cache {
				want := 0
				for token := range total {
					if token%window == i/d%(window+2) {
						want = token + 1
					}
				}
				require.Equal(t, formats.RoundBF16x32(float32(want)), formats.BF16ToFloat32(v))
			}
		}
	}
}

func TestCacheWrite(t *testing.T) {
	c, r := context(t), newRand(30)
	const batch, rows, d, n, at = 2, 6, 4, 3, 2
	cache, x := make([]uint16, batch*rows*d), randomBF16(r, batch*n*d)
	c.CacheWrite(cache, x, batch, rows, d, n, at)
	for i, v := range cache {
		b, row := i/d/rows, i/d%rows
		want := float32(0)
		if row >= at && row < at+n {
			want = x[((b*n)+row-at)*d+i%d]
		}
		require.Equal(t, want, formats.BF16ToFloat32(v))
	}
	require.Panics(t, func() { c.CacheWrite(cache, x, batch, rows, d, n, rows-n+1) })
}

// pooled is the definition of a compressed entry (spec §5.4) over a whole sequence.
func pooled(kv, score, ape []float32, b, s, w, ratio, d, ch int, overlap bool) float64 {
	o := 1
	if overlap {
		o = 2
	}
	var num, den float64
	add := func(token, c int) {
		if token < 0 {
			return
		}
		i := (b*s + token) * o * d
		e := math.Exp(float64(score[i+c] + ape[token%ratio*o*d+c]))
		num, den = num+e*float64(kv[i+c]), den+e
	}
	for token := w * ratio; token < (w+1)*ratio; token++ {
		if overlap {
			add(token-ratio, ch)
		}
		add(token, (o-1)*d+ch)
	}
	return num / den
}

func TestCompressPool(t *testing.T) {
	c, r := context(t), newRand(31)
	const batch, s, d = 2, 267, 5
	for _, shape := range []struct {
		ratio   int
		overlap bool
	}{{4, true}, {128, false}, {3, false}, {8, true}} {
		width, depth := d, shape.ratio
		if shape.overlap {
			width, depth = 2*d, 2*shape.ratio
		}
		kv, score, ape := random32(r, batch*s*width), random32(r, batch*s*width), random32(r, shape.ratio*width)
		for _, cuts := range [][]int{{s}, {1, s}, {130, 131, 132, 133, s}, {255, 256, 257, s}, {2, 3, 9, s}} {
			state, scores := make([]float32, batch*depth*width), make([]float32, batch*depth*width)
			ResetState(state, scores)
			p := 0
			for _, end := range cuts {
				emitted := end/shape.ratio - p/shape.ratio
				dst := make([]float32, batch*emitted*d)
				part, partScore := piece(kv, batch, s, p, end, width), piece(score, batch, s, p, end, width)
				c.CompressPool(dst, state, scores, part, partScore, ape,
					batch, end-p, p, shape.ratio, d, shape.overlap, false)
				for i, v := range dst {
					b, w := i/d/emitted, p/shape.ratio+i/d%emitted
					want := pooled(kv, score, ape, b, s, w, shape.ratio, d, i%d, shape.overlap)
					require.InDelta(t, want, float64(v), 1e-6)
				}
				p = end
			}
		}
	}
}

// piece cuts tokens p..end-1 out of each batch row of x [batch,s,width].
func piece(x []float32, batch, s, p, end, width int) []float32 {
	var out []float32
	for b := range batch {
		out = append(out, x[(b*s+p)*width:(b*s+end)*width]...)
	}
	return out
}

func TestCompressPoolRounds(t *testing.T) {
	c := context(t)
	dst := make([]float32, 1)
	state, scores := make([]float32, 2), make([]float32, 2)
	mean := func(a, b float32) float32 {
		ResetState(state, scores)
		zero := []float32{0, 0}
		c.CompressPool(dst, state, scores, []float32{a, b}, zero, zero, 1, 2, 0, 2, 1, false, true)
		return dst[0]
	}
	require.Equal(t, float32(1+0x1p-7), mean(1, 1+0x1p-6))
	require.Equal(t, float32(1), mean(1, 1+0x1p-7), "a tie goes to even")
}

// The window lists of spec §17.
func TestWindowEntriesKnownAnswers(t *testing.T) {
	c := context(t)
	prefill := make([]int32, 2*300*128)
	c.WindowEntries(prefill, 2, 300, 128)
	row := prefill[300*128+5*128:][:128]
	require.Equal(t, []int32{0, 1, 2, 3, 4, 5, -1}, row[:7])
	for _, e := range row[6:] {
		require.EqualValues(t, -1, e)
	}
	for i, e := range prefill[200*128 : 201*128] {
		require.EqualValues(t, 73+i, e)
	}
	short := make([]int32, 4)
	c.WindowEntries(short, 1, 2, 128)
	require.Equal(t, []int32{0, -1, 0, 1}, short)
}

func TestRingEntriesKnownAnswers(t *testing.T) {
	c := context(t)
	ring := make([]int32, 2*128)
	c.RingEntries(ring, 2, 200, 128)
	for i, e := range ring {
		require.EqualValues(t, (73+i%128)%128, e)
	}
	for p := range 300 {
		c.RingEntries(ring, 2, p, 128)
		for i, e := range ring[:128] {
			switch {
			case p >= 127:
				require.EqualValues(t, (p%128+1+i)%128, e)
			case i <= p:
				require.EqualValues(t, i, e)
			default:
				require.EqualValues(t, -1, e)
			}
		}
		require.Equal(t, ring[:128], ring[128:])
	}
}

func TestCausalEntriesKnownAnswers(t *testing.T) {
	c := context(t)
	for _, k := range []struct{ ratio, t, visible int }{
		{4, 2, 0}, {4, 3, 1}, {4, 7, 2}, {128, 126, 0}, {128, 127, 1},
	} {
		dst := make([]int32, 3)
		c.CausalEntries(dst, 1, 1, k.t, 3, k.ratio, 128)
		for e, v := range dst {
			want := int32(-1)
			if e < k.visible {
				want = int32(128 + e)
			}
			require.Equal(t, want, v)
		}
	}
}

func TestTopEntries(t *testing.T) {
	c, r := context(t), newRand(32)
	const batch, s, ratio, first = 2, 33, 4, 7
	for _, p := range []int{0, 127, 255} {
		n := (p + s) / ratio
		for _, k := range []int{1, 5, n} {
			scores, ids := random32(r, batch*s*n), make([]int32, batch*s*k)
			for i := range scores {
				scores[i] = float32(math.Round(float64(scores[i]))) // many ties, both zeros
			}
			c.TopEntries(ids, scores, batch, s, p, n, k, ratio, first)
			for i := range batch * s {
				row, order := scores[i*n:(i+1)*n], []int32{}
				for e := range min(n, (p+i%s+1)/ratio) {
					order = append(order, int32(e))
				}
				slices.SortStableFunc(order, func(a, b int32) int {
					return map[bool]int{true: -1}[row[a] > row[b]] + map[bool]int{true: 1}[row[a] < row[b]]
				})
				for j, got := range ids[i*k : (i+1)*k] {
					want := int32(-1)
					if j < len(order) {
						want = order[j] + first
					}
					require.Equal(t, want, got)
				}
			}
		}
	}
}

func TestIndexScore(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(33)
		for _, heads := range []int{1, 4, 8, 33} {
			for _, n := range []int{0, 1, 63, 64, 130} {
				const batch, s, d = 2, 3, 32
				rows := n + 2
				q, w := randomBF16(r, batch*s*heads*d), randomBF16(r, batch*s*heads)
				keys := make([]uint16, batch*rows*d)
				narrow(keys, randomBF16(r, len(keys)))
				dst, want := make([]float32, batch*s*n), make([]float64, batch*s*n)
				for i := range want {
					query, key := i/n, keys[(i/n/s*rows+i%n)*d:]
					for h := range heads {
						var dot float64
						for k := range d {
							dot += float64(q[(query*heads+h)*d+k]) * float64(formats.BF16ToFloat32(key[k]))
						}
						want[i] += round64(math.Max(round64(dot), 0) * float64(w[query*heads+h]))
					}
				}
				c.IndexScore(dst, q, keys, w, batch, s, heads, d, n, rows)
				for i := range want {
					// A dot on a rounding boundary may go either way: one step of one head's term.
					require.InDelta(t, round64(want[i]), float64(dst[i]), math.Abs(want[i])*oneBF16+0.25)
				}
			}
		}
	})
}

// naiveAttention is spec §5.6 for one head, in float64.
func naiveAttention(q []float32, rows [][]float32, entries []int32, sink, scale float64) []float64 {
	acc := make([]float64, len(q))
	top, total := math.Inf(-1), 0.0
	for o := 0; o < len(entries); o += 64 {
		block := entries[o:min(o+64, len(entries))]
		scores := make([]float64, len(block))
		largest := top
		for i, e := range block {
			scores[i] = math.Inf(-1)
			if e >= 0 {
				var dot float64
				for k, v := range q {
					dot += float64(v) * float64(rows[e][k])
				}
				scores[i] = dot * scale
			}
			largest = math.Max(largest, scores[i])
		}
		if math.IsInf(largest, -1) {
			continue
		}
		f := math.Exp(top - largest)
		total *= f
		for k := range acc {
			acc[k] *= f
		}
		for i, e := range block {
			if e < 0 {
				continue
			}
			p := math.Exp(scores[i] - largest)
			total += p
			for k := range acc {
				acc[k] += round64(p) * float64(rows[e][k])
			}
		}
		top = largest
	}
	for k := range acc {
		if total > 0 {
			acc[k] /= total + math.Exp(sink-top)
		}
	}
	return acc
}

func TestSparseAttention(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(34)
		for _, heads := range []int{1, 4, 8, 16, 17} {
			for _, n := range []int{1, 63, 64, 65, 200} {
				const batch, s, d, rows = 2, 3, 48, 70
				q, keys, sink := randomBF16(r, batch*s*heads*d), randomBF16(r, batch*rows*d), random32(r, heads)
				half := make([]uint16, len(keys))
				narrow(half, keys)
				entries := make([]int32, batch*s*n) // duplicates are likely
				for i := range entries {
					entries[i] = int32(r.IntN(rows+20)) - 20
					if entries[i] < 0 || i/n == 1 || i%n/64 == 1 { // a query and a block of holes only
						entries[i] = -1
					}
				}
				scale := 1 / math.Sqrt(d)
				var want []float64
				for i := range batch * s * heads {
					query := i / heads
					var space [][]float32
					for row := range rows {
						space = append(space, keys[(query/s*rows+row)*d:][:d])
					}
					want = append(want, naiveAttention(q[i*d:(i+1)*d], space, entries[query*n:(query+1)*n],
						float64(sink[i%heads]), scale)...)
				}
				for _, kv := range []KV{{F: keys, Rows: rows}, {H: half, Rows: rows}} {
					dst := random32(r, len(q))
					c.SparseAttention(dst, q, kv, entries, sink, batch, s, heads, d, n, scale)
					for i, w := range want {
						// Sums in float64 leave no room for a rounding to go the other way.
						require.Equal(t, round64(w), float64(dst[i]))
					}
				}
			}
		}
	})
}
