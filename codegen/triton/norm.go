package triton

import (
	"fmt"
	"math"

	"flagc/ir"
	"flagc/ir/tile"
	"flagc/runtime/formats"
)

// wholeRow is the region of all columns. It is one object for the same rows, so what is computed of it is shared.
func (g *gen) wholeRow(rows, live *tile.Value, height, columns int) *region {
	return memo(g, [3]any{rows, "row", columns}, func() *region {
		return g.block(rows, live, height, nil, tile.D(g.lanes(columns)), columns)
	})
}

// overRow adds up, for each row, what term yields of blocks of the row: at once where the row fits a program, else
// block by block. The result is a column.
func (g *gen) overRow(r *region, columns int, term func(*region) *tile.Value) *tile.Value {
	if g.fits(r.height.Size, columns) || g.known([3]any{r.rows, "row", columns}) {
		return g.b.Col(g.b.Sum(term(g.wholeRow(r.rows, r.live, r.height.Size, columns)), 1))
	}
	width := g.rowBlock(r.height.Size, columns)
	acc := g.b.Zeros(r.height, tile.D(width)).Named("acc")
	acc = g.loop("start", g.b.Int(0), g.b.Int(columns), width, []*tile.Value{acc}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		block := g.block(r.rows, r.live, r.height.Size, i, tile.D(width), columns)
		return []*tile.Value{g.b.Add(c[0], g.spread(term(block), block))}
	})[0]
	return g.b.Col(g.b.Sum(acc, 1))
}

// fits reports whether whole rows of so many columns are held by a program at once.
func (g *gen) fits(height, columns int) bool { return height*pow2(columns) <= g.plan.rowElements }

// rowBlock is how many columns of rows a program holds at once.
func (g *gen) rowBlock(height, columns int) int {
	return max(128, min(pow2(columns), g.plan.rowElements/height))
}

// prepare computes ahead of a loop over the columns of v what all its blocks need: factors of whole rows.
func (g *gen) prepare(v *ir.Value, r *region) {
	if g.inMemory(v) {
		return
	}
	in := v.Def
	switch in.Name() {
	case "rms_norm":
		g.rmsFactor(in, r)
	case "head_norm":
		g.headFactor(in, r)
	case "hc_pre", "hc_head":
		g.mixing(in, r)
		return
	}
	if g.isHeavy(in) {
		return
	}
	for _, a := range in.Args {
		if a != nil && a.Kind == ir.ResultValue && len(a.Type.Dims) > 0 && g.sameRows(v, a) {
			g.prepare(a, r)
		}
	}
}

// sameRows reports whether both have the same number of rows and of columns.
func (g *gen) sameRows(v, a *ir.Value) bool {
	return g.rows(v).Equal(g.rows(a)) && v.Type.Dims[len(v.Type.Dims)-1].Size.Equal(a.Type.Dims[len(a.Type.Dims)-1].Size)
}

func (g *gen) pullRMSNorm(in *ir.Instr, r *region) *tile.Value {
	w := in.Args[1]
	gain := g.b.LoadF32(g.elements(w, tile.In), r.cols, r.colLive, 0)
	return g.b.Mul(gain, g.b.Mul(g.pull(in.Args[0], r), g.rmsFactor(in, r)))
}

// rmsFactor is 1 / √(mean(x²) + eps) of each row.
func (g *gen) rmsFactor(in *ir.Instr, r *region) *tile.Value {
	return memo(g, [3]any{in, "factor", r.rows}, func() *tile.Value {
		x := in.Args[0]
		k := g.columns(x)
		g.prepare(x, r)
		sum := g.overRow(r, k, func(b *region) *tile.Value { v := g.pull(x, b); return g.b.Mul(v, v) })
		mean := g.b.MulF(sum, 1/float64(k))
		return g.b.Rsqrt(g.b.AddF(mean, in.Attrs.Float("eps"))).Named("rms")
	})
}

func (g *gen) pullHeadNorm(in *ir.Instr, r *region) *tile.Value {
	return g.b.Mul(g.pull(in.Args[0], r), g.headFactor(in, r))
}

// headFactor is the factor of head_norm, in bf16 step by step.
func (g *gen) headFactor(in *ir.Instr, r *region) *tile.Value {
	return memo(g, [3]any{in, "factor", r.rows}, func() *tile.Value {
		x := in.Args[0]
		k := g.columns(x)
		sum := g.overRow(r, k, func(b *region) *tile.Value {
			v := g.pull(x, b)
			return g.b.Round(g.b.Mul(v, v), tile.BF16)
		})
		mean := g.b.Round(g.b.MulF(sum, 1/float64(k)), tile.BF16)
		root := g.b.Sqrt(g.b.Round(g.b.AddF(mean, in.Attrs.Float("eps")), tile.BF16))
		return g.b.Round(g.b.Div(g.b.Float(1), root), tile.BF16).Named("head_rms")
	})
}

// needWhole fails unless a region has whole rows.
func (g *gen) needWhole(in *ir.Instr, r *region) int {
	k := g.columns(in.Results[0])
	if r.first != nil || r.width.Size < k {
		g.fail("%s needs whole rows of %d, the block has %d columns", in.Name(), k, r.width.Size)
	}
	return k
}

// pullRope rotates pairs of neighbours by the angles of a table that the host makes.
func (g *gen) pullRope(in *ir.Instr, r *region) *tile.Value {
	b := g.b
	if r.width.Size%2 != 0 {
		g.fail("rope of %d columns", r.width.Size)
	}
	dims, width := in.Attrs.Int("dims"), r.width.Size
	apart := g.plan.ropeApart && width == g.columns(in.Results[0]) && width%dims == 0 && dims < width
	turning := width
	if apart {
		turning = dims
	}
	cos, sin := g.angles(in, r, (width-turning)/2, tile.D(turning/2)) // read before what they turn is computed
	x := g.spread(g.pull(in.Args[0], r), r)
	if !apart {
		return b.Reshape(g.turned(in, r, x, cos, sin), r.height, r.width)
	}
	// Only the last of these groups of channels turns: it is taken out, so that tiles are as small as it is.
	groups := width / dims
	x = b.Reshape(x, r.height, tile.D(groups), tile.D(dims))
	turns := b.Expand(b.Row(b.EqI(b.Range(tile.D(groups)), groups-1)), 2)
	last := b.Sum(b.Where(turns, x, b.Float(0)), 1).Named("turning")
	y := b.Reshape(g.turned(in, r, last, cos, sin), r.height, tile.D(dims))
	return b.Reshape(b.Where(turns, b.Expand(y, 1), x), r.height, r.width)
}

// turned rotates channels by angles, one for each pair, and yields pairs.
func (g *gen) turned(in *ir.Instr, r *region, x, cos, sin *tile.Value) *tile.Value {
	b, half := g.b, tile.D(x.Len()/r.height.Size/2)
	x = b.Reshape(x, r.height, half, tile.D(2))
	even := b.EqI(g.sides(half), 0)
	re := b.Sum(b.Where(even, x, b.Float(0)), 2).Named("re")
	im := b.Sum(b.Where(even, b.Float(0), x), 2).Named("im")
	if in.Attrs.Bool("inverse") {
		sin = b.Neg(sin)
	}
	return b.Where(even, b.Expand(b.Sub(b.Mul(re, cos), b.Mul(im, sin)), 2), b.Expand(b.Add(b.Mul(re, sin), b.Mul(im, cos)), 2))
}

// sides says which of its pair each channel is: for one pair or, where vectors must be long, for so many.
func (g *gen) sides(half tile.Dim) *tile.Value {
	b := g.b
	if g.plan.lanes <= 2 {
		return b.Row(b.Row(b.Range(tile.D(2))))
	}
	return b.Reshape(b.AndI(b.Range(tile.D(2*half.Size)), 1), tile.D(1), half, tile.D(2))
}

// angles are the cosines and sines of the pairs of each row, so many behind a first one; pairs before the rotating ones
// turn by nothing.
func (g *gen) angles(in *ir.Instr, r *region, from int, half tile.Dim) (cos, sin *tile.Value) {
	type pair struct{ cos, sin *tile.Value }
	k, dims := g.columns(in.Results[0]), in.Attrs.Int("dims")
	still := (k-dims)/2 - from
	p := memo(g, [3]any{in, "angles", r}, func() pair {
		b := g.b
		pairs := b.Row(b.Range(half))
		if r.first != nil {
			pairs = b.Add(b.DivI(r.first, 2), pairs)
		}
		turning := r.live
		if still > 0 || half.Size > dims/2 {
			turning = b.And(b.GeI(pairs, still), b.LtI(pairs, still+dims/2))
			if r.live != nil {
				turning = b.And(turning, r.live)
			}
		}
		table := g.ropeTable(in, dims)
		at := b.Add(b.MulI(g.ropeRow(in, r.rows), dims), b.SubI(pairs, still))
		return pair{b.Load(table, at, turning, 1).Named("cos"), b.Load(table, b.AddI(at, dims/2), turning, 0).Named("sin")}
	})
	return p.cos, p.sin
}

// ropeRow is the row of the table that a row of x[b, n, …, k] turns by: its place along n.
func (g *gen) ropeRow(in *ir.Instr, rows *tile.Value) *tile.Value {
	dims := in.Results[0].Type.Dims
	n := dims[1].Size.Bind(g.bound)
	if k, ok := n.IsConst(); ok && k == 1 {
		return g.b.Int(0)
	}
	heads := g.fixed(productOf(dims[2:len(dims)-1]), "the axes after the positions")
	return g.b.Mod(g.divided(rows, heads), g.size(n))
}

// ropeTable is the table of a rope: for each of its positions the cosines, then the sines, of all pairs.
func (g *gen) ropeTable(in *ir.Instr, dims int) *tile.Param {
	key := fmt.Sprint(in.Attrs.Size("first"), in.Attrs.Int("step"), dims, in.Attrs.Float("theta"), in.Attrs.Float("factor"),
		in.Attrs.Int("original"), in.Attrs.Float("beta_fast"), in.Attrs.Float("beta_slow"))
	name := ""
	for n := 1; ; n++ {
		if name = "rope"; n > 1 {
			name = fmt.Sprintf("rope_%d", n)
		}
		if old, ok := g.ropes[name]; !ok || old == key {
			break
		}
	}
	g.ropes[name] = key
	g.kernel.Bindings[name] = Binding{Source: FromRope, Rope: in}
	doc := fmt.Sprintf("cosines, then sines, at position %s + %d·row, theta %g", in.Attrs.Size("first"), in.Attrs.Int("step"),
		in.Attrs.Float("theta"))
	return g.b.Pointer(name, tile.F32, tile.In, doc, g.extent(in.Results[0].Type.Dims[1].Size), fmt.Sprint(dims))
}

// quantised is a block on a grid: x/scale rounded, and the scale of each block of columns, or of each element, with the
// ue8m0 byte of each block.
type quantised struct {
	codes, scale, exponent *tile.Value
}

// grid is a format to quantise to.
type grid struct {
	floor, inverse float64
	round          func(*gen, *tile.Value) *tile.Value
}

var (
	gridE4M3 = grid{1e-4, float64(float32(1.0 / formats.E4M3Max)), (*gen).roundE4M3}
	gridE2M1 = grid{6 * 0x1p-126, float64(float32(1.0 / formats.E2M1Max)), (*gen).roundE2M1}
)

// quantise rounds blocks of columns to a grid with the smallest power of two that brings their largest magnitude in.
func (g *gen) quantise(x *tile.Value, r *region, block int, to grid) quantised {
	if r.width.Size%block != 0 {
		g.fail("a block of %d columns has no whole scale blocks of %d", r.width.Size, block)
	}
	b, n := g.b, tile.D(r.width.Size/block)
	x3 := b.Reshape(g.spread(x, r), r.height, n, tile.D(block))
	most := b.Max(b.Abs(x3), 2)
	if most.Len() < g.plan.lanes { // too few for vectors: each element finds the scale of its block
		most = b.BroadcastTo(b.Expand(most, 2), x3.Shape...)
	}
	amax := b.MaxF(most, to.floor).Named("amax")
	bits := b.Bitcast(b.MulF(amax, to.inverse), tile.I32)
	up := g.one(b.Ne(b.AndI(bits, 1<<23-1), b.Int(0)))
	e := b.Add(b.Shr(bits, 23), up).Named("exponent")
	scale := b.Bitcast(b.Shl(e, 23), tile.F32).Named("scale")
	inverse := b.Bitcast(b.Shl(b.Sub(b.Int(254), e), 23), tile.F32)
	codes := to.round(g, b.Mul(x3, overBlock(b, inverse)))
	if len(e.Shape) == 3 {
		e = b.Max(e, 2)
	}
	return quantised{codes, scale, e}
}

// overBlock makes factors of blocks go together with their elements.
func overBlock(b *tile.Builder, factor *tile.Value) *tile.Value {
	if len(factor.Shape) == 3 {
		return factor
	}
	return b.Expand(factor, 2)
}

// widened is what the codes of a block stand for.
func (g *gen) widened(q quantised, r *region) *tile.Value {
	return g.b.Reshape(g.b.Mul(q.codes, overBlock(g.b, q.scale)), r.height, r.width)
}

// roundE4M3 rounds to e4m3 and stays float32: three bits of mantissa to nearest even, multiples of 2^-9 below 2^-6.
// The scale has brought all magnitudes to 448 at most, so nothing saturates.
func (g *gen) roundE4M3(x *tile.Value) *tile.Value {
	b := g.b
	bits := b.Bitcast(x, tile.I32)
	odd := b.AndI(b.Shr(bits, 20), 1)
	normal := b.Bitcast(b.AndI(b.Add(b.AddI(bits, 0x7ffff), odd), -1<<20), tile.F32)
	const magic = 1.5 * (1 << 14) // float32 has steps of 2^-9 here
	small := b.AddF(b.AddF(x, magic), -magic)
	return b.Where(b.Lt(b.Abs(x), b.Float(0x1p-6)), small, normal)
}

// roundE2M1 rounds to 0, ½, 1, 1½, 2, 3, 4, 6 and their negatives, ties to the even code.
func (g *gen) roundE2M1(x *tile.Value) *tile.Value {
	b := g.b
	a := b.Abs(x)
	step := func(magic float64) *tile.Value { return b.AddF(b.AddF(a, magic), -magic) }
	y := b.Where(b.Lt(a, b.Float(2)), step(1.5*(1<<22)), b.Where(b.Lt(a, b.Float(4)), step(1.5*(1<<23)), step(1.5*(1<<24))))
	y = b.MinF(y, formats.E2M1Max)
	return b.Where(b.Lt(x, b.Float(0)), b.Neg(y), y)
}

// quantisedBlock is a block of act_quant's result.
func (g *gen) quantisedBlock(in *ir.Instr, r *region) quantised {
	return memo(g, [3]any{in, r, "codes"}, func() quantised {
		return g.quantise(g.pull(in.Args[0], r), r, in.Attrs.Int("block"), gridE4M3)
	})
}

func (g *gen) pullActQuant(in *ir.Instr, r *region) *tile.Value {
	return g.widened(g.quantisedBlock(in, r), r)
}

func (g *gen) pullActQuantSim(in *ir.Instr, r *region) *tile.Value {
	k, keep := g.needWhole(in, r), in.Attrs.Int("keep")
	x := g.pull(in.Args[0], r)
	y := g.widened(g.quantise(x, r, in.Attrs.Int("block"), gridE4M3), r)
	return g.b.Where(g.b.LtI(r.cols, k-keep), y, x)
}

func (g *gen) pullFP4QuantSim(in *ir.Instr, r *region) *tile.Value {
	return g.widened(g.quantise(g.pull(in.Args[0], r), r, in.Attrs.Int("block"), gridE2M1), r)
}

// pullHadamard multiplies by the matrix of signs (-1)^popcount(i·j), times k^-½. One row is taken as a matrix of its own:
// the signs of k = m·n are those of m times those of n, so rows and columns are transformed one after the other.
func (g *gen) pullHadamard(in *ir.Instr, r *region) *tile.Value {
	b, k := g.b, g.needWhole(in, r)
	x := g.pull(in.Args[0], r)
	scale := 1 / math.Sqrt(float64(k))
	if r.height.Size >= g.plan.dotM {
		signs := b.Cast(g.signs(k), tile.BF16)
		return b.MulF(b.Dot(b.Cast(x, tile.BF16), signs, b.Zeros(r.height, tile.D(k))), scale)
	}
	if r.height.Size > 1 {
		g.fail("hadamard of %d rows", r.height.Size)
	}
	m := 1
	for m*m < k {
		m *= 2
	}
	n := k / m
	square := b.Reshape(x, tile.D(m), tile.D(n))
	if g.plan.lastAxis { // rows and columns change places with every sum
		rows := b.Sum(b.Mul(b.Expand(square, 0), b.Expand(g.signs(n), 1)), 2)
		columns := b.Sum(b.Mul(b.Expand(rows, 0), b.Expand(g.signs(m), 1)), 2)
		return b.MulF(b.Reshape(columns, tile.D(1), tile.D(k)), scale)
	}
	rows := b.Sum(b.Mul(b.Expand(square, 1), b.Expand(g.signs(n), 0)), 2)
	columns := b.Sum(b.Mul(b.Expand(g.signs(m), 2), b.Expand(rows, 0)), 1)
	return b.MulF(b.Reshape(columns, tile.D(1), tile.D(k)), scale)
}

// signs is the n×n matrix of (-1)^popcount(i·j).
func (g *gen) signs(n int) *tile.Value {
	return memo(g, [2]any{"signs", n}, func() *tile.Value {
		b := g.b
		p := g.places(n)
		for _, shift := range []int{8, 4, 2, 1} {
			if 1<<shift < n { // folds the upper bits onto the lower, until one says whether they are odd
				p = b.Xor(p, b.Shr(p, shift))
			}
		}
		return b.Sub(b.Float(1), b.MulF(b.Cast(b.AndI(p, 1), tile.F32), 2)).Named("signs")
	})
}

// places is i & j for each element of an n×n matrix.
func (g *gen) places(n int) *tile.Value {
	b := g.b
	if n >= g.plan.lanes {
		return b.And(b.Col(b.Range(tile.D(n))), b.Row(b.Range(tile.D(n))))
	}
	lane := b.Range(tile.D(n * n)) // rows are too short for vectors
	return b.Reshape(b.And(b.DivI(lane, n), b.AndI(lane, n-1)), tile.D(n), tile.D(n))
}
