package triton

import (
	"math"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// element is one number of a value at a flat position (a scalar, or a column of positions of which some are live): i32 of indices, f32 of
// others.
func (g *gen) element(v *ir.Value, at, live *tile.Value) *tile.Value {
	return memo(g, [3]any{v, "element", at}, func() *tile.Value {
		switch {
		case g.inMemory(v):
			x := g.each(g.elements(v, tile.In), at, live)
			if v.Type.Elem.DType.IsInt() {
				return g.b.Cast(x, tile.I32)
			}
			return g.b.Cast(x, tile.F32)
		case v.Def.Op == ops.ViewAs:
			return g.element(v.Def.Args[0], at, live)
		}
		k := g.columns(v)
		if len(at.Shape) > 0 {
			g.fail("single elements of %s for many rows", v.Ref())
		}
		list := g.list(v, g.divided(at, k))
		lane := g.b.Range(list.Shape[0])
		zero := g.b.Cast(g.b.Int(0), list.DType)
		return g.b.Sum(g.b.Where(g.b.Eq(lane, g.remainder(at, k)), list, zero), 0)
	})
}

// list is a short row of a value as a vector: of indices i32, else f32. Lanes beyond the row hold 0.
func (g *gen) list(v *ir.Value, row *tile.Value) *tile.Value {
	return memo(g, [3]any{v, "list", row}, func() *tile.Value {
		k := g.columns(v)
		lane := g.b.Range(tile.D(g.lanes(k)))
		live := g.b.LtI(lane, k)
		if g.inMemory(v) {
			x := g.b.Load(g.elements(v, tile.In), g.b.Add(g.b.MulI(row, k), lane), live, 0)
			if v.Type.Elem.DType.IsInt() {
				return g.b.Cast(x, tile.I32)
			}
			return g.b.Cast(x, tile.F32)
		}
		in := v.Def
		switch in.Op {
		case ops.TopExperts:
			return g.topExperts(in, row, lane, k).Named("chosen")
		case ops.HashExperts:
			id := g.element(in.Args[0], row, nil)
			return g.lowWords(in.Args[1], g.b.Add(g.b.MulI(id, k), lane), live).Named("chosen")
		case ops.RouteWeights:
			return g.routeWeights(in, row, live)
		}
		g.fail("no rule yields a row of %s, result of %s", v.Ref(), in.Name())
		return nil
	})
}

// lowWords reads indices of a table in i64, of which the low half holds everything: vectors of i64 are slow on some
// machines and unknown on others.
func (g *gen) lowWords(v *ir.Value, at, live *tile.Value) *tile.Value {
	table := g.as32(v, g.name(v), "2 * %s", "i64 as two words each, the low one first")
	return g.b.Load(table, g.b.MulI(at, 2), live, 0)
}

// topExperts takes the best of all experts k times, of equal ones the first. Every instance that needs the list makes it,
// so what counts is how little each of them does.
func (g *gen) topExperts(in *ir.Instr, row, slot *tile.Value, k int) *tile.Value {
	b := g.b
	scores := in.Args[0]
	if !g.inMemory(scores) {
		g.fail("top_experts of scores that are not in memory")
	}
	e := g.columns(scores)
	over := g.stretches(e)
	n := len(over)
	start := append(g.rated(in, row, over, nil), b.Full(b.Int(0), slot.Shape...).Named("chosen"))
	return g.loop("place", b.Int(0), b.Int(k), 1, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		_, id := g.bestExpert(c[:n], over, e)
		id.Named("id")
		return append(g.without(c[:n], over, id), b.Where(b.Eq(slot, i), id, c[n]))
	})[n]
}

// rated is what experts are chosen by: their score and their bias, -∞ in lanes without an expert. They are counted
// from first on, nil for 0.
func (g *gen) rated(in *ir.Instr, row *tile.Value, over []stretch, first *tile.Value) []*tile.Value {
	b, scores := g.b, in.Args[0]
	out := make([]*tile.Value, len(over))
	for k, c := range over {
		id := c.lane
		if first != nil {
			id = b.Add(id, first)
		}
		sum := b.Add(b.Load(g.elements(scores, tile.In), b.Add(b.MulI(row, g.columns(scores)), id), c.live, 0),
			b.Load(g.elements(in.Args[1], tile.In), id, c.live, 0))
		if c.live != nil {
			sum = b.Where(c.live, sum, b.Float(math.Inf(-1)))
		}
		out[k] = sum.Named("rated")
	}
	return out
}

// routeWeights are the chosen experts' scores divided by their sum, times scale.
func (g *gen) routeWeights(in *ir.Instr, row, live *tile.Value) *tile.Value {
	b := g.b
	scores := in.Args[0]
	if !g.inMemory(scores) {
		g.fail("route_weights of scores that are not in memory")
	}
	// Compared with all rather than gathered: a few lanes that read at scattered places are what machines like least.
	e := g.columns(scores)
	over := g.stretches(e)
	all := make([]*tile.Value, len(over))
	for k, c := range over {
		all[k] = b.Load(g.elements(scores, tile.In), b.Add(b.MulI(row, e), c.lane), c.live, 0)
	}
	chosen := g.list(in.Args[1], row)
	if n := g.columns(in.Args[1]); chosen.Shape[0].Size > pow2(n) {
		w := g.eachChosen(chosen, n, over, all)
		return b.MulF(b.Div(w, b.Sum(w, 0)), in.Attrs.Float("scale")).Named("weights")
	}
	w := b.Sum(joined(over, b.Add, func(k int, c stretch) *tile.Value {
		mine := b.And(b.Eq(b.Col(chosen), b.Row(c.lane)), b.Col(live))
		return b.Where(mine, b.Row(all[k]), b.Float(0))
	}), 1)
	return b.MulF(b.Div(w, b.Sum(w, 0)), in.Attrs.Float("scale")).Named("weights")
}

// eachChosen are the scores of the first n chosen experts, one after the other: a list that is longer for the machine's
// sake does not meet all scores at once.
func (g *gen) eachChosen(chosen *tile.Value, n int, over []stretch, scores []*tile.Value) *tile.Value {
	b := g.b
	slot := b.Range(chosen.Shape[0])
	start := []*tile.Value{b.Zeros(slot.Shape...).Named("scores")}
	return g.loop("slot", b.Int(0), b.Int(n), 1, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		id := b.Sum(b.Where(b.Eq(slot, i), chosen, b.Int(0)), 0).Named("id")
		score := b.Sum(joined(over, b.Add, func(k int, c stretch) *tile.Value { return b.Where(b.Eq(c.lane, id), scores[k], b.Float(0)) }), 0)
		return []*tile.Value{b.Where(b.Eq(slot, i), score, c[0])}
	})[0]
}

// entries yields the elements of a list of rows at places (i32, any shape) for token i of sequence seq.
func (g *gen) entries(v *ir.Value, seq, token, place *tile.Value) *tile.Value {
	b := g.b
	n := g.size(v.Type.Dims[2].Size)
	if g.inMemory(v) {
		row := b.Add(b.Mul(seq, g.size(v.Type.Dims[1].Size)), token)
		live := b.And(b.Ge(place, b.Int(0)), b.Lt(place, n))
		return b.Load(g.elements(v, tile.In), b.Add(b.Mul(row, n), place), live, -1)
	}
	in := v.Def
	none := b.Int(-1)
	switch in.Op {
	case ops.RingEntries:
		w := in.Attrs.Int("window")
		p := g.size(ir.Sym("p"))
		t := b.Add(b.Maximum(b.SubI(p, w-1), b.Int(0)), place)
		return b.Where(b.Le(t, p), b.ModI(t, w), none)
	case ops.WindowEntries:
		w := in.Attrs.Int("window")
		t := b.Add(b.Maximum(b.SubI(token, w-1), b.Int(0)), place)
		return b.Where(b.Le(t, token), t, none)
	case ops.CausalEntries:
		complete := b.DivI(b.AddI(b.Add(g.size(ir.Sym("p")), token), 1), in.Attrs.Int("ratio"))
		return b.Where(b.Lt(place, complete), b.Add(g.size(in.Attrs.Size("first")), place), none)
	case ops.Concat:
		first := g.size(in.Args[0].Type.Dims[2].Size)
		return b.Where(b.Lt(place, first), g.entries(in.Args[0], seq, token, place),
			g.entries(in.Args[1], seq, token, b.Sub(place, first)))
	}
	g.fail("no rule yields entries of %s, result of %s", v.Ref(), in.Name())
	return nil
}
