package triton

import (
	"math"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
	"flagc/targets"
)

// entryBlock is how many entries share one update of the running maximum. Probabilities are rounded relative to it, so
// it is part of the op's meaning.
const entryBlock = 64

// attentionSection covers heads: an instance attends for a block of heads of one token.
func (g *gen) attentionSection(in *ir.Instr, sinks []sink) *section {
	q := in.Args[0]
	heads := g.fixed(q.Type.Dims[2].Size, "the heads")
	height := max(g.plan.dotM, min(pow2(heads), 64))
	blocks := (heads + height - 1) / height
	tokens := q.Type.Dims[0].Size.Mul(q.Type.Dims[1].Size)
	sec := g.newSection(sinks, tokens.Mul(ir.Const(blocks)), "a block of heads of one token for each instance", func(id *tile.Value) {
		b := g.b
		token := b.DivI(id, blocks).Named("token")
		head := b.Add(b.MulI(b.ModI(id, blocks), height), b.Col(b.Range(tile.D(height)))).Named("head")
		rows := b.Add(b.MulI(token, heads), head).Named("row")
		r := g.wholeRow(rows, b.LtI(head, heads), height, g.columns(q))
		r.token, r.head = token, head
		for _, s := range sinks {
			s.write(r)
		}
	})
	sec.warps = 8
	return sec
}

// pullAttention attends for the heads of a block: a softmax over listed rows, which are key and value at once, block by
// block with a running maximum. The sink joins the denominator at the end.
func (g *gen) pullAttention(in *ir.Instr, r *region) *tile.Value {
	b := g.b
	keys, list, sink := in.Args[1], in.Args[2], in.Args[3]
	d := g.needWhole(in, r)
	s := g.size(in.Args[0].Type.Dims[1].Size)
	seq, token := b.Div(r.token, s).Named("sequence"), b.Mod(r.token, s)
	first := b.Mul(seq, g.size(keys.Type.Dims[1].Size))
	q := b.Cast(g.pull(in.Args[0], r), tile.BF16).Named("q_heads")
	none := b.Float(math.Inf(-1))
	n := g.size(list.Type.Dims[2].Size).Named("entry_count")
	start := []*tile.Value{
		b.Full(none, r.height).Named("top"), b.Zeros(r.height).Named("total"), b.Zeros(r.height, r.width).Named("acc")}
	out := g.loop("start", b.Int(0), n, entryBlock, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		place := b.Add(i, b.Range(tile.D(entryBlock)))
		entry := g.entries(list, seq, token, place).Named("entry")
		live := b.And(b.Lt(place, n), b.Ge(entry, b.Int(0))).Named("live")
		rows := b.Add(first, b.Where(live, entry, b.Int(0)))
		kv := g.keyRows(keys, rows, live, r, d).Named("kv")
		score := b.MulF(b.Dot(q, g.turned(kv, keys, rows, live, r, d), b.Zeros(r.height, tile.D(entryBlock))), in.Attrs.Float("scale"))
		score = b.Where(b.Row(live), score, none).Named("score")
		top := b.Maximum(c[0], b.Max(score, 1)).Named("new_top")
		finite := b.Where(b.Gt(top, none), top, b.Float(0))
		rescale := b.Exp(b.Sub(c[0], finite)).Named("rescale")
		p := b.Exp(b.Sub(score, b.Col(finite))).Named("prob")
		total := b.Add(b.Mul(c[1], rescale), b.Sum(p, 1))
		return []*tile.Value{top, total, b.Dot(b.Cast(p, tile.BF16), kv, b.Mul(c[2], b.Col(rescale)))}
	})
	top, total, acc := out[0], out[1], out[2]
	head := b.Reshape(r.head, r.height)
	some := b.Gt(top, none)
	sinks := b.Load(g.elements(sink, tile.In), head, b.Reshape(r.live, r.height), 0)
	total = b.Add(total, b.Exp(b.Sub(sinks, b.Where(some, top, b.Float(0)))))
	return b.Where(b.Col(some), b.Div(acc, b.Col(total)), b.Float(0))
}

// keyRows loads rows of keys as they are stored.
func (g *gen) keyRows(keys *ir.Value, rows, live *tile.Value, r *region, d int) *tile.Value {
	b := g.b
	mask := b.Col(live)
	cols := b.Row(b.Range(r.width))
	if r.colLive != nil {
		mask = b.And(mask, r.colLive)
		cols = b.Where(r.colLive, cols, b.Int(0)) // the row may be the last, and machines may form masked addresses of gathers
	}
	return b.Load(g.elements(keys, tile.In), b.Add(b.MulI(b.Col(rows), d), cols), mask, 0)
}

// turned are the same rows as columns: transposed where programs can, else loaded so.
func (g *gen) turned(kv *tile.Value, keys *ir.Value, rows, live *tile.Value, r *region, d int) *tile.Value {
	b := g.b
	if use, ok := g.target.Ops.Transpose.Get(); !ok || use == targets.Works {
		return b.Transpose(kv, 1, 0)
	}
	down, mask := b.Col(b.Range(r.width)), b.Row(live)
	if r.width.Size > d {
		some := b.LtI(down, d)
		down, mask = b.Where(some, down, b.Int(0)), b.And(mask, some)
	} else {
		mask = b.And(mask, b.LtI(down, d))
	}
	return b.Load(g.elements(keys, tile.In), b.Add(b.MulI(b.Row(rows), d), down), mask, 0)
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
		score := g.rounded(y.Type, g.rate(in, token, entry, live)).Named("score")
		b.Store(g.elements(y, tile.Out), b.Add(b.Mul(token, g.size(n)), entry), score, live)
	})
}

// rate is the sum over heads of w · relu(q·k), with the product and each term rounded to bf16.
func (g *gen) rate(in *ir.Instr, token, entry, live *tile.Value) *tile.Value {
	b := g.b
	q, keys, w := in.Args[0], in.Args[1], in.Args[2]
	heads, d := g.fixed(q.Type.Dims[2].Size, "the heads"), g.columns(q)
	height := max(g.plan.dotM, min(pow2(heads), 64))
	seq := b.Div(token, g.size(q.Type.Dims[1].Size))
	cache, stride := keys, g.size(keys.Type.Dims[1].Size)
	if !g.inMemory(keys) && keys.Def.Op == ops.Take {
		cache = keys.Def.Args[0]
		stride = g.size(cache.Type.Dims[1].Size)
	}
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

// topSection ranks: an instance counts, for a block of entries of one token, how many are better. Equal ones count by
// place. An entry of rank r below k is number r of the list; places beyond the visible entries hold -1.
func (g *gen) topSection(in *ir.Instr, sinks []sink) *section {
	score := in.Args[0]
	if !g.inMemory(score) {
		g.fail("top_entries of scores that are not in memory")
	}
	d := score.Type.Dims
	tokens, n := d[0].Size.Mul(d[1].Size), d[2].Size
	blocks := ceilDiv(n, g.plan.keyBlock)
	return g.newSection(sinks, tokens.Mul(blocks), "a block of entries of one token for each instance", func(id *tile.Value) {
		b := g.b
		per, count, k := g.size(blocks), g.size(n), g.size(in.Attrs.Size("k"))
		token := b.Div(id, per).Named("token")
		i := b.Mod(token, g.size(d[1].Size))
		complete := b.DivI(b.AddI(b.Add(g.size(ir.Sym("p")), i), 1), in.Attrs.Int("ratio"))
		visible := b.Minimum(count, complete).Named("visible")
		row := b.Mul(token, count)
		entry := b.Add(b.MulI(b.Mod(id, per), g.plan.keyBlock), b.Range(tile.D(g.plan.keyBlock))).Named("entry")
		mine := b.LoadF32(g.elements(score, tile.In), b.Add(row, entry), b.Lt(entry, visible), 0).Named("mine")
		rank := g.rank(score, row, visible, entry, mine)
		chosen := b.Add(g.size(in.Attrs.Size("first")), entry)
		for _, s := range sinks {
			g.storeRanked(s, token, chosen, rank, entry, visible, k)
		}
	})
}

// rank counts the entries that come before each of some.
func (g *gen) rank(score *ir.Value, row, visible, entry, mine *tile.Value) *tile.Value {
	b := g.b
	const width = 128
	zero := b.Full(b.Int(0), entry.Shape...).Named("rank")
	return g.loop("start", b.Int(0), visible, width, []*tile.Value{zero}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		other := b.Add(i, b.Range(tile.D(width)))
		live := b.Lt(other, visible)
		theirs := b.LoadF32(g.elements(score, tile.In), b.Add(row, other), live, 0)
		better := b.Gt(b.Row(theirs), b.Col(mine))
		earlier := b.And(b.Eq(b.Row(theirs), b.Col(mine)), b.Lt(b.Row(other), b.Col(entry)))
		before := b.And(b.Row(live), b.Or(better, earlier))
		return []*tile.Value{b.Add(c[0], b.Sum(b.Where(before, b.Int(1), b.Int(0)), 1))}
	})[0]
}

func (g *gen) storeRanked(s sink, token, chosen, rank, entry, visible, k *tile.Value) {
	b := g.b
	v := s.value
	if s.into != nil {
		v = s.into
	}
	first := b.Mul(token, g.size(v.Type.Dims[2].Size))
	if s.into != nil {
		first = b.Add(first, g.size(s.from))
	}
	p := g.elements(v, tile.Out)
	b.Store(p, b.Add(first, rank), chosen, b.And(b.Lt(entry, visible), b.Lt(rank, k)))
	b.Store(p, b.Add(first, entry), b.Full(b.Int(-1), entry.Shape...), b.And(b.Ge(entry, visible), b.Lt(entry, k)))
}
