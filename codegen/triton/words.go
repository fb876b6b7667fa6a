package triton

import (
	"fmt"

	"flagc/ir"
	"flagc/ir/tile"
	"flagc/targets"
)

// Products with FP4 weights read eight codes in a 32-bit word. A code becomes a float32 by shifts and masks: its sign to
// the sign, exponent and mantissa to the place where they stand for the value times 2^-126, of which ½ lies below the
// normal numbers. Codes four apart go through them together, as the two halves of a word, and are parted at the end. The
// factor goes into the activations and the scales, so a weight costs four operations, of which one is the product.
// Machines that flush such numbers to zero, or may, take the slower way.

// wordCodes is how many codes a word has.
const wordCodes = 8

// The factor 2^126 is shared out so that neither activations (below 2^27) nor scales (to 2^101) overflow.
const (
	wordX     = 0x1p100
	wordScale = 0x1p26
)

// byWords reports whether a product takes this way: the activations lie in memory, so that every eighth can be read.
func (g *gen) byWords(p product, depth int) bool {
	if !g.wordsFit(p, depth) || !g.inMemory(p.x) {
		return false
	}
	x := p.x.Type.Elem
	return (x == ir.Plain(ir.BF16) || x.DType == ir.FP8 && x.Cols%wordCodes == 0 && depth%x.Cols == 0)
}

// weighedWords multiplies elements of x, by eighths, with a block of weight rows.
func (g *gen) weighedWords(p product, x [wordCodes]*tile.Value, i *tile.Value, words tile.Dim, rows, live *tile.Value) *tile.Value {
	b, e := g.b, p.w.Type.Elem
	n := p.k / wordCodes
	wb := g.block(rows, live, p.region.width.Size, b.DivI(i, wordCodes), words, n)
	word := b.Load(g.wordParam(p.w), g.offsets(wb, n), g.mask(wb), 0).Named("word")
	var sum *tile.Value
	for j := range wordCodes / 2 {
		low, high := g.wordCodePair(word, j)
		if sum == nil {
			sum = b.Mul(low, x[j])
		} else {
			sum = b.Add(sum, b.Mul(low, x[j]))
		}
		sum = b.Add(sum, b.Mul(high, x[j+wordCodes/2]))
	}
	return g.perBlock(sum, wb, e.Cols/wordCodes, n, func(blocks *region) *tile.Value {
		return b.MulF(g.scale(p.w, blocks), wordScale)
	})
}

// wordCodePair is codes j and j+4 of each word, times 2^-126: both are shifted and masked at once, each to the top of a
// half of the word, as if it were bf16.
func (g *gen) wordCodePair(word *tile.Value, j int) (low, high *tile.Value) {
	const sign, magnitude = -1<<31 | 1<<15, 7<<22 | 7<<6
	b := g.b
	signs := b.AndI(g.shifted(word, 12-4*j), sign)
	pair := b.Or(signs, b.AndI(g.shifted(word, 6-4*j), magnitude)).Named("pair")
	return b.Bitcast(b.Shl(pair, 16), tile.F32), b.Bitcast(b.AndI(pair, -1<<16), tile.F32)
}

// shifted moves bits up, or down where by is negative.
func (g *gen) shifted(x *tile.Value, by int) *tile.Value {
	switch {
	case by > 0:
		return g.b.Shl(x, by)
	case by < 0:
		return g.b.Shr(x, -by)
	}
	return x
}

// eighths are elements j, j+8, … of a block of a row of x in memory, times the share of the factor, for each j. Quantised
// ones are read by words of four codes: a code as the top of a float32's bits is its value times 2^-120.
func (g *gen) eighths(p product, i *tile.Value, words tile.Dim) (out [wordCodes]*tile.Value) {
	b, x := g.b, p.x
	k, e := g.columns(x), x.Type.Elem
	at := g.block(p.xRows, nil, 1, b.DivI(i, wordCodes), words, k/wordCodes)
	if !e.IsQuantised() {
		for q := 0; q < wordCodes/2; q++ { // two bf16 in a word, each the top half of a float32
			place := b.Add(b.MulI(p.xRows, k/2), b.AddI(b.MulI(at.cols, wordCodes/2), q))
			word := b.Load(g.words(x, 2, "bf16"), place, nil, 0).Named("pair")
			out[2*q] = b.MulF(b.Bitcast(b.Shl(word, 16), tile.F32), wordX)
			out[2*q+1] = b.MulF(b.Bitcast(b.AndI(word, -1<<16), tile.F32), wordX)
		}
		return out
	}
	scale := func(blocks *region) *tile.Value { return b.MulF(g.scale(x, blocks), wordX) }
	for half := 0; half < 2; half++ {
		place := b.Add(b.MulI(p.xRows, k/4), b.AddI(b.MulI(at.cols, 2), half))
		word := b.Load(g.words(x, 4, "e4m3 codes"), place, nil, 0).Named("codes")
		for j := 0; j < 4; j++ {
			sign := b.AndI(b.Shl(word, 24-8*j), -1<<31)
			magnitude := g.shifted(word, 20-8*j)
			bits := b.Bitcast(b.Or(sign, b.AndI(magnitude, 127<<20)), tile.F32)
			out[4*half+j] = g.perBlock(b.MulF(bits, 0x1p120), at, e.Cols/wordCodes, k/wordCodes, scale)
		}
	}
	return out
}

// words is the pointer to elements of x as words of so many each.
func (g *gen) words(v *ir.Value, each int, what string) *tile.Param {
	name := g.name(v)
	return g.as32(v, name+"_words", fmt.Sprintf("%%s // %d", each), fmt.Sprintf("%s as %s, %d in a word", name, what, each))
}

// wordParam is the pointer to FP4 codes as words.
func (g *gen) wordParam(v *ir.Value) *tile.Param {
	return g.as32(v, g.name(v), "%s // 8", "fp4<1x32>, eight codes in a word, the first in the lowest bits")
}

// wordsDown are FP4 weights as weightsDown yields them, read by words: eight lanes share one, and each of them shifts its
// code to the top.
func (g *gen) wordsDown(p product, k *tile.Value, depth int) *tile.Value {
	b, e, width := g.b, p.w.Type.Elem, p.region.width
	live := p.region.colLive
	if live != nil {
		live = b.Reshape(live, width, tile.D(1))
	}
	rows := b.Col(b.Add(g.firstRow(p), b.Range(width)))
	n := p.k / wordCodes
	at := g.block(rows, live, width.Size, b.DivI(k, wordCodes), tile.D(depth/wordCodes), n)
	word := b.Load(g.wordParam(p.w), g.offsets(at, n), g.mask(at), 0).Named("word")
	shift := b.Sub(b.Int(28), b.MulI(b.Range(tile.D(wordCodes)), 4))
	top := b.Binary(tile.Shl, b.Expand(word, 2), b.Row(b.Row(shift))).Named("top")
	bits := b.Or(b.AndI(top, -1<<31), b.AndI(b.Shr(top, 6), 7<<22))
	codes := b.MulF(b.Bitcast(b.Reshape(bits, width, tile.D(depth)), tile.F32), 0x1p126)
	block := g.block(rows, live, width.Size, k, tile.D(depth), p.k)
	w := g.perBlock(codes, block, e.Cols, p.k, func(blocks *region) *tile.Value { return g.scale(p.w, blocks) })
	return b.Transpose(b.Cast(w, tile.BF16), 1, 0)
}

// wordsFit reports whether a block of weights can be read so.
func (g *gen) wordsFit(p product, depth int) bool {
	e := p.w.Type.Elem
	use, ok := g.target.Ops.Subnormals.Get()
	return e.DType == ir.FP4 && ok && use == targets.Works && e.Cols%wordCodes == 0 && depth%e.Cols == 0 && p.k%depth == 0
}
