package triton

import (
	"math"

	"flagc/ir"
	"flagc/ir/tile"
)

// The long way is programs whose work grows with the entries and not, where scores are not made for it, with their square.
// Entries are dealt to groups, at
// least twice as many as are chosen; entry i goes to group i mod groups, since neighbours resemble each other. Of the best
// of each group the k-th is the threshold: k entries are at least as good, so none behind it is chosen. What is not behind
// survives: some 1.4 k entries where scores are independent, and at most those of k groups, since equal scores are told
// apart by place here as in the list. Survivors are gathered in the order of their places, which takes a program that
// counts and one that adds up the counts before its own, and ranked.

// countBlock is how many counts are added up at once.
const countBlock = 1024

func (g *gen) longSections(c choice, sinks []sink) []*section {
	return []*section{g.bestSection(c, sinks), g.thresholdSection(c, sinks), g.countLeftSection(c, sinks), g.gatherSection(c, sinks),
		g.survivorSection(c, sinks)}
}

// groups is how many groups entries are dealt to.
func (g *gen) groups(c choice) int { return max(pow2(2*c.k), g.plan.groupBlock, g.plan.rankBlock) }

// capacity is how many entries of a token may survive.
func (g *gen) capacity(c choice) ir.Size { return ir.Const(c.k).Mul(ceilDiv(c.n, g.groups(c))) }

// longTokens are the tokens where the long way is taken, else none.
func (c choice) longTokens() ir.Size { return c.tokens.Mul(c.long) }

// between is room between the programs of the long way, of so many for each token.
func (g *gen) between(c choice, d tile.DType, name, doc string, each ir.Size) *tile.Param {
	return g.kept(FromWork, g.name(c.in.Results[0])+"_"+name, d, doc, []ir.Size{c.longTokens(), each})
}

// best are the scores and places of the best entry of each group.
func (g *gen) best(c choice) (score, place *tile.Param) {
	n := ir.Const(g.groups(c))
	return g.between(c, tile.F32, "best", "the best score of each group of entries", n),
		g.between(c, tile.I32, "best_at", "which entry has it", n)
}

// threshold is the score and the place of the last entry that may be chosen.
func (g *gen) threshold(c choice) (score, place *tile.Param) {
	return g.between(c, tile.F32, "least", "the score that entries need", ir.Const(1)),
		g.between(c, tile.I32, "last", "the last of those that have just this score", ir.Const(1))
}

// survivors are the scores and places of the entries that are left.
func (g *gen) survivors(c choice) (score, place *tile.Param) {
	score = g.between(c, tile.F32, "left", "the scores of the entries that are left, in the order of their places", g.capacity(c))
	place = g.between(c, tile.I32, "left_at", "their places", g.capacity(c))
	for _, p := range []*tile.Param{score, place} { // the room is for the worst
		b := g.kernel.Bindings[p.Name]
		b.Moved = []ir.Size{c.longTokens().Bind(g.bound), ir.Const(c.k)}
		g.kernel.Bindings[p.Name] = b
	}
	return score, place
}

func (g *gen) survivorCounts(c choice) *tile.Param {
	return g.between(c, tile.I32, "counts", "how many of each row of entries are left", g.rowCounts(c))
}

func (g *gen) survivorCount(c choice) *tile.Param {
	return g.between(c, tile.I32, "count", "how many entries are left", ir.Const(1))
}

// bestSection finds the best entry of each group. A group without visible entries has one that is behind all of them: -∞
// at its first place.
func (g *gen) bestSection(c choice, sinks []sink) *section {
	groups, width := g.groups(c), g.plan.groupBlock
	height := g.plan.rowElements / 4 / width
	if g.target.Reductions.LastAxis.Is(true) {
		height = 1
	}
	per := groups / width
	count := c.longTokens().Mul(ir.Const(per))
	sec := g.newSection(sinks[:1], count, "where there are more, the best of some groups for each instance", func(id *tile.Value) {
		b := g.b
		token := b.DivI(id, per).Named("token")
		group := b.Add(b.MulI(b.ModI(id, per), width), b.Range(tile.D(width))).Named("group")
		visible := g.visible(c, token)
		row := b.Mul(token, g.size(c.n))
		entryOf := func(round *tile.Value) *tile.Value { return b.Add(b.Row(group), b.MulI(b.Col(round), groups)) }
		first := entryOf(b.Range(tile.D(height))).Named("best_at")
		start := []*tile.Value{b.Full(b.Float(math.Inf(-1)), first.Shape...).Named("best"), first}
		rounds := b.DivI(b.AddI(visible, groups-1), groups).Named("rounds")
		best := g.loop("start", b.Int(0), rounds, height, start, func(i *tile.Value, best []*tile.Value) []*tile.Value {
			entry := entryOf(b.Add(i, b.Range(tile.D(height)))).Named("entry")
			score := b.LoadF32(g.elements(c.score, tile.In), b.Add(row, entry), b.Lt(entry, visible), math.Inf(-1)).Named("score")
			better := b.Gt(score, best[0]).Named("better")
			return []*tile.Value{b.Where(better, score, best[0]), b.Where(better, entry, best[1])}
		})
		scores, places := g.best(c)
		at := b.Add(b.MulI(token, groups), group)
		if height == 1 {
			b.Store(scores, b.Row(at), best[0], nil)
			b.Store(places, b.Row(at), best[1], nil)
			return
		}
		top := b.Max(best[0], 0).Named("top")
		b.Store(scores, at, top, nil)
		b.Store(places, at, b.Reduce(tile.Min, b.Where(b.Eq(best[0], b.Row(top)), best[1], b.Int(math.MaxInt32)), 0), nil)
	})
	sec.name = "best"
	return sec
}

// thresholdSection ranks the groups' best; the k-th is the threshold.
func (g *gen) thresholdSection(c choice, sinks []sink) *section {
	groups := g.groups(c)
	height := g.plan.rankBlock
	width := min(g.rankWidth(), groups)
	per := groups / height
	count := c.longTokens().Mul(ir.Const(per))
	return g.newSection(sinks[:1], count, "the k-th best of the groups' best, of which an instance ranks a block", func(id *tile.Value) {
		b := g.b
		score, place := g.best(c)
		token := b.DivI(id, per).Named("token")
		row := b.MulI(token, groups)
		at := b.Add(row, b.Add(b.MulI(b.ModI(id, per), height), b.Range(tile.D(height))))
		mine := b.Load(score, at, nil, 0).Named("mine")
		mineAt := b.Load(place, at, nil, 0).Named("mine_at")
		start := []*tile.Value{b.Full(b.Int(0), tile.D(height)).Named("rank")}
		rank := g.loop("start", b.Int(0), b.Int(groups), width, start, func(i *tile.Value, r []*tile.Value) []*tile.Value {
			other := b.Add(row, b.Add(i, b.Range(tile.D(width))))
			theirs, theirsAt := b.Load(score, other, nil, 0), b.Load(place, other, nil, 0)
			return []*tile.Value{b.Add(r[0], g.count(g.before(b.Row(theirs), b.Row(theirsAt), b.Col(mine), b.Col(mineAt)), 1))}
		})[0]
		kth := b.EqI(rank, c.k-1).Named("kth")
		g.when(b.Gt(g.count(kth, 0), b.Int(0)), func() {
			least, last := g.threshold(c)
			b.Store(least, token, b.Max(b.Where(kth, mine, b.Float(math.Inf(-1))), 0), nil)
			b.Store(last, token, b.Max(b.Where(kth, mineAt, b.Int(0)), 0), nil)
		}, nil)
	})
}

// before reports what comes before another in the list.
func (g *gen) before(score, place, than, thanPlace *tile.Value) *tile.Value {
	b := g.b
	return b.Or(b.Gt(score, than), b.And(b.Eq(score, than), b.Lt(place, thanPlace)))
}

// counted is the rows and columns of a block of entries: as many as the smallest dot has, which counts what stands before
// an entry in its row.
func (g *gen) counted() (rows, columns int) {
	return g.plan.dotM, max(64, g.plan.dotM, g.plan.dotN, g.plan.dotK)
}

func (g *gen) countedBlocks(c choice) ir.Size {
	rows, columns := g.counted()
	return ceilDiv(c.n, rows*columns)
}

// rowCounts is how many rows of entries a token has.
func (g *gen) rowCounts(c choice) ir.Size {
	rows, _ := g.counted()
	return g.countedBlocks(c).Mul(ir.Const(rows))
}

// surviving are the entries of a block, their scores, and which of them survive.
func (g *gen) surviving(c choice, token, block *tile.Value) (entry, score, left *tile.Value) {
	b := g.b
	rows, columns := g.counted()
	row := b.Add(b.MulI(block, rows), b.Col(b.Range(tile.D(rows))))
	entry = b.Add(b.MulI(row, columns), b.Row(b.Range(tile.D(columns)))).Named("entry")
	live := b.Lt(entry, g.visible(c, token))
	score = b.LoadF32(g.elements(c.score, tile.In), b.Add(b.Mul(token, g.size(c.n)), entry), live, 0).Named("score")
	least, last := g.threshold(c)
	behind := g.before(b.Load(least, token, nil, 0).Named("least"), b.Load(last, token, nil, 0).Named("last"), score, entry)
	return entry, score, b.And(live, b.Not(behind)).Named("left")
}

// countLeftSection counts the survivors of each row of entries.
func (g *gen) countLeftSection(c choice, sinks []sink) *section {
	blocks := g.countedBlocks(c)
	return g.newSection(sinks[:1], c.longTokens().Mul(blocks), "how many entries are left, counted for a block of them by each instance", func(id *tile.Value) {
		b := g.b
		rows, _ := g.counted()
		per := g.size(blocks)
		_, _, left := g.surviving(c, b.Div(id, per).Named("token"), b.Mod(id, per).Named("block"))
		b.Store(g.survivorCounts(c), b.Add(b.MulI(id, rows), b.Col(b.Range(tile.D(rows)))), b.Col(g.count(left, 1)), nil)
	})
}

// gatherSection puts the survivors one behind the other.
func (g *gen) gatherSection(c choice, sinks []sink) *section {
	blocks := g.countedBlocks(c)
	return g.newSection(sinks[:1], c.longTokens().Mul(blocks), "the entries left, one behind the other, from a block for each instance", func(id *tile.Value) {
		b := g.b
		rows, columns := g.counted()
		per := g.size(blocks)
		token, block := b.Div(id, per).Named("token"), b.Mod(id, per).Named("block")
		entry, score, left := g.surviving(c, token, block)
		counts, mine, first := g.survivorCounts(c), b.MulI(block, rows).Named("my_row"), b.Mul(token, g.size(g.rowCounts(c)))
		sums := []*tile.Value{b.Full(b.Int(0), tile.D(countBlock)).Named("sums")}
		sums = g.loop("start", b.Int(0), mine, countBlock, sums, func(i *tile.Value, sums []*tile.Value) []*tile.Value {
			row := b.Add(i, b.Range(tile.D(countBlock)))
			return []*tile.Value{b.Add(sums[0], b.Load(counts, b.Add(first, row), b.Lt(row, mine), 0))}
		})
		earlier := b.Sum(sums[0], 0).Named("earlier")
		row, column := b.Col(b.Range(tile.D(rows))), b.Range(tile.D(columns))
		own := b.Load(counts, b.Add(b.Add(first, mine), column), b.LtI(column, rows), 0).Named("own")
		above := b.Sum(b.Where(b.Lt(b.Row(column), row), b.Row(own), b.Int(0)), 1).Named("above")
		ones := func(x *tile.Value) *tile.Value { return b.Cast(b.Where(x, b.Float(1), b.Float(0)), tile.BF16) }
		before := b.Dot(ones(left), ones(b.Lt(b.Col(column), b.Row(column))), b.Zeros(tile.D(rows), tile.D(columns)))
		place := b.Add(b.Add(earlier, b.Col(above)), b.Cast(before, tile.I32)).Named("place")
		scores, places := g.survivors(c)
		at := b.Add(b.Mul(token, g.size(g.capacity(c))), place)
		b.Store(scores, at, score, left)
		b.Store(places, at, entry, left)
		g.when(b.Eq(block, b.SubI(per, 1)), func() {
			b.Store(g.survivorCount(c), token, b.Add(earlier, b.Sum(own, 0)), nil)
		}, nil)
	})
}

// survivorSection ranks the survivors. Instances take a second block of them only where the best entries crowd in a few
// groups.
func (g *gen) survivorSection(c choice, sinks []sink) *section {
	height := g.plan.rankBlock
	per := g.groups(c) / height
	count := c.longTokens().Mul(ir.Const(per))
	return g.newSection(sinks[:1], count, "the best of those, a block of them ranked by each instance", func(id *tile.Value) {
		b := g.b
		token := b.DivI(id, per).Named("token")
		scores, places := g.survivors(c)
		row := b.Mul(token, g.size(g.capacity(c)))
		all := b.Load(g.survivorCount(c), token, nil, 0).Named("all")
		k := b.Int(c.k)
		mine := b.MulI(b.ModI(id, per), height).Named("my_first")
		g.loop("first", mine, all, per*height, nil, func(first *tile.Value, _ []*tile.Value) []*tile.Value {
			place := b.Add(first, b.Range(tile.D(height))).Named("place")
			live := b.Lt(place, all)
			score := b.Load(scores, b.Add(row, place), live, 0).Named("mine")
			rank := g.rank(scores, row, all, first, place, score)
			chosen := b.Add(g.size(c.in.Attrs.Size("first")), b.Load(places, b.Add(row, place), live, 0))
			for _, s := range sinks {
				g.storeRanked(s, token, chosen, rank, b.And(live, b.Lt(rank, k)))
			}
			return nil
		})
		place := b.Add(mine, b.Range(tile.D(height)))
		for _, s := range sinks {
			g.storeNone(s, token, place, g.visible(c, token), k)
		}
	})
}
