package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// rowSections cover rows: an instance computes all or, where nothing of the whole row is needed, a block of one.
func (g *gen) rowSections(sinks []sink) []*section {
	lead := sinks[0]
	for _, s := range sinks {
		if s.write != nil {
			lead = s
		}
	}
	if lead.write == nil {
		return []*section{g.newSection(sinks, g.rows(lead.value), "a row for each instance", func(id *tile.Value) {
			for _, s := range sinks {
				s.row(id)
			}
		})}
	}
	whole, factor, most := false, false, g.columns(lead.value)
	for _, s := range sinks {
		whole = whole || s.whole
		factor = factor || g.needsFactor(s.value)
		most = min(most, g.joinedRows(s.value))
	}
	k := g.columns(lead.value)
	if width := min(most, g.pieceWidth(sinks, lead.value, k)); !factor && !whole && width < k {
		return []*section{g.pieceSection(sinks, lead.value, k, width)}
	}
	return []*section{g.newSection(sinks, g.rows(lead.value), "a row for each instance", func(id *tile.Value) {
		g.writeRows(sinks, id.Named("row"), whole, k)
	})}
}

// writeRows computes one row: as a whole, or block by block.
func (g *gen) writeRows(sinks []sink, row *tile.Value, whole bool, k int) {
	if whole || g.fits(1, k) {
		g.writeRow(sinks, row, g.wholeRow(row, nil, 1, k))
		return
	}
	g.writeBlocks(sinks, row, k)
}

func (g *gen) writeRow(sinks []sink, row *tile.Value, r *region) {
	for _, s := range sinks {
		if s.row != nil {
			s.row(row)
		} else {
			s.write(r)
		}
	}
}

// writeBlocks goes over a row that does not fit, after what its blocks share.
func (g *gen) writeBlocks(sinks []sink, row *tile.Value, k int) {
	width := g.rowBlock(1, k)
	for _, s := range sinks {
		if s.row != nil {
			s.row(row)
		} else {
			g.prepare(s.value, &region{rows: row, height: tile.D(1)})
		}
	}
	g.loop("start", g.b.Int(0), g.b.Int(k), width, nil, func(i *tile.Value, _ []*tile.Value) []*tile.Value {
		block := g.block(row, nil, 1, i, tile.D(width), k)
		for _, s := range sinks {
			if s.write != nil {
				s.write(block)
			}
		}
		return nil
	})
}

// pieceSection covers rows by blocks that are independent of each other.
func (g *gen) pieceSection(sinks []sink, v *ir.Value, k, width int) *section {
	blocks := (k + width - 1) / width
	return g.newSection(sinks, g.rows(v).Mul(ir.Const(blocks)), "a part of a row for each instance", func(id *tile.Value) {
		row := g.b.DivI(id, blocks).Named("row")
		first := g.b.MulI(g.b.ModI(id, blocks), width).Named("first")
		block := g.block(row, nil, 1, first, tile.D(width), k)
		for _, s := range sinks {
			s.write(block)
		}
	})
}

// pieceWidth is how many columns of a row an instance computes where it needs no more of it: as many as it can hold, and in
// decoding, where rows are few, so many as give each thread of it what it reads at once.
func (g *gen) pieceWidth(sinks []sink, v *ir.Value, k int) int {
	if width := g.plan.pieceColumns; g.fn.Mode == ir.Decode && width > 0 && k%width == 0 {
		fits := func(s sink) bool { return s.write != nil && width%g.need(s, k) == 0 }
		rows, ok := g.rows(v).Bind(ir.Env{"b": 1, "s": 1}).IsConst()
		if ok && rows*k/width <= g.plan.instances && !slices.ContainsFunc(sinks, func(s sink) bool { return !fits(s) }) {
			return width
		}
	}
	if g.fits(1, k) {
		return k
	}
	return g.rowBlock(1, k)
}

// joinedRows is how many columns the shortest of the rows has that a row of a value joins from what is not in memory as it is.
func (g *gen) joinedRows(v *ir.Value) int {
	shortest := g.columns(v)
	g.cone(v, func(in *ir.Instr) bool {
		if in.Op == ops.ViewAs && !g.inMemory(in.Args[0]) {
			shortest = min(shortest, pow2Divisor(g.columns(in.Args[0]), g.columns(in.Args[0])))
		}
		return !g.isHeavy(in)
	})
	return shortest
}
