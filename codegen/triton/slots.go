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

// sumOwn adds what those slots of a token yield whose experts the rank has, in their order. Where the weights of the first
// can come before the launch before has ended, it has products of its own.
func (g *gen) sumOwn(y *ir.Value, r *region, slots int) *tile.Value {
	b, in := g.b, y.Def
	experts := g.local(in, 1, g.list(in.Args[1], r.rows))
	lane := b.Range(experts.Shape[0])
	own := b.Where(b.And(b.LtI(lane, slots), g.has(in, experts)), lane, b.Int(slots)).Named("own")
	next := func(slot *tile.Value) *tile.Value {
		return b.Reduce(tile.Min, b.Where(b.Gt(own, slot), own, b.Int(slots)), 0).Named("slot")
	}
	add := func(sum, slot *tile.Value) *tile.Value {
		id := b.Sum(b.Where(b.Eq(lane, slot), experts, b.Int(0)), 0).Named("expert")
		row := g.slotRow(r.rows, slots, slot)
		memo(g, [3]any{in.Args[1], "expert", row}, func() *tile.Value { return id })
		g.assumeHere(id)
		return b.Add(sum, g.pull(y, g.at(r, row)))
	}
	count := g.count(b.LtI(own, slots), 0)
	slot := b.Reduce(tile.Min, own, 0).Named("slot")
	sum, done := b.Zeros(r.height, r.width).Named("sum"), b.Int(0)
	if g.comesAhead(in, r) {
		g.kernel.ahead = append(g.kernel.ahead, in)
		first := g.one(b.LtI(slot, slots))
		sum = g.loop("once", b.Int(0), first, 1, []*tile.Value{sum}, func(_ *tile.Value, c []*tile.Value) []*tile.Value {
			return []*tile.Value{add(c[0], slot)}
		})[0]
		slot, done = next(slot), b.Int(1)
	}
	return g.loop("turn", done, count, 1, []*tile.Value{sum, slot}, func(_ *tile.Value, c []*tile.Value) []*tile.Value {
		return []*tile.Value{add(c[0], c[1]), next(c[1])}
	})[0]
}

// comesAhead reports whether weights of chosen experts, of the first slot, are loaded before the launch before has ended: if
// there is but one round of them, and the launch begins early. Not those in FP4: loaded apart from their activations they
// lie otherwise, which costs more than is gained.
func (g *gen) comesAhead(in *ir.Instr, r *region) bool {
	w := in.Args[len(in.Args)-1]
	round := r.width.Size * g.columns(in.Args[0])
	bytes, known := g.kernel.weightBytes().at(oneToken)
	return g.plan.heldBytes > 0 && g.fn.Mode == ir.Decode && g.inMemory(in.Args[1]) && w.Type.Elem.DType != ir.FP4 &&
		round <= g.plan.gemvElements && known && bytes < streamBytes
}
