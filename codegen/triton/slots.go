package triton

import (
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// productBehind is the product whose slots an instruction sums, or the instruction itself.
func productBehind(in *ir.Instr) *ir.Instr {
	if in.Op == ops.SumSlots {
		return in.Args[0].Def
	}
	return in
}

// pullSumSlots adds what the slots of a token yield, each rounded as its type says.
func (g *gen) pullSumSlots(in *ir.Instr, r *region) *tile.Value {
	y := in.Args[0]
	if g.inMemory(y) {
		return g.sumStored(in, r)
	}
	slots := g.fixed(y.Type.Dims[1].Size, "the slots")
	if y.Def.Op == ops.ExpertLinear && r.height.Size == 1 {
		return g.sumOwn(y, r, slots)
	}
	acc := g.b.Zeros(r.height, r.width).Named("sum")
	return g.loop("slot", g.b.Int(0), g.b.Int(slots), 1, []*tile.Value{acc}, func(j *tile.Value, c []*tile.Value) []*tile.Value {
		rows := g.b.Add(g.b.MulI(r.rows, slots), j)
		return []*tile.Value{g.b.Add(c[0], g.pull(y, g.at(r, rows)))}
	})[0]
}

// sumOwn adds what those slots of a token yield whose experts the rank has, in their order. Weights of the first may come before
// the launch before has ended: FP8 codes for a product of its own, FP4 codes as what the loop over slots carries.
func (g *gen) sumOwn(y *ir.Value, r *region, slots int) *tile.Value {
	b, in := g.b, y.Def
	experts := g.local(in, 1, g.list(in.Args[1], r.rows))
	lane := b.Range(experts.Shape[0])
	own := b.Where(b.And(b.LtI(lane, slots), g.has(in, experts)), lane, b.Int(slots)).Named("own")
	next := func(slot *tile.Value) *tile.Value {
		return g.nextSlot([]*tile.Value{own}, slot, slots)
	}
	at := func(slot *tile.Value) *region {
		id := b.Sum(b.Where(b.Eq(lane, slot), experts, b.Int(0)), 0).Named("expert")
		return g.at(r, g.ownRow(in, r.rows, slots, slot, id))
	}
	add := func(sum, slot *tile.Value, words []*tile.Value) *tile.Value {
		s := at(slot)
		if len(words) > 0 {
			memo(g, carriedWords{in, s.rows}, func() []*tile.Value { return words })
		}
		return b.Add(sum, g.pull(y, s))
	}
	count := g.count(b.LtI(own, slots), 0)
	slot := b.Reduce(tile.Min, own, 0).Named("slot")
	sum, done := b.Zeros(r.height, r.width).Named("sum"), b.Int(0)
	p := g.slotProduct(in, r)
	if g.comesAhead(p) {
		g.kernel.ahead = append(g.kernel.ahead, in)
		first := g.one(b.LtI(slot, slots))
		sum = g.loop("once", b.Int(0), first, 1, []*tile.Value{sum}, func(_ *tile.Value, c []*tile.Value) []*tile.Value {
			return []*tile.Value{add(c[0], slot, nil)}
		})[0]
		slot, done = next(slot), b.Int(1)
	}
	words := func(slot *tile.Value) []*tile.Value { return nil }
	if g.carriesWords(p) {
		words = func(slot *tile.Value) []*tile.Value {
			return g.wordsIf(b.LtI(slot, slots), g.product(in, at(slot)))
		}
	}
	start := append([]*tile.Value{sum, slot}, words(slot)...)
	return g.loop("turn", done, count, 1, start, func(_ *tile.Value, c []*tile.Value) []*tile.Value {
		sum, following := add(c[0], c[1], c[2:]), next(c[1])
		return append([]*tile.Value{sum, following}, words(following)...)
	})[0]
}

// carriedWords is the key of words and scales of weights that were loaded behind the product of the slot before.
type carriedWords struct {
	in  *ir.Instr
	row *tile.Value
}

// slotProduct is the product of a slot as far as it is the same for all of them.
func (g *gen) slotProduct(in *ir.Instr, r *region) product {
	x := g.behindViews(in.Args[0])
	return product{in: in, x: x, w: in.Args[len(in.Args)-1], region: r, k: g.columns(x)}
}

// knownEarly reports whether weights of chosen experts can be loaded before the launch before has ended: their list is in memory,
// and one round reads all that an instance needs of an expert.
func (g *gen) knownEarly(p product) bool {
	return g.plan.heldBytes > 0 && g.fn.Mode == ir.Decode && g.inMemory(p.in.Args[1]) && g.gemvDepth(p) == p.k
}

// carriesWords reports whether FP4 weights of a slot are loaded as soon as those of the one before have been multiplied, and those
// of the first before the wait.
func (g *gen) carriesWords(p product) bool {
	return g.knownEarly(p) && g.byWords(p, p.k) && g.bytesArrive()
}

// wordsIf are the words and scales of a product's weights, of which none is read unless a condition holds.
func (g *gen) wordsIf(cond *tile.Value, p product) []*tile.Value {
	b, live := g.b, cond
	if p.region.colLive != nil {
		live = b.And(live, b.Reshape(p.region.colLive, p.region.width, tile.D(1)))
	}
	rows := b.Col(b.Add(g.firstRow(p), b.Range(p.region.width)))
	w := g.weightWords(p, b.Int(0), tile.D(p.k/wordCodes), rows, live)
	return []*tile.Value{w.codes, w.scales}
}

// comesAhead reports whether weights of the first slot have a product of their own, ahead of which they are loaded: if the launch
// begins early. Not those in FP4: they lie as their activations do in a loop that carries them, and apart from it otherwise, which
// costs more than is gained.
func (g *gen) comesAhead(p product) bool {
	bytes, known := g.kernel.weightBytes().at(oneToken)
	return g.knownEarly(p) && p.w.Type.Elem.DType != ir.FP4 && known && bytes < streamBytes
}
