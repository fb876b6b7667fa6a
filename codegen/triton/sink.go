package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// sink is something that a kernel leaves: a result, rows of a state, or a part of a joined result.
type sink struct {
	value *ir.Value       // what is pulled
	write func(r *region) // pulls a block and stores it
	whole bool            // only whole rows can be pulled
	row   func(row *tile.Value)
	into  *ir.Value // the list that chosen entries are a part of; nil for one of their own
	from  ir.Size   // where in it they begin
}

// sinks lists what returned values are made of.
func (g *gen) sinks(values []*ir.Value) []sink {
	var out []sink
	seen := map[*ir.Value]bool{}
	for _, v := range values {
		if !seen[v] && !(g.inMemory(v)) {
			seen[v] = true
			out = append(out, g.sinksOf(v)...)
		}
	}
	return out
}

func (g *gen) sinksOf(v *ir.Value) []sink {
	in := v.Def
	switch {
	case in.Op == ops.RingWrite:
		return append(g.stateSinks(in), g.rowsSink(in.Args[1], func(r *region) *region { return g.ringRows(in, r) }, in.Args[0].Root()))
	case in.Op == ops.CacheWrite:
		return append(g.stateSinks(in), g.rowsSink(in.Args[1], func(r *region) *region { return g.cacheRows(in, r) }, in.Args[0].Root()))
	case in.Op == ops.Concat && v.Type.Elem.DType.IsInt():
		return g.listSinks(v)
	case in.Op == ops.Concat:
		return g.joinSinks(in)
	case in.Op == ops.CompressPool && v != in.Results[0]:
		return []sink{{value: v}}
	case in.Op == ops.HCPre && v == in.Results[1]:
		return []sink{{value: v, row: func(row *tile.Value) { g.storePost(in, row) }}}
	case in.Op == ops.HCPre && v == in.Results[2]:
		return []sink{{value: v, row: func(row *tile.Value) { g.storeComb(in, row) }}}
	case slices.Contains([]*ir.Op{ops.TopEntries, ops.Argmax, ops.Pick}, in.Op):
		return []sink{{value: v}}
	case g.isList(v):
		return []sink{{value: v, row: func(row *tile.Value) { g.storeList(v, row) }}}
	}
	return []sink{{value: v, whole: g.needsWhole(v), write: func(r *region) { g.storeBlock(v, v, r, r) }}}
}

// beforeExperts are the sinks of activations of chosen experts that this launch computes in decoding. Hundreds of instances would
// compute them anew for each slot, and FP4 codes are multiplied by words only with what lies in memory, which takes a third
// of the time. So a program of their own leaves them, for FP4 or where a launch costs little.
func (g *gen) beforeExperts() []sink {
	var rows []*ir.Value
	for _, in := range g.fn.Body {
		if in.Op != ops.ExpertLinear || g.fn.Mode != ir.Decode {
			continue
		}
		x, fp4 := g.behindViews(in.Args[0]), in.Args[2].Type.Elem.DType == ir.FP4
		if (fp4 && g.subnormals() || g.target.Launch.Dependent.Is(true)) && len(g.anchors(x)) == 0 {
			rows = append(rows, x)
		}
	}
	return g.sinks(rows)
}

// isList reports whether a value is short rows that are computed as vectors.
func (g *gen) isList(v *ir.Value) bool {
	return slices.Contains([]*ir.Op{ops.TopExperts, ops.HashExperts, ops.RouteWeights}, v.Def.Op)
}

func (g *gen) storeList(v *ir.Value, row *tile.Value) {
	k := g.columns(v)
	list := g.list(v, row)
	lane := g.b.Range(list.Shape[0])
	g.b.Store(g.elements(v, tile.Out), g.b.Add(g.b.MulI(row, k), lane), list, g.b.LtI(lane, k))
}

// stateSinks are those of the updates that a state went through before.
func (g *gen) stateSinks(in *ir.Instr) []sink {
	if before := in.Args[0]; before.Kind == ir.ResultValue {
		return g.sinksOf(before)
	}
	return nil
}

// rowsSink stores rows of a value as other rows of something larger.
func (g *gen) rowsSink(v *ir.Value, place func(*region) *region, into *ir.Value) sink {
	return sink{value: v, whole: g.needsWhole(v), write: func(r *region) { g.storeBlock(v, into, r, place(r)) }}
}

// ringRows are the rows of the ring that rows of the call's keys go to: only the last that the window holds.
func (g *gen) ringRows(in *ir.Instr, r *region) *region {
	b, w := g.b, in.Attrs.Int("window")
	s, j := g.size(in.Args[1].Type.Dims[1].Size), g.size(in.Args[0].Type.Dims[1].Size)
	seq, i := b.Div(r.rows, s), b.Mod(r.rows, s)
	out := *r
	out.rows = b.Add(b.Mul(seq, j), b.ModI(b.Add(g.size(ir.Sym("p")), i), w))
	last := b.Ge(i, b.SubI(s, w))
	if out.live = last; r.live != nil {
		out.live = b.And(r.live, last)
	}
	return &out
}

// cacheRows are the rows of a cache that rows go to.
func (g *gen) cacheRows(in *ir.Instr, r *region) *region {
	b := g.b
	n, j := g.size(in.Args[1].Type.Dims[1].Size), g.size(in.Args[0].Type.Dims[1].Size)
	out := *r
	out.rows = b.Add(b.Mul(b.Div(r.rows, n), j), b.Add(g.size(in.Attrs.Size("at")), b.Mod(r.rows, n)))
	return &out
}

// joinSinks are the parts of two values one behind the other along the second axis.
func (g *gen) joinSinks(in *ir.Instr) []sink {
	v := in.Results[0]
	if in.Attrs.Int("axis") != 1 || len(v.Type.Dims) != 3 {
		g.fail("concat along axis %d of %s", in.Attrs.Int("axis"), v.Type)
	}
	part := func(a *ir.Value, from ir.Size) sink {
		return g.rowsSink(a, func(r *region) *region {
			b := g.b
			n, all := g.size(a.Type.Dims[1].Size), g.size(v.Type.Dims[1].Size)
			out := *r
			out.rows = b.Add(b.Mul(b.Div(r.rows, n), all), b.Add(g.size(from), b.Mod(r.rows, n)))
			return &out
		}, v)
	}
	return []sink{part(in.Args[0], ir.Const(0)), part(in.Args[1], in.Args[0].Type.Dims[1].Size)}
}

// storeBlock pulls a block of v and stores it as a block of another value, to.
func (g *gen) storeBlock(v, into *ir.Value, from, to *region) {
	if !v.Type.Elem.IsQuantised() {
		g.store(into, to, g.pull(v, from))
		return
	}
	if v.Def.Op != ops.ActQuant {
		g.fail("%s leaves a quantised result", v.Def.Name())
	}
	q := g.quantisedBlock(v.Def, from)
	g.store(into, to, g.b.Reshape(q.codes, from.height, from.width))
	block := v.Type.Elem.Cols
	blocks := g.blocks(to, block, g.columns(into))
	n := g.columns(into) / block
	g.b.Store(g.scales(into, tile.Out), g.offsets(blocks, n), g.b.Cast(q.exponent, tile.I8), g.mask(blocks))
}
