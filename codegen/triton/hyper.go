package triton

import (
	"math"

	"flagc/ir"
	"flagc/ir/tile"
)

// mixed is what hyper-connections compute of one token before they mix: for each row of the mixing matrix its
// logit, and where hc_pre's three parts begin.
type mixed struct {
	logits *tile.Value // [M]: mix · scale + base
	pre    []*tile.Value
	lanes  *tile.Value // 0 … M-1
	hc     int
}

// mixing multiplies the streams of a token by the mixing matrix.
func (g *gen) mixing(in *ir.Instr, r *region) mixed {
	return memo(g, [3]any{in, "mixing", r.rows}, func() mixed {
		if r.height.Size != 1 {
			g.fail("%s of %d tokens at once", in.Name(), r.height.Size)
		}
		x, fn := in.Args[0], in.Args[1]
		hc := g.fixed(x.Type.Dims[len(x.Type.Dims)-2].Size, "the number of streams")
		d := g.columns(x)
		m := mixed{hc: hc}
		rows := g.fixed(fn.Type.Dims[0].Size, "the mixing matrix")
		products, squares := g.mixProducts(x, fn, r, hc, d, rows)
		b := g.b
		rms := b.Rsqrt(b.AddF(b.MulF(squares, 1/float64(hc*d)), in.Attrs.Float("norm_eps"))).Named("rms")
		m.lanes = b.Range(tile.D(pow2(rows)))
		live := b.LtI(m.lanes, rows)
		part := b.Minimum(b.DivI(m.lanes, hc), b.Int(g.fixed(in.Args[2].Type.Dims[0].Size, "the scales")-1))
		scale := b.Load(g.elements(in.Args[2], tile.In), part, nil, 0)
		base := b.Load(g.elements(in.Args[3], tile.In), m.lanes, live, 0)
		m.logits = b.Add(b.Mul(b.Mul(products, rms), scale), base).Named("logits")
		weights := b.AddF(g.sigmoid(m.logits), in.Attrs.Float("hc_eps"))
		for j := 0; j < hc; j++ {
			w := b.Sum(b.Where(b.EqI(m.lanes, j), weights, b.Float(0)), 0)
			m.pre = append(m.pre, w.Named("pre_%d", j))
		}
		return m
	})
}

// mixProducts is the product of the flattened streams with each row of the mixing matrix, and their sum of squares.
func (g *gen) mixProducts(x, fn *ir.Value, r *region, hc, d, rows int) (products, squares *tile.Value) {
	b := g.b
	height := tile.D(pow2(rows))
	width := max(64, min(pow2Divisor(d, 1<<20), g.plan.rowElements/height.Size))
	if d%width != 0 {
		width = pow2(min(d, width))
	}
	weights := g.elements(fn, tile.In)
	lane := b.Col(b.Range(height))
	acc := b.Zeros(height, tile.D(width)).Named("products")
	sq := b.Zeros(tile.D(1), tile.D(width)).Named("squares")
	out := g.loop("start", b.Int(0), b.Int(d), width, []*tile.Value{acc, sq}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		acc, sq := c[0], c[1]
		for j := 0; j < hc; j++ {
			block := g.block(g.times(r.rows, hc, j), nil, 1, i, tile.D(width), d)
			stream := g.pull(x, block)
			mask := b.LtI(lane, rows)
			if block.colLive != nil {
				mask = b.And(mask, block.colLive)
			}
			w := b.Load(weights, b.Add(b.MulI(lane, hc*d), b.AddI(block.cols, j*d)), mask, 0)
			acc = b.Add(acc, b.Mul(w, stream))
			sq = b.Add(sq, b.Mul(stream, stream))
		}
		return []*tile.Value{acc, sq}
	})
	return b.Sum(out[0], 1).Named("mix"), b.Sum(b.Sum(out[1], 1), 0).Named("square")
}

// pullStreams is the weighted sum of the streams.
func (g *gen) pullStreams(in *ir.Instr, r *region) *tile.Value {
	m := g.mixing(in, r)
	var sum *tile.Value
	for j, w := range m.pre {
		term := g.b.Mul(w, g.pull(in.Args[0], g.at(r, g.times(r.rows, m.hc, j))))
		if sum == nil {
			sum = term
		} else {
			sum = g.b.Add(sum, term)
		}
	}
	return sum
}

// storePost writes hc_pre's second result of one token: 2 · sigmoid of the second group of logits.
func (g *gen) storePost(in *ir.Instr, rows *tile.Value) {
	b, m := g.b, g.mixing(in, &region{rows: rows, height: tile.D(1)})
	at := b.Add(b.MulI(rows, m.hc), b.SubI(m.lanes, m.hc))
	live := b.And(b.GeI(m.lanes, m.hc), b.LtI(m.lanes, 2*m.hc))
	b.Store(g.elements(in.Results[1], tile.Out), at, b.MulF(g.sigmoid(m.logits), 2), live)
}

// storeComb writes hc_pre's third result of one token: the last logits as a matrix, made doubly stochastic.
func (g *gen) storeComb(in *ir.Instr, rows *tile.Value) {
	b, m := g.b, g.mixing(in, &region{rows: rows, height: tile.D(1)})
	n := tile.D(pow2(m.hc))
	j, k := b.Col(b.Range(n)), b.Row(b.Range(n))
	lane := b.Expand(b.Expand(m.lanes, 0), 0)
	place := b.Expand(b.AddI(b.Add(b.MulI(j, m.hc), k), 2*m.hc), 2)
	live := b.And(b.LtI(j, m.hc), b.LtI(k, m.hc))
	logits := b.Expand(b.Expand(m.logits, 0), 0)
	c := b.Sum(b.Where(b.Eq(lane, place), logits, b.Float(0)), 2)
	c = g.sinkhorn(b.Where(live, c, b.Float(math.Inf(-1))), live, in.Attrs.Int("iters"), in.Attrs.Float("hc_eps"))
	at := b.Add(b.Add(b.MulI(rows, m.hc*m.hc), b.MulI(j, m.hc)), k)
	b.Store(g.elements(in.Results[2], tile.Out), at, c, live)
}

// sinkhorn makes a square matrix doubly stochastic: a softmax over rows, then columns and rows in turn. It ends on
// columns. Outside live everything is 0.
func (g *gen) sinkhorn(c, live *tile.Value, iters int, eps float64) *tile.Value {
	b := g.b
	top := b.Max(c, 1)
	finite := b.Where(b.Gt(top, b.Float(math.Inf(-1))), top, b.Float(0))
	e := b.Exp(b.Sub(c, b.Col(finite)))
	sum := b.Sum(e, 1)
	c = b.Div(e, b.Col(b.Where(b.Gt(sum, b.Float(0)), sum, b.Float(1))))
	c = b.Where(live, b.AddF(c, eps), b.Float(0))
	columns := func(c *tile.Value) *tile.Value { return b.Div(c, b.Row(b.AddF(b.Sum(c, 0), eps))) }
	c = columns(c).Named("comb")
	return g.loop("round", b.Int(1), b.Int(iters), 1, []*tile.Value{c}, func(_ *tile.Value, c []*tile.Value) []*tile.Value {
		rows := b.Div(c[0], b.Col(b.AddF(b.Sum(c[0], 1), eps)))
		return []*tile.Value{columns(rows)}
	})[0]
}

// pullHCPost is stream k after a sublayer: post[k]·y + Σ_j comb[j,k]·x[j].
func (g *gen) pullHCPost(in *ir.Instr, r *region) *tile.Value {
	b := g.b
	y, x, post, comb := in.Args[0], in.Args[1], in.Args[2], in.Args[3]
	hc := g.fixed(x.Type.Dims[len(x.Type.Dims)-2].Size, "the number of streams")
	token, stream := g.divided(r.rows, hc), g.remainder(r.rows, hc)
	sum := b.Mul(g.column(g.element(post, r.rows, r.live)), g.pull(y, g.at(r, token)))
	for j := 0; j < hc; j++ {
		at := memo(g, [4]any{r.rows, "comb", hc, j}, func() *tile.Value {
			return b.Add(b.MulI(b.AddI(b.MulI(token, hc), j), hc), stream)
		})
		sum = b.Add(sum, b.Mul(g.column(g.element(comb, at, r.live)), g.pull(x, g.at(r, g.times(token, hc, j)))))
	}
	return sum
}
