package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
	"flagc/targets"
)

// A product of one row is spread over as many instances as there are, a few weight rows each. An epilogue that needs
// more columns than one of them has (the norm of a head, the scale of a block) is computed by the last that arrives:
// each leaves its columns in memory and draws a ticket, and who draws the last one goes on. Where atomics are not known
// to work, or a program may begin while the one before works, it is a program of its own.

// tickets reports whether instances can find out who is the last.
func (g *gen) tickets() bool {
	use, ok := g.target.Ops.Atomics.Get()
	return ok && use == targets.Works
}

// joins reports whether epilogues are for the last instance to arrive.
func (g *gen) joins() bool { return g.tickets() && !g.target.Launch.Dependent.Is(true) }

// scattered reports whether a sink's epilogue needs more columns than an instance of its product should have.
func (g *gen) scattered(s sink, anchors []*ir.Instr) bool {
	if !g.single(s.value) {
		return false
	}
	k := g.columns(s.value)
	need := g.need(s, k)
	width := g.rowsAtOnce(anchors[0], need)
	if need <= width || k%need != 0 {
		return false
	}
	whole := productOf(s.value.Type.Dims).Bind(g.bound)
	for _, a := range anchors {
		y := a.Results[0]
		if a.Op == ops.SumSlots || g.slots(anchors[:1]) != g.slots([]*ir.Instr{a}) || g.slots(anchors) > 1 && g.columns(y) != k || g.columns(y)%width != 0 || !productOf(y.Type.Dims).Bind(g.bound).Equal(whole) {
			return false
		}
	}
	return true
}

// need is how many columns of a sink are computed together.
func (g *gen) need(s sink, k int) int {
	if s.whole {
		return k
	}
	need := 1
	g.cone(s.value, func(in *ir.Instr) bool {
		if in.Op == ops.ActQuant {
			need = max(need, in.Attrs.Int("block"))
		}
		return !g.isHeavy(in)
	})
	return need
}

// slots is how many rows of each token an instance computes one after the other. They are the slots of chosen experts,
// most of which a rank does not have: so an instance finds that out once for all.
func (g *gen) slots(anchors []*ir.Instr) int {
	if anchors[0].Op != ops.ExpertLinear {
		return 1
	}
	return g.columns(anchors[0].Args[1])
}

// eachSlot runs f for the rows of a token.
func (g *gen) eachSlot(token *tile.Value, slots int, f func(row *tile.Value)) {
	if slots == 1 {
		f(token)
		return
	}
	b := g.b
	g.loop("slot", b.Int(0), b.Int(slots), 1, nil, func(j *tile.Value, _ []*tile.Value) []*tile.Value {
		f(g.slotRow(token, slots, j))
		return nil
	})
}

// slotRow is the row of a token's slot, of which both are known.
func (g *gen) slotRow(token *tile.Value, slots int, slot *tile.Value) *tile.Value {
	row := g.b.Add(g.b.MulI(token, slots), slot).Named("row")
	memo(g, [3]any{row, "/", slots}, func() *tile.Value { return token })
	memo(g, [3]any{row, "%", slots}, func() *tile.Value { return slot })
	return row
}

// slotSection covers rows of chosen experts without an epilogue over more columns: an instance computes a block of columns
// of all slots of a token, zeros for experts that the rank does not have.
func (g *gen) slotSection(s sink, anchors []*ir.Instr) *section {
	k, slots := g.columns(s.value), g.slots(anchors)
	width := g.productWidth(s, k)
	blocks := (k + width - 1) / width
	tokens := productOf(s.value.Type.Dims[:len(s.value.Type.Dims)-2]).Bind(g.bound)
	return g.newSection([]sink{s}, tokens.Mul(ir.Const(blocks)), "a block of columns of all slots of a token for each instance", func(id *tile.Value) {
		b := g.b
		token, block := b.DivI(id, blocks).Named("token"), b.ModI(id, blocks)
		g.prologue(anchors, token)
		g.eachSlot(token, slots, func(row *tile.Value) {
			g.whenHere(anchors[0], row, func() { s.write(g.productBlock(s, row, nil, 1, block, width)) }, func() {
				r := g.productBlock(s, row, nil, 1, block, width)
				g.store(s.value, r, b.Zeros(r.height, r.width))
			})
		})
	})
}

// bySlots reports whether a sink is rows of chosen experts, one for each slot.
func (g *gen) bySlots(s sink, anchors []*ir.Instr) bool {
	dims := s.value.Type.Dims
	for _, a := range anchors {
		if a.Op != ops.ExpertLinear || g.slots([]*ir.Instr{a}) != g.slots(anchors) || len(dims) != len(a.Results[0].Type.Dims) {
			return false
		}
	}
	return !s.value.Type.Elem.IsQuantised() && !s.whole
}

// hasSlots reports whether rows choose their weights, so that neighbours share none.
func (g *gen) hasSlots(v *ir.Value) bool {
	return slices.ContainsFunc(g.anchors(v), func(in *ir.Instr) bool { return in.Op == ops.ExpertLinear || in.Op == ops.SumSlots })
}

// prologue computes before a loop over slots what all of them need.
func (g *gen) prologue(anchors []*ir.Instr, token *tile.Value) {
	for _, a := range anchors {
		if a.Op == ops.ExpertLinear && !g.inMemory(a.Args[1]) {
			g.list(a.Args[1], token)
		}
	}
}

// early computes the products of a block of columns of a token's rows and leaves them in memory. Slots whose experts the
// rank does not have are passed over where who goes on knows of them; else they are zeros.
func (g *gen) early(anchors []*ir.Instr, width int, passOver bool, id *tile.Value) {
	b := g.b
	n := g.columns(anchors[0].Results[0])
	blocks, slots := n/width, g.slots(anchors)
	token := g.divided(id, blocks).Named("token")
	first := b.MulI(b.ModI(id, blocks), width).Named("first")
	compute := func(row *tile.Value) {
		r := g.block(row, nil, 1, first, tile.D(width), n)
		for _, a := range anchors {
			g.store(a.Results[0], r, g.pull(a.Results[0], r))
		}
	}
	if passOver && g.choosesHere(anchors) {
		g.eachOwn(anchors[0], token, slots, width, compute)
		return
	}
	g.prologue(anchors, token)
	g.eachSlot(token, slots, func(row *tile.Value) {
		if slots == 1 || !passOver {
			compute(row)
			return
		}
		g.whenHere(anchors[0], row, func() { compute(row) }, nil)
	})
}

// earlyCount is how many instances that takes.
func (g *gen) earlyCount(anchors []*ir.Instr, width int) ir.Size {
	y := anchors[0].Results[0]
	tokens := g.rows(y)
	if anchors[0].Op == ops.ExpertLinear {
		tokens = productOf(y.Type.Dims[:len(y.Type.Dims)-2]).Bind(g.bound)
	}
	return tokens.Mul(ir.Const(g.columns(y) / width))
}

// earlySection leaves products for a later program.
func (g *gen) earlySection(s sink, anchors []*ir.Instr) *section {
	var sinks []sink
	for _, a := range anchors {
		sinks = append(sinks, sink{value: a.Results[0]})
	}
	width := g.rowsAtOnce(anchors[0], g.need(s, g.columns(s.value)))
	return g.newSection(sinks, g.earlyCount(anchors, width), "a block of columns of one row for each instance", func(id *tile.Value) {
		g.early(anchors, width, false, id)
	})
}

// joinSection computes products and, as the last of those that an epilogue waits for, the epilogue. A group of instances
// has consecutive elements, of which the epilogue takes as many at once as it needs.
func (g *gen) joinSection(s sink, anchors []*ir.Instr) *section {
	k := g.columns(s.value)
	need, slots := g.need(s, k), g.slots(anchors)
	choosing := g.choosesBeside(s, anchors)
	if choosing {
		need = g.joinedColumns(s, anchors)
	}
	width := g.rowsAtOnce(anchors[0], need)
	members, per := need/width, k/need
	groups := g.earlyCount(anchors, width).Div(ir.Const(members))
	what := "a block of columns of one row for each instance; the last of a group goes on"
	if choosing {
		return g.choosingSection(s, anchors, groups, members, need)
	}
	return g.newSection([]sink{s}, groups.Mul(ir.Const(members)), what, func(id *tile.Value) {
		g.early(anchors, width, true, id)
		group := g.b.DivI(id, members).Named("group")
		g.last(s, group, g.b.Int(members), groups, func() {
			// A group lies within the row of its instances: what they know of the row's token is known to the last.
			token, block := g.divided(id, per*members).Named("token"), g.remainder(group, per)
			g.held(anchors, func() { s.write(g.slotRows(anchors, token, slots, block, need, k)) })
		})
	})
}

// choosingSection is joinSection where the epilogue needs the chosen experts and their weights, but the products do not. One
// more instance of each group makes the lists while the others multiply.
func (g *gen) choosingSection(s sink, anchors []*ir.Instr, groups ir.Size, members, need int) *section {
	k, slots := g.columns(s.value), g.slots(anchors)
	per := k / need
	what := "a block of columns of one row for each instance, and one that chooses; the last of a group goes on"
	left := g.returnedLists()
	sinks := []sink{s}
	for _, v := range left {
		sinks = append(sinks, sink{value: v})
	}
	return g.newSection(sinks, groups.Mul(ir.Const(members+1)), what, func(id *tile.Value) {
		b := g.b
		group, member := b.DivI(id, members+1).Named("group"), b.ModI(id, members+1).Named("member")
		lists := g.lists()
		g.when(b.EqI(member, members), func() {
			token := g.divided(group, per).Named("token")
			lane := b.Range(tile.D(pow2(slots)))
			for _, v := range lists {
				b.Store(g.listParam(v, groups), b.Add(b.MulI(group, slots), lane), g.list(v, token), b.LtI(lane, slots))
			}
			g.when(b.EqI(g.remainder(group, per), 0), func() {
				for _, v := range left {
					g.storeList(v, token)
				}
			}, nil)
		}, func() { g.early(anchors, need/members, true, b.Add(b.MulI(group, members), member)) })
		g.last(s, group, b.Int(members+1), groups, func() {
			token, block := g.divided(group, per).Named("token"), g.remainder(group, per)
			lane := b.Range(tile.D(pow2(slots)))
			for _, v := range lists {
				memo(g, [3]any{v, "list", token}, func() *tile.Value {
					return b.Load(g.listParam(v, groups), b.Add(b.MulI(group, slots), lane), b.LtI(lane, slots), 0)
				})
			}
			g.held(anchors, func() { s.write(g.slotRows(anchors, token, slots, block, need, k)) })
		})
	})
}

// joinedColumns is how many columns the last of a group computes at once where one more of its instances chooses: so many that
// few instances do that.
func (g *gen) joinedColumns(s sink, anchors []*ir.Instr) int {
	k := g.columns(s.value)
	return max(g.need(s, k), pow2Divisor(k, g.plan.rowElements/4/pow2(g.slots(anchors))))
}

// choosesBeside reports whether experts are chosen in this launch and one more instance of each group makes their list.
func (g *gen) choosesBeside(s sink, anchors []*ir.Instr) bool {
	if !g.tickets() || !g.choosesHere(anchors) || !g.bySlots(s, anchors) && !g.scattered(s, anchors) {
		return false
	}
	need := g.joinedColumns(s, anchors)
	return need >= g.rowsAtOnce(anchors[0], need)
}

// returnedLists are the lists that the kernel computes and leaves.
func (g *gen) returnedLists() []*ir.Value {
	return slices.DeleteFunc(g.lists(), func(v *ir.Value) bool { return !slices.Contains(g.fn.Return, v) })
}

// leftBeside are the values of sinks that instances which choose for products leave: they need no section.
func (g *gen) leftBeside(sinks []sink) []*ir.Value {
	chooses := func(s sink) bool {
		anchors := g.anchors(s.value)
		return len(anchors) > 0 && g.choosesBeside(s, anchors)
	}
	if !slices.ContainsFunc(sinks, chooses) {
		return nil
	}
	return g.returnedLists()
}

// lists are the kernel's rows of chosen experts and of their weights that it computes.
func (g *gen) lists() []*ir.Value {
	var out []*ir.Value
	for _, in := range g.fn.Body {
		if v := in.Results[0]; (in.Op == ops.TopExperts || in.Op == ops.RouteWeights) && !g.inMemory(v) {
			out = append(out, v)
		}
	}
	return out
}

// listParam is where a group's list stays until its last instance reads it.
func (g *gen) listParam(v *ir.Value, groups ir.Size) *tile.Param {
	return g.kept(FromWork, g.name(v)+"_lists", StoredAs(v.Type), "the same for each group of instances", []ir.Size{groups, v.Type.Dims[len(v.Type.Dims)-1].Size})
}

// slotRows are a block of columns of all rows of a token, of those that the rank has.
func (g *gen) slotRows(anchors []*ir.Instr, token *tile.Value, slots int, block *tile.Value, need, k int) *region {
	if slots == 1 {
		return g.columnBlock(token, nil, 1, block, need, k)
	}
	b := g.b
	height := tile.D(pow2(slots))
	slot := b.Col(b.Range(height))
	rows := b.Add(b.MulI(token, slots), slot).Named("row")
	memo(g, [3]any{rows, "/", slots}, func() *tile.Value { return b.Full(token, height, tile.D(1)) })
	memo(g, [3]any{rows, "%", slots}, func() *tile.Value { return slot })
	live := b.LtI(slot, slots)
	for _, a := range anchors {
		ids := a.Args[1]
		id := b.Col(g.list(ids, token))
		memo(g, [3]any{ids, "element", rows}, func() *tile.Value { return id })
		g.here[a.Results[0]] = b.And(live, g.has(a, g.local(a, 1, id)))
	}
	r := g.columnBlock(rows, live, height.Size, block, need, k)
	for _, a := range anchors { // on their way before weights are computed
		g.load(a.Results[0], r)
	}
	g.slotLists(token, rows)
	return r
}

// slotLists makes weights that are computed here known as a column, one for each slot.
func (g *gen) slotLists(token, rows *tile.Value) {
	for _, in := range g.fn.Body {
		if in.Op == ops.RouteWeights && !g.inMemory(in.Results[0]) {
			memo(g, [3]any{in.Results[0], "element", rows}, func() *tile.Value { return g.b.Col(g.list(in.Results[0], token)) })
		}
	}
}

// last runs f in the instance that is the last of its group to arrive, which leaves the tickets as they were.
func (g *gen) last(s sink, group, members *tile.Value, groups ir.Size, f func()) {
	b := g.b
	tickets := g.ticketParam(s, groups)
	b.Barrier()
	ticket := b.AtomicAdd(tickets, group, b.Int(1)).Named("ticket")
	g.when(b.Eq(ticket, b.SubI(members, 1)), func() {
		b.Store(tickets, group, b.Int(0), nil)
		f()
	}, nil)
}

func (g *gen) ticketParam(s sink, groups ir.Size) *tile.Param {
	doc := "how many have arrived; 0 before and afterwards"
	return g.kept(FromTicket, g.name(s.value)+"_tickets", tile.I32, doc, []ir.Size{groups})
}

// held runs f while the results of anchors are in memory.
func (g *gen) held(anchors []*ir.Instr, f func()) {
	for _, a := range anchors {
		g.stored[a.Results[0]] = true
	}
	f()
	for _, a := range anchors {
		delete(g.stored, a.Results[0])
		delete(g.here, a.Results[0])
	}
}
