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
	capped    bool // how many registers a thread has is not left to the compiler
	emit      func(id *tile.Value)
}

// heavy are the ops whose results are not computed twice: what needs the same one is computed together.
var heavy = []*ir.Op{ops.Linear, ops.GroupedLinear, ops.ExpertLinear, ops.SumSlots, ops.HCPre, ops.HCHead,
	ops.CompressPool, ops.SparseAttention, ops.IndexScore, ops.TopEntries, ops.Argmax, ops.Pick}

// inParts are those whose results come from parts that other instances have left, rather than lying in memory.
var inParts = []*ir.Op{ops.HCPre, ops.HCHead, ops.SparseAttention, ops.TopEntries, ops.Argmax}

// isHeavy reports whether an op is one of them. A sum of what lies in memory is not, nor is a product in parts.
func (g *gen) isHeavy(in *ir.Instr) bool {
	return slices.Contains(heavy, in.Op) && !(in.Op == ops.SumSlots && g.inMemory(in.Args[0])) && !(dense(in) && g.arrived[in])
}

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
	sinks := g.sinks(g.fn.Return)
	if early := slices.Concat(g.beforeTail(), g.beforeExperts(), g.beforeSeveral(sinks), g.beforePools()); len(early) > 0 {
		g.later = slices.DeleteFunc(sinks, func(s sink) bool { // what others need early and is returned as well
			return slices.ContainsFunc(early, func(e sink) bool { return e.value == s.value && e.into == s.into })
		})
		sinks = early
	}
	for len(sinks) > 0 {
		later := g.later
		g.later = nil
		now, sums := g.beforeSums(sinks)
		sections := g.sections(now)
		g.program(sections)
		for _, s := range now {
			if !slices.ContainsFunc(g.later, func(l sink) bool { return l.value == s.value }) {
				g.stored[s.value] = true
			}
		}
		for _, s := range g.later {
			for _, a := range g.anchors(s.value) {
				switch {
				case g.sorting(a), g.waits[a]:
				case slices.Contains(inParts, a.Op), g.split[a]:
					g.arrived[a] = true
				default:
					g.stored[a.Results[0]] = true
				}
			}
		}
		sinks = append(append(g.later, later...), sums...)
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

// needsWhole reports whether only whole rows of a value can be pulled.
func (g *gen) needsWhole(v *ir.Value) bool {
	whole := false
	g.cone(v, func(in *ir.Instr) bool {
		switch in.Op {
		case ops.ActQuantSim, ops.FP4QuantSim, ops.Hadamard, ops.HeadNorm:
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
	beside := g.leftBeside(sinks)
	for _, s := range sinks {
		if slices.Contains(beside, s.value) {
			continue
		}
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
		return g.topSections(anchors[0], sinks)
	case ops.Argmax:
		return g.argmaxSections(anchors[0], sinks)
	case ops.Pick:
		return []*section{g.pickSection(anchors[0], sinks)}
	case ops.HCPre, ops.HCHead:
		return g.streamSections(anchors[0], sinks)
	}
	var out []*section
	var slots []sink
	for _, s := range sinks {
		switch {
		case g.grouped(s, anchors):
			slots = append(slots, s)
		case g.inSums(s, anchors):
			for _, a := range anchors {
				if !g.split[a] {
					out = append(out, g.partSection(a))
				}
			}
			g.later = append(g.later, s)
		case g.apart(s):
			for _, a := range anchors {
				y := a.Results[0]
				out = append(out, g.productSection(sink{value: y, write: func(r *region) { g.storeBlock(y, y, r, r) }}))
			}
			g.later = append(g.later, s)
		case g.choosesBeside(s, anchors) && !g.weighs(s.value):
			out = append(out, g.ownSection(s, anchors))
		case g.choosesBeside(s, anchors):
			out = append(out, g.joinSection(s, anchors))
		case !g.scattered(s, anchors) && g.bySlots(s, anchors):
			out = append(out, g.slotSection(s, anchors))
		case !g.scattered(s, anchors):
			out = append(out, g.productSection(s))
		case g.joins():
			out = append(out, g.joinSection(s, anchors))
		default:
			out = append(out, g.earlySection(s, anchors))
			g.later = append(g.later, s)
		}
	}
	if slots != nil {
		return append(out, g.groupedSections(slots, anchors)...)
	}
	if g.fn.Mode == ir.Decode && !g.several(sinks[0].value) {
		for _, s := range out {
			s.warps *= g.twice(anchors[0])
			s.capped = g.widens(anchors[0])
		}
	}
	return out
}

// apart reports whether an epilogue is a program of its own because a block of rows of it does not fit beside the product:
// a Hadamard transform of several rows is a product with a matrix, of one row two small sums; other epilogues need whole
// rows, and as many of those as a dot has do not fit registers or other memories well.
func (g *gen) apart(s sink) bool {
	if k := g.columns(s.value); !g.single(s.value) {
		return g.hasOp(s.value, ops.Hadamard) && k*k > 4*g.plan.rowElements || s.whole && g.plan.dotM*k > g.plan.wholeElements
	}
	return false
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

// productSection covers the result of a matrix product by blocks.
func (g *gen) productSection(s sink) *section {
	v := s.value
	k := g.columns(v)
	width := g.productWidth(s, k)
	blocks := (k + width - 1) / width
	if g.single(v) {
		return g.newSection([]sink{s}, g.rows(v).Mul(ir.Const(blocks)), "a block of columns of one row for each instance", func(id *tile.Value) {
			row := g.b.DivI(id, blocks).Named("row")
			s.write(g.productBlock(s, row, nil, 1, g.b.ModI(id, blocks), width))
		})
	}
	c := cover{s: s, width: width, height: g.blockHeight(s.whole, width, g.anchors(v)...), groups: g.alternating(v)}
	if g.several(v) {
		c.height = g.blockHeight(false, width, g.anchors(v)[0])
	}
	sec := g.newSection([]sink{s}, g.coverBlocks(c), "a block of rows and columns for each instance", func(id *tile.Value) {
		s.write(g.coverBlock(c, id))
	})
	sec.warps = g.dotWarps(c.height, width)
	sec.stages = 3
	if s.whole { // such an epilogue leaves few registers for it
		sec.stages = 2
	}
	return sec
}

// cover is how blocks of rows and columns cover a result: rows of several groups of weights alternate.
type cover struct {
	s                     sink
	width, height, groups int
}

// blockHeight is how many rows a block of products has, in decoding no more than there may be. An epilogue that takes whole rows
// has few columns, so it has all rows.
func (g *gen) blockHeight(whole bool, width int, products ...*ir.Instr) int {
	rows, most := g.plan.dotRows, 1
	for _, in := range products {
		most = max(most, g.sharing(in))
		if !whole {
			rows = g.rowsOf(rows, in)
		}
	}
	if g.fn.Mode == ir.Decode {
		rows = min(rows, pow2(most))
	}
	return max(g.plan.dotM, min(rows, g.plan.blockElements/width))
}

// rowsOf is rows, or fewer where codes of FP8 are multiplied as FP16: what they are widened to then need not go through shared memory,
// as the second operand of larger dots does. With 32 rows instead of 64 such products took half the time on an H200.
func (g *gen) rowsOf(rows int, in *ir.Instr) int {
	x, w := in.Args[0].Type.Elem, in.Args[len(in.Args)-1].Type.Elem
	if x.DType == ir.FP8 && w.DType == ir.FP8 {
		return min(rows, g.plan.codeRows)
	}
	return rows
}

// coverBlocks is how many there are.
func (g *gen) coverBlocks(c cover) ir.Size {
	k := g.columns(c.s.value)
	tokens := g.rows(c.s.value).Div(ir.Const(c.groups))
	return ceilDiv(tokens, c.height).Mul(ir.Const(c.groups * ((k + c.width - 1) / c.width)))
}

// coverBlock is one of them.
func (g *gen) coverBlock(c cover, id *tile.Value) *region {
	b, k := g.b, g.columns(c.s.value)
	blocks := (k + c.width - 1) / c.width
	block := b.ModI(id, blocks)
	group := b.ModI(b.DivI(id, blocks), c.groups).Named("group")
	token := b.Add(b.MulI(b.DivI(id, blocks*c.groups), c.height), b.Col(b.Range(tile.D(c.height)))).Named("token")
	live := b.Lt(token, g.size(g.rows(c.s.value).Div(ir.Const(c.groups))))
	rows := token
	if c.groups > 1 {
		rows = b.Add(b.MulI(token, c.groups), group).Named("row")
	}
	r := g.productBlock(c.s, rows, live, c.height, block, c.width)
	r.group = group
	return r
}

// dotWarps is how many warps compute a block of a dot's result.
func (g *gen) dotWarps(rows, columns int) int {
	if rows*columns >= 64*128 {
		return 8
	}
	return g.plan.warps
}

// columnBlock is block number n of the columns of some rows.
func (g *gen) columnBlock(rows, live *tile.Value, height int, n *tile.Value, width, columns int) *region {
	switch {
	case width == columns || width == pow2(columns):
		return g.wholeRow(rows, live, height, columns)
	case width > columns: // padded to the smallest dot
		return g.block(rows, live, height, nil, tile.D(width), columns)
	}
	return g.block(rows, live, height, g.b.MulI(n, width).Named("first"), tile.D(width), columns)
}

// alternating is how many groups of weights the rows of v alternate between.
func (g *gen) alternating(v *ir.Value) int {
	in := g.anchors(v)[0]
	y := in.Results[0]
	if !g.rows(y).Equal(g.rows(v)) {
		return 1
	}
	return g.weightGroups(in)
}

// productWidth is how many columns a block has: what the epilogue asks for, else what the plan says.
func (g *gen) productWidth(s sink, k int) int {
	one := g.single(s.value)
	least := g.plan.dotN
	if one {
		least = g.plan.lanes
	}
	if s.whole {
		return max(least, pow2(k))
	}
	width := g.plan.dotWidth
	switch {
	case g.several(s.value):
		width = g.severalWidth(k)
	case one:
		width = g.rowsAtOnce(g.anchors(s.value)[0], 1)
	}
	return max(least, min(max(width, g.need(s, k)), pow2(k)))
}
