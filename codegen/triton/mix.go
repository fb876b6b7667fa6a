package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/tile"
)

// In prefill the product of hyper-connections with their mixing matrix is one of blocks of tokens, which then share what
// they read of the matrix. Its numbers are float32 and stay so: each is the sum of three of bf16, and products of these
// with the streams, which are bf16, are exact.

// mixesBlocks reports whether the product is taken so.
func (g *gen) mixesBlocks(in *ir.Instr) bool {
	return !g.fewTokens(in.Results[0]) && in.Args[0].Type.Elem == ir.Plain(ir.BF16) && g.masksRows() && g.mixStep(in) >= g.plan.dotK
}

// streamSections are those of what hyper-connections yield.
func (g *gen) streamSections(in *ir.Instr, sinks []sink) []*section {
	if g.mixesBlocks(in) && !g.arrived[in] {
		return g.mixBlockSections(in, sinks)
	}
	return g.mixSections(in, sinks)
}

// mixStep is how many columns of a stream are multiplied at once.
func (g *gen) mixStep(in *ir.Instr) int {
	_, d, _ := g.mixSizes(in)
	return pow2Divisor(d, g.plan.mixDepth)
}

// mixBlockParts is over how many instances the columns of a block of tokens are spread.
func (g *gen) mixBlockParts(in *ir.Instr) int {
	hc, d, _ := g.mixSizes(in)
	return pow2Divisor(hc*d/g.mixStep(in), g.plan.mixBlockParts)
}

// mixBlockSections are the products for blocks of tokens; what is made of them is left to the next program. Streams that
// the launch itself leaves are read where it has left them, so the products wait for that.
func (g *gen) mixBlockSections(in *ir.Instr, sinks []sink) []*section {
	g.later = append(g.later, sinks...)
	if x := in.Args[0]; !g.inMemory(x) && slices.Contains(g.fn.Return, x) && !g.waits[in] {
		g.waits[in] = true
		return nil
	}
	delete(g.waits, in)
	parts, height := g.mixBlockParts(in), tile.D(g.plan.mixRows)
	tokens := g.rows(in.Results[0])
	count := ceilDiv(tokens, height.Size).Mul(ir.Const(parts))
	sec := g.newSection(sinks, count, "", func(id *tile.Value) {
		b := g.b
		token := b.Add(b.MulI(b.DivI(id, parts), height.Size), b.Col(b.Range(height))).Named("token")
		g.leaveMixBlock(in, token, b.Lt(token, g.size(tokens)), b.ModI(id, parts).Named("part"))
	})
	sec.doc = "products with the mixing matrix of " + g.label(in.Results[0]) + ": a block of tokens and a part of their columns for each instance"
	sec.stages = 3
	return []*section{sec}
}

// leaveMixBlock is one instance's part of the products, and of the sums of squares, of a block of tokens.
func (g *gen) leaveMixBlock(in *ir.Instr, token, live, part *tile.Value) {
	b := g.b
	hc, d, rows := g.mixSizes(in)
	parts, step, height := g.mixBlockParts(in), g.mixStep(in), token.Shape[0]
	lanes := pow2(rows + 1)
	lane := b.Row(b.Range(tile.D(max(g.plan.dotN, lanes))))
	from := b.MulI(part, hc*d/parts).Named("start")
	start := []*tile.Value{b.Zeros(height, lane.Shape[1]).Named("products"), b.Zeros(height).Named("squares")}
	sums := g.loop("k", from, b.AddI(from, hc*d/parts), step, start, func(k *tile.Value, c []*tile.Value) []*tile.Value {
		x := g.streamBlock(in, token, live, k, step)
		down := b.Col(b.Add(k, b.Range(tile.D(step))))
		w := b.Load(g.elements(in.Args[1], tile.In), b.Add(b.MulI(lane, hc*d), down), b.LtI(lane, rows), 0)
		return []*tile.Value{g.dotFloats(b.Cast(x, tile.BF16), w, c[0]), b.Add(c[1], b.Sum(b.Mul(x, x), 1))}
	})
	y := b.Where(b.EqI(lane, rows), b.Col(sums[1]), sums[0])
	at := b.MulI(b.Add(b.MulI(token, parts), part), lanes)
	mask := live
	if lane.Shape[1].Size > lanes {
		mask = b.And(live, b.LtI(lane, lanes))
	}
	b.Store(g.mixParam(in), b.Add(at, lane), y, mask)
}

// streamBlock are columns from k on of all streams of some tokens, one stream behind the other. In memory they are one row: a
// remainder in their addresses would hide from the compiler that neighbours can be read together.
func (g *gen) streamBlock(in *ir.Instr, token, live, k *tile.Value, step int) *tile.Value {
	b, x := g.b, in.Args[0]
	hc, d, _ := g.mixSizes(in)
	if g.inMemory(x) {
		at := b.Add(b.MulI(token, hc*d), b.Row(b.Add(k, b.Range(tile.D(step)))))
		return b.LoadF32(g.elements(x, tile.In), at, live, 0).Named("%s_tile", g.name(x))
	}
	row := b.Add(b.MulI(token, hc), b.DivI(k, d))
	block := g.block(row, live, token.Shape[0].Size, b.ModI(k, d), tile.D(step), d)
	return g.spread(g.pull(x, block), block)
}

// dotFloats is acc + x·w, of x in bf16 and w in float32: what bf16 holds of w, then of what is left, twice.
func (g *gen) dotFloats(x, w, acc *tile.Value) *tile.Value {
	b := g.b
	for range 3 {
		part := b.Cast(w, tile.BF16)
		acc = b.Dot(x, part, acc)
		w = b.Sub(w, b.Cast(part, tile.F32))
	}
	return acc
}

// mixSections cover tokens. The product with the mixing matrix, which reads far more than the rest, is spread over
// instances in decoding. What follows is a program of its own, in which the rounds of Sinkhorn for one result and the norm
// of another run side by side: one instance that arrives last would compute them one after the other.
func (g *gen) mixSections(in *ir.Instr, sinks []sink) []*section {
	parts := g.mixParts(in)
	if parts == 1 && !g.mixByRows(in) {
		return g.rowSections(sinks)
	}
	if !g.arrived[in] {
		g.later = append(g.later, sinks...)
		s := g.newSection(sinks, g.rows(in.Results[0]).Mul(ir.Const(parts)), "", func(id *tile.Value) {
			g.leaveMix(in, g.b.DivI(id, parts).Named("row"), g.b.ModI(id, parts).Named("part"))
		})
		s.doc = "products with the mixing matrix of " + g.label(in.Results[0]) + ": a block of columns of all streams for each instance"
		return []*section{s}
	}
	var out []*section
	streams := func(s sink) bool { return s.value == in.Results[0] || s.value.Def != in }
	for _, mixed := range []bool{true, false} {
		some := slices.DeleteFunc(slices.Clone(sinks), func(s sink) bool { return streams(s) != mixed })
		if len(some) > 0 {
			out = append(out, g.rowSections(some)...)
		}
	}
	return out
}
