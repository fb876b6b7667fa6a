package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// Of the experts that a token chooses a rank has a few at most. Where they are chosen in the launch of their products, each
// instance finds those of its rank by itself; what else is to be known of the choice is left by one instance more.

// choosesHere reports whether the experts of a token are chosen in this launch. A single slot is computed whoever has its
// expert.
func (g *gen) choosesHere(anchors []*ir.Instr) bool {
	a := anchors[0]
	return a.Op == ops.ExpertLinear && !g.inMemory(a.Args[1]) && a.Args[1].Def.Op == ops.TopExperts && g.slots(anchors) > 1
}

// eachOwn runs f for the rows of a token whose experts the rank has: the best of its own first, until as many of
// all come before it as there are slots. So the first weights are on their way after one comparison with all scores.
func (g *gen) eachOwn(in *ir.Instr, token *tile.Value, slots, width int, f func(row *tile.Value)) {
	b := g.b
	choice := in.Args[1].Def
	own, first := g.fixed(in.Args[2].Type.Dims[0].Size, "the experts"), g.first(in.LocalIndices()[1])
	everyone, ours := g.stretches(g.columns(choice.Args[0])), g.stretches(own)
	all := g.rated(choice, token, everyone, nil)
	mine := g.rated(choice, token, ours, first)
	best := func(left []*tile.Value) []*tile.Value {
		most, id := g.bestExpert(left, ours, own-1)
		id.Named("expert")
		slot := b.Sum(joined(everyone, b.Add, func(k int, c stretch) *tile.Value {
			return g.one(g.before(all[k], c.lane, most, b.Add(id, first)))
		}), 0).Named("slot")
		return append([]*tile.Value{b.LtI(slot, slots).Named("going"), id, slot}, left...)
	}
	compute := func(id, slot *tile.Value) {
		f(g.ownRow(in, token, slots, slot, id))
	}
	if p := g.ownProduct(in, token, width); g.ranksOwn(p) {
		found := best(mine)
		g.when(found[0], func() {
			g.eighthsBefore(p)
			g.eachRanked(found[1], found[2], slots, ours, g.ranks(everyone, all, ours, mine, first, slots), compute)
		}, nil)
		return
	}
	b.LoopWhile("turn", b.Int(0), b.Int(min(slots, own)), 1, best(mine), g.inScope(func(_ *tile.Value, c []*tile.Value) []*tile.Value {
		id, slot, left := c[1], c[2], c[3:]
		compute(id, slot)
		return best(g.without(left, ours, id))
	}))
}

// ownRow is the row of a slot whose expert the rank has, until the end of the scope.
func (g *gen) ownRow(in *ir.Instr, token *tile.Value, slots int, slot, id *tile.Value) *tile.Value {
	row := g.slotRow(token, slots, slot)
	memo(g, [3]any{in.Args[1], "expert", row}, func() *tile.Value { return id })
	g.assumeHere(id)
	return row
}

// nextSlot is the first of some slots that comes behind one, or how many there are in all.
func (g *gen) nextSlot(of []*tile.Value, slot *tile.Value, slots int) *tile.Value {
	b := g.b
	next := make([]*tile.Value, len(of))
	for k, s := range of {
		next[k] = b.Where(b.Gt(s, slot), s, b.Int(slots))
	}
	return b.Reduce(tile.Min, joinedAll(next, b.Minimum), 0).Named("slot")
}

// ownProduct is the product of an expert that an instance computes, as far as it is the same for all of them.
func (g *gen) ownProduct(in *ir.Instr, token *tile.Value, width int) product {
	p := g.slotProduct(in, &region{height: tile.D(1), width: tile.D(width)})
	p.xRows = token
	return p
}

// rankedExperts is how many experts a rank may have for each of them to be compared with all.
const rankedExperts = 64

// ranksOwn reports whether the places of all experts of the rank are found at once, and the activations taken apart, before any
// weights are asked for. The loop over them is then free of most that goes through shared memory or from lane to lane: such steps
// are dear while loads are under way, as if they waited for them.
func (g *gen) ranksOwn(p product) bool {
	return g.gemvDepth(p) == p.k && g.byWords(p, p.k) && g.fixed(p.w.Type.Dims[0].Size, "the experts") <= rankedExperts
}

// ranks are how many of all experts come before each of the rank's own, in a vector for each stretch.
func (g *gen) ranks(everyone []stretch, all []*tile.Value, ours []stretch, mine []*tile.Value, first *tile.Value, slots int) []*tile.Value {
	b := g.b
	out := make([]*tile.Value, len(ours))
	for n, o := range ours {
		theirs := b.Col(b.Add(o.lane, first))
		rank := b.Sum(joined(everyone, b.Add, func(k int, c stretch) *tile.Value {
			return g.one(g.before(b.Row(all[k]), b.Row(c.lane), b.Col(mine[n]), theirs))
		}), 1)
		if o.live != nil {
			rank = b.Where(o.live, rank, b.Int(slots))
		}
		out[n] = rank.Named("rank")
	}
	return out
}

// eachRanked runs f for the experts of the rank whose ranks are among the slots, from one on that is known to be the first.
func (g *gen) eachRanked(id, slot *tile.Value, slots int, ours []stretch, ranks []*tile.Value, f func(id, slot *tile.Value)) {
	b := g.b
	count := b.Sum(joined(ours, b.Add, func(k int, _ stretch) *tile.Value { return g.one(b.LtI(ranks[k], slots)) }), 0)
	g.loop("turn", b.Int(0), count, 1, []*tile.Value{id, slot}, func(_ *tile.Value, c []*tile.Value) []*tile.Value {
		next := g.nextSlot(ranks, c[1], slots)
		expert := b.Sum(joined(ours, b.Add, func(k int, s stretch) *tile.Value {
			return b.Where(b.Eq(ranks[k], next), s.lane, b.Int(0))
		}), 0).Named("expert")
		f(c[0], c[1])
		return []*tile.Value{expert, next}
	})
}

// ownSection covers what chosen experts yield, before it is weighed, in the launch that chooses them: an instance computes a
// block of columns for the slots of a token whose experts the rank has. One more makes the lists of the chosen experts and of
// their weights, which the launch leaves, and knows from them which slots are to be zeros.
func (g *gen) ownSection(s sink, anchors []*ir.Instr) *section {
	k, slots := g.columns(s.value), g.slots(anchors)
	width := g.productWidth(s, k)
	blocks := (k + width - 1) / width
	left := g.returnedLists()
	sinks := []sink{s}
	for _, v := range left {
		sinks = append(sinks, sink{value: v})
	}
	tokens := productOf(s.value.Type.Dims[:len(s.value.Type.Dims)-2]).Bind(g.bound)
	what := "a block of columns of all slots of a token for each instance, and one that chooses"
	return g.newSection(sinks, tokens.Mul(ir.Const(blocks+1)), what, func(id *tile.Value) {
		b := g.b
		token, block := b.DivI(id, blocks+1).Named("token"), b.ModI(id, blocks+1).Named("block")
		g.when(b.EqI(block, blocks), func() {
			for _, v := range left {
				g.storeList(v, token)
			}
			g.zeroOthers(s, anchors[0], token, slots, k)
		}, func() {
			g.eachOwn(anchors[0], token, slots, width, func(row *tile.Value) {
				s.write(g.productBlock(s, row, nil, 1, block, width))
			})
		})
	})
}

// zeroOthers leaves zeros for the slots of a token whose experts the rank does not have.
func (g *gen) zeroOthers(s sink, in *ir.Instr, token *tile.Value, slots, k int) {
	b := g.b
	id := g.local(in, 1, g.list(in.Args[1], token))
	slot := b.Col(b.Range(id.Shape[0]))
	others := b.And(b.LtI(slot, slots), b.Not(b.Col(g.has(in, id)))).Named("others")
	rows := b.Add(b.MulI(token, slots), slot)
	width := g.rowBlock(id.Shape[0].Size, k)
	g.loop("start", b.Int(0), b.Int(k), width, nil, func(i *tile.Value, _ []*tile.Value) []*tile.Value {
		r := g.block(rows, others, slot.Shape[0].Size, i, tile.D(width), k)
		g.store(s.value, r, b.Zeros(r.height, r.width))
		return nil
	})
}

// weighs reports whether what experts were chosen with takes part in computing a value from their products.
func (g *gen) weighs(v *ir.Value) bool {
	return slices.ContainsFunc([]*ir.Op{ops.RouteWeights, ops.TopExperts}, func(op *ir.Op) bool { return g.hasOp(v, op) })
}
