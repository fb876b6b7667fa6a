package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// In decoding a product has a row for each sequence, and for each stream where a model has several. One row is multiplied by
// instances that read weights as vectors and add. Several rows share the weights, so they are a block, as in prefill: a dot takes
// about as long for sixteen of them as for one. Blocks of so few rows are too few for the machine, so the sum is split: an instance has
// a part of the summed columns and leaves what it makes, and the next program adds the parts. The activations lie in
// memory before that, since hundreds of instances would compute them anew.

// leastPart is how many summed columns a part has at least: what a scale of activations covers.
const leastPart = 128

// leastShared is how many rows are several. On an H200 the projections of a layer took 58 µs row by row for two sequences and 67 as
// blocks, with the programs before and behind, but 91 and 69 for four.
const leastShared = 3

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

// several reports whether a value is computed in decoding from blocks of rows: from dense products alone, of which one has
// that many rows.
func (g *gen) several(v *ir.Value) bool {
	shared := false
	for _, a := range g.anchors(v) {
		if !dense(a) {
			return false
		}
		shared = shared || g.sharing(a) >= leastShared
	}
	return shared && g.fn.Mode == ir.Decode
}

// single reports whether a value is computed row by row.
func (g *gen) single(v *ir.Value) bool {
	return g.hasSlots(v) || g.fn.Mode == ir.Decode && !g.several(v)
}

// severalHeight is how many rows a block has of which there are few.
func (g *gen) severalHeight(in *ir.Instr, width int) int {
	return max(g.plan.dotM, min(g.plan.dotRows, g.plan.blockElements/width, pow2(g.sharing(in))))
}

// parts is how many instances share the sum of a block: so many that there are instances for the whole machine.
func (g *gen) parts(in *ir.Instr) int {
	k, n := g.columns(in.Args[0]), g.columns(in.Results[0])
	width := g.severalWidth(n)
	height := g.severalHeight(in, width)
	blocks := (n + width - 1) / width * g.weightGroups(in) * ((g.sharing(in) + height - 1) / height)
	parts := 1
	for parts*blocks < g.plan.instances && k%(2*parts*leastPart) == 0 {
		parts *= 2
	}
	return parts
}

// severalWidth is how many of n columns a block has.
func (g *gen) severalWidth(n int) int { return max(g.plan.dotN, min(g.plan.severalWidth, pow2(n))) }

// inSums reports whether a sink waits for products whose sums are split.
func (g *gen) inSums(s sink, anchors []*ir.Instr) bool {
	return g.several(s.value) && slices.ContainsFunc(anchors, func(a *ir.Instr) bool { return g.parts(a) > 1 })
}

// beforeSeveral are the sinks of activations that this launch computes for products of several rows.
func (g *gen) beforeSeveral(sinks []sink) []sink {
	var rows []*ir.Value
	for _, s := range sinks {
		if !g.several(s.value) {
			continue
		}
		for _, a := range g.anchors(s.value) {
			if x := g.behindViews(a.Args[0]); !g.inMemory(x) && !slices.Contains(rows, x) {
				rows = append(rows, x)
			}
		}
	}
	return g.sinks(rows)
}

// partSection covers the parts of the sums of a product's blocks.
func (g *gen) partSection(in *ir.Instr) *section {
	y, k := in.Results[0], g.columns(in.Args[0])
	n, parts := g.columns(y), g.parts(in)
	width := g.severalWidth(n)
	c := cover{s: sink{value: y}, width: width, height: g.severalHeight(in, width), groups: g.weightGroups(in)}
	g.split[in] = parts
	what := "a part of the sum of a block of rows and columns for each instance"
	sec := g.newSection([]sink{c.s}, g.coverBlocks(c).Mul(ir.Const(parts)), what, func(id *tile.Value) {
		b := g.b
		part := b.ModI(id, parts).Named("part")
		r := g.coverBlock(c, b.DivI(id, parts))
		p := g.product(in, r)
		p.from = b.MulI(part, k/parts)
		p.to = b.AddI(p.from, k/parts)
		x := g.matrixProducts([]product{p})[0]
		b.Store(g.partRoom(in), b.Add(b.MulI(g.partRow(in, part, r.rows), n), r.cols), x, g.mask(r))
	})
	sec.warps, sec.stages = g.dotWarps(c.height, width), 3
	return sec
}

// partRoom is where the parts of a product's sums stay.
func (g *gen) partRoom(in *ir.Instr) *tile.Param {
	y := in.Results[0]
	return g.room(g.name(y)+"_parts", "what each part of the summed columns yields", ir.Const(g.split[in]), g.rows(y), ir.Const(g.columns(y)))
}

// partRow is the row of one of the parts.
func (g *gen) partRow(in *ir.Instr, part, rows *tile.Value) *tile.Value {
	return g.b.Add(g.b.Mul(part, g.size(g.rows(in.Results[0]))), rows)
}

// pullParts adds the parts of a block of a product.
func (g *gen) pullParts(in *ir.Instr, r *region) *tile.Value {
	b, n := g.b, g.columns(in.Results[0])
	var sum *tile.Value
	for part := range g.split[in] {
		x := b.Load(g.partRoom(in), b.Add(b.MulI(g.partRow(in, b.Int(part), r.rows), n), r.cols), g.mask(r), 0)
		if sum == nil {
			sum = x
		} else {
			sum = b.Add(sum, x)
		}
	}
	return sum
}
