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
		b := g.b
		hc, d, rows := g.mixSizes(in)
		m := mixed{hc: hc, lanes: b.Range(tile.D(g.lanes(rows)))}
		part := b.Minimum(b.DivI(m.lanes, hc), b.Int(g.fixed(in.Args[2].Type.Dims[0].Size, "the scales")-1))
		scale := b.Load(g.elements(in.Args[2], tile.In), part, nil, 0)
		base := b.Load(g.elements(in.Args[3], tile.In), m.lanes, b.LtI(m.lanes, rows), 0)
		products, squares := g.mixSums(in, r)
		rms := b.Rsqrt(b.AddF(b.MulF(squares, 1/float64(hc*d)), in.Attrs.Float("norm_eps"))).Named("rms")
		m.logits = b.Add(b.Mul(b.Mul(products, rms), scale), base).Named("logits")
		for j := 0; j < hc; j++ {
			w := b.AddF(g.sigmoid(g.logit(m, j)), in.Attrs.Float("hc_eps"))
			m.pre = append(m.pre, w.Named("pre_%d", j))
		}
		return m
	})
}

// logit is one logit as a scalar.
func (g *gen) logit(m mixed, lane int) *tile.Value {
	return g.b.Sum(g.b.Where(g.b.EqI(m.lanes, lane), m.logits, g.b.Float(0)), 0)
}

// mixSizes are the number of streams, their width and the rows of the mixing matrix.
func (g *gen) mixSizes(in *ir.Instr) (hc, d, rows int) {
	x := in.Args[0]
	return g.fixed(x.Type.Dims[len(x.Type.Dims)-2].Size, "the number of streams"), g.columns(x),
		g.fixed(in.Args[1].Type.Dims[0].Size, "the mixing matrix")
}

// mixSums is the product of the flattened streams with each row of the mixing matrix, and their sum of squares: added up
// here, or from the parts that other instances have left.
func (g *gen) mixSums(in *ir.Instr, r *region) (products, squares *tile.Value) {
	b := g.b
	_, d, rows := g.mixSizes(in)
	parts := g.mixParts(in)
	if !g.arrived[in] {
		acc, sq := g.mixProducts(in, r, b.Int(0), b.Int(d))
		return b.Sum(acc, 1).Named("mix"), b.Sum(b.Sum(sq, 1), 0).Named("square")
	}
	if g.mixByRows(in) {
		return g.addParts(in, r)
	}
	lanes := pow2(rows + 1)
	first := func(n int) *tile.Value { return b.Row(b.Range(tile.D(n))) }
	lane, part := first(lanes), b.Col(b.Range(tile.D(pow2(parts))))
	added := func(lane *tile.Value) *tile.Value { // some lanes of all parts
		at := b.Add(b.MulI(b.Add(b.MulI(r.rows, parts), part), lanes), lane)
		var live *tile.Value
		if pow2(parts) != parts {
			live = b.BroadcastTo(b.LtI(part, parts), tile.D(pow2(parts)), lane.Shape[1])
		}
		return b.Sum(b.Load(g.mixParam(in), at, live, 0), 0)
	}
	sums := added(lane).Named("mix_and_square")
	squares = b.Sum(b.Where(b.EqI(b.Range(tile.D(lanes)), rows), sums, b.Float(0)), 0).Named("square")
	if lanes == pow2(rows) {
		return sums, squares
	}
	// The lane of the squares needed more lanes than the rows: a second look at the rows alone.
	return added(first(pow2(rows))).Named("mix"), squares
}

// mixProducts multiplies columns from one to another (nil for one block of them) of all streams with each row of the mixing
// matrix, and squares them; both are left to be added up along their second axis.
func (g *gen) mixProducts(in *ir.Instr, r *region, from, to *tile.Value) (products, squares *tile.Value) {
	b := g.b
	x := in.Args[0]
	hc, d, rows := g.mixSizes(in)
	height, width := tile.D(pow2(rows)), g.mixWidth(in)
	weights := g.elements(in.Args[1], tile.In)
	lane := b.Col(b.Range(height))
	acc := b.Zeros(height, tile.D(width)).Named("products")
	sq := b.Zeros(tile.D(1), tile.D(width)).Named("squares")
	part := func(i *tile.Value, c []*tile.Value) []*tile.Value {
		acc, sq := c[0], c[1]
		columns := g.block(r.rows, nil, 1, i, tile.D(width), d) // of the token, which what is read for all streams belongs to
		for j := 0; j < hc; j++ {
			block := g.at(columns, g.times(r.rows, hc, j))
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
	}
	if to == nil {
		out := part(from, []*tile.Value{acc, sq})
		return out[0], out[1]
	}
	out := g.loop("start", from, to, width, []*tile.Value{acc, sq}, part)
	return out[0], out[1]
}

// mixWidth is how many columns of a stream are multiplied at once. Where launches are dependent, columns of the matrix for all
// streams are loaded before the wait, and are so few that a program can hold them.
func (g *gen) mixWidth(in *ir.Instr) int {
	hc, d, rows := g.mixSizes(in)
	width := max(64, g.plan.mixElements/pow2(rows))
	if g.fewTokens(in.Results[0]) {
		width = min(width, max(64, pow2(d)/g.plan.mixParts))
		if held := g.plan.heldBytes / (hc * pow2(rows) * tile.F32.Bytes()); held > 0 {
			width = min(width, max(64, pow2(held+1)/2))
		}
	}
	return min(width, pow2(d))
}

// fewTokens reports whether there is one token of each sequence: in decoding, and where the last alone are read.
func (g *gen) fewTokens(v *ir.Value) bool {
	_, fixed := g.rows(v).Bind(ir.Env{"b": 1}).IsConst()
	return fixed
}

// mixParts is over how many instances the product with the mixing matrix is spread for few tokens; 1 for one.
func (g *gen) mixParts(in *ir.Instr) int {
	_, d, _ := g.mixSizes(in)
	switch {
	case g.mixesBlocks(in):
		return g.mixBlockParts(in)
	case !g.fewTokens(in.Results[0]):
		return 1
	}
	return (d + g.mixWidth(in) - 1) / g.mixWidth(in)
}

// mixParam is where instances leave their parts: for each row and part the products, then the sum of squares.
func (g *gen) mixParam(in *ir.Instr) *tile.Param {
	_, _, rows := g.mixSizes(in)
	y := in.Results[0]
	return g.room(g.name(y)+"_parts", "parts of the products with the mixing matrix, then of the sum of squares",
		g.rows(y), ir.Const(g.mixParts(in)), ir.Const(g.lanes(rows+1)))
}

// leaveMix is one instance's part of the product: a block of columns of all streams of one token.
func (g *gen) leaveMix(in *ir.Instr, row, part *tile.Value) {
	if g.mixByRows(in) {
		g.leaveRows(in, row, part)
		return
	}
	b := g.b
	_, d, rows := g.mixSizes(in)
	width := g.mixWidth(in)
	from := b.MulI(part, width)
	var to *tile.Value
	if d%width != 0 {
		to = b.Minimum(b.AddI(from, width), b.Int(d))
	}
	acc, sq := g.mixProducts(in, &region{rows: row, height: tile.D(1)}, from, to)
	p := g.mixParam(in)
	lanes := pow2(rows + 1)
	first := b.MulI(b.Add(b.MulI(row, g.mixParts(in)), part), lanes)
	lane := b.Range(tile.D(pow2(rows)))
	b.Store(p, b.Add(first, lane), b.Sum(acc, 1), b.LtI(lane, rows))
	b.Store(p, b.AddI(first, rows), b.Sum(b.Sum(sq, 1), 0), nil)
	if rest := lanes - rows - 1; rest > 0 { // what is read as a whole is written as a whole
		tail := b.Range(tile.D(pow2(rest)))
		b.Store(p, b.Add(b.AddI(first, rows+1), tail), b.Zeros(tile.D(pow2(rest))), b.LtI(tail, rest))
	}
}

// pullStreams is the weighted sum of the streams.
func (g *gen) pullStreams(in *ir.Instr, r *region) *tile.Value {
	hc, _, _ := g.mixSizes(in)
	streams := make([]*tile.Value, hc) // on their way while the weights are computed
	for j := range streams {
		streams[j] = g.pull(in.Args[0], g.at(r, g.times(r.rows, hc, j)))
	}
	var sum *tile.Value
	for j, w := range g.mixing(in, r).pre {
		sum = g.plus(sum, g.b.Mul(w, streams[j]))
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
	if m.hc <= 4 {
		g.storeSmallComb(in, rows, m)
		return
	}
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

// storeSmallComb keeps every element of the matrix as a scalar: rounds of Sinkhorn are a chain of short sums and
// divisions, which lanes would have to exchange.
func (g *gen) storeSmallComb(in *ir.Instr, rows *tile.Value, m mixed) {
	b, n := g.b, m.hc
	eps := in.Attrs.Float("hc_eps")
	c := make([]*tile.Value, n*n)
	for i := range c {
		c[i] = g.logit(m, 2*n+i)
	}
	for j := 0; j < n; j++ {
		row := c[j*n : (j+1)*n]
		top := row[0]
		for _, v := range row[1:] {
			top = b.Maximum(top, v)
		}
		for k, v := range row {
			row[k] = b.Exp(b.Sub(v, top))
		}
		sum := g.total(row)
		for k, v := range row {
			row[k] = b.AddF(b.Div(v, sum), eps)
		}
	}
	c = g.normalised(c, n, n, 1, eps)
	for i := range c {
		c[i].Named("comb_%d_%d", i/n, i%n)
	}
	c = g.loop("round", b.Int(1), b.Int(in.Attrs.Int("iters")), 1, c, func(_ *tile.Value, c []*tile.Value) []*tile.Value {
		return g.normalised(g.normalised(c, n, 1, n, eps), n, n, 1, eps)
	})
	out := g.elements(in.Results[2], tile.Out)
	first := b.MulI(rows, n*n)
	for i, v := range c {
		b.Store(out, b.AddI(first, i), v, nil)
	}
}

// normalised divides the lines of an n×n matrix by their sums: element k of line j is number j·line + k·step.
func (g *gen) normalised(c []*tile.Value, n, step, line int, eps float64) []*tile.Value {
	out := make([]*tile.Value, len(c))
	for j := 0; j < n; j++ {
		var terms []*tile.Value
		for k := 0; k < n; k++ {
			terms = append(terms, c[j*line+k*step])
		}
		inverse := g.b.Div(g.b.Float(1), g.b.AddF(g.total(terms), eps))
		for k, v := range terms {
			out[j*line+k*step] = g.b.Mul(v, inverse)
		}
	}
	return out
}

func (g *gen) total(terms []*tile.Value) *tile.Value {
	sum := terms[0]
	for _, v := range terms[1:] {
		sum = g.b.Add(sum, v)
	}
	return sum
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
