package cpu

import "slices"

// ExpertLinear multiplies each token by the weights of its experts: ids is [n,slots], dst [n,slots,N]; x is
// [n,K], or [n,slots,K] if perSlot is set. Tokens are grouped by expert, so that each used weight is read
// once. An id that is no expert of w, -1 or another rank's, gives zeros.
func (c *Ctx) ExpertLinear(dst, x []float32, w *Experts, ids []int32, slots int, perSlot, round bool) {
	sources := len(ids)
	if !perSlot {
		sources /= slots
	}
	need("ExpertLinear", "x", len(x), sources*w.K)
	need("ExpertLinear", "dst", len(dst), len(ids)*w.N)
	if sources == 0 {
		return
	}
	c.groupByExpert(dst, w, ids, slots, perSlot)
	c.mul.exact = !round
	c.multiply(dst, x, w.W[0].Enc, w.N, w.K, round)
}

// groupByExpert sets c.mul.products to one product for each expert in ids, by ascending expert, and
// clears the destination rows of missing ids.
func (c *Ctx) groupByExpert(dst []float32, w *Experts, ids []int32, slots int, perSlot bool) {
	order := grow(&c.buf.keys, len(ids))[:0]
	for i, id := range ids {
		own := int(id) - w.First
		if own < 0 || own >= len(w.W) {
			clear(dst[i*w.N : (i+1)*w.N])
			continue
		}
		order = append(order, uint64(own)<<32|uint64(i))
	}
	slices.Sort(order)
	pairs := grow(&c.mul.pairs, len(order))
	c.mul.products = c.mul.products[:0]
	for i, key := range order {
		at := int32(uint32(key))
		pairs[i] = rowPair{at, at}
		if !perSlot {
			pairs[i].src = at / int32(slots)
		}
		m := &w.W[key>>32]
		if n := len(c.mul.products); n > 0 && c.mul.products[n-1].w == m {
			p := &c.mul.products[n-1]
			p.rows = p.rows[:len(p.rows)+1]
			continue
		}
		c.mul.products = append(c.mul.products, product{m, 0, pairs[i : i+1]})
	}
}

// SelectExperts writes, for each row of e scores, the k experts with the largest score+bias, best first,
// ties to the lower index. bias may be nil.
func (c *Ctx) SelectExperts(ids []int32, scores, bias []float32, e, k int) {
	rows := rowsOf("SelectExperts", scores, e)
	need("SelectExperts", "ids", len(ids), rows*k)
	for r := range rows {
		top := grow(&c.buf.keys, k)[:0]
		for i, v := range scores[r*e : (r+1)*e] {
			if bias != nil {
				v += bias[i]
			}
			top = offer(top, rankKey(v, i), k)
		}
		slices.Sort(top)
		for i := range k {
			ids[r*k+i] = keyIndex(top[len(top)-1-i])
		}
	}
}

// HashExperts looks up the k experts of each token in table [vocabulary,k]. A token outside the table
// gets -1.
func (c *Ctx) HashExperts(ids, tokens, table []int32, k int) {
	need("HashExperts", "ids", len(ids), len(tokens)*k)
	for i, t := range tokens {
		row := ids[i*k : (i+1)*k]
		if t >= 0 && int(t) < len(table)/k {
			copy(row, table[int(t)*k:])
			continue
		}
		for j := range row {
			row[j] = hole
		}
	}
}

// RouteWeights writes the weights of the chosen experts: their scores, divided by the sum over the k
// chosen, times scale (spec §6). scores is [n,e], ids and dst are [n,k]; an id outside 0..e-1 gives 0.
func (c *Ctx) RouteWeights(dst, scores []float32, ids []int32, e, k int, scale float32) {
	need("RouteWeights", "dst", len(dst), len(ids))
	need("RouteWeights", "scores", len(scores)*k, len(ids)*e)
	for o := 0; o < len(ids); o += k {
		row := scores[o/k*e:][:e]
		var sum float64
		for _, id := range ids[o : o+k] {
			if id >= 0 && int(id) < e {
				sum += float64(row[id])
			}
		}
		for i, id := range ids[o : o+k] {
			dst[o+i] = 0
			if id >= 0 && int(id) < e {
				dst[o+i] = float32(float64(row[id]) / sum * float64(scale))
			}
		}
	}
}

// SumSlots adds the slots of each row in ascending order: y is [n,slots,width], dst [n,width], unrounded.
func (c *Ctx) SumSlots(dst, y []float32, slots, width int) {
	eachSum(c, &c.loops.slots, sumSlots[float32]{dst, y, slots, width})
}

// SumSlots64 is SumSlots with results in float64.
func (c *Ctx) SumSlots64(dst []float64, y []float32, slots, width int) {
	eachSum(c, &c.loops.slots64, sumSlots[float64]{dst, y, slots, width})
}

type sumSlots[F float32 | float64] struct {
	dst          []F
	y            []float32
	slots, width int
}

func eachSum[F float32 | float64](c *Ctx, l *sumSlots[F], operands sumSlots[F]) {
	*l = operands
	rows := rowsOf("SumSlots", l.y, l.slots*l.width)
	need("SumSlots", "dst", len(l.dst), rows*l.width)
	c.eachRow(rows, l.slots*l.width, l)
}

func (l *sumSlots[F]) run(s *scratch, lo, hi int) {
	sum := grow(&s.f, l.width)
	for r := lo; r < hi; r++ {
		clear(sum)
		for slot := range l.slots {
			for i, v := range l.y[(r*l.slots+slot)*l.width:][:l.width] {
				sum[i] += float64(v)
			}
		}
		out := l.dst[r*l.width : (r+1)*l.width]
		for i, v := range sum {
			out[i] = F(v)
		}
	}
}
