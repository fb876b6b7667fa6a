package triton

import (
	"math"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// pool is one compress_pool as programs see it.
type pool struct {
	in            *ir.Instr
	ratio, offset int // tokens of a window; rows of the state before the current window
	k, d          int // channels of values and of entries
}

func (g *gen) pool(in *ir.Instr) pool {
	p := pool{in: in, ratio: in.Attrs.Int("ratio"), k: g.columns(in.Args[0]), d: g.columns(in.Results[0])}
	if in.Attrs.Bool("overlap") {
		p.offset = p.ratio
	}
	return p
}

// beforePools are the sinks of what long windows of a prompt are pooled to. An instance that computes whole rows holds a few
// tokens of a window at once and goes over it twice, 51 µs on an H200 for 128 tokens; channels are pooled independently.
func (g *gen) beforePools() []sink {
	var rows []*ir.Value
	for _, in := range g.fn.Body {
		if in.Op != ops.CompressPool || g.fn.Mode != ir.Prefill || g.plan.lastAxis {
			continue
		}
		p := g.pool(in)
		width := g.pooledAtOnce(p)
		if longPool*g.poolHeight(p, pow2(p.d)) <= p.offset+p.ratio && width >= max(leastPooled, g.plan.lanes) && width < p.d {
			rows = append(rows, in.Results[0])
		}
	}
	return g.sinks(rows)
}

// poolHeight is how many tokens of a window an instance takes at once if it pools so many channels.
func (g *gen) poolHeight(p pool, width int) int {
	return min(pow2(p.offset+p.ratio), max(1, g.plan.rowElements/2/width))
}

// longPool is from how many rounds over a window on that is worth a program more.
const longPool = 8

// leastPooled is how many channels an instance pools at least: fewer are no whole piece of memory.
const leastPooled = 32

// pooledAtOnce is how many channels an instance pools of whole windows.
func (g *gen) pooledAtOnce(p pool) int {
	return pow2Divisor(p.d, max(leastPooled, g.plan.lanes, g.plan.rowElements/2/pow2(p.offset+p.ratio)))
}

// poolSections cover sequences: in decoding one instance pools a finished window and then moves the state on; in
// prefill entries and states are independent, and so are channels where all that is left are pooled rows.
func (g *gen) poolSections(in *ir.Instr, sinks []sink) []*section {
	p := g.pool(in)
	var entries, states []sink
	for _, s := range sinks {
		if s.write != nil {
			entries = append(entries, s)
		} else {
			states = append(states, s)
		}
	}
	v := in.Results[0]
	write := func(row *tile.Value) {
		r := g.wholeRow(row, nil, 1, p.d)
		for _, s := range entries {
			s.write(r)
		}
	}
	if g.fn.Mode == ir.Decode {
		sec := g.newSection(sinks, v.Type.Dims[0].Size, "a sequence for each instance", func(seq *tile.Value) {
			g.poolDecode(p, seq, func() { write(seq) })
		})
		return []*section{sec}
	}
	var out []*section
	if len(states) > 0 {
		rows := in.Args[3].Type.Dims[1].Size
		out = append(out, g.newSection(states[:1], v.Type.Dims[0].Size.Mul(rows), "what the states hold afterwards, a row for each instance", func(id *tile.Value) {
			g.poolPrefillState(p, id)
		}))
	}
	switch {
	case len(entries) == 1 && entries[0].value == v:
		out = append(out, g.pieceSection(entries, v, p.d, g.pooledAtOnce(p)))
	case len(entries) > 0:
		out = append(out, g.newSection(entries, g.rows(v), "an entry for each instance", func(id *tile.Value) { write(id.Named("row")) }))
	}
	return out
}

// current are the values and scores of one token, the place in the window added to the scores.
func (g *gen) current(p pool, row, place *tile.Value, cols, live *tile.Value) (value, score *tile.Value) {
	b, in := g.b, p.in
	at := b.Add(b.MulI(row, p.k), cols)
	value = b.Load(g.elements(in.Args[0], tile.In), at, live, 0)
	ape := b.Load(g.elements(in.Args[2], tile.In), b.Add(b.MulI(place, p.k), cols), live, 0)
	return value, b.Add(b.Load(g.elements(in.Args[1], tile.In), at, live, 0), ape)
}

// poolDecode takes one token of a sequence in.
func (g *gen) poolDecode(p pool, seq *tile.Value, write func()) {
	b := g.b
	pos := g.size(ir.Sym("p"))
	place := b.ModI(pos, p.ratio).Named("place")
	full := b.EqI(place, p.ratio-1)
	g.when(full, write, nil)
	b.Barrier() // everything is read before the state changes
	cols := b.Range(tile.D(pow2(p.k)))
	live := b.LtI(cols, p.k)
	value, score := g.current(p, seq, place, cols, live)
	kv, sc := g.elements(p.in.Args[3], tile.InOut), g.elements(p.in.Args[4], tile.InOut)
	first := b.MulI(seq, p.offset+p.ratio)
	at := func(row *tile.Value) *tile.Value { return b.Add(b.MulI(b.Add(first, row), p.k), cols) }
	own := at(b.AddI(place, p.offset))
	b.Store(kv, own, value, live)
	b.Store(sc, own, score, live)
	if p.offset == 0 {
		return
	}
	g.when(full, func() {
		g.loop("row", b.Int(0), b.Int(p.ratio-1), 1, nil, func(i *tile.Value, _ []*tile.Value) []*tile.Value {
			b.Store(kv, at(i), b.Load(kv, at(b.AddI(i, p.offset)), live, 0), live)
			b.Store(sc, at(i), b.Load(sc, at(b.AddI(i, p.offset)), live, 0), live)
			return nil
		})
		b.Store(kv, at(place), value, live)
		b.Store(sc, at(place), score, live)
	}, nil)
}

// poolPrefillState writes one row of both states: the last token at its place of the unfinished window or, before it,
// of the last finished one. A row that no token belongs to stays.
func (g *gen) poolPrefillState(p pool, id *tile.Value) {
	b := g.b
	rows := p.offset + p.ratio
	s := g.size(ir.Sym("s"))
	seq, row := b.DivI(id, rows), b.ModI(id, rows)
	place := b.ModI(row, p.ratio).Named("place")
	finished := b.Add(b.MulI(b.SubI(b.DivI(s, p.ratio), 1), p.ratio), place)
	back := b.Maximum(b.Sub(b.SubI(s, 1), place), b.Int(0))
	last := b.Add(b.MulI(b.DivI(back, p.ratio), p.ratio), place)
	earlier := b.LtI(row, p.offset)
	token := b.Where(earlier, finished, last).Named("token")
	there := b.Where(earlier, b.Ge(s, b.Int(p.ratio)), b.Lt(place, s))
	cols := b.Range(tile.D(pow2(p.k)))
	live := b.And(b.LtI(cols, p.k), there)
	value, score := g.current(p, b.Add(b.Mul(seq, s), token), place, cols, live)
	at := b.Add(b.MulI(id, p.k), cols)
	b.Store(g.elements(p.in.Args[3], tile.InOut), at, value, live)
	b.Store(g.elements(p.in.Args[4], tile.InOut), at, score, live)
}

// pullPooled pools the windows of one entry: per channel a softmax over the scores weighs the values.
func (g *gen) pullPooled(in *ir.Instr, r *region) *tile.Value {
	p := g.pool(in)
	b := g.b
	all := p.offset + p.ratio
	height := g.poolHeight(p, r.width.Size)
	place := b.Col(b.Range(tile.D(height)))
	rows := func(first *tile.Value) *tile.Value { return b.Add(first, place) }
	down := func(c tile.Code, x *tile.Value) *tile.Value { return b.Reduce(c, x, 0) }
	if g.plan.lastAxis { // one row at a time needs no reduction
		height = 1
		rows = func(first *tile.Value) *tile.Value { return first }
		down = func(_ tile.Code, x *tile.Value) *tile.Value { return b.Reshape(x, r.width) }
	}
	top := b.Full(b.Float(math.Inf(-1)), r.width).Named("top")
	top = g.loop("first", b.Int(0), b.Int(all), height, []*tile.Value{top}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		_, score := g.windowRows(p, r, rows(i))
		return []*tile.Value{b.Maximum(c[0], down(tile.Max, score))}
	})[0]
	start := []*tile.Value{b.Zeros(r.width).Named("total"), b.Zeros(r.width).Named("pooled_sum")}
	sums := g.loop("first", b.Int(0), b.Int(all), height, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		value, score := g.windowRows(p, r, rows(i))
		w := b.Exp(b.Sub(score, b.Row(top)))
		return []*tile.Value{b.Add(c[0], down(tile.Sum, w)), b.Add(c[1], down(tile.Sum, b.Mul(w, value)))}
	})
	pooled := b.Row(b.Div(sums[1], sums[0]))
	if r.colLive != nil { // no score at all makes no number, and norms go over the whole block
		pooled = b.Where(r.colLive, pooled, b.Float(0))
	}
	return pooled
}

// windowRows are values and scores of rows (a column of places, or one) of the windows of an entry. What does not exist has
// value 0 and score -∞.
func (g *gen) windowRows(p pool, r *region, row *tile.Value) (value, score *tile.Value) {
	b := g.b
	all := p.offset + p.ratio
	cols := r.cols
	if p.offset > 0 { // the earlier window takes part with the first half of the channels
		cols = b.Add(cols, b.Where(b.LtI(row, p.ratio), b.Int(0), b.Int(p.d)))
	}
	live := b.And(b.LtI(row, all), b.LtI(r.cols, p.d))
	none := b.Float(math.Inf(-1))
	if g.fn.Mode == ir.Prefill {
		n := g.size(p.in.Results[0].Type.Dims[1].Size)
		seq, entry := b.Div(r.rows, n), b.Mod(r.rows, n)
		token := b.Add(b.SubI(b.MulI(entry, p.ratio), p.offset), row)
		live = b.And(live, b.Ge(token, b.Int(0)))
		at := b.Add(b.Mul(seq, g.size(ir.Sym("s"))), token)
		value, score = g.current(p, at, b.ModI(row, p.ratio), cols, live)
		return value, b.Where(live, score, none)
	}
	newest := b.EqI(row, all-1)
	old := b.And(live, b.Not(newest))
	fresh := b.And(live, newest)
	at := b.Add(b.MulI(b.Add(b.MulI(r.rows, all), row), p.k), cols)
	kv := b.Load(g.elements(p.in.Args[3], tile.InOut), at, old, 0)
	sc := b.Load(g.elements(p.in.Args[4], tile.InOut), at, old, 0)
	value, score = g.current(p, r.rows, b.ModI(row, p.ratio), cols, fresh)
	return b.Where(newest, value, kv), b.Where(live, b.Where(newest, score, sc), none)
}
