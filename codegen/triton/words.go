package triton

import (
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/targets"
)

// Products with FP4 weights read eight codes in a 32-bit word. A code becomes a float32 by two shifts and two masks: its
// sign to the sign, exponent and mantissa to the place where they stand for the value times 2^-126, of which ½ lies below
// the normal numbers. The factor goes into the activations and the scales, so a weight costs five operations, of which one
// is the product. Machines that flush such numbers to zero, or may, take the slower way.

// wordCodes is how many codes a word has.
const wordCodes = 8

// The factor 2^126 is shared out so that neither activations (below 2^27) nor scales (to 2^101) overflow.
const (
	wordX     = 0x1p100
	wordScale = 0x1p26
)

// byWords reports whether a product takes this way: the activations lie in memory, so that every eighth can be read.
func (g *gen) byWords(p product, depth int) bool {
	e := p.w.Type.Elem
	use, ok := g.target.Ops.Subnormals.Get()
	if e.DType != ir.FP4 || !ok || use != targets.Works || !g.inMemory(p.x) || e.Cols%wordCodes != 0 {
		return false
	}
	x := p.x.Type.Elem
	return depth%e.Cols == 0 && p.k%depth == 0 && (!x.IsQuantised() || x.Cols%wordCodes == 0 && depth%x.Cols == 0)
}

// multiplyWords is the product of one row of x with a block of weight rows.
func (g *gen) multiplyWords(p product, depth int, rows, live *tile.Value) *tile.Value {
	b, r, e := g.b, p.region, p.w.Type.Elem
	words := tile.D(depth / wordCodes)
	w := g.wordParam(p.w)
	acc := b.Zeros(r.width, words).Named("acc")
	acc = g.loop("k", b.Int(0), p.to, depth, []*tile.Value{acc}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		first := b.DivI(i, wordCodes)
		wb := g.block(rows, live, r.width.Size, first, words, p.k/wordCodes)
		word := b.Load(w, g.offsets(wb, p.k/wordCodes), g.mask(wb), 0).Named("word")
		var sum *tile.Value
		for j := 0; j < wordCodes; j++ {
			term := b.Mul(g.wordCode(word, j), g.everyEighth(p.x, p.xRows, first, words, j))
			if sum == nil {
				sum = term
			} else {
				sum = b.Add(sum, term)
			}
		}
		scaled := g.perBlock(sum, wb, e.Cols/wordCodes, p.k/wordCodes, func(blocks *region) *tile.Value {
			return b.MulF(g.exponent(b.Load(g.scales(p.w, tile.In), g.offsets(blocks, p.k/e.Cols), g.mask(blocks), 0)), wordScale)
		})
		return []*tile.Value{b.Add(c[0], scaled)}
	})[0]
	return b.Row(b.Sum(acc, 1))
}

// wordCode is code j of each word, times 2^-126.
func (g *gen) wordCode(word *tile.Value, j int) *tile.Value {
	b := g.b
	sign := b.AndI(b.Shl(word, 28-4*j), -1<<31)
	at := 22 - 4*j
	magnitude := word
	if at > 0 {
		magnitude = b.Shl(word, at)
	} else if at < 0 {
		magnitude = b.Shr(word, -at)
	}
	return b.Bitcast(b.Or(sign, b.AndI(magnitude, 7<<22)), tile.F32)
}

// everyEighth are elements j, j+8, … of a block of a row in memory, times the share of the factor.
func (g *gen) everyEighth(x *ir.Value, row, first *tile.Value, words tile.Dim, j int) *tile.Value {
	b := g.b
	k, e := g.columns(x), x.Type.Elem
	at := g.block(row, nil, 1, first, words, k/wordCodes)
	place := b.Add(b.MulI(row, k), b.AddI(b.MulI(at.cols, wordCodes), j))
	v := b.LoadF32(g.elements(x, tile.In), place, nil, 0)
	if !e.IsQuantised() {
		return b.MulF(v, wordX)
	}
	return g.perBlock(v, at, e.Cols/wordCodes, k/wordCodes, func(blocks *region) *tile.Value {
		return b.MulF(g.exponent(b.Load(g.scales(x, tile.In), g.offsets(blocks, k/e.Cols), g.mask(blocks), 0)), wordX)
	})
}

// wordParam is the pointer to FP4 codes as words.
func (g *gen) wordParam(v *ir.Value) *tile.Param {
	name := g.name(v)
	g.bind(name, FromValue, v)
	shape := g.shape(v.Type)
	shape[len(shape)-1] += " // 8"
	return g.b.Pointer(name, tile.I32, tile.In, "fp4<1x32>, eight codes in a word, the first in the lowest bits", shape...)
}
