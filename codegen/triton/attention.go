package triton

import (
	"math"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// entryBlock is how many entries share one update of the running maximum. Probabilities are rounded relative to it, so
// it is part of the op's meaning.
const entryBlock = 64

// headBlocks is how the heads of a token are taken: so many at once, so many times.
func (g *gen) headBlocks(q *ir.Value) (heads, height, blocks int) {
	heads = g.fixed(q.Type.Dims[2].Size, "the heads")
	height = max(g.plan.leastHeads, min(pow2(heads), g.plan.headRows))
	return heads, height, (heads + height - 1) / height
}

// headsAt are the token and the heads, a column, that a number of a token's block of heads stands for.
func (g *gen) headsAt(q *ir.Value, id *tile.Value) (token, head *tile.Value) {
	_, height, blocks := g.headBlocks(q)
	b := g.b
	token = b.DivI(id, blocks).Named("token")
	return token, b.Add(b.MulI(b.ModI(id, blocks), height), b.Col(b.Range(tile.D(height)))).Named("head")
}

// attentionSections are two programs' worth. The first rates entries: an instance a block of them, for a block of heads
// of one token. The second weighs them: an instance some channels of the values. So neither holds whole rows, and a
// single token keeps many instances busy.
func (g *gen) attentionSections(in *ir.Instr, sinks []sink) []*section {
	switch {
	case g.arrived[in] && g.plan.factorsApart && !g.factors[in]:
		return []*section{g.factorSection(in, sinks)}
	case g.arrived[in]:
		return []*section{g.weighSection(in, sinks)}
	}
	g.later = append(g.later, sinks...)
	q, list := in.Args[0], in.Args[2]
	heads, _, headBlocks := g.headBlocks(q)
	n := list.Type.Dims[2].Size
	width := g.rateBlock(in)
	blocks := ceilDiv(n, width)
	tokens := q.Type.Dims[0].Size.Mul(q.Type.Dims[1].Size)
	count := tokens.Mul(ir.Const(headBlocks)).Mul(blocks)
	sec := g.newSection(sinks, count, "rated: a block of entries and heads of one token for each instance", func(id *tile.Value) {
		b := g.b
		per := g.size(blocks)
		rest := b.Div(id, per)
		token, head := g.headsAt(q, rest)
		place := b.Add(b.MulI(b.Mod(id, per), width), b.Range(tile.D(width))).Named("place")
		row := b.Add(b.MulI(token, heads), head).Named("row")
		some := b.LtI(head, heads)
		score := g.rateEntries(in, token, row, some, place)
		at := b.Add(b.Mul(row, g.size(n)), b.Row(place))
		b.Store(g.scoreParam(in), at, score, b.And(some, b.Row(b.Lt(place, g.size(n)))))
		if g.spreads(in) {
			top := b.Add(b.Mul(row, per), b.Mod(id, per))
			b.Store(g.topParam(in), top, b.Col(b.Max(score, 1)), some)
		}
	})
	if !g.spreads(in) {
		sec.warps, sec.stages = 8, 3
	}
	return []*section{sec}
}

// spreads reports whether blocks of entries are weighed by instances of their own, whose sums the last to arrive adds up:
// for a single token, where instances can find out who is the last.
func (g *gen) spreads(in *ir.Instr) bool { return g.fn.Mode == ir.Decode && g.tickets() }

// rateBlock is how many entries an instance rates: few where a single token must keep the machine busy.
func (g *gen) rateBlock(in *ir.Instr) int {
	if g.spreads(in) {
		return g.plan.rateBlock
	}
	return entryBlock
}

// headRows and entryBlocks are how many rows of heads there are, and how many blocks of entries each of them has.
func (g *gen) headRows(in *ir.Instr) ir.Size { return productOf(in.Args[0].Type.Dims[:3]) }

func (g *gen) entryBlocks(in *ir.Instr) ir.Size {
	return ceilDiv(in.Args[2].Type.Dims[2].Size, entryBlock)
}

// rateBlocks is how many blocks they are rated in.
func (g *gen) rateBlocks(in *ir.Instr) ir.Size {
	return ceilDiv(in.Args[2].Type.Dims[2].Size, g.rateBlock(in))
}

// scoreParam is where the scores of all heads stay between the programs, -∞ for places that list nothing.
func (g *gen) scoreParam(in *ir.Instr) *tile.Param {
	return g.room(g.name(in.Results[0])+"_scores", "scores of each head for each listed entry", g.headRows(in), in.Args[2].Type.Dims[2].Size)
}

func (g *gen) topParam(in *ir.Instr) *tile.Param {
	return g.room(g.name(in.Results[0])+"_tops", "the best score of each block of rated entries", g.headRows(in), g.rateBlocks(in))
}

func (g *gen) sumParam(in *ir.Instr) *tile.Param {
	return g.room(g.name(in.Results[0])+"_sums", "weighted values of each block of entries", g.headRows(in), g.entryBlocks(in),
		ir.Const(g.columns(in.Args[0])))
}

func (g *gen) totalParam(in *ir.Instr, parts int) *tile.Param {
	doc := "sums of the weights of each block of entries, from each part of the channels"
	return g.room(g.name(in.Results[0])+"_totals", doc, ir.Const(parts), g.headRows(in), g.entryBlocks(in))
}

// listed are the rows of keys that places of a token's list name, and which of them exist.
func (g *gen) listed(in *ir.Instr, token, place *tile.Value) (rows, live *tile.Value) {
	b := g.b
	keys, list := in.Args[1], in.Args[2]
	s := g.size(in.Args[0].Type.Dims[1].Size)
	seq, i := b.Div(token, s), b.Mod(token, s)
	entry := g.entries(list, seq, i, place).Named("entry")
	live = b.And(b.Lt(place, g.size(list.Type.Dims[2].Size)), b.Ge(entry, b.Int(0))).Named("live")
	first := b.Mul(seq, g.size(keys.Type.Dims[1].Size))
	return b.Add(first, b.Where(live, entry, b.Int(0))).Named("key_row"), live
}

// rateEntries are the scaled products of a block of heads with a block of entries.
func (g *gen) rateEntries(in *ir.Instr, token, row, some, place *tile.Value) *tile.Value {
	b := g.b
	q, keys := in.Args[0], in.Args[1]
	d := g.columns(q)
	rows, live := g.listed(in, token, place)
	entries, height := place.Shape[0], row.Shape[0]
	depth, dots := g.plan.dotDepth, 1
	if g.spreads(in) { // all channels at once, so that nothing waits, and in several dots: one is a chain of products
		depth, dots = max(depth, g.plan.panelElements/max(2*entries.Size, height.Size)), g.plan.rateDots
	}
	depth = max(g.plan.dotK, pow2Divisor(d, depth))
	dots = min(dots, depth/g.plan.dotK)
	width := tile.D(depth / dots)
	part := func(i *tile.Value, c []*tile.Value) []*tile.Value {
		queries, channels := make([]*tile.Value, dots), make([]*tile.Value, dots)
		for j := range dots {
			block := g.block(row, some, height.Size, b.AddI(i, j*width.Size), width, d)
			queries[j] = b.Cast(g.pull(q, block), tile.BF16)
		}
		for j := range dots {
			down := b.Col(b.Add(b.AddI(i, j*width.Size), b.Range(width)))
			mask := b.Row(live)
			if d%depth != 0 {
				mask = b.And(mask, b.LtI(down, d))
			}
			channels[j] = b.Load(g.elements(keys, tile.In), b.Add(b.MulI(b.Row(rows), d), down), mask, 0)
		}
		sum := b.Dot(queries[0], channels[0], c[0])
		for j := 1; j < dots; j++ {
			sum = b.Add(sum, b.Dot(queries[j], channels[j], b.Zeros(height, entries)))
		}
		return []*tile.Value{sum}
	}
	acc := b.Zeros(height, entries).Named("acc")
	if depth == d {
		acc = part(b.Int(0), []*tile.Value{acc})[0]
	} else {
		acc = g.loop("channel", b.Int(0), b.Int(d), depth, []*tile.Value{acc}, part)[0]
	}
	return b.Where(b.Row(live), b.MulF(acc, in.Attrs.Float("scale")), b.Float(math.Inf(-1))).Named("score")
}

// weighSection covers heads and channels.
func (g *gen) weighSection(in *ir.Instr, sinks []sink) *section {
	q := in.Args[0]
	heads, height, headBlocks := g.headBlocks(q)
	d := g.columns(q)
	width := min(g.plan.valueWidth, pow2(d))
	if g.fn.Mode == ir.Decode {
		width = min(max(g.plan.dotM, 32, 2*g.plan.lanes), width)
	}
	for _, s := range sinks {
		if s.whole {
			width = pow2(d)
		}
	}
	blocks := (d + width - 1) / width
	tokens := q.Type.Dims[0].Size.Mul(q.Type.Dims[1].Size)
	groups := tokens.Mul(ir.Const(headBlocks * blocks))
	part := func(id *tile.Value) *region {
		b := g.b
		rest := b.DivI(id, blocks)
		token, head := g.headsAt(q, rest)
		rows := b.Add(b.MulI(token, heads), head).Named("row")
		r := g.columnBlock(rows, b.LtI(head, heads), height, b.ModI(id, blocks), width, d)
		r.token, r.head, r.part = token, head, b.ModI(id, blocks)
		return r
	}
	write := func(r *region) {
		for _, s := range sinks {
			s.write(r)
		}
	}
	if !g.spreads(in) {
		sec := g.newSection(sinks, groups, "a block of channels and heads of one token for each instance", func(id *tile.Value) { write(part(id)) })
		sec.stages = 3
		return sec
	}
	n := g.entryBlocks(in)
	what := "a block of channels, heads and entries of one token for each instance; the last adds up"
	return g.newSection(sinks, groups.Mul(n), what, func(id *tile.Value) {
		count := g.size(n).Named("entry_blocks")
		group := g.b.Div(id, count).Named("group")
		r := part(group)
		g.leaveWeighed(in, r, g.b.Mod(id, count).Named("entry_block"), blocks)
		g.last(sinks[0], group, count, groups, func() {
			g.sums[in] = true
			write(r)
			delete(g.sums, in)
		})
	})
}

// tops are, for each head, the best score of the blocks of entries up to one and of all.
func (g *gen) tops(in *ir.Instr, r *region, upTo *tile.Value) (before, all *tile.Value) {
	b := g.b
	count := g.size(g.rateBlocks(in))
	behind := b.MulI(b.AddI(upTo, 1), entryBlock/g.rateBlock(in))
	const width, loads = 16, 5 // a window of 128 entries and 512 chosen ones, rated 8 at once, take one round
	none := b.Float(math.Inf(-1))
	start := []*tile.Value{b.Full(none, r.height, tile.D(width)).Named("before"), b.Full(none, r.height, tile.D(width)).Named("tops")}
	out := g.loop("first", b.Int(0), count, width*loads, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		before, all := c[0], c[1]
		for j := range loads {
			rated := b.Row(b.Add(b.AddI(i, j*width), b.Range(tile.D(width))))
			x := b.Load(g.topParam(in), b.Add(b.Mul(r.rows, count), rated), b.And(r.live, b.Lt(rated, count)), math.Inf(-1))
			before, all = b.Maximum(before, b.Where(b.Lt(rated, behind), x, none)), b.Maximum(all, x)
		}
		return []*tile.Value{before, all}
	})
	return b.Max(out[0], 1), b.Max(out[1], 1)
}

// leaveWeighed weighs one block of entries with the maximum that the running one has there, and brings the sums to the
// last maximum: what earlier sums are rescaled by on the way multiplies to just that.
func (g *gen) leaveWeighed(in *ir.Instr, r *region, block *tile.Value, parts int) {
	b := g.b
	none := b.Float(math.Inf(-1))
	count := g.size(g.entryBlocks(in))
	values, score := g.ratedBlock(in, r, block)
	top, last := g.tops(in, r, block)
	memo(g, [3]any{in, "last top", r}, func() *tile.Value { return last })
	finite := b.Where(b.Gt(top, none), top, b.Float(0))
	p := b.Exp(b.Sub(score, b.Col(finite))).Named("prob")
	fade := b.Where(b.Gt(top, none), b.Exp(b.Sub(top, b.Where(b.Gt(last, none), last, b.Float(0)))), b.Float(0)).Named("fade")
	sum := b.Mul(b.Dot(b.Cast(p, tile.BF16), values, b.Zeros(r.height, r.width)), b.Col(fade))
	at := b.Add(b.Mul(r.rows, count), block)
	b.Store(g.sumParam(in), b.Add(b.MulI(at, g.columns(in.Args[0])), r.cols), sum, g.mask(r))
	total := b.Add(b.Mul(r.part, b.Mul(g.size(g.headRows(in)), count)), at)
	b.Store(g.totalParam(in, parts), total, b.Col(b.Mul(b.Sum(p, 1), fade)), r.live)
}

// ratedBlock is a block of entries: their values, and the scores of the heads.
func (g *gen) ratedBlock(in *ir.Instr, r *region, block *tile.Value) (values, score *tile.Value) {
	b := g.b
	n := g.size(in.Args[2].Type.Dims[2].Size)
	place := b.Add(b.MulI(block, entryBlock), b.Range(tile.D(entryBlock)))
	rows, live := g.listed(in, r.token, place)
	values = g.keyBlock(in.Args[1], rows, live, r)
	some := b.And(r.live, b.Row(b.Lt(place, n)))
	return values, b.Load(g.scoreParam(in), b.Add(b.Mul(r.rows, n), b.Row(place)), some, math.Inf(-1)).Named("score")
}

// gathered adds up what the instances of all blocks of entries have left.
func (g *gen) gathered(in *ir.Instr, r *region) (top, total, acc *tile.Value) {
	b := g.b
	count := g.size(g.entryBlocks(in))
	top = memo(g, [3]any{in, "last top", r}, func() *tile.Value { return nil }) // every instance of the group knows it
	const width = 10                                                            // a window of 128 entries and 512 chosen ones take one round
	d := g.columns(in.Args[0])
	start := []*tile.Value{b.Zeros(r.height).Named("total"), b.Zeros(r.height, r.width).Named("acc")}
	first := b.Mul(r.part, b.Mul(g.size(g.headRows(in)), count))
	out := g.loop("first", b.Int(0), count, width, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		total, acc := c[0], c[1]
		for j := 0; j < width; j++ { // loads that wait for nothing but each other's turn
			block := b.AddI(i, j)
			live := b.And(r.live, b.Lt(block, count))
			at := b.Add(b.Mul(r.rows, count), block)
			mask := g.both(live, r.colLive)
			total = b.Add(total, b.Reshape(b.Load(g.totalParam(in, (d+r.width.Size-1)/r.width.Size), b.Add(first, at), live, 0), r.height))
			acc = b.Add(acc, b.Load(g.sumParam(in), b.Add(b.MulI(at, d), r.cols), mask, 0))
		}
		return []*tile.Value{total, acc}
	})
	return top, out[0], out[1]
}

// pullAttention weighs values for the heads of a block: a softmax over the rated entries, block by block with a running
// maximum. The sink joins the denominator at the end.
func (g *gen) pullAttention(in *ir.Instr, r *region) *tile.Value {
	b := g.b
	if !g.arrived[in] {
		g.fail("BUG: attention before its scores")
	}
	none := b.Float(math.Inf(-1))
	sinks := b.Load(g.elements(in.Args[3], tile.In), b.Reshape(r.head, r.height), b.Reshape(r.live, r.height), 0)
	var top, total, acc *tile.Value
	if g.factors[in] {
		return g.weighedByFactors(in, r)
	}
	if g.sums[in] {
		top, total, acc = g.gathered(in, r)
	} else {
		top, total, acc = g.running(in, r)
	}
	some := b.Gt(top, none)
	total = b.Add(total, b.Exp(b.Sub(sinks, b.Where(some, top, b.Float(0)))))
	return b.Where(b.Col(some), b.Div(acc, b.Col(total)), b.Float(0))
}

// running weighs block after block.
func (g *gen) running(in *ir.Instr, r *region) (top, total, acc *tile.Value) {
	b := g.b
	list := in.Args[2]
	none := b.Float(math.Inf(-1))
	n := g.size(list.Type.Dims[2].Size)
	start := []*tile.Value{
		b.Full(none, r.height).Named("top"), b.Zeros(r.height).Named("total"), b.Zeros(r.height, r.width).Named("acc")}
	out := g.loop("start", b.Int(0), n, entryBlock, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		place := b.Add(i, b.Range(tile.D(entryBlock)))
		rows, live := g.listed(in, r.token, place)
		some := b.And(r.live, b.Row(b.Lt(place, n)))
		score := b.Load(g.scoreParam(in), b.Add(b.Mul(r.rows, n), b.Row(place)), some, math.Inf(-1)).Named("score")
		values := g.keyBlock(in.Args[1], rows, live, r)
		top := b.Maximum(c[0], b.Max(score, 1)).Named("new_top")
		finite := b.Where(b.Gt(top, none), top, b.Float(0))
		rescale := b.Exp(b.Sub(c[0], finite)).Named("rescale")
		p := b.Exp(b.Sub(score, b.Col(finite))).Named("prob")
		total := b.Add(b.Mul(c[1], rescale), b.Sum(p, 1))
		return []*tile.Value{top, total, b.Dot(b.Cast(p, tile.BF16), values, b.Mul(c[2], b.Col(rescale)))}
	})
	return out[0], out[1], out[2]
}

// keyBlock loads some channels of rows of keys as they are stored.
func (g *gen) keyBlock(keys *ir.Value, rows, live *tile.Value, r *region) *tile.Value {
	b, d := g.b, g.columns(keys)
	mask, cols := b.Col(live), r.cols
	if r.colLive != nil {
		mask = b.And(mask, r.colLive)
		cols = b.Where(r.colLive, cols, b.Int(0)) // the row may be the last, and machines may form masked addresses of gathers
	}
	return b.Load(g.elements(keys, tile.In), b.Add(b.MulI(b.Col(rows), d), cols), mask, 0).Named("values")
}

// scoreSection covers compressed entries: an instance rates a block of them for one token.
func (g *gen) scoreSection(in *ir.Instr, sinks []sink) *section {
	q, y := in.Args[0], in.Results[0]
	tokens := q.Type.Dims[0].Size.Mul(q.Type.Dims[1].Size)
	n := y.Type.Dims[2].Size
	blocks := ceilDiv(n, g.plan.keyBlock)
	return g.newSection(sinks, tokens.Mul(blocks), "a block of entries for one token for each instance", func(id *tile.Value) {
		b := g.b
		per := g.size(blocks)
		token := b.Div(id, per).Named("token")
		entry := b.Add(b.MulI(b.Mod(id, per), g.plan.keyBlock), b.Range(tile.D(g.plan.keyBlock))).Named("entry")
		live := b.Lt(entry, g.size(n))
		rate := g.rate
		if g.plan.lastAxis {
			rate = g.rateByEntries
		}
		score := g.rounded(y.Type, rate(in, token, entry, live)).Named("score")
		b.Store(g.elements(y, tile.Out), b.Add(b.Mul(token, g.size(n)), entry), score, live)
	})
}

// rate is the sum over heads of w · relu(q·k), with the product and each term rounded to bf16.
func (g *gen) rate(in *ir.Instr, token, entry, live *tile.Value) *tile.Value {
	b := g.b
	q, w := in.Args[0], in.Args[2]
	heads, d := g.fixed(q.Type.Dims[2].Size, "the heads"), g.columns(q)
	height := max(g.plan.dotM, min(pow2(heads), 64))
	cache, seq, stride := g.indexKeys(in, token)
	width := tile.D(pow2(d))
	down := b.Col(b.Range(width))
	mask := b.And(b.Row(live), b.LtI(down, d))
	rows := b.Add(b.Mul(seq, stride), b.Where(live, entry, b.Int(0)))
	k := b.Load(g.elements(cache, tile.In), b.Add(b.MulI(b.Row(rows), d), down), mask, 0).Named("keys")
	sum := b.Zeros(tile.D(g.plan.keyBlock)).Named("sum")
	return g.loop("first_head", b.Int(0), b.Int(heads), height, []*tile.Value{sum}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		head := b.Col(b.Add(i, b.Range(tile.D(height))))
		some := b.LtI(head, heads)
		row := b.Add(b.MulI(token, heads), head)
		queries := b.Load(g.elements(q, tile.In), b.Add(b.MulI(row, d), b.Row(b.Range(width))), b.And(some, b.Row(b.LtI(b.Range(width), d))), 0)
		dot := b.Round(b.Dot(queries, k, b.Zeros(tile.D(height), tile.D(g.plan.keyBlock))), tile.BF16)
		weight := b.LoadF32(g.elements(w, tile.In), row, some, 0)
		term := b.Round(b.Mul(b.MaxF(dot, 0), weight), tile.BF16)
		return []*tile.Value{b.Add(c[0], b.Sum(term, 0))}
	})[0]
}

// listSinks are the parts of a joined list of entries: those that follow from positions, and those chosen.
func (g *gen) listSinks(v *ir.Value) []sink {
	var out []sink
	var parts func(x *ir.Value, from ir.Size)
	parts = func(x *ir.Value, from ir.Size) {
		switch {
		case !g.inMemory(x) && x.Def.Op == ops.Concat:
			parts(x.Def.Args[0], from)
			parts(x.Def.Args[1], from.Add(x.Def.Args[0].Type.Dims[2].Size))
		case !g.inMemory(x) && x.Def.Op == ops.TopEntries:
			out = append(out, sink{value: x, into: v, from: from})
		default:
			out = append(out, sink{value: x, row: func(row *tile.Value) { g.storeEntries(x, v, from, row) }})
		}
	}
	parts(v, ir.Const(0))
	return out
}

// storeEntries writes the entries of one token into its row of a longer list.
func (g *gen) storeEntries(x, v *ir.Value, from ir.Size, row *tile.Value) {
	b := g.b
	s := g.size(v.Type.Dims[1].Size)
	n, all := g.size(x.Type.Dims[2].Size), g.size(v.Type.Dims[2].Size)
	const width = 128
	g.loop("start", b.Int(0), n, width, nil, func(i *tile.Value, _ []*tile.Value) []*tile.Value {
		place := b.Add(i, b.Range(tile.D(width)))
		entry := g.entries(x, b.Div(row, s), b.Mod(row, s), place)
		at := b.Add(b.Add(b.Mul(row, all), g.size(from)), place)
		b.Store(g.elements(v, tile.Out), at, entry, b.Lt(place, n))
		return nil
	})
}
