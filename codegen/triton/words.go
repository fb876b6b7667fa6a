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
// factor goes into the activations and the scales, so a weight costs four operations at most, of which one is the product.
// Machines that flush such numbers to zero, or may, take the slower way.
//
// That way reads bytes. Where pointers to them do not arrive it reads words as well, and what it makes of a code is never
// below the normal numbers: a magnitude is looked up in one constant, doubled, since the doubled ones are whole. Scales then
// come by words too.

// wordCodes is how many codes a word has, wordScales how many scales.
const (
	wordCodes  = 8
	wordScales = 4
)

// doubledMagnitudes are the magnitudes of e2m1, doubled, as digits: that of code 0 in the highest bits.
const doubledMagnitudes = 0x0123468c

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

// twice is 2 for a product whose instances take twice the weight rows, with twice the warps, and 1 for others. Where FP4 codes
// are widened, and a row is so long that an instance has the fewest weight rows, widening a row of activations costs it about as much
// as a weight row.
func (g *gen) twice(in *ir.Instr) int {
	if in = productBehind(in); g.widens(in) && g.columns(in.Args[0])*g.plan.gemvWidth >= g.plan.gemvElements {
		return 2
	}
	return 1
}

// widens reports whether a product's FP4 codes become float32 by their bits, without a table.
func (g *gen) widens(in *ir.Instr) bool {
	in = productBehind(in)
	return in.Args[len(in.Args)-1].Type.Elem.DType == ir.FP4 && g.subnormals()
}

// weightWords are weights by words: their region, counted in words, the words, and their scales, nil where bytes do not arrive.
type weightWords struct {
	at            *region
	codes, scales *tile.Value
}

func (g *gen) weightWords(p product, i *tile.Value, words tile.Dim, rows, live *tile.Value) weightWords {
	n := p.k / wordCodes
	at := g.block(rows, live, p.region.width.Size, g.b.DivI(i, wordCodes), words, n)
	blocks := func() *region { return g.blocks(at, p.w.Type.Elem.Cols/wordCodes, n) }
	if carried, ok := recall[[]*tile.Value](g, carriedWords{p.in, p.region.rows}); ok {
		scales := memo(g, [3]any{p.w, "scale", blocks()}, func() *tile.Value { return carried[1] })
		return weightWords{at, carried[0], scales}
	}
	w := weightWords{at: at, codes: g.word(p.w, at, n)}
	if g.bytesArrive() {
		w.scales = g.scaleBytes(p.w, blocks()).Named("scales")
	}
	return w
}

// weighedWords multiplies elements of x, by eighths, with a block of weight rows: a sum for each scale block, whose words lie in one
// lane.
func (g *gen) weighedWords(p product, x [wordCodes]*tile.Value, w weightWords) *tile.Value {
	b, e := g.b, p.w.Type.Elem
	n := p.k / wordCodes
	word, wb := w.codes, w.at
	var sum *tile.Value
	for j := range wordCodes / 2 {
		low, high := g.wordCodePair(word, j)
		sum = g.plus(sum, b.Mul(low, x[j]))
		sum = b.Add(sum, b.Mul(high, x[j+wordCodes/2]))
	}
	block := e.Cols / wordCodes
	sum = b.Sum(b.Reshape(sum, wb.height, tile.D(wb.width.Size/block), tile.D(block)), 2)
	return b.Mul(sum, b.MulF(g.scale(p.w, g.blocks(wb, block, n)), wordScale))
}

// wordCodePair is codes j and j+4 of each word, times 2^-126: both are shifted and masked at once, each to the top of a
// half of the word, as if it were bf16. Where products of integers are cheap, one moves codes to two places, that of the sign and that
// of the magnitude: a sum of shifted codes of which no bits meet.
func (g *gen) wordCodePair(word *tile.Value, j int) (low, high *tile.Value) {
	const sign, magnitude, code = -1<<31 | 1<<15, 7<<22 | 7<<6, 15<<16 | 15
	b := g.b
	var pair *tile.Value
	if g.target.Ops.Multiply.Is(targets.Works) {
		if j > 1 {
			word = memo(g, [2]any{word, "upper codes"}, func() *tile.Value { return b.Shr(word, 8) })
		}
		by := 4 * (j % 2)
		codes := b.AndI(word, code<<by).Named("codes")
		pair = b.AndI(b.Add(b.Shl(codes, 12-by), b.Shl(codes, 6-by)), sign|magnitude) // LLVM makes one product of the sum
	} else {
		pair = b.Or(b.AndI(g.shifted(word, 12-4*j), sign), b.AndI(g.shifted(word, 6-4*j), magnitude))
	}
	pair.Named("pair")
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
func (g *gen) eighths(p product, i *tile.Value, words tile.Dim) [wordCodes]*tile.Value {
	if x, ok := recall[[wordCodes]*tile.Value](g, eighthsKey{p.x, p.xRows}); ok {
		return x
	}
	return g.newEighths(p, i, words)
}

// eighthsKey is what elements of all of a row are known by once eighthsBefore has made them.
type eighthsKey struct {
	x   *ir.Value
	row *tile.Value
}

// eighthsBefore makes them ahead of products of one round that need them.
func (g *gen) eighthsBefore(p product) {
	memo(g, eighthsKey{p.x, p.xRows}, func() [wordCodes]*tile.Value { return g.newEighths(p, g.b.Int(0), tile.D(p.k/wordCodes)) })
}

func (g *gen) newEighths(p product, i *tile.Value, words tile.Dim) (out [wordCodes]*tile.Value) {
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

// word reads a region of FP4 weights that counts words, n of them in a row.
func (g *gen) word(w *ir.Value, at *region, n int) *tile.Value {
	return g.b.Load(g.wordParam(w), g.offsets(at, n), g.mask(at), 0).Named("word")
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
	word := g.word(p.w, at, n)
	var codes *tile.Value
	if g.subnormals() {
		top := g.codeTops(word)
		bits := b.Or(b.AndI(top, -1<<31), b.AndI(b.Shr(top, 6), 7<<22))
		codes = b.MulF(b.Bitcast(b.Reshape(bits, width, tile.D(depth)), tile.F32), 0x1p126)
	} else {
		codes = b.MulF(b.Reshape(g.doubled(word), width, tile.D(depth)), 0.5)
	}
	block := g.block(rows, live, width.Size, k, tile.D(depth), p.k)
	w := g.perBlock(codes, block, e.Cols, p.k, func(blocks *region) *tile.Value { return g.scale(p.w, blocks) })
	return b.Transpose(b.Cast(w, tile.BF16), 1, 0)
}

// codeTops are the codes of words, each at the top of a lane of its own.
func (g *gen) codeTops(word *tile.Value) *tile.Value {
	b := g.b
	shift := g.alongLast(func(code *tile.Value) *tile.Value { return b.Sub(b.Int(28), b.MulI(code, 4)) },
		tile.D(1), word.Shape[1], tile.D(wordCodes))
	return b.Binary(tile.Shl, b.Expand(word, 2), shift).Named("top")
}

// alongLast is what f makes of the numbers from 0 on that count along the last axis of a tile. It is the same along the other
// axes, and one row unless vectors must be longer.
func (g *gen) alongLast(f func(*tile.Value) *tile.Value, shape ...tile.Dim) *tile.Value {
	b, last := g.b, shape[len(shape)-1]
	if last.Size >= g.plan.lanes {
		v := f(b.Range(last))
		for range len(shape) - 1 {
			v = b.Row(v)
		}
		return v
	}
	n := 1
	for _, d := range shape {
		n *= d.Size
	}
	return b.Reshape(f(b.AndI(b.Range(tile.D(n)), last.Size-1)), shape...)
}

// doubled are the codes of words as twice what they stand for, by a table. Each step makes one tile of the one before, so
// that few of them are needed at a time.
func (g *gen) doubled(word *tile.Value) *tile.Value {
	b := g.b
	top := g.codeTops(b.Binary(tile.Xor, word, b.Int(0x77777777))) // a magnitude becomes how many digits stand behind its own
	digits := b.AndI(b.Shr(top, 26), 7<<2)
	magnitude := b.Cast(b.AndI(b.Binary(tile.Shr, b.Int(doubledMagnitudes), digits), 15), tile.F32).Named("magnitude")
	return b.Bitcast(b.Or(b.Bitcast(magnitude, tile.I32), b.AndI(top, -1<<31)), tile.F32)
}

// weighedDoubled multiplies a row of x with each of a block of rows of FP4 weights that are read by words.
func (g *gen) weighedDoubled(p product, x *tile.Value, wb *region) *tile.Value {
	b, n := g.b, p.k/wordCodes
	first := wb.first
	if first != nil {
		first = b.DivI(first, wordCodes)
	}
	at := g.block(wb.rows, wb.live, wb.height.Size, first, tile.D(wb.width.Size/wordCodes), n)
	codes := b.Reshape(g.doubled(g.word(p.w, at, n)), wb.height, wb.width)
	w := g.perBlock(codes, wb, p.w.Type.Elem.Cols, p.k, func(blocks *region) *tile.Value { return b.MulF(g.scale(p.w, blocks), 0.5) })
	return b.Mul(w, x)
}

// scaleByWord reads the scales of a region that counts scale blocks by words of four. A few blocks of a row lie in one word,
// since they begin at a multiple of their number.
func (g *gen) scaleByWord(v *ir.Value, blocks *region) *tile.Value {
	b, count := g.b, blocks.width
	_, n := g.scaleBlocks(v)
	first := blocks.first
	if first == nil {
		first = b.Int(0)
	}
	param := g.scaleWords(v)
	shift := func(place *tile.Value) *tile.Value { return b.MulI(b.AndI(place, wordScales-1), 8) }
	number := func(block *tile.Value) *tile.Value { return b.Add(first, block) }
	if count.Size <= wordScales {
		place := b.Add(b.MulI(blocks.rows, n/wordScales), b.DivI(first, wordScales))
		word := b.Load(param, place, blocks.live, 0).Named("scales")
		by := g.alongLast(func(block *tile.Value) *tile.Value { return shift(number(block)) }, blocks.height, count)
		return g.exponent(b.Binary(tile.Shr, word, by))
	}
	place := b.Add(b.MulI(blocks.rows, n), g.alongLast(number, blocks.height, count))
	word := b.Load(param, b.DivI(place, wordScales), g.mask(blocks), 0).Named("scales")
	return g.exponent(b.Binary(tile.Shr, word, shift(place)))
}

// wordsFit reports whether a block of weights can be read by words that are taken apart as a whole.
func (g *gen) wordsFit(p product, depth int) bool {
	e := p.w.Type.Elem
	return g.widens(p.in) && e.Cols%wordCodes == 0 && depth%e.Cols == 0 && p.k%depth == 0
}

// subnormals reports whether float32 numbers below the normal ones are operands like others.
func (g *gen) subnormals() bool { return g.target.Ops.Subnormals.Is(targets.Works) }

// bytesArrive reports whether programs can be given pointers to bytes.
func (g *gen) bytesArrive() bool { return !g.target.Launch.BytePointers.Is(false) }
