package verify

import (
	"slices"

	"flagc/ir"
	"flagc/ir/tile"
)

var attentionFaults = []fault{
	{planted: "entries of -1 are taken for row 0 and attended", kernel: "sparse_attention.1.decode", text: true, plant: func(e *edit) {
		score := e.named("score")
		score.Args[2] = score.Args[1]
		e.operand(score, 2, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Add, x, x) })
	}},
	{planted: "rows of nothing but -1 divide by their empty sum", kernel: "sparse_attention.1.decode", program: 1, variation: OnlyNone, plant: func(e *edit) {
		some := e.find("choice of 0 where nothing is attended", func(op *tile.Op) bool { return op.Code == tile.Where && op.Args[1].Def.Code == tile.Div })
		some.Args[2] = some.Args[1]
		e.operand(some, 2, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Div, x, x) })
	}},
	{planted: "the weighted sum is not rescaled when the maximum moves", kernel: "sparse_attention.1.prefill", program: 1, env: twoBlocks, text: true, plant: func(e *edit) {
		dot := e.code(tile.Dot, 0)
		dot.Args[2] = dot.Args[2].Def.Args[0]
	}},
	{planted: "the denominator is not rescaled when the maximum moves", kernel: "sparse_attention.1.prefill", program: 1, env: twoBlocks, plant: func(e *edit) {
		e.replace(e.user(e.named("rescale").Results[0], tile.Mul).Results[0], e.loop("start").Body.Args[2])
	}},
	{planted: "the last block of entries is left out", kernel: "sparse_attention.1.prefill", program: 1, env: twoBlocks, plant: func(e *edit) {
		e.operand(e.loop("start"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(entryBlockSize)) })
	}},
	{planted: "blocks do not fade when a later one has the maximum", kernel: "sparse_attention.1.decode", program: 1, plant: func(e *edit) {
		faded := e.find("faded block", func(op *tile.Op) bool { return op.Code == tile.Mul && op.Args[0].Def.Code == tile.Dot })
		e.replace(faded.Results[0], faded.Args[0])
	}},
	{planted: "the sink takes part in the maximum", kernel: "sparse_attention.prefill", program: 1, env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 9}, plant: func(e *edit) {
		sink, loop := e.load("attn_sink"), e.loop("start")
		for _, op := range []*tile.Op{sink.Args[0].Def, sink.Args[1].Def, sink} { // everything that these need is there before
			b, i := e.home(loop)
			if slices.Index(b.Ops, op) > i {
				e.remove(op)
				b.Ops = slices.Insert(b.Ops, i, op)
			}
		}
		loop.Args[2] = sink.Results[0]
	}},
	{planted: "the sink is not in the denominator", kernel: "sparse_attention.1.decode", program: 1, plant: func(e *edit) {
		sum := e.user(e.load("attn_sink").Results[0], tile.Sub)
		add := e.user(e.user(sum.Results[0], tile.Exp).Results[0], tile.Add)
		e.replace(add.Results[0], add.Args[0])
	}},
	{planted: "probabilities are rounded to e4m3", kernel: "sparse_attention.1.decode", program: 1, plant: func(e *edit) {
		e.after(e.named("prob"), func(p *patch, x *tile.Value) *tile.Value { return p.cast(p.cast(x, tile.E4M3), tile.F32) })
	}},
	{planted: "rows of keys are one element too short", kernel: "sparse_attention.1.decode", plant: func(e *edit) {
		e.load("kv_cache").Args[0].Def.Args[0].Def.Args[1].Def.Int--
	}},
	{planted: "the second sequence reads the caches of the first", kernel: "sparse_attention.1.decode", plant: func(e *edit) {
		e.operand(e.named("key_row"), 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, x) })
	}},
	{planted: "the window begins one token too late", kernel: "sparse_attention.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 131}, plant: func(e *edit) {
		e.constant(127, true).Int--
	}},
	{planted: "compressed entries begin a row too early", kernel: "sparse_attention.2.decode", plant: func(e *edit) {
		e.operand(e.find("choice of a compressed entry", func(op *tile.Op) bool {
			return op.Code == tile.Where && op.Results[0].DType == tile.I32 && op.Args[1].Def.Code == tile.Add
		}), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(1)) })
	}},
	{planted: "the output is rotated forwards", kernel: "sparse_attention.1.decode", program: 1, plant: func(e *edit) {
		neg := e.user(e.named("sin").Results[0], tile.Neg)
		e.replace(neg.Results[0], neg.Args[0])
	}},
	{planted: "cosines and sines are swapped", kernel: "wq_b.decode", plant: func(e *edit) {
		cos, sin := e.named("cos"), e.named("sin")
		cos.Args[0], sin.Args[0] = sin.Args[0], cos.Args[0]
		e.moveBehind(cos, cos.Args[0].Def)
	}},
	{planted: "scores of the indexer are not cut at 0", kernel: "index_score.prefill", env: ir.Env{"b": 2, "m": 300, "p": 0, "s": 20}, plant: func(e *edit) {
		relu := e.find("relu", func(op *tile.Op) bool { return op.Code == tile.Maximum && op.Results[0].DType == tile.F32 })
		e.replace(relu.Results[0], relu.Args[0])
	}},
	{planted: "heads of the indexer have their neighbours' weights", kernel: "index_score.prefill", env: ir.Env{"b": 2, "m": 300, "p": 0, "s": 20}, plant: func(e *edit) {
		e.flip(e.load("w"))
	}},
}

// twoBlocks are tokens whose lists take two rounds.
var twoBlocks = ir.Env{"b": 1, "m": 300, "p": 0, "s": 70}

// entryBlockSize is how many entries one round takes.
const entryBlockSize = 64
