package triton

import (
	"math"

	"flagc/ir"
	"flagc/ir/tile"
)

// Weighing entries block by block scales rows of a tile by exponentials: what a block was rated relative to, over what
// all are. Where a program may not broadcast exponentials that it has computed, one between rating and weighing computes
// them, for one head of one token at a time: then they are scalars.

// factorSection covers heads. It leaves for each block of entries the maximum up to there, or 0 if there is none, and the
// factor that brings its sums to the last maximum, and for each head the denominator.
func (g *gen) factorSection(in *ir.Instr, sinks []sink) *section {
	g.later = append(g.later, sinks...)
	g.factors[in] = true
	heads := g.fixed(in.Args[0].Type.Dims[2].Size, "the heads")
	return g.newSection(sinks, g.headRows(in), "factors: a head of one token for each instance", func(row *tile.Value) {
		b := g.b
		none := b.Float(math.Inf(-1))
		n, count := g.size(in.Args[2].Type.Dims[2].Size), g.size(g.entryBlocks(in))
		first := b.Mul(row, count)
		finite := func(top *tile.Value) *tile.Value { return b.Where(b.Gt(top, none), top, b.Float(0)) }
		rated := func(i, top *tile.Value) (score, newTop *tile.Value) {
			place := b.Add(b.MulI(i, entryBlock), b.Range(tile.D(entryBlock)))
			score = b.Load(g.scoreParam(in), b.Add(b.Mul(row, n), place), b.Lt(place, n), math.Inf(-1)).Named("score")
			return score, b.Maximum(top, b.Max(score, 0)).Named("new_top")
		}
		last := g.loop("block", b.Int(0), count, 1, []*tile.Value{none}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
			_, top := rated(i, c[0])
			return []*tile.Value{top}
		})[0].Named("last_top")
		total := g.loop("block", b.Int(0), count, 1, []*tile.Value{none, b.Float(0)}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
			score, top := rated(i, c[0])
			origin := finite(top).Named("origin")
			factor := b.Exp(b.Sub(top, finite(last))).Named("factor")
			b.Store(g.topsParam(in), b.Add(first, i), origin, nil)
			b.Store(g.factorParam(in), b.Add(first, i), factor, nil)
			return []*tile.Value{top, b.Add(c[1], b.Mul(b.Sum(b.Exp(b.Sub(score, origin)), 0), factor))}
		})[1].Named("total")
		sink := b.Load(g.elements(in.Args[3], tile.In), g.remainder(row, heads), nil, 0)
		whole := b.Add(total, b.Exp(b.Sub(sink, finite(last))))
		b.Store(g.denominatorParam(in), row, b.Where(b.Gt(last, none), whole, b.Float(1)), nil)
	})
}

func (g *gen) topsParam(in *ir.Instr) *tile.Param {
	return g.room(g.name(in.Results[0])+"_tops", "the best score up to each block of entries", g.headRows(in), g.entryBlocks(in))
}

func (g *gen) factorParam(in *ir.Instr) *tile.Param {
	return g.room(g.name(in.Results[0])+"_factors", "what brings sums of each block of entries to the last maximum", g.headRows(in), g.entryBlocks(in))
}

func (g *gen) denominatorParam(in *ir.Instr) *tile.Param {
	return g.room(g.name(in.Results[0])+"_denominators", "sums of the weights of all entries and the sink", g.headRows(in))
}

// weighedByFactors adds up blocks of entries, each brought to the last maximum as it comes.
func (g *gen) weighedByFactors(in *ir.Instr, r *region) *tile.Value {
	b := g.b
	count := g.size(g.entryBlocks(in))
	acc := g.loop("block", b.Int(0), count, 1, []*tile.Value{b.Zeros(r.height, r.width).Named("acc")}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		values, score := g.ratedBlock(in, r, i)
		at := b.Add(b.Mul(r.rows, count), i)
		top := b.Load(g.topsParam(in), at, r.live, 0).Named("top")
		factor := b.Load(g.factorParam(in), at, r.live, 0).Named("factor")
		p := b.Exp(b.Sub(score, top)).Named("prob")
		sum := b.Dot(b.Cast(p, tile.BF16), values, b.Zeros(r.height, r.width))
		return []*tile.Value{b.Add(c[0], b.Mul(sum, factor))}
	})[0]
	return b.Div(acc, b.Load(g.denominatorParam(in), r.rows, r.live, 1))
}
