package triton

import (
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// Entries are chosen in one of two ways, by how many there are. Few are ranked against each other at once. Of many, most
// are ruled out before: see longSections. Programs of the way that is not taken have no instances.

// mostRanked is how many entries are ranked at once; ranking more takes longer than the programs that rule most of them
// out. Where few are chosen there are fewer to rule out by.
const mostRanked = 4096

// choice is one top_entries as programs see it.
type choice struct {
	in        *ir.Instr
	score     *ir.Value
	tokens, n ir.Size
	k         int     // entries to choose where there are as many
	limit     int     // entries that are ranked at once
	long      ir.Size // 1 where there are more, else 0
}

func (g *gen) choice(in *ir.Instr) choice {
	d := in.Args[0].Type.Dims
	c := choice{in: in, score: in.Args[0], tokens: d[0].Size.Mul(d[1].Size), n: d[2].Size.Bind(g.bound), k: most(in.Attrs.Size("k"))}
	c.limit = min(8*c.k, mostRanked)
	c.long = ir.Const(1).Min(c.n.Div(ir.Const(c.limit + 1)))
	return c
}

// most is what a size grows to at most, or a number beyond all sizes.
func most(s ir.Size) int {
	env := ir.Env{}
	for _, name := range ir.Symbols {
		env[name] = 1 << 30
	}
	n, _ := s.Eval(env)
	return n
}

// LongChoice is after how many tokens a kernel begins to choose entries the long way, and whether it ever does.
func LongChoice(f *ir.Func) (tokens int, ok bool) {
	for _, in := range f.Body {
		if in.Op == ops.TopEntries {
			c := (&gen{bound: f.Mode.Bound()}).choice(in)
			return (c.limit + 1) * in.Attrs.Int("ratio"), most(c.n) > c.limit
		}
	}
	return 0, false
}

// topSections are those of the program that a choice has come to.
func (g *gen) topSections(in *ir.Instr, sinks []sink) []*section {
	c := g.choice(in)
	if !g.inMemory(c.score) {
		g.fail("top_entries of scores that are not in memory")
	}
	if most(c.n) <= c.limit {
		return []*section{g.rankSection(c, sinks)}
	}
	stage := g.stage[in]
	g.stage[in]++
	steps := g.longSections(c, sinks)
	if stage < len(steps)-1 {
		g.later = append(g.later, sinks...)
	}
	if stage == 0 {
		return []*section{g.rankSection(c, sinks), steps[0]}
	}
	return []*section{steps[stage]}
}

// rankSection ranks all entries: an instance counts, for a block of entries of one token, how many are better. Equal ones
// count by place. An entry of rank r below k is number r of the list; places beyond the visible entries hold -1.
func (g *gen) rankSection(c choice, sinks []sink) *section {
	blocks := ceilDiv(c.n, g.plan.rankBlock)
	count := c.tokens.Mul(blocks).Mul(ir.Const(1).Sub(c.long))
	return g.newSection(sinks[:1], count, "a block of entries of one token for each instance", func(id *tile.Value) {
		b := g.b
		per, count, k := g.size(blocks), g.size(c.n), g.size(c.in.Attrs.Size("k"))
		token := b.Div(id, per).Named("token")
		visible := g.visible(c, token)
		row := b.Mul(token, count)
		start := b.MulI(b.Mod(id, per), g.plan.rankBlock).Named("first")
		entry := b.Add(start, b.Range(tile.D(g.plan.rankBlock))).Named("entry")
		scores := g.elements(c.score, tile.In)
		live := b.Lt(entry, visible)
		mine := b.LoadF32(scores, b.Add(row, entry), live, 0).Named("mine")
		rank := g.rank(scores, row, visible, start, entry, mine)
		chosen := b.Add(g.size(c.in.Attrs.Size("first")), entry)
		for _, s := range sinks {
			g.storeRanked(s, token, chosen, rank, b.And(live, b.Lt(rank, k)))
			g.storeNone(s, token, entry, visible, k)
		}
	})
}

// visible is how many entries are complete for a token.
func (g *gen) visible(c choice, token *tile.Value) *tile.Value {
	b := g.b
	i := b.Mod(token, g.size(c.score.Type.Dims[1].Size))
	complete := b.DivI(b.AddI(b.Add(g.size(ir.Sym("p")), i), 1), c.in.Attrs.Int("ratio"))
	return b.Minimum(g.size(c.n), complete).Named("visible")
}

// rank counts, of the first so many scores of a row, those that come before each of a block: those earlier in the list that
// are as good, those later that are better, and in the block itself by both. Where one look tells which side a block is on,
// a comparison is all it costs.
func (g *gen) rank(scores *tile.Param, row, all, first, place, mine *tile.Value) *tile.Value {
	b := g.b
	width := g.rankWidth()
	side := func(name string, from, to *tile.Value, c tile.Code, rank *tile.Value) *tile.Value {
		return g.loop(name, from, to, width, []*tile.Value{rank}, func(i *tile.Value, r []*tile.Value) []*tile.Value {
			other := b.Add(i, b.Range(tile.D(width)))
			live := b.Lt(other, to)
			theirs := b.LoadF32(scores, b.Add(row, other), live, 0)
			return []*tile.Value{b.Add(r[0], g.count(b.And(b.Row(live), b.Binary(c, b.Row(theirs), b.Col(mine))), 1))}
		})[0]
	}
	own := b.And(b.Row(b.Lt(place, all)), g.before(b.Row(mine), b.Row(place), b.Col(mine), b.Col(place)))
	rank := side("start", b.Int(0), b.Minimum(first, all), tile.Ge, g.count(own, 1).Named("rank"))
	return side("start", b.AddI(first, g.plan.rankBlock), all, tile.Gt, rank)
}

// rankWidth is how many entries a block of them is compared with at once.
func (g *gen) rankWidth() int { return max(g.plan.rowElements/g.plan.rankBlock, g.plan.lanes) }

// one is 1 where a condition holds, else 0.
func (g *gen) one(cond *tile.Value) *tile.Value { return g.b.Where(cond, g.b.Int(1), g.b.Int(0)) }

// count is how many along an axis are true.
func (g *gen) count(x *tile.Value, axis int) *tile.Value { return g.b.Sum(g.one(x), axis) }

// listAt is where a token's list begins in what a sink is stored to.
func (g *gen) listAt(s sink, token *tile.Value) (p *tile.Param, first *tile.Value) {
	b := g.b
	v := s.value
	if s.into != nil {
		v = s.into
	}
	first = b.Mul(token, g.size(v.Type.Dims[2].Size))
	if s.into != nil {
		first = b.Add(first, g.size(s.from))
	}
	return g.elements(v, tile.Out), first
}

// storeRanked stores chosen entries where their rank is.
func (g *gen) storeRanked(s sink, token, chosen, rank, some *tile.Value) {
	p, first := g.listAt(s, token)
	g.b.Store(p, g.b.Add(first, rank), chosen, some)
}

// storeNone stores -1 in places of a list that no visible entry is left for.
func (g *gen) storeNone(s sink, token, place, visible, k *tile.Value) {
	b := g.b
	p, first := g.listAt(s, token)
	b.Store(p, b.Add(first, place), b.Full(b.Int(-1), place.Shape...), b.And(b.Ge(place, visible), b.Lt(place, k)))
}
