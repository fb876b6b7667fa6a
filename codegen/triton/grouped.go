package triton

import (
	"fmt"
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// In prefill many tokens choose the same expert, and its weights are read once for a block of them. So slots are sorted
// by their experts first, by two small programs: one counts, chunk by chunk of slots, how many chose each expert; the
// next finds each slot's place from the counts and from the slots before it in its chunk. Each expert's places begin at
// a block of their own, and what is left of its last block holds -1. Slots whose expert another rank has are a group
// behind the others. So places follow from the list alone, in whatever order instances run.

// dispatch is a list of chosen experts that slots are sorted by.
type dispatch struct {
	in      *ir.Instr // a product that goes by it
	ids     *ir.Value
	slots   ir.Size
	experts int // of the rank
	rows    int // of a block of slots
}

// dispatchOf is the list that products go by, if slots are sorted by it: in prefill, where it lies in memory.
func (g *gen) dispatchOf(anchors []*ir.Instr) (d dispatch, ok bool) {
	if !g.masksRows() {
		return d, false
	}
	for i, a := range anchors {
		if g.fn.Mode != ir.Prefill || a.Op != ops.ExpertLinear || !g.inMemory(a.Args[1]) || i > 0 && a.Args[1] != d.ids {
			return d, false
		}
		ids := a.Args[1]
		d = dispatch{a, ids, productOf(ids.Type.Dims).Bind(g.bound), g.fixed(a.Args[2].Type.Dims[0].Size, "the experts"), g.rowsOf(g.plan.groupRows, a)}
	}
	return d, len(anchors) > 0
}

// masksRows reports whether blocks of rows may end in rows that do not exist.
func (g *gen) masksRows() bool {
	return g.target.Loads.MaxMasked.Or(g.plan.groupRows) >= g.plan.groupRows
}

// grouped reports whether a sink is rows of slots that are computed by blocks of one expert each.
func (g *gen) grouped(s sink, anchors []*ir.Instr) bool {
	_, ok := g.dispatchOf(anchors)
	return ok && !s.whole && g.rows(s.value).Equal(g.rows(anchors[0].Results[0]))
}

// sorting reports whether the program that was built last is one of those that a product's slots are sorted by.
func (g *gen) sorting(in *ir.Instr) bool {
	if in.Op != ops.ExpertLinear {
		return false
	}
	by := g.sorted[in.Args[1]]
	return len(by) > 0 && by[len(by)-1] == len(g.kernel.Programs)-1
}

// beforeSums splits sinks into those of earlier programs, among them the products of slots that the others add up, and
// the others.
func (g *gen) beforeSums(sinks []sink) (early, sums []sink) {
	for _, s := range sinks {
		var products []*ir.Value
		for _, a := range g.anchors(s.value) {
			if a.Op != ops.SumSlots || g.inMemory(a.Args[0]) {
				continue
			}
			if _, ok := g.dispatchOf(g.anchors(a.Args[0])); ok {
				products = append(products, a.Args[0])
			}
		}
		if products == nil {
			early = append(early, s)
			continue
		}
		sums = append(sums, s)
		for _, p := range g.sinks(products) {
			if !slices.ContainsFunc(early, func(e sink) bool { return e.value == p.value }) {
				early = append(early, p)
			}
		}
	}
	return early, sums
}

// groupedSections are the sections of sinks of the same products in one of three programs: those that sort, one that
// multiplies.
func (g *gen) groupedSections(sinks []sink, anchors []*ir.Instr) []*section {
	d, _ := g.dispatchOf(anchors)
	by, at := g.sorted[d.ids], len(g.kernel.Programs)
	var out []*section
	switch n := len(by); {
	case n > 0 && by[n-1] == at: // for others in this program
	case n == 0:
		out = []*section{g.countSection(d)}
	case n == 1:
		out = []*section{g.placeSection(d), g.groupSection(d)}
	default:
		for _, s := range sinks {
			out = append(out, g.blockSection(d, s))
		}
		return out
	}
	if out != nil {
		g.sorted[d.ids] = append(by, at)
	}
	g.later = append(g.later, sinks...)
	return out
}

// groups is how many groups slots fall into: the rank's experts and all others.
func (d dispatch) groups() int { return d.experts + 1 }

// lanes are the groups as lanes of a tile.
func (d dispatch) lanes() tile.Dim { return tile.D(pow2(d.groups())) }

// chunk is how many slots an instance sorts: so many that they make a tile with the groups.
func (g *gen) chunk(d dispatch) int {
	return max(16, min(128, g.plan.rowElements/d.lanes().Size))
}

func (g *gen) chunks(d dispatch) ir.Size { return ceilDiv(d.slots, g.chunk(d)) }

// blockCount is the most blocks that slots can fill: every group may leave its last one all but empty.
func (g *gen) blockCount(d dispatch) ir.Size {
	return d.slots.Add(ir.Const(d.groups() * (d.rows - 1))).Div(ir.Const(d.rows))
}

// table is the pointer to numbers that stay between the programs.
func (g *gen) table(d dispatch, what string, access tile.Access, doc string, shape ...ir.Size) *tile.Param {
	name := g.name(d.ids) + "_" + what
	if p := g.b.Program.Param(name); p != nil {
		return p
	}
	p := g.kept(FromWork, name, tile.I32, doc, shape)
	p.Access = access
	return p
}

// countParam is how many slots of each chunk belong to each group.
func (g *gen) countParam(d dispatch, access tile.Access) *tile.Param {
	doc := "how many slots of a chunk chose each expert, and one of another rank"
	return g.table(d, "counts", access, doc, g.chunks(d), ir.Const(d.lanes().Size))
}

// slotParam is the slots in order, by blocks.
func (g *gen) slotParam(d dispatch, access tile.Access) *tile.Param {
	doc := "slots sorted by expert, in blocks of one expert each; -1 = none"
	return g.table(d, "slots", access, doc, g.blockCount(d), ir.Const(d.rows))
}

// expertParam is whose the blocks are.
func (g *gen) expertParam(d dispatch, access tile.Access) *tile.Param {
	doc := fmt.Sprintf("the expert of each block, as the rank counts; %d = those of other ranks", d.experts)
	return g.table(d, "experts", access, doc, g.blockCount(d))
}

// The numbers that blocksParam points to.
const (
	ofRank = iota // blocks of the rank's experts
	ofAll
)

// blocksParam is how many blocks there are.
func (g *gen) blocksParam(d dispatch, access tile.Access) *tile.Param {
	return g.table(d, "blocks", access, "how many blocks there are of this rank's experts, and of all", ir.Const(2))
}

// sortSection is a section of a program that sorts a list.
func (g *gen) sortSection(d dispatch, name, doc string, count ir.Size, emit func(*tile.Value)) *section {
	list := g.name(d.ids)
	return &section{name: list + "_" + name, doc: fmt.Sprintf(doc, list), countSize: count, emit: emit, warps: g.plan.warps, stages: 1}
}

// chunkOf is a chunk of slots and the group of each: -1 of those that do not exist.
func (g *gen) chunkOf(d dispatch, id *tile.Value) (slot, group *tile.Value) {
	b, n := g.b, g.chunk(d)
	slot = b.Add(b.MulI(id, n), b.Range(tile.D(n))).Named("slot")
	live := b.Lt(slot, g.size(d.slots))
	expert, here := g.expert(d.in, slot, live)
	return slot, b.Where(live, b.Where(here, expert, b.Int(d.experts)), b.Int(-1)).Named("group")
}

// countSection counts the slots of each group, a chunk for each instance.
func (g *gen) countSection(d dispatch) *section {
	return g.sortSection(d, "counts", "slots of %s counted by expert: a chunk of them for each instance", g.chunks(d), func(id *tile.Value) {
		b := g.b
		_, group := g.chunkOf(d, id)
		lane := b.Range(d.lanes())
		count := g.count(b.Eq(b.Row(group), b.Col(lane)), 1).Named("count")
		b.Store(g.countParam(d, tile.Out), b.Add(b.MulI(id, d.lanes().Size), lane), count, nil)
	})
}

// tally adds up the counts of each group: of all chunks and, if one is named, of those before it.
func (g *gen) tally(d dispatch, chunk *tile.Value) (all, before *tile.Value) {
	b, lanes := g.b, d.lanes()
	width := max(1, g.plan.rowElements/lanes.Size)
	chunks := g.size(g.chunks(d)).Named("chunks")
	start := []*tile.Value{b.Full(b.Int(0), lanes).Named("total"), b.Full(b.Int(0), lanes).Named("before")}
	out := g.loop("first_chunk", b.Int(0), chunks, width, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		other := b.Row(b.Add(i, b.Range(tile.D(width))))
		n := b.Load(g.countParam(d, tile.In), b.Add(b.MulI(other, lanes.Size), b.Col(b.Range(lanes))), b.Lt(other, chunks), 0).Named("count")
		before := c[1]
		if chunk != nil {
			before = b.Add(before, b.Sum(b.Where(b.Lt(other, chunk), n, b.Int(0)), 1))
		}
		return []*tile.Value{b.Add(c[0], b.Sum(n, 1)), before}
	})
	return out[0], out[1]
}

// blocksOf is how many blocks so many slots of one group fill.
func (g *gen) blocksOf(d dispatch, slots *tile.Value) *tile.Value {
	return g.b.DivI(g.b.AddI(slots, d.rows-1), d.rows)
}

// placeSection finds the places of slots, a chunk for each instance: behind the blocks of the groups before, the slots
// of its group in chunks before, and those before it in the chunk.
func (g *gen) placeSection(d dispatch) *section {
	return g.sortSection(d, "slots", "slots of %s sorted by expert: a chunk of them for each instance", g.chunks(d), func(id *tile.Value) {
		b := g.b
		slot, group := g.chunkOf(d, id)
		all, before := g.tally(d, id)
		lane, mine := b.Row(b.Range(d.lanes())), b.Col(group)
		rows := b.MulI(g.blocksOf(d, all), d.rows)
		ahead := b.Where(b.Lt(lane, mine), b.Row(rows), b.Where(b.Eq(lane, mine), b.Row(before), b.Int(0))).Named("ahead")
		earlier := g.one(b.And(b.Eq(b.Row(group), mine), b.Lt(b.Row(slot), b.Col(slot)))).Named("earlier")
		place := b.Add(b.Sum(ahead, 1), b.Sum(earlier, 1)).Named("place")
		b.Store(g.slotParam(d, tile.Out), place, slot, b.GeI(group, 0))
	})
}

// groupSection says whose each block is, which rows of a group's last block hold none, and how many blocks there are; a
// group for each instance.
func (g *gen) groupSection(d dispatch) *section {
	doc := "blocks of slots of %s: those of one expert for each instance"
	return g.sortSection(d, "experts", doc, ir.Const(d.groups()), func(id *tile.Value) {
		b, rows := g.b, d.rows
		all, _ := g.tally(d, nil)
		lane := b.Range(d.lanes())
		sum := func(cond, x *tile.Value) *tile.Value { return b.Sum(b.Where(cond, x, b.Int(0)), 0) }
		first := sum(b.Lt(lane, id), g.blocksOf(d, all)).Named("first")
		slots := sum(b.Eq(lane, id), all).Named("slots")
		end := b.Add(first, g.blocksOf(d, slots)).Named("end")
		row := b.Add(b.Add(b.MulI(first, rows), slots), b.Range(tile.D(rows))).Named("row")
		b.Store(g.slotParam(d, tile.Out), row, b.Full(b.Int(-1), row.Shape...), b.Lt(row, b.MulI(end, rows)))
		const width = 128
		g.loop("block", first, end, width, nil, func(i *tile.Value, _ []*tile.Value) []*tile.Value {
			block := b.Add(i, b.Range(tile.D(width)))
			b.Store(g.expertParam(d, tile.Out), block, b.Full(id, block.Shape...), b.Lt(block, end))
			return nil
		})
		g.when(b.EqI(id, d.experts), func() {
			b.Store(g.blocksParam(d, tile.Out), b.Int(ofRank), first, nil)
			b.Store(g.blocksParam(d, tile.Out), b.Int(ofAll), end, nil)
		}, nil)
	})
}

// blockSection multiplies: an instance a block of columns for one block of slots after the other, a few at most. So there
// are few instances without any, however many blocks slots could fill. Slots of other ranks' experts become what sums
// without terms do; where nobody reads them, they are left as they are.
func (g *gen) blockSection(d dispatch, s sink) *section {
	k := g.columns(s.value)
	width := max(g.plan.dotN, min(max(g.plan.dotWidth, g.need(s, k)), pow2(k)))
	columns := (k + width - 1) / width
	share := g.blockCount(d).Min(ir.Const(g.plan.groupBlocks))
	what := "blocks of slots of one expert each and a block of columns for each instance"
	sec := g.newSection([]sink{s}, share.Mul(ir.Const(columns)), what, func(id *tile.Value) {
		b, rows := g.b, d.rows
		count, owned := ofRank, true
		if slices.Contains(g.fn.Return, s.value) {
			count, owned = ofAll, false
		}
		blocks := b.Load(g.blocksParam(d, tile.In), b.Int(count), nil, 0).Named("blocks")
		g.loop("block", b.DivI(id, columns), blocks, g.plan.groupBlocks, nil, func(block *tile.Value, _ []*tile.Value) []*tile.Value {
			expert := b.Load(g.expertParam(d, tile.In), block, nil, 0).Named("expert")
			slot := b.Load(g.slotParam(d, tile.In), b.Add(b.MulI(block, rows), b.Col(b.Range(tile.D(rows)))), nil, 0).Named("slot")
			live := b.GeI(slot, 0).Named("live")
			row := b.Where(live, slot, b.Int(0)).Named("row")
			memo(g, [2]any{row, "gathered"}, func() bool { return true })
			r := g.columnBlock(row, live, rows, b.ModI(id, columns), width, k)
			if r.group = expert; owned {
				g.assumeHere(expert)
			}
			s.write(r)
			return nil
		})
	})
	sec.warps = g.dotWarps(d.rows, width)
	sec.stages = 3
	return sec
}

// each loads one element for each of some positions. Those of sorted slots are a gather, which for some machines is too
// narrow with a lane for each row: there several lanes load the same.
func (g *gen) each(p *tile.Param, at, live *tile.Value) *tile.Value {
	b := g.b
	least, ok := g.target.Loads.MinGather.Get()
	if !ok || !g.known([2]any{at, "gathered"}) || at.Len() >= least {
		return b.Load(p, at, live, 0)
	}
	wide := []tile.Dim{at.Shape[0], tile.D(pow2(least) / at.Len())}
	return b.Col(b.Max(b.Load(p, b.BroadcastTo(at, wide...), b.BroadcastTo(live, wide...), 0), 1))
}

// sumStored adds up what the products of a token's slots have left in memory, of those whose expert the rank has.
func (g *gen) sumStored(in *ir.Instr, r *region) *tile.Value {
	b, y := g.b, in.Args[0]
	slots := g.fixed(y.Type.Dims[1].Size, "the slots")
	var sum *tile.Value
	for j := range slots { // loads that wait for nothing but each other's turn
		at := g.at(r, g.times(r.rows, slots, j))
		_, here := g.expert(y.Def, at.rows, r.live)
		x := b.LoadF32(g.elements(y, tile.In), g.offsets(at, g.columns(y)), g.both(here, g.mask(r)), 0)
		sum = g.plus(sum, x)
	}
	return sum
}
