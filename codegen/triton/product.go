package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
	"flagc/targets"
)

// product is one matrix product as blocks of its result see it.
type product struct {
	in     *ir.Instr
	x, w   *ir.Value
	k      int         // summed columns
	xRows  *tile.Value // rows of x
	base   *tile.Value // the weight row that column 0 of the result is the product with, a scalar
	from   *tile.Value // where the sum begins
	to     *tile.Value // how far it goes: k, or 0 where the rank does not have the weights
	region *region
}

// pullProduct is a block of a product of x with weights, row by weight row.
func (g *gen) pullProduct(in *ir.Instr, r *region) *tile.Value {
	switch {
	case g.arrived[in]:
		return g.pullParts(in, r)
	case r.height.Size == 1:
		return g.multiplied(in, r, g.multiplyAdd)
	case in.Op == ops.ExpertLinear:
		return g.multiplied(in, r, g.matrixProducts)
	}
	return g.matrixProducts([]product{g.product(in, r)})[0]
}

// multiplied is the product for some rows of x. Products of the section that read the same rows are computed with it, so
// that their weights are on the way at the same time.
func (g *gen) multiplied(in *ir.Instr, r *region, products func([]product) []*tile.Value) *tile.Value {
	key := func(in *ir.Instr) any { return [3]any{in, "multiplied", r} }
	if !g.known(key(in)) {
		var all []product
		for _, other := range g.fn.Body {
			if other == in || g.alike(in, other) {
				all = append(all, g.product(other, r))
			}
		}
		for i, y := range products(all) {
			memo(g, key(all[i].in), func() *tile.Value { return y })
		}
	}
	y, _ := recall[*tile.Value](g, key(in))
	return y
}

// alike reports whether two products of a section differ in their weights alone.
func (g *gen) alike(in, other *ir.Instr) bool {
	n := len(in.Args) - 1
	if other.Op != in.Op || !slices.Contains(g.siblings, in) || !slices.Contains(g.siblings, other) || !slices.Equal(in.Args[:n], other.Args[:n]) {
		return false
	}
	v, w := in.Args[n].Type, other.Args[n].Type
	return v.Elem == w.Elem && slices.EqualFunc(v.Dims, w.Dims, func(a, b ir.Dim) bool { return a.Size.Equal(b.Size) })
}

// product finds the rows of both operands that a block of the result needs.
func (g *gen) product(in *ir.Instr, r *region) product {
	p := product{in: in, x: in.Args[0], w: in.Args[len(in.Args)-1], region: r, xRows: r.rows}
	if p.w.Type.Elem.DType == ir.FP4 || dense(in) && g.several(in.Results[0]) { // they are read where x lies
		p.x = g.behindViews(p.x)
	}
	p.k = g.columns(p.x)
	p.from, p.to = g.b.Int(0), g.b.Int(p.k)
	columns := g.columns(in.Results[0])
	switch in.Op {
	case ops.Linear:
		mid := g.weightGroups(in)
		p.xRows = g.divided(r.rows, mid)
		p.base = g.b.MulI(g.groupOf(r, mid), columns)
	case ops.GroupedLinear:
		p.base = g.b.MulI(g.groupOf(r, g.weightGroups(in)), columns)
	case ops.ExpertLinear:
		if len(in.Args[0].Type.Dims) == 2 {
			p.xRows = g.divided(r.rows, g.columns(in.Args[1]))
		}
		id := r.group
		if id == nil {
			if r.height.Size > 1 {
				g.fail("expert_linear of %d rows at once", r.height.Size)
			}
			id, _ = g.expert(in, r.rows, r.live)
		}
		if !g.known([2]any{"here", id}) {
			p.to = g.b.Where(g.has(in, id), p.to, g.b.Int(0))
		}
		p.base = g.b.MulI(id, columns)
	}
	return p
}

// expert is the number of the expert that a row chose, as the rank counts, and whether the rank has it.
func (g *gen) expert(in *ir.Instr, rows, live *tile.Value) (id, here *tile.Value) {
	id = memo(g, [3]any{in.Args[1], "expert", rows}, func() *tile.Value { return g.index(in, 1, rows, live) })
	return id, g.has(in, id)
}

// has reports for numbers of experts, as the rank counts, whether the rank has them.
func (g *gen) has(in *ir.Instr, id *tile.Value) *tile.Value {
	experts := g.fixed(in.Args[2].Type.Dims[0].Size, "the experts")
	return g.b.And(g.b.GeI(id, 0), g.b.LtI(id, experts))
}

// whenHere runs f where the rank has the expert that a row chose.
func (g *gen) whenHere(in *ir.Instr, row *tile.Value, f, otherwise func()) {
	id, here := g.expert(in, row, nil)
	g.when(here, func() { g.assumeHere(id); f() }, otherwise)
}

// assumeHere notes that the rank has an expert, until the end of the scope.
func (g *gen) assumeHere(id *tile.Value) { memo(g, [2]any{"here", id}, func() bool { return true }) }

// groupOf is which of n alternating groups the rows belong to, a scalar.
func (g *gen) groupOf(r *region, n int) *tile.Value {
	switch {
	case n == 1:
		return g.b.Int(0)
	case r.group != nil:
		return r.group
	case len(r.rows.Shape) == 0:
		return g.remainder(r.rows, n)
	}
	g.fail("rows of several groups in one block")
	return nil
}

// depth is how many summed columns are taken at once.
func (g *gen) depth(p product, limit int) int {
	d := pow2Divisor(p.k, limit)
	if d < 64 {
		d = min(pow2(p.k), limit)
	}
	return max(d, p.w.Type.Elem.Cols, g.plan.lanes)
}

// gemvDepth is the same for a product of one row of x.
func (g *gen) gemvDepth(p product) int {
	return g.depth(p, max(g.plan.gemvElements*g.twice(p.in)/max(p.region.width.Size, 4), 32))
}

// multiplyAdd are the products for one row of x: weights are read once and multiplied as they come.
func (g *gen) multiplyAdd(all []product) []*tile.Value {
	b, p := g.b, all[0]
	r := p.region
	depth := g.gemvDepth(p)
	g.prepare(p.x, &region{rows: p.xRows, height: tile.D(1)})
	var live *tile.Value
	if r.colLive != nil {
		live = b.Reshape(r.colLive, r.width, tile.D(1))
	}
	first, rows, start := make([]*tile.Value, len(all)), make([]*tile.Value, len(all)), make([]*tile.Value, len(all))
	// A product with FP4 codes of one round is summed before the next product is taken apart: so it was measured. Weights that
	// have come ahead are multiplied row by row, which takes half the registers; others would then be loaded row by row.
	atOnce := g.plan.sumEachRound || depth == p.k && (g.twice(p.in) > 1 || slices.Contains(g.kernel.ahead, p.in))
	summed := func(x *tile.Value) *tile.Value {
		if atOnce {
			return b.Sum(x, 1)
		}
		return x
	}
	width, sums := tile.D(depth), tile.D(depth)
	if g.byWords(p, depth) {
		width, sums = tile.D(depth/wordCodes), tile.D(depth/p.w.Type.Elem.Cols)
	}
	for n, q := range all {
		if first[n] = q.base; r.first != nil {
			first[n] = b.Add(q.base, r.first)
		}
		rows[n] = b.Col(b.Add(first[n], b.Range(r.width)))
		if start[n] = b.Zeros(r.width, sums); atOnce {
			start[n] = b.Zeros(r.width)
		}
		start[n].Named("acc")
	}
	acc := g.loop("k", p.from, p.to, depth, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		out := make([]*tile.Value, len(all))
		if g.byWords(p, depth) {
			x := g.eighths(p, i, width)
			words := make([]weightWords, len(all)) // all of them are under way before the first are taken apart
			for n, q := range all {
				words[n] = g.weightWords(q, i, width, rows[n], live)
			}
			for n, q := range all {
				out[n] = b.Add(c[n], summed(g.weighedWords(q, x, words[n])))
			}
			return out
		}
		xb := g.block(p.xRows, nil, 1, i, width, p.k)
		x := g.pull(p.x, xb)
		for n, q := range all {
			wb := g.block(rows[n], live, r.width.Size, i, width, p.k)
			out[n] = b.Add(c[n], summed(g.weighed(q, x, xb, wb, first[n])))
		}
		return out
	})
	out := make([]*tile.Value, len(all))
	for n := range out {
		if out[n] = acc[n]; !atOnce {
			out[n] = b.Sum(acc[n], 1)
		}
		out[n] = b.Row(out[n])
	}
	return out
}

// rowsAtOnce is how many weight rows an instance multiplies with one row of activations: as many as fit, but few enough
// that there are instances for the whole machine. Columns of a result and what its epilogue takes at once are multiples.
func (g *gen) rowsAtOnce(in *ir.Instr, need int) int {
	in = productBehind(in)
	k, n := g.columns(in.Args[0]), g.columns(in.Results[0])
	width := g.plan.gemvWidth * g.twice(in)
	for width < 32 && width*2*k <= g.plan.gemvElements {
		width *= 2
	}
	all := productOf(in.Results[0].Type.Dims)
	total, ok := all.Bind(ir.Env{"b": 1, "s": 1}).IsConst()
	for ok && width > g.plan.gemvWidth && total/width < g.plan.instances {
		width /= 2
	}
	if ok && total/width < g.plan.instances/2 {
		width = min(width, g.plan.gemvLeast)
	}
	// What each instance computes of the activations for itself is worth some more weight rows.
	for ok && !g.inMemory(g.behindViews(in.Args[0])) && width < 16 && total/(2*width) >= 4*g.plan.instances {
		width *= 2
	}
	for width > g.plan.lanes && (n%width != 0 || need > 1 && need%width != 0) {
		width /= 2
	}
	return width
}

// weighed multiplies a row of x with each of a block of weight rows.
func (g *gen) weighed(p product, x *tile.Value, xb, wb *region, first *tile.Value) *tile.Value {
	b, e := g.b, p.w.Type.Elem
	if !e.IsQuantised() {
		return b.Mul(g.load(p.w, wb), x)
	}
	if e.DType == ir.FP4 && !g.bytesArrive() {
		return g.weighedDoubled(p, x, wb)
	}
	scales := func(blocks *region) *tile.Value { return g.scale(p.w, blocks) }
	if e.Rows > 1 && e.Rows%wb.height.Size == 0 && g.aligned(p, wb.height.Size) {
		// All rows share their scales: they go into x.
		at := g.at(xb, b.DivI(first, e.Rows))
		return b.Mul(g.codes(p.w, wb, p.k), g.perBlock(x, at, e.Cols, p.k, scales))
	}
	wr := wb
	if e.Rows > 1 {
		wr = g.at(wb, b.DivI(wb.rows, e.Rows))
	}
	return b.Mul(g.perBlock(g.codes(p.w, wb, p.k), wr, e.Cols, p.k, scales), x)
}

// aligned reports whether blocks of n columns of the result never lie across scale blocks of weight rows.
func (g *gen) aligned(p product, n int) bool {
	return g.columns(p.in.Results[0])%n == 0
}

// codes are the weights of a block without their scales.
func (g *gen) codes(w *ir.Value, r *region, k int) *tile.Value {
	if w.Type.Elem.DType == ir.FP8 {
		return g.b.LoadF32(g.elements(w, tile.In), g.offsets(r, k), g.mask(r), 0)
	}
	// Two codes in a byte, the even one in the low bits: each byte is read once for both.
	b := g.b
	half := tile.D(r.width.Size / 2)
	cols := b.Row(b.Range(half))
	if r.first != nil {
		cols = b.Add(b.DivI(r.first, 2), cols)
	}
	bytes := b.Load(g.elements(w, tile.In), b.Add(b.MulI(r.rows, k/2), cols), r.live, 0)
	pair := b.Expand(b.Cast(bytes, tile.I32), 2)
	shift := b.MulI(b.Row(b.Row(b.Range(tile.D(2)))), 4)
	code := b.AndI(b.Binary(tile.Shr, pair, shift), 15)
	return b.Reshape(g.e2m1(code), r.height, r.width)
}

// e2m1 is what four bits stand for. As the top of a float32's bits, exponent and mantissa are the value times 2^-126,
// but for 0 and ½, which would be below the normal numbers there.
func (g *gen) e2m1(code *tile.Value) *tile.Value {
	b := g.b
	magnitude := b.AndI(code, 7)
	normal := b.Bitcast(b.AddI(b.Shl(magnitude, 22), 126<<23), tile.F32)
	small := b.MulF(b.Cast(magnitude, tile.F32), 0.5)
	value := b.Where(b.LtI(magnitude, 2), small, normal)
	return b.Where(b.GeI(code, 8), b.Neg(value), value)
}

// matrixProducts are the products for a block of rows, by dot: of the same rows with weights of equal shape.
func (g *gen) matrixProducts(all []product) []*tile.Value {
	b, p := g.b, all[0]
	r := p.region
	xr := &region{rows: p.xRows, live: r.live, height: r.height}
	cols, start := make([]*tile.Value, len(all)), make([]*tile.Value, len(all))
	for n, q := range all {
		cols[n] = b.Row(b.Add(g.firstRow(q), b.Range(r.width)))
	}
	g.prepare(p.x, xr)
	depth := g.dotDepth(p, len(all))
	for n := range all {
		start[n] = b.Zeros(r.height, r.width).Named("acc")
	}
	return g.loop("k", p.from, p.to, depth, start, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		xb := g.block(p.xRows, r.live, r.height.Size, i, tile.D(depth), p.k)
		out := make([]*tile.Value, len(all))
		for n, q := range all {
			if g.fp8Dot(q) {
				out[n] = g.dotFP8(q, c[n], xb, i, cols[n], depth)
				continue
			}
			x := b.Cast(g.spread(g.pull(p.x, xb), xb), tile.BF16)
			out[n] = b.Dot(x, g.weightsDown(q, i, cols[n], depth), c[n])
		}
		return out
	})
}

// firstRow is the weight row that the first column of the region is the product with.
func (g *gen) firstRow(p product) *tile.Value {
	if p.region.first == nil {
		return p.base
	}
	return g.b.Add(p.base, p.region.first)
}

// dotDepth is how many summed columns a dot takes: a scale block where codes are multiplied, else as many as leave room
// for the panels of weights, which are the larger ones.
func (g *gen) dotDepth(p product, products int) int {
	e := p.w.Type.Elem
	if g.fp8Dot(p) {
		return e.Cols
	}
	depth := min(g.plan.dotDepth, max(g.plan.dotK, g.plan.panelElements/(p.region.width.Size*products)))
	if p.x.Type.Elem.IsQuantised() && g.inMemory(p.x) {
		depth = min(depth, p.x.Type.Elem.Cols)
	}
	if !g.inMemory(p.x) && g.hasOp(p.x, ops.ActQuant) { // its scale blocks are found while it is read
		depth = max(depth, 128)
	}
	if d := pow2Divisor(p.k, depth); d >= g.plan.dotK {
		return d
	}
	return max(g.plan.dotK, min(depth, pow2(p.k)))
}

// hasOp reports whether an op takes part in computing a value.
func (g *gen) hasOp(v *ir.Value, op *ir.Op) bool {
	found := false
	g.cone(v, func(in *ir.Instr) bool { found = found || in.Op == op; return !g.isHeavy(in) })
	return found
}

// fp8Dot reports whether both operands are multiplied as e4m3 codes, their scales afterwards.
func (g *gen) fp8Dot(p product) bool {
	s, _ := g.target.Dot.FP8.Get()
	return s == targets.Native && g.inMemory(p.x) && p.x.Type.Elem.DType == ir.FP8 && p.w.Type.Elem.DType == ir.FP8
}

// dotFP8 adds one scale block's product of codes, times both scales.
func (g *gen) dotFP8(p product, acc *tile.Value, xb *region, k, cols *tile.Value, depth int) *tile.Value {
	b, e := g.b, p.w.Type.Elem
	x := memo(g, [2]any{xb, "codes"}, func() *tile.Value {
		return b.Load(g.elements(p.x, tile.In), g.offsets(xb, p.k), g.mask(xb), 0)
	})
	down := b.Col(b.Add(k, b.Range(tile.D(depth))))
	w := b.Load(g.elements(p.w, tile.In), b.Add(b.MulI(cols, p.k), down), p.region.colLive, 0)
	if g.target.Dot.FP8Exact.Is(targets.Slow) {
		x, w = b.Cast(x, tile.F16), b.Cast(w, tile.F16)
	}
	part := b.Dot(x, w, b.Zeros(p.region.height, p.region.width))
	block := b.DivI(k, e.Cols)
	n := p.k / e.Cols
	sx := memo(g, [2]any{xb, "scale"}, func() *tile.Value {
		return g.exponent(b.Load(g.scales(p.x, tile.In), b.Add(b.MulI(p.xRows, n), block), xb.live, 0))
	})
	row, live := cols, p.region.colLive
	if width := p.region.width.Size; e.Rows%width == 0 && g.aligned(p, width) { // all columns share a scale
		row, live = g.firstRow(p), nil
	}
	sw := g.exponent(b.Load(g.scales(p.w, tile.In), b.Add(b.MulI(b.DivI(row, e.Rows), n), block), live, 0))
	return b.Add(acc, b.Mul(part, b.Mul(sx, sw)))
}

// weightsDown are weights with the summed columns downwards, as a dot's second operand takes them, in bf16: every
// number format of weights widens to it exactly.
func (g *gen) weightsDown(p product, k, cols *tile.Value, depth int) *tile.Value {
	if g.wordsFit(p, depth) || p.w.Type.Elem.DType == ir.FP4 && !g.bytesArrive() {
		return g.wordsDown(p, k, depth)
	}
	b, e := g.b, p.w.Type.Elem
	down := b.Col(b.Add(k, b.Range(tile.D(depth))))
	live := p.region.colLive
	if p.k%depth != 0 {
		live = g.both(live, b.LtI(down, p.k))
	}
	param := g.elements(p.w, tile.In)
	if !e.IsQuantised() {
		w := b.Load(param, b.Add(b.MulI(cols, p.k), down), live, 0)
		if param.DType == tile.BF16 {
			return w
		}
		return b.Cast(w, tile.BF16)
	}
	var w *tile.Value
	if e.DType == ir.FP8 {
		w = b.LoadF32(param, b.Add(b.MulI(cols, p.k), down), live, 0)
	} else {
		bytes := b.Cast(b.Load(param, b.Add(b.MulI(cols, p.k/2), b.DivI(down, 2)), live, 0), tile.I32)
		w = g.e2m1(b.AndI(b.Binary(tile.Shr, bytes, b.MulI(b.AndI(down, 1), 4)), 15))
	}
	n := (p.k + e.Cols - 1) / e.Cols
	row, column := cols, down
	if width := p.region.width.Size; live == nil && e.Rows%width == 0 && e.Cols%depth == 0 && g.aligned(p, width) { // all share a scale
		row, column = g.firstRow(p), k
	}
	if e.Rows > 1 {
		row = b.DivI(row, e.Rows)
	}
	s := b.Load(g.scales(p.w, tile.In), b.Add(b.MulI(row, n), b.DivI(column, e.Cols)), live, 0)
	return b.Cast(b.Mul(w, g.exponent(s)), tile.BF16)
}
