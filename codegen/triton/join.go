package triton

import (
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
	"flagc/targets"
)

// A product of one row is spread over as many instances as there are, a few weight rows each. An epilogue that needs
// more columns than one of them has (the norm of a head, the scale of a block) is computed by the last that arrives:
// each leaves its columns in memory and draws a ticket, and who draws the last one goes on. Where atomics are not known
// to work it is a program of its own.

// tickets reports whether instances can find out who is the last.
func (g *gen) tickets() bool {
	use, ok := g.target.Ops.Atomics.Get()
	return ok && use == targets.Works
}

// scattered reports whether a sink's epilogue needs more columns than an instance of its product should have.
func (g *gen) scattered(s sink, anchors []*ir.Instr) bool {
	if g.fn.Mode != ir.Decode && !g.hasSlots(s.value) {
		return false
	}
	k := g.columns(s.value)
	need := g.need(s, k)
	if need <= g.plan.gemvWidth || k%need != 0 || need%g.plan.gemvWidth != 0 {
		return false
	}
	whole := productOf(s.value.Type.Dims).Bind(g.bound)
	for _, a := range anchors {
		y := a.Results[0]
		if a.Op == ops.SumSlots || g.columns(y)%g.plan.gemvWidth != 0 || !productOf(y.Type.Dims).Bind(g.bound).Equal(whole) {
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

// early computes the products of a block of flat elements and leaves them in memory.
func (g *gen) early(anchors []*ir.Instr, id *tile.Value) {
	start := g.b.MulI(id, g.plan.gemvWidth)
	for _, a := range anchors {
		y := a.Results[0]
		n := g.columns(y)
		r := memo(g, [3]any{id, "early", n}, func() *region {
			return g.block(g.b.DivI(start, n).Named("row"), nil, 1, g.b.ModI(start, n).Named("first"), tile.D(g.plan.gemvWidth), n)
		})
		g.store(y, r, g.pull(y, r))
	}
}

// earlySection leaves products for a later program.
func (g *gen) earlySection(s sink, anchors []*ir.Instr) *section {
	y := anchors[0].Results[0]
	count := g.rows(y).Mul(ir.Const(g.columns(y) / g.plan.gemvWidth))
	var sinks []sink
	for _, a := range anchors {
		sinks = append(sinks, sink{value: a.Results[0]})
	}
	return g.newSection(sinks, count, "a block of columns of one row for each instance", func(id *tile.Value) { g.early(anchors, id) })
}

// joinSection computes products and, as the last of those that an epilogue waits for, the epilogue.
func (g *gen) joinSection(s sink, anchors []*ir.Instr) *section {
	k := g.columns(s.value)
	need := g.need(s, k)
	members := need / g.plan.gemvWidth
	count := g.rows(s.value).Mul(ir.Const(k / g.plan.gemvWidth))
	what := "a block of columns of one row for each instance; the last of a group goes on"
	return g.newSection([]sink{s}, count, what, func(id *tile.Value) {
		b := g.b
		g.early(anchors, id)
		group := b.DivI(id, members).Named("group")
		g.last(s, group, members, count.Div(ir.Const(members)), func() {
			per := k / need
			row := g.divided(group, per).Named("group_row")
			g.held(anchors, func() { s.write(g.columnBlock(row, nil, 1, g.remainder(group, per), need, k)) })
		})
	})
}

// last runs f in the instance that is the last of its group to arrive, which leaves the tickets as they were.
func (g *gen) last(s sink, group *tile.Value, members int, groups ir.Size, f func()) {
	b := g.b
	tickets := g.ticketParam(s, groups)
	b.Barrier()
	ticket := b.AtomicAdd(tickets, group, b.Int(1)).Named("ticket")
	g.when(b.EqI(ticket, members-1), func() {
		b.Store(tickets, group, b.Int(0), nil)
		f()
	}, nil)
}

func (g *gen) ticketParam(s sink, groups ir.Size) *tile.Param {
	name := g.name(s.value) + "_tickets"
	groups = groups.Bind(g.bound)
	g.kernel.Bindings[name] = Binding{Source: FromTicket, Shape: []ir.Size{groups}}
	return g.b.Pointer(name, tile.I32, tile.InOut, "how many have arrived; 0 before and afterwards", g.extent(groups))
}

// held runs f while the results of anchors are in memory.
func (g *gen) held(anchors []*ir.Instr, f func()) {
	for _, a := range anchors {
		g.stored[a.Results[0]] = true
	}
	f()
	for _, a := range anchors {
		delete(g.stored, a.Results[0])
	}
}
