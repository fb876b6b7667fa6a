package triton

import (
	"fmt"
	"slices"
	"strings"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// section is a group of results that the same program instances compute.
type section struct {
	name      string
	doc       string
	countSize ir.Size // instances
	warps     int
	stages    int
	emit      func(id *tile.Value)
}

// sink is something that a kernel leaves: a result, rows of a state, or a part of a joined result.
type sink struct {
	value *ir.Value       // what is pulled
	write func(r *region) // pulls a block and stores it
	whole bool            // only whole rows can be pulled
	row   func(row *tile.Value)
	into  *ir.Value // the list that chosen entries are a part of; nil for one of their own
	from  ir.Size   // where in it they begin
}

// heavy are the ops whose results are not computed twice: what needs the same one is computed together.
var heavy = []*ir.Op{ops.Linear, ops.GroupedLinear, ops.ExpertLinear, ops.SumSlots, ops.HCPre, ops.HCHead,
	ops.CompressPool, ops.SparseAttention, ops.IndexScore, ops.TopEntries}

// inParts are those whose results come from parts that other instances have left, rather than lying in memory.
var inParts = []*ir.Op{ops.HCPre, ops.HCHead, ops.SparseAttention}

func (g *gen) isHeavy(in *ir.Instr) bool { return slices.Contains(heavy, in.Op) }

// anchors are the heavy ops that a value is computed from, without those behind another.
func (g *gen) anchors(v *ir.Value) []*ir.Instr {
	var found []*ir.Instr
	g.cone(v, func(in *ir.Instr) bool {
		if g.isHeavy(in) && !slices.Contains(found, in) {
			found = append(found, in)
		}
		return !g.isHeavy(in)
	})
	return found
}

// cone visits what a value is computed from, back to memory. Visit says whether to go on behind an op.
func (g *gen) cone(v *ir.Value, visit func(*ir.Instr) bool) {
	if v == nil || g.inMemory(v) || v.Def == nil || !visit(v.Def) {
		return
	}
	for i, a := range v.Def.Args {
		if _, state := v.Def.Op.Updates[0]; state && i == 0 && v.Def.Op.Stores {
			continue
		}
		g.cone(a, visit)
	}
}

// phases builds the programs of the launch. What the last instance to arrive would compute is a program of its own.
func (g *gen) phases() {
	g.stored, g.arrived = map[*ir.Value]bool{}, map[*ir.Instr]bool{}
	sinks := g.sinks(g.fn.Return)
	if early := g.beforeTail(); len(early) > 0 {
		g.later, sinks = sinks, early
	}
	for len(sinks) > 0 {
		later := g.later
		g.later = nil
		sections := g.sections(sinks)
		g.program(sections)
		for _, s := range sinks {
			if !slices.ContainsFunc(g.later, func(l sink) bool { return l.value == s.value }) {
				g.stored[s.value] = true
			}
		}
		for _, s := range g.later {
			for _, a := range g.anchors(s.value) {
				if slices.Contains(inParts, a.Op) {
					g.arrived[a] = true
				} else {
					g.stored[a.Results[0]] = true
				}
			}
		}
		sinks = append(g.later, later...)
		g.later = nil
	}
}

// beforeTail are the sinks of what the tail of the kernel needs of all instances.
func (g *gen) beforeTail() []sink {
	var early []sink
	for _, in := range g.fn.Tail {
		for _, a := range in.Args {
			if a != nil && !g.inMemory(a) && slices.ContainsFunc(g.anchors(a), func(x *ir.Instr) bool { return x.Op != ops.TopEntries }) {
				early = append(early, g.sinksOf(a)...)
			}
		}
	}
	return early
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
	case in.Op == ops.TopEntries:
		return []sink{{value: v}}
	case g.isList(v):
		return []sink{{value: v, row: func(row *tile.Value) { g.storeList(v, row) }}}
	}
	return []sink{{value: v, whole: g.needsWhole(v), write: func(r *region) { g.storeBlock(v, v, r, r) }}}
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

// needsWhole reports whether only whole rows of a value can be pulled.
func (g *gen) needsWhole(v *ir.Value) bool {
	whole := false
	g.cone(v, func(in *ir.Instr) bool {
		switch in.Op {
		case ops.ActQuantSim, ops.FP4QuantSim, ops.Hadamard, ops.HeadNorm, ops.CompressPool:
			whole = true
		}
		return !g.isHeavy(in)
	})
	return whole
}

// needsFactor reports whether something of a whole row goes into each block of it.
func (g *gen) needsFactor(v *ir.Value) bool {
	factor := false
	g.cone(v, func(in *ir.Instr) bool {
		switch in.Op {
		case ops.RMSNorm, ops.HeadNorm, ops.HCPre, ops.HCHead:
			factor = true
		}
		return !g.isHeavy(in)
	})
	return factor
}

// sections groups sinks by the heavy ops that they need.
func (g *gen) sections(sinks []sink) []*section {
	type group struct {
		anchors []*ir.Instr
		sinks   []sink
	}
	var groups []*group
	for _, s := range sinks {
		anchors := g.anchors(s.value)
		i := slices.IndexFunc(groups, func(x *group) bool { return g.together(x.anchors, x.sinks[0].value, anchors, s.value) })
		if i < 0 {
			groups = append(groups, &group{anchors, []sink{s}})
		} else {
			groups[i].sinks = append(groups[i].sinks, s)
		}
	}
	var out []*section
	for _, x := range groups {
		for _, s := range g.section(x.anchors, x.sinks) {
			emit := s.emit
			s.emit = func(id *tile.Value) {
				g.siblings = x.anchors
				emit(id)
			}
			out = append(out, s)
		}
	}
	return out
}

// together reports whether two sinks belong into one section.
func (g *gen) together(a []*ir.Instr, v *ir.Value, b []*ir.Instr, w *ir.Value) bool {
	if len(a) > 0 || len(b) > 0 {
		return slices.Equal(a, b)
	}
	shared := false
	mine := map[*ir.Instr]bool{}
	g.cone(v, func(in *ir.Instr) bool { mine[in] = true; return true })
	g.cone(w, func(in *ir.Instr) bool { shared = shared || mine[in]; return true })
	return shared && g.rows(v).Equal(g.rows(w)) && g.sameWidth(v, w)
}

func (g *gen) sameWidth(v, w *ir.Value) bool {
	return v.Type.Dims[len(v.Type.Dims)-1].Size.Equal(w.Type.Dims[len(w.Type.Dims)-1].Size)
}

// section makes the section of a group, by the kind of its anchor.
func (g *gen) section(anchors []*ir.Instr, sinks []sink) []*section {
	if len(anchors) == 0 {
		return g.rowSections(sinks)
	}
	switch anchors[0].Op {
	case ops.CompressPool:
		return g.poolSections(anchors[0], sinks)
	case ops.SparseAttention:
		return g.attentionSections(anchors[0], sinks)
	case ops.IndexScore:
		return []*section{g.scoreSection(anchors[0], sinks)}
	case ops.TopEntries:
		return []*section{g.topSection(anchors[0], sinks)}
	case ops.HCPre, ops.HCHead:
		return g.mixSections(anchors[0], sinks)
	}
	var out []*section
	for _, s := range sinks {
		switch {
		case !g.scattered(s, anchors):
			out = append(out, g.productSection(s))
		case g.tickets():
			out = append(out, g.joinSection(s, anchors))
		default:
			out = append(out, g.earlySection(s, anchors))
			g.later = append(g.later, s)
		}
	}
	return out
}

// newSection names a section after what it leaves.
func (g *gen) newSection(sinks []sink, count ir.Size, what string, emit func(*tile.Value)) *section {
	var names, labels []string
	for _, s := range sinks {
		names = append(names, Identifier(lastName(s.value.Name)))
		labels = append(labels, g.label(s.value))
	}
	count = count.Bind(g.bound)
	return &section{name: names[0], doc: strings.Join(labels, ", ") + ": " + what, countSize: count, emit: emit, warps: g.plan.warps, stages: 1}
}

// label says what a value is, from the ops that make it.
func (g *gen) label(v *ir.Value) string {
	var steps []string
	g.cone(v, func(in *ir.Instr) bool {
		if name := in.Name(); name != "view" && (len(steps) == 0 || steps[len(steps)-1] != name) {
			steps = append(steps, name)
		}
		return true
	})
	if len(steps) > 4 {
		steps = append(steps[:3], "…")
	}
	return fmt.Sprintf("%s = %s", Identifier(v.Name), strings.Join(steps, " of "))
}

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
	whole, factor := false, false
	for _, s := range sinks {
		whole = whole || s.whole
		factor = factor || g.needsFactor(s.value)
	}
	k := g.columns(lead.value)
	if !factor && !whole && !g.fits(1, k) {
		return []*section{g.pieceSection(sinks, lead.value, k)}
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

// mixSections cover tokens. The product with the mixing matrix, which reads far more than the rest, is spread over
// instances in decoding; the last to arrive, or a program of its own, goes on.
func (g *gen) mixSections(in *ir.Instr, sinks []sink) []*section {
	parts := g.mixParts(in)
	if parts == 1 || g.arrived[in] {
		return g.rowSections(sinks)
	}
	lead := sinks[0]
	for _, s := range sinks {
		if s.write != nil {
			lead = s
		}
	}
	if !g.tickets() {
		g.later = append(g.later, sinks...)
	}
	what := "a block of columns of all streams for each instance; the last goes on"
	return []*section{g.newSection(sinks, g.rows(in.Results[0]).Mul(ir.Const(parts)), what, func(id *tile.Value) {
		row, part := g.b.DivI(id, parts).Named("row"), g.b.ModI(id, parts).Named("part")
		g.leaveMix(in, row, part)
		if !g.tickets() {
			return
		}
		g.last(lead, row, g.b.Int(parts), g.rows(in.Results[0]), func() {
			g.arrived[in] = true
			whole := slices.ContainsFunc(sinks, func(s sink) bool { return s.whole })
			g.writeRows(sinks, row, whole, g.columns(lead.value))
			delete(g.arrived, in)
		})
	})}
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
func (g *gen) pieceSection(sinks []sink, v *ir.Value, k int) *section {
	width := g.rowBlock(1, k)
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

// productSection covers the result of a matrix product by blocks.
func (g *gen) productSection(s sink) *section {
	v := s.value
	k := g.columns(v)
	width := g.productWidth(s, k)
	blocks := (k + width - 1) / width
	if g.fn.Mode == ir.Decode || g.hasSlots(v) {
		sec := g.newSection([]sink{s}, g.rows(v).Mul(ir.Const(blocks)), "a block of columns of one row for each instance", func(id *tile.Value) {
			row := g.b.DivI(id, blocks).Named("row")
			s.write(g.columnBlock(row, nil, 1, g.b.ModI(id, blocks), width, k))
		})
		return sec
	}
	groups := g.alternating(v)
	tokens := g.rows(v).Div(ir.Const(groups))
	height := g.plan.dotRows
	count := ceilDiv(tokens, height).Mul(ir.Const(groups * blocks))
	sec := g.newSection([]sink{s}, count, "a block of rows and columns for each instance", func(id *tile.Value) {
		b := g.b
		block := b.ModI(id, blocks)
		group := b.ModI(b.DivI(id, blocks), groups).Named("group")
		token := b.Add(b.MulI(b.DivI(id, blocks*groups), height), b.Col(b.Range(tile.D(height)))).Named("token")
		live := b.Lt(token, g.size(tokens))
		rows := token
		if groups > 1 {
			rows = b.Add(b.MulI(token, groups), group).Named("row")
		}
		r := g.columnBlock(rows, live, height, block, width, k)
		r.group = group
		s.write(r)
	})
	if width*height > 128*64 {
		sec.warps = 8
	}
	return sec
}

// columnBlock is block number n of the columns of some rows.
func (g *gen) columnBlock(rows, live *tile.Value, height int, n *tile.Value, width, columns int) *region {
	if width >= columns {
		return g.wholeRow(rows, live, height, columns)
	}
	return g.block(rows, live, height, g.b.MulI(n, width).Named("first"), tile.D(width), columns)
}

// hasSlots reports whether rows choose their weights, so that neighbours share none.
func (g *gen) hasSlots(v *ir.Value) bool {
	return slices.ContainsFunc(g.anchors(v), func(in *ir.Instr) bool { return in.Op == ops.ExpertLinear || in.Op == ops.SumSlots })
}

// alternating is how many groups of weights the rows of v alternate between.
func (g *gen) alternating(v *ir.Value) int {
	in := g.anchors(v)[0]
	y := in.Results[0]
	if !g.rows(y).Equal(g.rows(v)) {
		return 1
	}
	w := in.Args[len(in.Args)-1].Type.Dims
	if in.Op == ops.GroupedLinear {
		return g.fixed(w[0].Size, "the groups")
	}
	return g.fixed(productOf(w[:len(w)-2]), "the weights' rows")
}

// productWidth is how many columns a block has: what the epilogue asks for, else what the plan says.
func (g *gen) productWidth(s sink, k int) int {
	if s.whole {
		return pow2(k)
	}
	width := g.plan.dotWidth
	if g.fn.Mode == ir.Decode || g.hasSlots(s.value) {
		width = g.rowsAtOnce(g.anchors(s.value)[0], 1)
	}
	g.cone(s.value, func(in *ir.Instr) bool {
		if in.Op == ops.ActQuant {
			width = max(width, in.Attrs.Int("block"))
		}
		return !g.isHeavy(in)
	})
	return min(width, pow2(k))
}
