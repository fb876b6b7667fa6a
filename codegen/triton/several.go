package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// In decoding a product has a row for each sequence, and for each stream where a model has several. One row is multiplied by
// instances that read weights as vectors and add. Several rows share the weights, so they are a block, as in prefill: a dot takes
// about as long for sixteen of them as for one. Blocks of so few rows are too few for the machine, and so are those of a short
// prompt where a result has few columns. So the sum is split: an instance has a part of the summed columns and leaves what it
// makes, and the next program adds the parts. The activations lie in memory before that, since hundreds of instances would
// compute them anew.

// leastPart is how many summed columns a part has at least: what a scale of activations covers.
const leastPart = 128

// leastShared is how many rows are several. On an H200 the projections of a layer took 35 µs row by row for two sequences and 40 as
// blocks, with the programs before and behind, but 56 and 41 for four.
const leastShared = 3

// leastParts and maxParts bound in how many parts the sums of a prompt's blocks are split where it is short. With fewer columns of
// blocks than that leaves, passing sums through memory is little of the work where it is long.
const (
	leastParts = 4
	maxParts   = 16
)

// shortBlocks is how many blocks of rows a short prompt has.
const shortBlocks = 4

// dense reports whether an op multiplies all rows with the same weights, or with those of the rows' groups.
func dense(in *ir.Instr) bool { return in.Op == ops.Linear || in.Op == ops.GroupedLinear }

// sharing is how many rows of a call are multiplied with each weight at most.
func (g *gen) sharing(in *ir.Instr) int {
	rows, ok := g.rows(in.Results[0]).Bind(ir.Env{"b": g.batch, "s": 1}).IsConst()
	if !ok {
		return 1
	}
	return rows / g.weightGroups(in)
}

// weightGroups is how many groups of weights the rows of a dense product alternate between.
func (g *gen) weightGroups(in *ir.Instr) int {
	w := in.Args[len(in.Args)-1].Type.Dims
	return g.fixed(productOf(w[:len(w)-2]), "the weights' groups")
}

// several reports whether a value is computed from blocks of rows whose sums may be split: in decoding of dense products alone,
// of which one has that many rows, and in prefill where they have few columns.
func (g *gen) several(v *ir.Value) bool {
	several := false
	for _, a := range g.anchors(v) {
		if !dense(a) {
			return false
		}
		if g.fn.Mode == ir.Decode {
			several = several || g.sharing(a) >= leastShared
		} else {
			several = several || g.mostParts(a) >= leastParts
		}
	}
	return several && (g.fn.Mode == ir.Decode || g.narrow())
}

// narrow reports whether the dense products of a launch together have so few blocks of columns that a short prompt leaves half of the
// machine idle.
func (g *gen) narrow() bool {
	blocks := 0
	for _, in := range g.fn.Body {
		if dense(in) {
			blocks += g.across(in)
		}
	}
	return shortBlocks*blocks <= g.plan.instances/2
}

// single reports whether a value is computed row by row.
func (g *gen) single(v *ir.Value) bool {
	return g.hasSlots(v) || g.fn.Mode == ir.Decode && !g.several(v)
}

// severalWidth is how many of n columns it has.
func (g *gen) severalWidth(n int) int {
	width := g.plan.severalWidth
	if g.fn.Mode == ir.Prefill { // a long prompt has blocks enough
		width = min(max(width, pow2(n)/8), g.plan.dotWidth)
	}
	return max(g.plan.dotN, min(width, pow2(n)))
}

// across is how many blocks of columns a product has, for all groups of weights.
func (g *gen) across(in *ir.Instr) int {
	n := g.columns(in.Results[0])
	width := g.severalWidth(n)
	return (n + width - 1) / width * g.weightGroups(in)
}

// mostParts is into how many parts the sums of a product are split at most: so many that there are instances for the whole
// machine. In prefill that is left to the length of the prompt, and a few blocks of rows are counted on.
func (g *gen) mostParts(in *ir.Instr) int {
	blocks := g.across(in)
	k := g.columns(in.Args[0])
	if k%leastPart != 0 {
		return 1
	}
	most := k / leastPart
	if g.fn.Mode == ir.Decode {
		height := g.blockHeight(false, g.severalWidth(g.columns(in.Results[0])), in)
		blocks *= (g.sharing(in) + height - 1) / height
	} else {
		blocks, most = blocks*shortBlocks, min(most, maxParts)
	}
	parts := 1
	for parts*blocks < g.plan.instances && most%(2*parts) == 0 {
		parts *= 2
	}
	return parts
}

// parts is into how many they are split in a call.
func (g *gen) parts(in *ir.Instr) ir.Size {
	most := g.mostParts(in)
	if g.fn.Mode == ir.Decode || most == 1 {
		return ir.Const(most)
	}
	width := g.severalWidth(g.columns(in.Results[0]))
	rows := g.rows(in.Results[0]).Div(ir.Const(g.weightGroups(in)))
	blocks := ceilDiv(rows, g.blockHeight(false, width, in)).Mul(ir.Const(g.across(in)))
	room := ir.Const(most).Min(ir.Const(g.plan.instances).Div(blocks))
	return room.Add(ir.Const(1)).Sub(room.Min(ir.Const(1))) // at least 1
}

// inSums reports whether a sink waits for products whose sums are split.
func (g *gen) inSums(s sink, anchors []*ir.Instr) bool {
	return g.several(s.value) && slices.ContainsFunc(anchors, func(a *ir.Instr) bool { return g.mostParts(a) > 1 })
}

// beforeSeveral are the sinks of activations that this launch computes for products of several rows.
func (g *gen) beforeSeveral(sinks []sink) []sink {
	var rows []*ir.Value
	for _, s := range sinks {
		if !g.several(s.value) {
			continue
		}
		for _, a := range g.anchors(s.value) {
			rows = append(rows, g.behindViews(a.Args[0]))
		}
	}
	return g.sinks(rows)
}

// partSection covers the parts of the sums of a product's blocks.
func (g *gen) partSection(in *ir.Instr) *section {
	y, k := in.Results[0], g.columns(in.Args[0])
	n, parts := g.columns(y), g.parts(in)
	width := g.severalWidth(n)
	c := cover{s: sink{value: y}, width: width, height: g.blockHeight(false, width, in), groups: g.weightGroups(in)}
	g.split[in] = true
	what := "a part of the sum of a block of rows and columns for each instance"
	sec := g.newSection([]sink{c.s}, g.coverBlocks(c).Mul(parts), what, func(id *tile.Value) {
		b := g.b
		count := g.size(parts).Named("parts")
		part := b.Mod(id, count).Named("part")
		r := g.coverBlock(c, b.Div(id, count))
		p := g.product(in, r)
		if fixed, ok := parts.IsConst(); ok {
			p.from = b.MulI(part, k/fixed)
			p.to = b.AddI(p.from, k/fixed)
		} else {
			share := b.MulI(b.Div(b.Add(b.Int(k/leastPart-1), count), count), leastPart).Named("share")
			p.from = b.Mul(part, share)
			p.to = b.Minimum(b.Add(p.from, share), b.Int(k))
		}
		x := g.matrixProducts([]product{p})[0]
		b.Store(g.partRoom(in), b.Add(b.MulI(g.partRow(in, part, r.rows), n), r.cols), x, g.mask(r))
	})
	sec.warps, sec.stages = g.dotWarps(c.height, width), 3
	return sec
}

// partRoom is where the parts of a product's sums stay.
func (g *gen) partRoom(in *ir.Instr) *tile.Param {
	y := in.Results[0]
	return g.room(g.name(y)+"_parts", "what each part of the summed columns yields", g.parts(in), g.rows(y), ir.Const(g.columns(y)))
}

// partRow is the row of one of the parts.
func (g *gen) partRow(in *ir.Instr, part, rows *tile.Value) *tile.Value {
	return g.b.Add(g.b.Mul(part, g.size(g.rows(in.Results[0]))), rows)
}

// pullParts adds the parts of a block of a product. All that there may be are loaded at once, since each takes its time.
func (g *gen) pullParts(in *ir.Instr, r *region) *tile.Value {
	b, n := g.b, g.columns(in.Results[0])
	parts := g.parts(in)
	_, fixed := parts.IsConst()
	var sum *tile.Value
	for part := range g.mostParts(in) {
		mask := g.mask(r)
		at := b.Add(b.MulI(g.partRow(in, b.Int(part), r.rows), n), r.cols)
		if !fixed && part > 0 {
			mask = g.both(mask, b.Full(b.Lt(b.Int(part), g.size(parts)), at.Shape...))
		}
		sum = g.plus(sum, b.Load(g.partRoom(in), at, mask, 0))
	}
	return sum
}
