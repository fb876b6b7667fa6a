package triton

import "flagc/ir/tile"

// productBlock is block number n of the columns of a product. Where masks over many rows are to be avoided, and columns
// of weights are rows in memory, the last block begins early enough to be whole: what it shares with the one before it
// is computed twice, and is the same.
func (g *gen) productBlock(s sink, rows, live *tile.Value, height int, n *tile.Value, width int) *region {
	k := g.columns(s.value)
	if g.plan.maskedRows == 0 || k <= width || k%width == 0 || g.need(s, k) > 1 {
		return g.columnBlock(rows, live, height, n, width, k)
	}
	r := g.block(rows, live, height, g.b.Minimum(g.b.MulI(n, width), g.b.Int(k-width)).Named("first"), tile.D(width), k)
	r.colLive = nil
	return r
}
