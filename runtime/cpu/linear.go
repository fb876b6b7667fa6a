package cpu

const (
	// blockRows is how many weight rows make one unit of work and one widened panel; smallRows applies to
	// weights of at most sixteen such units, so that there is work for every processor.
	blockRows = 32
	smallRows = 8
	// panelCols is the width of a widened panel: 32 rows of it stay in the second-level cache.
	panelCols = 1024
	// fewRows is the largest number of activation rows that read the stored weights directly; with more,
	// weights are widened once and shared.
	fewRows = 4
)

// product is one weight, or N consecutive rows of it, applied to some rows of the activations.
type product struct {
	w     *Matrix
	first int       // first weight row
	rows  []rowPair // non-empty
}

// rowPair names a row of the arranged activations and the row of the destination that it produces.
type rowPair struct{ src, dst int32 }

// multiplication is the state of the products being computed; every product has n output columns.
type multiplication struct {
	products []product
	pairs    []rowPair
	dst, x   []float32
	n, k, ld int
	block    int // rows in one unit of work
	round    bool
	exact    bool      // sum in float64 where panels are multiplied
	wide     []float64 // where results go unrounded instead of dst; nil for dst
}

// Linear multiplies rows of K values by a weight: dst[r,n] = sum over k of x[r,k]·w[n,k], rounded to bf16 if
// round is set. Activations that the model quantises come quantised (see ActQuant), which makes most float32
// sums of their products exact. Sums that are not rounded, or of unquantised weights and few rows, are
// accumulated in float64, wholly or in runs of eight products; others in float32.
func (c *Ctx) Linear(dst, x []float32, w *Matrix, round bool) {
	rows := rowsOf("Linear", x, w.K)
	need("Linear", "dst", len(dst), rows*w.N)
	pairs := c.identityPairs(rows, 1, 0)
	c.mul.products = append(c.mul.products[:0], product{w, 0, pairs})
	c.mul.exact = !round
	c.multiply(dst, x, w.Enc, w.N, w.K, round)
}

// Linear64 is Linear that leaves its results unrounded, as parts of sums that are rounded when they are complete.
// Few rows of quantised weights are accumulated as Linear does, all else in float64.
func (c *Ctx) Linear64(dst []float64, x []float32, w *Matrix) {
	rows := rowsOf("Linear64", x, w.K)
	need("Linear64", "dst", len(dst), rows*w.N)
	c.mul.products = append(c.mul.products[:0], product{w, 0, c.identityPairs(rows, 1, 0)})
	c.multiply64(dst, x, w.Enc, w.N, w.K)
}

// multiply64 is multiply with results in float64.
func (c *Ctx) multiply64(dst []float64, x []float32, enc Encoding, n, k int) {
	c.mul.exact, c.mul.wide = true, dst
	c.multiply(nil, x, enc, n, k, false)
	c.mul.wide = nil
}

// GroupedLinear applies to each of groups parts of a row its own share of the weight: x is
// [r,groups,K], w is [groups·R,K] with group g's rows at g·R, dst is [r,groups,R]. Its activations are not
// quantised, so more than a few rows are accumulated in float64.
func (c *Ctx) GroupedLinear(dst, x []float32, w *Matrix, groups int, round bool) {
	c.groupProducts(len(dst), x, w, groups)
	c.mul.exact = true
	c.multiply(dst, x, w.Enc, w.N/groups, w.K, round)
}

// GroupedLinear64 is GroupedLinear that leaves its results unrounded, see Linear64.
func (c *Ctx) GroupedLinear64(dst []float64, x []float32, w *Matrix, groups int) {
	c.groupProducts(len(dst), x, w, groups)
	c.multiply64(dst, x, w.Enc, w.N/groups, w.K)
}

// groupProducts sets c.mul.products to one product for each group, for results of the given length.
func (c *Ctx) groupProducts(results int, x []float32, w *Matrix, groups int) {
	rows := rowsOf("GroupedLinear", x, groups*w.K)
	need("GroupedLinear", "dst", results, rows*w.N)
	n := w.N / groups
	need("GroupedLinear", "w", w.N, n*groups)
	all := c.identityPairs(rows*groups, groups, rows)
	c.mul.products = c.mul.products[:0]
	for g := range groups {
		c.mul.products = append(c.mul.products, product{w, g * n, all[g*rows : (g+1)*rows]})
	}
}

// identityPairs returns total pairs with equal source and destination. With several groups, the pairs of
// row r, group g are (r·groups+g) at place g·rows+r.
func (c *Ctx) identityPairs(total, groups, rows int) []rowPair {
	pairs := grow(&c.mul.pairs, total)
	for i := range pairs {
		at := int32(i)
		if groups > 1 {
			at = int32(i%rows*groups + i/rows)
		}
		pairs[i] = rowPair{at, at}
	}
	return pairs
}

// multiply runs c.mul.products, all of one encoding and of shape n×k, on the rows of x.
func (c *Ctx) multiply(dst, x []float32, enc Encoding, n, k int, round bool) {
	m := &c.mul
	rows := len(x) / k
	m.dst, m.n, m.k, m.round = dst, n, k, round
	m.ld = (k+15)&^15 + 16 // zeros up to a whole vector, as in panels, and one against cache aliasing
	m.x = grow(&c.buf.x, rows*m.ld)
	for r := range rows {
		row := m.x[r*m.ld : (r+1)*m.ld]
		active.arrange(row[:k], x[r*k:(r+1)*k], enc)
		clear(row[k:])
	}
	m.block = blockRows
	if n <= 16*blockRows {
		m.block = smallRows
	}
	c.Pool.each(len(m.products)*ceilDiv(n, m.block), 1, m)
	m.dst, m.x = nil, nil
}

// run computes blocks lo..hi-1, counted through the products.
func (m *multiplication) run(s *scratch, lo, hi int) {
	perProduct := ceilDiv(m.n, m.block)
	for i := lo; i < hi; i++ {
		p := &m.products[i/perProduct]
		n0 := i % perProduct * m.block
		n1 := min(n0+m.block, m.n)
		if len(p.rows) <= fewRows && (m.wide == nil || p.w.Scale != nil) {
			m.direct(s, p, n0, n1)
		} else {
			m.widened(s, p, n0, n1)
		}
	}
}

// direct computes output columns n0..n1-1 from the weights as they are stored.
func (m *multiplication) direct(s *scratch, p *product, n0, n1 int) {
	s.scales.w = nil
	out, at := &s.sums, s.places[:len(p.rows)]
	for i, row := range p.rows {
		at[i] = int(row.src) * m.ld
	}
	for n := n0; n < n1; {
		count := min(4, n1-n)
		if p.w.Enc == FP8 { // stay inside a scale tile
			count = min(count, tileSize-(p.first+n)%tileSize)
		}
		if count < 4 {
			count = 1
		}
		active.rows(out, p.w, p.first+n, count, m.x, at, s)
		for i, row := range p.rows {
			store(m, out[4*i:][:count], row, n, 1)
		}
		n += count
	}
}

// store writes finished sums, each times gain, to columns n and following of a destination row.
func store[F float32 | float64](m *multiplication, sums []F, row rowPair, n int, gain float64) {
	if m.wide != nil {
		for i, sum := range sums {
			m.wide[int(row.dst)*m.n+n+i] = float64(sum) * gain
		}
		return
	}
	dst := m.dst[int(row.dst)*m.n+n:][:len(sums)]
	for i, sum := range sums {
		dst[i] = narrowed(float64(sum)*gain, m.round)
	}
}

// widened computes output columns n0..n1-1 from panels of weights widened to float32.
func (m *multiplication) widened(s *scratch, p *product, n0, n1 int) {
	gain := float64(active.gain(p.w.Enc))
	count := n1 - n0
	panel := grow(&s.a, blockRows*panelCols)
	sums := grow(&s.f, len(p.rows)*blockRows)
	clear(sums)
	for k0 := 0; k0 < m.k; k0 += panelCols {
		k1 := min(k0+panelCols, m.k)
		width := (k1 - k0 + 15) &^ 15
		for j := range count {
			row := panel[j*width : (j+1)*width]
			active.widen(row, p.w, p.first+n0+j, k0, k1)
			clear(row[k1-k0:])
		}
		for r := 0; r < len(p.rows); r += 4 {
			m.tileRow(s, sums[r*blockRows:], p.rows[r:], k0, panel, width, count)
		}
	}
	for r, row := range p.rows {
		store(m, sums[r*blockRows:][:count], row, n0, gain)
	}
}

// tileRow adds the products of up to four rows with a panel of count weight rows to sums. Positions past
// the end repeat the last row; their results are dropped.
func (m *multiplication) tileRow(s *scratch, sums []float64, rows []rowPair, k0 int,
	panel []float32, width, count int) {
	at, bt := &s.places, &s.columns
	for i := range at {
		at[i] = int(rows[min(i, len(rows)-1)].src)*m.ld + k0
	}
	for j := 0; j < count; j += 4 {
		for i := range bt {
			bt[i] = min(j+i, count-1) * width
		}
		if m.exact {
			active.dtile(&s.dsums, m.x, at, panel, bt, width)
			addTile(sums[j:], &s.dsums, min(4, len(rows)), min(4, count-j))
		} else {
			active.tile(&s.sums, m.x, at, panel, bt, width)
			addTile(sums[j:], &s.sums, min(4, len(rows)), min(4, count-j))
		}
	}
}

// addTile adds the first rows×columns results of a tile to sums, whose rows lie blockRows apart.
func addTile[F float32 | float64](sums []float64, tile *[16]F, rows, columns int) {
	for r := range rows {
		for i := range columns {
			sums[r*blockRows+i] += float64(tile[4*r+i])
		}
	}
}
