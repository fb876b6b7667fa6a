package triton

import (
	"flagc/ir"
	"flagc/ir/tile"
)

// topSection ranks: an instance counts, for a block of entries of one token, how many are better. Equal ones count by
// place. An entry of rank r below k is number r of the list; places beyond the visible entries hold -1.
func (g *gen) topSection(in *ir.Instr, sinks []sink) *section {
	score := in.Args[0]
	if !g.inMemory(score) {
		g.fail("top_entries of scores that are not in memory")
	}
	d := score.Type.Dims
	tokens, n := d[0].Size.Mul(d[1].Size), d[2].Size
	blocks := ceilDiv(n, g.plan.rankBlock)
	return g.newSection(sinks, tokens.Mul(blocks), "a block of entries of one token for each instance", func(id *tile.Value) {
		b := g.b
		per, count, k := g.size(blocks), g.size(n), g.size(in.Attrs.Size("k"))
		token := b.Div(id, per).Named("token")
		i := b.Mod(token, g.size(d[1].Size))
		complete := b.DivI(b.AddI(b.Add(g.size(ir.Sym("p")), i), 1), in.Attrs.Int("ratio"))
		visible := b.Minimum(count, complete).Named("visible")
		row := b.Mul(token, count)
		start := b.MulI(b.Mod(id, per), g.plan.rankBlock).Named("first")
		entry := b.Add(start, b.Range(tile.D(g.plan.rankBlock))).Named("entry")
		mine := b.LoadF32(g.elements(score, tile.In), b.Add(row, entry), b.Lt(entry, visible), 0).Named("mine")
		rank := g.rank(score, row, visible, start, entry, mine)
		chosen := b.Add(g.size(in.Attrs.Size("first")), entry)
		for _, s := range sinks {
			g.storeRanked(s, token, chosen, rank, entry, visible, k)
		}
	})
}

// rank counts the entries that come before each of a block: those earlier in the list that are as good, those later that
// are better, and in the block itself by both. Where one look tells which side a block is on, a comparison is all it costs.
func (g *gen) rank(score *ir.Value, row, visible, first, entry, mine *tile.Value) *tile.Value {
	b := g.b
	width := max(g.plan.rowElements/g.plan.rankBlock, g.plan.lanes)
	count := func(before *tile.Value) *tile.Value { return b.Sum(b.Where(before, b.Int(1), b.Int(0)), 1) }
	side := func(name string, from, to *tile.Value, c tile.Code, rank *tile.Value) *tile.Value {
		return g.loop(name, from, to, width, []*tile.Value{rank}, func(i *tile.Value, r []*tile.Value) []*tile.Value {
			other := b.Add(i, b.Range(tile.D(width)))
			live := b.Lt(other, to)
			theirs := b.LoadF32(g.elements(score, tile.In), b.Add(row, other), live, 0)
			return []*tile.Value{b.Add(r[0], count(b.And(b.Row(live), b.Binary(c, b.Row(theirs), b.Col(mine)))))}
		})[0]
	}
	earlier := b.And(b.Eq(b.Row(mine), b.Col(mine)), b.Lt(b.Row(entry), b.Col(entry)))
	own := b.And(b.Row(b.Lt(entry, visible)), b.Or(b.Gt(b.Row(mine), b.Col(mine)), earlier))
	rank := side("start", b.Int(0), b.Minimum(first, visible), tile.Ge, count(own).Named("rank"))
	return side("start", b.AddI(first, g.plan.rankBlock), visible, tile.Gt, rank)
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
