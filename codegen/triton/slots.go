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
	acc := g.b.Zeros(r.height, r.width).Named("sum")
	return g.loop("slot", g.b.Int(0), g.b.Int(slots), 1, []*tile.Value{acc}, func(j *tile.Value, c []*tile.Value) []*tile.Value {
		rows := g.b.Add(g.b.MulI(r.rows, slots), j)
		if in := y.Def; !g.inMemory(y) && in.Op == ops.ExpertLinear && r.height.Size == 1 {
			// A slot whose expert the rank does not have costs no more than to find that out.
			_, here := g.expert(in, rows, nil)
			once := g.one(here)
			return g.loop("once", g.b.Int(0), once, 1, c, func(_ *tile.Value, c []*tile.Value) []*tile.Value {
				return []*tile.Value{g.b.Add(c[0], g.pull(y, g.at(r, rows)))}
			})
		}
		return []*tile.Value{g.b.Add(c[0], g.pull(y, g.at(r, rows)))}
	})[0]
}
