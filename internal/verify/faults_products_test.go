package verify

import (
	"math"

	"flagc/ir"
	"flagc/ir/tile"
	"flagc/targets"
)

// scaleByte is the byte of the scales of a parameter, as a number.
func (e *edit) scaleByte(param string) *tile.Op {
	return e.user(e.user(e.load(param).Results[0], tile.Cast).Results[0], tile.And)
}

var quantFaults = []fault{
	{planted: "amax has no floor", kernel: "hc_attn_fn.decode", program: 1, variation: Subnormal, plant: func(e *edit) {
		e.constant(1e-4, false).Float = 0
	}},
	{planted: "scales are rounded down instead of up", kernel: "hc_attn_fn.decode", program: 1, text: true, plant: func(e *edit) {
		exponent := e.named("exponent")
		e.replace(exponent.Results[0], exponent.Args[0])
	}},
	{planted: "codes are truncated instead of rounded", kernel: "wq_b.decode", plant: func(e *edit) {
		e.constant(0x7ffff, true).Int = 0
	}},
	{planted: "ties of codes go away from zero instead of to even", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) {
		e.constant(0x7ffff, true).Int = 0x80000
	}},
	{planted: "codes below the normal numbers have too coarse steps", kernel: "q_norm_kv_norm.prefill", plant: func(e *edit) {
		magic := e.constant(24576, false)
		magic.Float *= 2
		e.constant(-24576, false).Float *= 2
	}},
	{planted: "the channels that rotate are quantised too", kernel: "wq_b.decode", plant: func(e *edit) {
		stay := e.find("choice of the channels that stay", func(op *tile.Op) bool {
			return op.Code == tile.Where && op.Args[2].Name == "kv"
		})
		e.replace(stay.Results[0], stay.Args[1])
	}},
	{planted: "bf16 results are truncated", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) {
		e.operand(e.stores("y_1")[0].Args[1].Def, 0, func(p *patch, x *tile.Value) *tile.Value {
			bits := p.add(&tile.Op{Code: tile.Bitcast, Args: []*tile.Value{x}}, tile.I32, x.Shape)
			return p.add(&tile.Op{Code: tile.Bitcast, Args: []*tile.Value{p.binary(tile.And, bits, p.int(-1<<18))}}, tile.F32, x.Shape)
		})
	}},
	{planted: "the reciprocal root of the head norm is not rounded", kernel: "wq_b.decode", program: 1, plant: func(e *edit) {
		root := e.named("head_rms")
		e.replace(root.Results[0], root.Args[0].Def.Args[0])
	}},
	{planted: "a sign of the Hadamard matrix folds one bit too few", kernel: "wq_b_indexer.decode", plant: func(e *edit) {
		xor := e.code(tile.Xor, 2)
		e.replace(xor.Results[0], xor.Args[0])
	}},
	{planted: "the Hadamard transform is not divided by the root of its size", kernel: "wq_b_indexer.decode", plant: func(e *edit) {
		e.constant(1/math.Sqrt(128), false).Float = 1
	}},
	{planted: "the steps of e2m1 below 2 are whole", kernel: "wq_b_indexer.decode", plant: func(e *edit) {
		e.constant(1.5*(1<<22), false).Float = 1.5 * (1 << 23)
		e.constant(-1.5*(1<<22), false).Float = -1.5 * (1 << 23)
	}},
	{planted: "e2m1 does not saturate at 6 but at 4", kernel: "wq_b_indexer.decode", plant: func(e *edit) {
		e.find("clamp to the largest e2m1", func(op *tile.Op) bool {
			return op.Code == tile.Minimum && op.Args[1].Def.Code == tile.ConstFloat && op.Args[1].Def.Float == 6
		}).Args[1].Def.Float = 4
	}},
}

// fourTokens choose experts of several slots on each rank.
var fourTokens = ir.Env{"b": 4, "m": 300, "p": 255, "s": 1}

var productFaults = []fault{
	{planted: "weights have the scale of the next block", kernel: "experts_w1_w3.decode", plant: func(e *edit) { e.flip(e.load("w1_scale")) }},
	{planted: "activations have the scale of the next block", kernel: "experts_w1_w3.decode", plant: func(e *edit) { e.flip(e.load("xq_scale")) }},
	{planted: "scales are off by one in their exponent", kernel: "experts_w1_w3.decode", plant: func(e *edit) {
		e.after(e.scaleByte("w3_scale"), func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Add, x, p.int(1)) })
	}},
	{planted: "scales are signed bytes", kernel: "wo_b.decode", variation: Large, plant: func(e *edit) {
		and := e.scaleByte("wo_b_scale")
		and.Args[1].Def.Int = 127
	}},
	{planted: "the expert after the chosen one is used", kernel: "experts_w2_shared_experts.1.decode", program: 1, plant: func(e *edit) {
		e.after(e.load("chosen"), func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Add, x, p.int(1)) })
	}},
	{planted: "experts of other ranks are taken for the first", kernel: "experts_w2_shared_experts.1.decode", program: 1, plant: func(e *edit) {
		own := e.named("own")
		e.operand(own, 0, func(p *patch, x *tile.Value) *tile.Value { return x.Def.Args[0] }) // whether there is such a slot
		id := e.user(e.load("chosen").Results[0], tile.Sub).Results[0]
		for _, op := range e.all(func(op *tile.Op) bool { return op.Code == tile.Where && op.Args[1] == id }) {
			e.operand(op, 1, func(p *patch, x *tile.Value) *tile.Value {
				return p.binary(tile.Minimum, p.binary(tile.Maximum, x, p.int(0)), p.int(0))
			})
		}
	}},
	{planted: "the last slot of a token is left out", kernel: "experts_w2_shared_experts.1.decode", program: 1, env: fourTokens, plant: func(e *edit) {
		e.operand(e.loop("turn"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(1)) })
	}},
	{planted: "the first slot is added in every turn", kernel: "experts_w2_shared_experts.1.decode", program: 1, env: fourTokens, plant: func(e *edit) {
		for _, op := range e.all(func(op *tile.Op) bool { return op.Code == tile.Gt && op.Args[0] == e.named("own").Results[0] }) {
			op.Code = tile.Ge
		}
	}},
	{planted: "weights come ahead from a row too far", kernel: "experts_w2_shared_experts.1.decode", program: 1, plant: func(e *edit) {
		e.shift(e.load("w2"), 128) // the columns of a row
	}},
	{planted: "words are carried on that have been multiplied", kernel: "experts_w2_shared_experts.1.decode", program: 1, env: fourTokens,
		policy: targets.PolicyW4A8, target: "h200", plant: func(e *edit) {
			turn := e.loop("turn").Body
			turn.Yield[2] = turn.Args[3] // behind the counter, the sum and the slot
		}},
	{planted: "a rank's part of a sum is rounded to bf16", kernel: "experts_w2_shared_experts.1.decode", program: 1, env: fourTokens, plant: func(e *edit) {
		e.operand(e.stores("ffn_routed")[0], 1, func(p *patch, x *tile.Value) *tile.Value { return p.round(x) })
	}},
	{planted: "each slot's product is not rounded", kernel: "experts_w2_shared_experts.1.decode", program: 1, plant: func(e *edit) {
		sum := e.loop("once").Body.Yield[0].Def // sum + slot's product, widened from bf16
		sum.Args[1] = sum.Args[1].Def.Args[0].Def.Args[0]
	}},
	{planted: "the last part of a sum is left out", kernel: "e_proj_h_proj.decode", program: 2, plant: func(e *edit) {
		loads := e.all(func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == "from_streams_parts" })
		e.after(loads[len(loads)-1], func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, x) })
	}},
	{planted: "all parts begin where the sum does", kernel: "e_proj_h_proj.decode", program: 1, plant: func(e *edit) {
		loops := e.all(func(op *tile.Op) bool { return op.Code == tile.Loop && op.Body.Args[0].Name == "k" })
		e.operand(loops[len(loops)-1], 0, func(p *patch, x *tile.Value) *tile.Value { return p.int(0) })
	}},
	{planted: "rows behind the last are left in the next part", kernel: "e_proj_h_proj.decode", program: 1, plant: func(e *edit) {
		unmask(e.stores("from_streams_parts")[0])
	}},
	{planted: "the sum is accumulated in bf16", kernel: "wq_a_wkv_compressor.decode", plant: func(e *edit) {
		loops := e.all(func(op *tile.Op) bool { return op.Code == tile.Loop && op.Body.Args[0].Name == "k" })
		e.after(loops[len(loops)-1].Body.Yield[0].Def, func(p *patch, x *tile.Value) *tile.Value { return p.round(x) })
	}},
	{planted: "the last block of the sum is left out", kernel: "wq_a_wkv.prefill", text: true, plant: func(e *edit) {
		l := e.loop("k")
		e.operand(l, 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(l.Step)) })
	}},
	{planted: "the scale of the weights is that of the block of rows below", kernel: "wq_a_wkv.prefill", plant: func(e *edit) {
		load := e.load("wq_a_scale")
		e.operand(load, 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Xor, x, p.int(1)) })
	}},
	{planted: "the last token is not stored", kernel: "wo_b.prefill", plant: func(e *edit) {
		token := e.named("token").Results[0]
		e.operand(e.user(token, tile.Lt), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(1)) })
	}},
	{planted: "rows of weights are one element too long", kernel: "head.decode", plant: func(e *edit) {
		e.load("head").Args[0].Def.Args[0].Def.Args[1].Def.Int++
	}},
	{planted: "all heads are projected by the weights of the first group", kernel: "wo_a.decode", plant: func(e *edit) {
		group := e.find("first weight row of the group", func(op *tile.Op) bool {
			return op.Code == tile.Mul && op.Args[0].Def != nil && op.Args[0].Def.Code == tile.Mod && op.Args[0].Def.Args[0].Name == "row"
		})
		e.operand(group, 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, x) })
	}},
	{planted: "nibbles are swapped", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A16, plant: func(e *edit) {
		e.operand(e.find("shift to the nibble", func(op *tile.Op) bool {
			return op.Code == tile.Shr && op.Args[1].Def.Code == tile.Mul
		}), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Xor, x, p.int(4)) })
	}},
	{planted: "½ is read as 1", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A16, plant: func(e *edit) {
		e.constant(0.5, false).Float = 1
	}},
	{planted: "the sign of e2m1 is ignored", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A16, plant: func(e *edit) {
		neg := e.find("choice of the sign", func(op *tile.Op) bool {
			return op.Code == tile.Where && op.Args[1].Def.Code == tile.Neg && op.Args[1].Def.Args[0] == op.Args[2]
		})
		e.replace(neg.Results[0], neg.Args[2])
	}},
	{planted: "words of other ranks are looked up", kernel: "embed.prefill", text: true, plant: func(e *edit) { unmask(e.load("embed")) }},
	{planted: "the first token's streams are taken for the last's", kernel: "hc_head_fn.1.prefill", plant: func(e *edit) {
		e.find("the last token", func(op *tile.Op) bool {
			return op.Code == tile.Mul && op.Args[1].Def.Code == tile.Scalar && op.Args[1].Def.Param.Name == "s"
		}).Code = tile.Maximum
	}},
	{planted: "the table of rotations is read a position too late", kernel: "wq_b.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 5}, plant: func(e *edit) { e.shift(e.load("rope"), 1) }},
}
