package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/tile"
)

// Where vectors must be long, there are too few rows in the mixing matrix for the sums of its rows to be one. They pass
// through memory, even if no other instance takes part, and come back as a vector with masked lanes behind them.

// mixByRows reports whether the product with the mixing matrix goes this way.
func (g *gen) mixByRows(in *ir.Instr) bool {
	_, _, rows := g.mixSizes(in)
	return pow2(rows) < g.plan.lanes
}

// leaveRows is one instance's part of the product, in blocks of as many rows of the matrix as need no mask.
func (g *gen) leaveRows(in *ir.Instr, row, part *tile.Value) {
	b := g.b
	x := in.Args[0]
	hc, d, rows := g.mixSizes(in)
	width, height, parts := g.mixWidth(in), pow2Divisor(rows, 16), g.mixParts(in)
	from := b.MulI(part, width)
	weights, p := g.elements(in.Args[1], tile.In), g.mixParam(in)
	first := b.MulI(b.Add(b.MulI(row, parts), part), g.lanes(rows+1))
	var lanes, sums []*tile.Value
	for n := 0; n < rows; n += height {
		lanes = append(lanes, b.Col(b.AddI(b.Range(tile.D(height)), n)))
		sums = append(sums, b.Zeros(tile.D(height), tile.D(width)).Named("products"))
	}
	sums = append(sums, b.Zeros(tile.D(1), tile.D(width)).Named("squares"))
	add := func(i *tile.Value, c []*tile.Value) []*tile.Value {
		sums := slices.Clone(c)
		columns := g.block(row, nil, 1, i, tile.D(width), d)
		for j := 0; j < hc; j++ {
			block := g.at(columns, g.times(row, hc, j))
			stream := g.pull(x, block)
			for n, lane := range lanes {
				w := b.Load(weights, b.Add(b.MulI(lane, hc*d), b.AddI(block.cols, j*d)), block.colLive, 0)
				sums[n] = b.Add(sums[n], b.Mul(w, stream))
			}
			sums[len(lanes)] = b.Add(sums[len(lanes)], b.Mul(stream, stream))
		}
		return sums
	}
	if parts > 1 {
		sums = add(from, sums)
	} else {
		sums = g.loop("start", b.Int(0), b.Int(d), width, sums, add)
	}
	for n, lane := range lanes {
		b.Store(p, b.Add(first, lane), b.Col(b.Sum(sums[n], 1)), nil)
	}
	b.Store(p, b.AddI(first, rows), b.Sum(b.Sum(sums[len(lanes)], 1), 0), nil)
}

// addParts adds up what instances have left: the products, a vector with lanes behind them, and the sum of squares.
func (g *gen) addParts(in *ir.Instr, r *region) (products, squares *tile.Value) {
	b := g.b
	_, _, rows := g.mixSizes(in)
	parts, lanes := g.mixParts(in), g.lanes(rows+1)
	lane := b.Range(tile.D(lanes))
	live := b.LtI(lane, rows+1)
	start := []*tile.Value{b.Zeros(lane.Shape...).Named("sums")}
	sums := g.loop("part", b.Int(0), b.Int(parts), 1, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		at := b.Add(b.MulI(b.Add(b.MulI(r.rows, parts), i), lanes), lane)
		return []*tile.Value{b.Add(c[0], b.Load(g.mixParam(in), at, live, 0))}
	})[0].Named("mix")
	return sums, b.Sum(b.Where(b.EqI(lane, rows), sums, b.Float(0)), 0).Named("square")
}
