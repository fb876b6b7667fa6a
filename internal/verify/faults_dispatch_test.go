package verify

import (
	"flagc/ir"
	"flagc/ir/tile"
)

// twoChunks is enough tokens that their slots are sorted by two instances.
var twoChunks = ir.Env{"b": 1, "m": 300, "p": 0, "s": 40}

// groupOf is the choice of the group of a slot that exists.
func (e *edit) groupOf() *tile.Op { return e.named("group").Args[1].Def }

var dispatchFaults = []fault{
	{planted: "slots of other ranks' experts are sorted to the first", kernel: "experts_w1_w3.prefill", program: 1, plant: func(e *edit) {
		e.operand(e.groupOf(), 2, func(p *patch, _ *tile.Value) *tile.Value { return p.int(0) })
	}},
	{planted: "the last expert's slots count as another rank's", kernel: "experts_w1_w3.prefill", plant: func(e *edit) {
		e.operand(e.find("the last expert", func(op *tile.Op) bool { return op.Code == tile.Lt && op.Results[0] == e.groupOf().Args[0].Def.Args[1] }),
			1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(1)) })
	}},
	{planted: "a slot counts itself among those before it", kernel: "experts_w2.prefill", program: 1, plant: func(e *edit) {
		e.find("slots before one", func(op *tile.Op) bool {
			return op.Code == tile.Lt && op.Args[0].Def != nil && op.Args[0].Def.Code == tile.Expand && op.Args[0].Def.Args[0].Name == "slot"
		}).Code = tile.Le
	}},
	{planted: "slots of chunks before are not counted", kernel: "experts_w1_w3.prefill", program: 1, env: twoChunks, plant: func(e *edit) {
		e.operand(e.find("chunks before one", func(op *tile.Op) bool {
			return op.Code == tile.Lt && len(op.Results[0].Shape) == 2 && op.Args[1].Name == "pid"
		}), 1, func(p *patch, x *tile.Value) *tile.Value { return p.int(0) })
	}},
	{planted: "a block that is not full is none", kernel: "experts_w2.prefill", program: 1, plant: func(e *edit) {
		number := func(v *tile.Value) int64 {
			if v.Def == nil || v.Def.Code != tile.ConstInt {
				return 0
			}
			return v.Def.Int
		}
		for _, div := range e.all(func(op *tile.Op) bool {
			return op.Code == tile.Div && op.Args[0].Def != nil && op.Args[0].Def.Code == tile.Add
		}) {
			if up := div.Args[0].Def; number(up.Args[1]) > 0 && number(up.Args[1]) == number(div.Args[1])-1 && len(up.Results[0].Shape) > 0 {
				e.replace(up.Results[0], up.Args[0])
			}
		}
	}},
	{planted: "what is left of a block holds slot 0", kernel: "experts_w1_w3.prefill", program: 1, plant: func(e *edit) {
		e.operand(e.stores("chosen_slots")[1], 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Xor, x, x) })
	}},
	{planted: "rows without a slot are stored", kernel: "experts_w2.prefill", program: 2, plant: func(e *edit) { unmask(e.stores("ffn_experts_w2")[0]) }},
	{planted: "a block has the weights of the expert before", kernel: "experts_w2.prefill", program: 2, text: true, plant: func(e *edit) {
		base := e.user(e.load("chosen_experts").Results[0], tile.Mul)
		e.operand(base, 0, func(p *patch, x *tile.Value) *tile.Value {
			return p.binary(tile.Maximum, p.binary(tile.Sub, x, p.int(1)), p.int(0))
		})
	}},
	{planted: "slots of other ranks' experts are left as they are", kernel: "experts_w1_w3.prefill", program: 2, plant: func(e *edit) {
		e.flip(e.load("chosen_blocks"))
	}},
	{planted: "the last block is left out", kernel: "experts_w2.prefill", program: 2, plant: func(e *edit) {
		e.operand(e.loop("block"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(1)) })
	}},
	{planted: "a slot reads the token of the slot before", kernel: "experts_w1_w3.prefill", program: 2, plant: func(e *edit) {
		row := e.named("row").Results[0]
		e.operand(e.user(row, tile.Div), 0, func(p *patch, x *tile.Value) *tile.Value {
			return p.binary(tile.Maximum, p.binary(tile.Sub, x, p.int(1)), p.int(0))
		})
	}},
	{planted: "slots of other ranks' experts are added up", kernel: "experts_w2.prefill", program: 3, plant: func(e *edit) { unmask(e.load("ffn_experts_w2")) }},
}
