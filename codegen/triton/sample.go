package triton

import (
	"math"
	"slices"

	"flagc/ir"
	"flagc/ir/tile"
)

// argmaxSections search rows: an instance a block of columns, and a program behind them what the blocks have found.
func (g *gen) argmaxSections(in *ir.Instr, sinks []sink) []*section {
	v := g.columns(in.Args[0])
	width := min(g.lanes(v), max(g.plan.lanes, g.plan.rowElements/4))
	blocks := (v + width - 1) / width
	rows := g.rows(in.Args[0])
	if g.arrived[in] {
		return []*section{g.newSection(sinks, rows, "the best of all blocks of a row for each instance", func(id *tile.Value) {
			b := g.b
			values, places := g.found(in, rows, blocks)
			lane, live := g.countFrom(nil, g.lanes(blocks), blocks)
			at := b.Add(b.MulI(id, blocks), lane)
			value, place := g.largest(b.Load(values, at, live, 0), b.Load(places, at, live, 0), live)
			g.storeBest(in, sinks, id, value, place)
		})}
	}
	s := g.newSection(sinks, rows.Mul(ir.Const(blocks)), "a block of columns of one row for each instance", func(id *tile.Value) {
		b := g.b
		row := b.DivI(id, blocks).Named("row")
		r := g.columnBlock(row, nil, 1, b.ModI(id, blocks), width, v)
		x := b.Reshape(g.spread(g.pull(in.Args[0], r), r), r.width)
		places, live := g.countFrom(r.first, width, v)
		value, place := g.largest(x, places, live)
		if blocks == 1 {
			g.storeBest(in, sinks, row, value, place)
			return
		}
		values, at := g.found(in, rows, blocks)
		b.Store(values, id, value, nil)
		b.Store(at, id, place, nil)
	})
	if blocks > 1 {
		g.later = append(g.later, sinks...)
	}
	return []*section{s}
}

// countFrom yields numbers from first, or from 0, and which of them are below n; live is nil where all are.
func (g *gen) countFrom(first *tile.Value, width, n int) (lane, live *tile.Value) {
	lane = g.b.Range(tile.D(width))
	if first != nil {
		lane = g.b.Add(first, lane)
	}
	if n%width != 0 {
		live = g.b.LtI(lane, n)
	}
	return lane, live
}

// found is the room for what the blocks of rows have found: values and places.
func (g *gen) found(in *ir.Instr, rows ir.Size, blocks int) (values, places *tile.Param) {
	name := g.name(in.Results[0]) + "_of_blocks"
	shape := func() []ir.Size { return []ir.Size{rows, ir.Const(blocks)} }
	values = g.kept(FromWork, name, tile.F32, "the largest number of each block", shape())
	return values, g.kept(FromWork, name+"_at", tile.I32, "its place", shape())
}

// largest is the largest of some numbers, of those that live, and the least place where it stands.
func (g *gen) largest(values, places, live *tile.Value) (value, place *tile.Value) {
	b := g.b
	if live != nil {
		values = b.Where(live, values, b.Float(math.Inf(-1)))
	}
	value = b.Max(values, 0).Named("best")
	here := g.both(live, b.Eq(values, value))
	return value, b.Reduce(tile.Min, b.Where(here, places, b.Int(math.MaxInt32)), 0).Named("place")
}

func (g *gen) storeBest(in *ir.Instr, sinks []sink, row, value, place *tile.Value) {
	for _, s := range sinks {
		i := slices.Index(in.Results, s.value)
		if i < 0 {
			g.fail("%s is computed from what %s finds", s.value.Ref(), in.Name())
		}
		g.b.Store(g.elements(s.value, tile.Out), row, []*tile.Value{value, place}[i], nil)
	}
}

// pickSection chooses among what ranks have found in their parts of a row.
func (g *gen) pickSection(in *ir.Instr, sinks []sink) *section {
	n := g.columns(in.Args[0])
	return g.newSection(sinks, g.rows(in.Args[0]), "a row for each instance", func(id *tile.Value) {
		b := g.b
		lane, live := g.countFrom(nil, g.lanes(n), n)
		at := b.Add(b.MulI(id, n), lane)
		place := b.Add(b.MulI(lane, in.Attrs.Int("part")), b.Load(g.elements(in.Args[1], tile.In), at, live, 0))
		_, token := g.largest(b.Load(g.elements(in.Args[0], tile.In), at, live, 0), place, live)
		for _, s := range sinks {
			g.b.Store(g.elements(s.value, tile.Out), id, token.Named("token"), nil)
		}
	})
}
