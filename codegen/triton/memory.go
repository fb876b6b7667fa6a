package triton

import (
	"fmt"
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// name is how programs call a value of the graph. Arguments and results come first, so that theirs are the plain ones.
func (g *gen) name(v *ir.Value) string {
	if g.names == nil {
		g.names = map[*ir.Value]string{}
		g.taken = map[string]bool{"b": true, "s": true, "p": true, "m": true, "pid": true}
		for _, a := range g.fn.Args {
			g.addName(a, "_in")
		}
		for _, r := range g.fn.Return {
			g.addName(r, "_out")
		}
	}
	g.addName(v, "_work")
	return g.names[v]
}

func (g *gen) addName(v *ir.Value, suffix string) {
	if g.names[v] != "" {
		return
	}
	name := Identifier(v.Name)
	for g.taken[name] {
		name += suffix
	}
	g.taken[name] = true
	g.names[v] = name
}

// elements is the pointer to a value's elements: what it is in memory, codes where it is quantised.
func (g *gen) elements(v *ir.Value, access tile.Access) *tile.Param {
	name := g.name(v)
	g.bind(name, FromValue, v)
	t := v.Type
	shape := g.shape(t)
	doc := t.Elem.String()
	if t.Elem.DType == ir.FP4 {
		shape[len(shape)-1] += " // 2"
		doc += ", two codes in a byte, the even one in the low bits"
	}
	return g.b.Pointer(name, StoredAs(t), access, doc, shape...)
}

// bind says what a parameter is. What is neither argument nor result is room between instances or programs.
func (g *gen) bind(name string, source Source, v *ir.Value) {
	if g.isWork(v) {
		source = FromWork
	}
	g.kernel.Bindings[name] = Binding{Source: source, Value: v}
}

// behindViews is what a value's rows are rows of, if the ops between do no more than count them by other axes.
func (g *gen) behindViews(v *ir.Value) *ir.Value {
	for !g.inMemory(v) && v.Def.Op == ops.ViewAs && g.columns(v) == g.columns(v.Def.Args[0]) {
		v = v.Def.Args[0]
	}
	return v
}

// isWork reports whether a value is neither argument nor result.
func (g *gen) isWork(v *ir.Value) bool {
	return v.Kind == ir.ResultValue && !slices.Contains(g.fn.Return, v)
}

// as32 is the pointer to a value in memory read by 32-bit words, under a name; of its last extent there are as many words
// as the pattern says.
func (g *gen) as32(v *ir.Value, name, words, doc string) *tile.Param {
	g.bind(name, FromValue, v)
	shape := g.shape(v.Type)
	shape[len(shape)-1] = fmt.Sprintf(words, shape[len(shape)-1])
	return g.b.Pointer(name, tile.I32, tile.In, doc, shape...)
}

// room is the pointer to float32 numbers that a launch keeps between its instances or programs.
func (g *gen) room(name, doc string, shape ...ir.Size) *tile.Param {
	return g.kept(FromWork, name, tile.F32, doc, shape)
}

// kept is the pointer to what is neither argument nor result.
func (g *gen) kept(source Source, name string, d tile.DType, doc string, shape []ir.Size) *tile.Param {
	extents := make([]string, len(shape))
	for i, s := range shape {
		shape[i] = s.Bind(g.bound)
		extents[i] = g.extent(s)
	}
	g.kernel.Bindings[name] = Binding{Source: source, Shape: shape, DType: d}
	return g.b.Pointer(name, d, tile.InOut, doc, extents...)
}

// scales is the pointer to a value's ue8m0 scales.
func (g *gen) scales(v *ir.Value, access tile.Access) *tile.Param {
	rows, cols := g.scaleBlocks(v)
	return g.b.Pointer(g.scaleName(v), tile.I8, access, scaleDoc+g.name(v), g.extent(rows), Expression(ir.Const(cols)))
}

const scaleDoc = "ue8m0 exponents of "

// scaleName is what the pointer to scales is called.
func (g *gen) scaleName(v *ir.Value) string {
	name := g.name(v) + "_scale"
	if g.isWork(v) {
		rows, cols := g.scaleBlocks(v)
		g.kernel.Bindings[name] = Binding{Source: FromWork, Shape: []ir.Size{rows.Bind(g.bound), ir.Const(cols)}, DType: tile.I8}
		return name
	}
	g.bind(name, FromScales, v)
	return name
}

// scaleBlocks is how many scale blocks a value has, down and across.
func (g *gen) scaleBlocks(v *ir.Value) (rows ir.Size, cols int) {
	e := v.Type.Elem
	if rows = g.rows(v); e.Rows > 1 {
		rows = ceilDiv(rows, e.Rows)
	}
	return rows, (g.columns(v) + e.Cols - 1) / e.Cols
}

// scaleWords is the pointer to a value's scales as words of four.
func (g *gen) scaleWords(v *ir.Value) *tile.Param {
	rows, cols := g.scaleBlocks(v)
	if cols%wordScales != 0 {
		g.fail("the %d scales in a row of %s are no whole words of %d, and pointers to bytes do not arrive", cols, v.Ref(), wordScales)
	}
	doc := scaleDoc + g.name(v) + ", four in a word, the first in the lowest bits"
	return g.b.Pointer(g.scaleName(v), tile.I32, tile.In, doc, g.extent(rows), Expression(ir.Const(cols/wordScales)))
}

// StoredAs is the format that a value has in memory. Sums over ranks that are not complete are kept unrounded.
func StoredAs(t ir.Type) tile.DType {
	if t.Partial == ir.PartialSum {
		return tile.F32
	}
	switch t.Elem.DType {
	case ir.BF16:
		return tile.BF16
	case ir.F32:
		return tile.F32
	case ir.FP8:
		return tile.E4M3
	case ir.I32:
		return tile.I32
	case ir.I64:
		return tile.I64
	}
	return tile.I8
}

// region is a block of a value: some rows (an index over all axes but the last) and consecutive columns.
type region struct {
	rows    *tile.Value // i32: a scalar, or a column of them
	live    *tile.Value // which rows exist; nil for all
	height  tile.Dim
	first   *tile.Value // first column; nil for 0
	cols    *tile.Value // i32 row of columns
	colLive *tile.Value // which columns exist; nil for all
	width   tile.Dim
	// group is, where rows of several groups alternate, the one that all of these belong to, and of sorted slots their expert, a
	// scalar; nil for none.
	group *tile.Value
	// token and head are, where the rows are heads of one token, that token (a scalar) and the heads (a column).
	token, head *tile.Value
	part        *tile.Value // which of the parts of the columns this is, where it matters
	origin      *region     // that this is other rows of, with the same columns; nil for none
}

// block makes a region of count rows and width columns of a value with so many columns.
func (g *gen) block(rows, live *tile.Value, height int, first *tile.Value, width tile.Dim, columns int) *region {
	r := &region{rows: rows, live: live, height: tile.D(height), first: first, width: width}
	r.cols = g.b.Row(g.b.Range(width))
	if first != nil {
		r.cols = g.b.Add(first, r.cols)
	}
	if columns%width.Size != 0 {
		r.colLive = g.b.LtI(r.cols, columns)
	}
	return r
}

// mask joins both conditions.
func (g *gen) mask(r *region) *tile.Value {
	return memo(g, [2]any{r, "mask"}, func() *tile.Value {
		return g.both(r.live, r.colLive)
	})
}

// both joins two conditions, of which each may be nil for always.
func (g *gen) both(x, y *tile.Value) *tile.Value {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return g.b.And(x, y)
}

// offsets are the places of a region's elements in row-major memory with so many columns.
func (g *gen) offsets(r *region, columns int) *tile.Value {
	return memo(g, [3]any{r, "offsets", columns}, func() *tile.Value {
		return g.b.Add(g.b.MulI(r.rows, columns), r.cols)
	})
}

// spread makes a pulled tile as large as its region, where all rows or columns are alike.
func (g *gen) spread(x *tile.Value, r *region) *tile.Value {
	if x.Shape[0].Size == r.height.Size && x.Shape[1].Size == r.width.Size {
		return x
	}
	return g.b.BroadcastTo(x, r.height, r.width)
}

// load reads a region of a value in memory, widened; what is not there is 0.
func (g *gen) load(v *ir.Value, r *region) *tile.Value {
	return memo(g, [2]any{v, r}, func() *tile.Value {
		k := g.columns(v)
		if v.Type.Elem.IsQuantised() {
			return g.loadQuantised(v, r, k)
		}
		x := g.b.LoadF32(g.elements(v, tile.In), g.offsets(r, k), g.mask(r), 0)
		if here := g.here[v]; here != nil { // all rows are read, so that it need not be known before
			x = g.b.Where(here, x, g.b.Float(0))
		}
		return x.Named("%s_tile", g.name(v))
	})
}

// loadQuantised reads codes of one scale per block of a row and multiplies.
func (g *gen) loadQuantised(v *ir.Value, r *region, k int) *tile.Value {
	e := v.Type.Elem
	if e.DType != ir.FP8 || e.Rows != 1 {
		g.fail("%s: activations %s cannot be read", v.Ref(), v.Type)
	}
	codes := g.b.LoadF32(g.elements(v, tile.In), g.offsets(r, k), g.mask(r), 0)
	return g.perBlock(codes, r, e.Cols, k, func(blocks *region) *tile.Value { return g.scale(v, blocks) }).Named("%s_tile", g.name(v))
}

// perBlock multiplies a tile by one factor for each block of columns. The region handed to factor counts blocks.
func (g *gen) perBlock(x *tile.Value, r *region, block, columns int, factor func(*region) *tile.Value) *tile.Value {
	blocks := g.blocks(r, block, columns)
	f := factor(blocks)
	if blocks.width.Size == 1 {
		return g.b.Mul(x, f)
	}
	n := tile.D(r.width.Size / block)
	split := g.b.Reshape(g.spread(x, r), r.height, n, tile.D(block))
	return g.b.Reshape(g.b.Mul(split, g.b.Expand(f, 2)), r.height, r.width)
}

// blocks is the region of the blocks that the columns of r lie in. A region narrower than a block lies in one.
func (g *gen) blocks(r *region, block, columns int) *region {
	return memo(g, [3]any{r, "blocks", block}, func() *region {
		first := r.first
		if first != nil {
			first = g.b.DivI(first, block)
		}
		return g.block(r.rows, r.live, r.height.Size, first, tile.D(max(1, r.width.Size/block)), (columns+block-1)/block)
	})
}

// scale reads the scales of a region that counts scale blocks of a value.
func (g *gen) scale(v *ir.Value, blocks *region) *tile.Value {
	if !g.bytesArrive() {
		return g.scaleByWord(v, blocks)
	}
	return g.exponent(g.scaleBytes(v, blocks))
}

// scaleBytes are the scales of a region that counts scale blocks as they are in memory.
func (g *gen) scaleBytes(v *ir.Value, blocks *region) *tile.Value {
	return memo(g, [3]any{v, "scale", blocks}, func() *tile.Value {
		_, n := g.scaleBlocks(v)
		return g.b.Load(g.scales(v, tile.In), g.offsets(blocks, n), g.mask(blocks), 0)
	})
}

// exponent is the power of two that a ue8m0 byte stands for. Byte 0 is 2^-127, below the normal numbers.
func (g *gen) exponent(byteTile *tile.Value) *tile.Value {
	bits := g.b.Shl(g.b.AndI(g.b.Cast(byteTile, tile.I32), 255), 23)
	return g.b.Bitcast(g.b.Maximum(bits, g.b.Int(1<<22)), tile.F32)
}

// store writes a region of a value, rounded to what it is stored as.
func (g *gen) store(v *ir.Value, r *region, x *tile.Value) {
	g.b.Store(g.elements(v, tile.Out), g.offsets(r, g.columns(v)), g.spread(x, r), g.mask(r))
}

// first is the first index of this rank's part of a split axis.
func (g *gen) first(d ir.Dim) *tile.Value {
	name := "first_" + Identifier(d.Name)
	g.kernel.Bindings[name] = Binding{Source: FromFirst, Axis: d}
	return g.b.Scalar(name, "this rank's first index of "+d.Name)
}
