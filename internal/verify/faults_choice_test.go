package verify

import (
	"flagc/ir"
	"flagc/ir/tile"
)

var choiceFaults = []fault{
	{planted: "of equal scores the later entry comes first", kernel: "top_entries.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 131}, variation: Duplicates, text: true, plant: func(e *edit) {
		e.find("comparison of places", comparesPlaces).Code = tile.Gt
	}},
	{planted: "a token does not see the entry that it completes", kernel: "top_entries.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 131}, plant: func(e *edit) {
		e.operand(e.named("visible"), 1, func(p *patch, x *tile.Value) *tile.Value {
			return p.binary(tile.Maximum, p.binary(tile.Sub, x, p.int(1)), p.int(0))
		})
	}},
	{planted: "places behind the visible entries are left as they were", kernel: "top_entries.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 131}, plant: func(e *edit) {
		list := e.stores("attn_picked")
		e.remove(list[len(list)-1])
	}},
	{planted: "the threshold is the best but k-1 of the groups' best", kernel: "top_entries.prefill", program: 1, env: manyEntries, scoring: "falling", plant: func(e *edit) {
		e.named("kth").Args[1].Def.Int--
	}},
	{planted: "of a group's equal scores the last counts as its best", kernel: "top_entries.prefill", env: manyEntries, scoring: "equal", plant: func(e *edit) {
		e.code(tile.Min, 0).Code = tile.Max
	}},
	{planted: "entries as good as the threshold are dropped", kernel: "top_entries.prefill", program: 3, env: manyEntries, scoring: "two values", plant: func(e *edit) {
		e.code(tile.Gt, 0).Code = tile.Ge
	}},
	{planted: "entries that a token does not see yet are counted", kernel: "top_entries.prefill", program: 2, env: manyEntries, plant: func(e *edit) {
		e.operand(e.named("visible"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Add, x, p.int(1)) })
	}},
	{planted: "survivors have their neighbours' places", kernel: "top_entries.prefill", program: 3, env: manyEntries, plant: func(e *edit) {
		e.operand(e.stores("attn_picked_left_at")[0], 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Xor, x, p.int(1)) })
	}},
	{planted: "survivors of one row of a block lie on those of another", kernel: "top_entries.prefill", program: 3, env: manyEntries, plant: func(e *edit) {
		e.named("above").Args[0].Def.Args[0].Def.Code = tile.Gt
	}},
	{planted: "survivors of a block lie on those of the block before", kernel: "index_score.decode", program: 4, env: manyBlocks, plant: func(e *edit) {
		e.operand(e.loop("start"), 1, func(p *patch, x *tile.Value) *tile.Value {
			return p.binary(tile.Maximum, p.binary(tile.Sub, x, p.int(16)), p.int(0))
		})
	}},
	{planted: "the survivors of the last block are not ranked", kernel: "index_score.decode", program: 4, env: manyBlocks, text: true, plant: func(e *edit) {
		count := e.stores("attn_picked_count")[0]
		count.Args[1] = count.Args[1].Def.Args[0]
	}},
	{planted: "of equal survivors the later comes first", kernel: "top_entries.prefill", program: 4, env: manyEntries, scoring: "equal", plant: func(e *edit) {
		e.find("comparison of places", comparesPlaces).Code = tile.Gt
	}},
	{planted: "places behind the survivors are left as they were", kernel: "top_entries.prefill", program: 4, env: manyEntries, plant: func(e *edit) {
		list := e.stores("attn_picked")
		e.remove(list[len(list)-1])
	}},
}

// comparesPlaces reports whether an op asks what stands before what.
func comparesPlaces(op *tile.Op) bool {
	return op.Code == tile.Lt && len(op.Results[0].Shape) == 2 && op.Args[0].DType == tile.I32
}

// manyEntries are tokens of which the last see more entries than are ranked at once; manyBlocks are more than two programs
// count.
var (
	manyEntries = ir.Env{"b": 1, "m": 530, "p": 0, "s": 530}
	manyBlocks  = ir.Env{"b": 2, "m": 8192, "p": 8191, "s": 1}
)
