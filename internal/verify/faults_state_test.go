package verify

import (
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/targets"
)

var routingFaults = []fault{
	{planted: "of equal experts the later one is chosen", kernel: "experts_w1_w3.decode", variation: Duplicates, plant: func(e *edit) {
		for _, id := range e.all(func(op *tile.Op) bool { return len(op.Results) == 1 && op.Results[0].Name == "id" }) {
			id.Code = tile.Max
			id.Args[0].Def.Args[2].Def.Int = -1
		}
	}},
	{planted: "of equal experts the later ones are taken to come before a rank's own", kernel: "experts_w1_w3.decode", variation: Duplicates, plant: func(e *edit) {
		for _, equal := range e.all(func(op *tile.Op) bool {
			return op.Code == tile.And && op.Args[0].Def != nil && op.Args[0].Def.Code == tile.Eq && op.Args[1].Def != nil && op.Args[1].Def.Code == tile.Lt
		}) {
			equal.Args[1].Def.Code = tile.Gt
		}
	}},
	{planted: "one of the rank's experts is found again and again", kernel: "experts_w1_w3.decode", plant: func(e *edit) {
		turn := e.loop("turn").Body
		e.replace(turn.Yield[1], turn.Args[2])
	}},
	{planted: "the search for the rank's experts ends after one", kernel: "experts_w1_w3.decode", plant: func(e *edit) {
		e.operand(e.loop("turn"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.int(1) })
	}},
	{planted: "the loop over ranked experts ends before the last", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A8, target: "h200", plant: func(e *edit) {
		e.operand(e.loop("turn"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(1)) })
	}},
	{planted: "the first of the ranked experts is computed in every turn", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A8, target: "h200", plant: func(e *edit) {
		turn := e.loop("turn").Body
		turn.Yield[0] = turn.Args[1] // behind the counter
	}},
	{planted: "every ranked expert has the slot of the first", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A8, target: "h200", plant: func(e *edit) {
		turn := e.loop("turn").Body
		turn.Yield[1] = turn.Args[2]
	}},
	{planted: "of equal experts the later ones are ranked before a rank's own", kernel: "experts_w1_w3.decode", variation: Duplicates, policy: targets.PolicyW4A8, target: "h200", plant: func(e *edit) {
		for _, equal := range e.all(func(op *tile.Op) bool {
			return op.Code == tile.And && len(op.Results[0].Shape) == 2 && op.Args[0].Def != nil && op.Args[0].Def.Code == tile.Eq && op.Args[1].Def != nil && op.Args[1].Def.Code == tile.Lt
		}) {
			equal.Args[1].Def.Code = tile.Gt
		}
	}},
	{planted: "codes that are moved to two places at once bring their neighbours", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A8, target: "h200", plant: func(e *edit) {
		codes := e.find("mask of codes four apart", func(op *tile.Op) bool {
			return op.Code == tile.And && op.Args[1].Def != nil && op.Args[1].Def.Code == tile.ConstInt && op.Args[1].Def.Int == 15<<16|15
		})
		e.replace(codes.Results[0], codes.Args[0])
	}},
	{planted: "a group reads its list from the second place on", kernel: "experts_w1_w3.decode", policy: targets.PolicyBF16, target: "a100", plant: func(e *edit) {
		e.operand(e.load("ffn_chosen_lists"), 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Add, x, p.int(1)) })
	}},
	{planted: "a group does not wait for the instance that chooses", kernel: "experts_w1_w3.decode", policy: targets.PolicyBF16, target: "a100", plant: func(e *edit) {
		e.user(e.named("ticket").Results[0], tile.Eq).Args[1].Def.Int--
	}},
	{planted: "slots of other ranks' experts keep what they had", kernel: "experts_w1_w3.decode", plant: func(e *edit) {
		e.operand(e.named("others"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.And, x, x.Def.Args[0]) })
	}},
	{planted: "a chosen expert is chosen again", kernel: "experts_w1_w3.decode", plant: func(e *edit) {
		rated := e.loop("place").Body.Yield[0].Def
		e.replace(rated.Results[0], rated.Args[2])
	}},
	{planted: "experts are weighed by score and bias", kernel: "shared_experts_w2_gate.prefill", plant: func(e *edit) {
		load := e.find("load of the chosen scores", func(op *tile.Op) bool {
			return op.Code == tile.Div && op.Args[1].Def.Code == tile.Sum
		})
		e.operand(load, 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Mul, x, x) })
	}},
	{planted: "weights are not divided by their sum", kernel: "experts_w1_w3.decode", plant: func(e *edit) {
		div := e.find("division by the sum", func(op *tile.Op) bool { return op.Code == tile.Div && op.Args[1].Def.Code == tile.Sum })
		e.replace(div.Results[0], div.Args[0])
	}},
	{planted: "the gate is not clamped", kernel: "experts_w1_w3.decode", variation: Large, plant: func(e *edit) {
		e.constant(10, false).Float = 1e30
	}},
	{planted: "up is clamped from one side alone", kernel: "experts_w1_w3.decode", variation: Large, plant: func(e *edit) {
		clamp := e.find("clamp from below", func(op *tile.Op) bool { return op.Code == tile.Maximum && op.Args[1].Def.Code == tile.Neg })
		e.replace(clamp.Results[0], clamp.Args[0])
	}},
	{planted: "slots have the weights of their neighbours", kernel: "experts_w1_w3.prefill", program: 2, plant: func(e *edit) {
		for _, load := range e.all(func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == "weights" }) {
			e.flip(load)
		}
	}},
	{planted: "the softplus of the router has no root", kernel: "gate_shared_experts.decode", plant: func(e *edit) {
		root := e.code(tile.Sqrt, 0)
		e.replace(root.Results[0], root.Args[0])
	}},
	{planted: "tokens have the experts of the token before", kernel: "gate_experts_shared_experts.decode", plant: func(e *edit) {
		for _, op := range e.all(func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == "ids" }) {
			e.operand(op, 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, x) })
		}
	}},
}

var stateFaults = []fault{
	{planted: "the key goes into the ring a slot too late", kernel: "wq_b.decode", plant: func(e *edit) { e.shift(e.stores("kv_cache")[0], -128) }},
	{planted: "the entry goes into the cache a row too late", kernel: "wq_b_indexer.decode", plant: func(e *edit) { e.shift(e.stores("kv_cache")[0], 128) }},
	{planted: "tokens that the window has passed are stored as well", kernel: "q_norm_kv_norm.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 131}, plant: func(e *edit) {
		e.find("last tokens", func(op *tile.Op) bool { return op.Code == tile.Ge && len(op.Results[0].Shape) == 0 }).Args[1].Def.Args[1].Def.Int += 3
	}},
	{planted: "the window's place is that of the next token", kernel: "wq_b_compressor.decode", env: ir.Env{"b": 2, "m": 300, "p": 40, "s": 1}, plant: func(e *edit) {
		e.after(e.named("place"), func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Add, x, p.int(1)) })
	}},
	{planted: "the place in the window is not added to the scores", kernel: "wq_b_compressor.decode", plant: func(e *edit) {
		for _, load := range e.all(func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == "ape" }) {
			add := e.user(load.Results[0], tile.Add)
			e.replace(add.Results[0], add.Args[0])
		}
	}},
	{planted: "windows that overlap take part with the wrong halves", kernel: "wq_b_indexer.decode", plant: func(e *edit) {
		for _, half := range e.all(func(op *tile.Op) bool {
			return op.Code == tile.Where && op.Results[0].DType == tile.I32 && op.Args[1].Def.Code == tile.ConstInt &&
				op.Args[2].Def.Code == tile.ConstInt && op.Args[2].Def.Int == 128
		}) {
			half.Args[1], half.Args[2] = half.Args[2], half.Args[1]
		}
	}},
	{planted: "tokens before the first count in the first window", kernel: "q_norm_kv_norm_compressor.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 9}, plant: func(e *edit) {
		for _, load := range e.all(func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == "scores" && op.Args[1] != nil }) {
			add := e.user(load.Results[0], tile.Add)
			for _, where := range e.all(func(op *tile.Op) bool { return op.Code == tile.Where && op.Args[1] == add.Results[0] }) {
				where.Args[2] = where.Args[1]
				e.operand(where, 2, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, x) })
			}
		}
	}},
	{planted: "the window before is not kept", kernel: "wq_b_indexer.decode", plant: func(e *edit) {
		l := e.loop("row")
		l.Args[1] = l.Args[0]
	}},
	{planted: "entries stand at the position of their last token", kernel: "q_norm_kv_norm_compressor.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 9}, plant: func(e *edit) {
		for _, load := range e.all(func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == "rope_2" }) {
			e.flip(load)
		}
	}},
	{planted: "the joined keys have the entries a row too early", kernel: "q_norm_kv_norm_compressor.prefill", env: ir.Env{"b": 1, "m": 300, "p": 0, "s": 9}, plant: func(e *edit) {
		list := e.stores("attn_keys")
		e.shift(list[len(list)-1], -128)
	}},
}

var streamFaults = []fault{
	{planted: "the mixing matrix is rounded to bf16", kernel: "hc_attn_fn.1.prefill", plant: func(e *edit) {
		for _, dot := range e.all(func(op *tile.Op) bool { return op.Code == tile.Dot })[1:] {
			e.replace(dot.Results[0], dot.Args[2])
		}
	}},
	{planted: "parts of the streams are multiplied with the first columns of the matrix", kernel: "hc_ffn_fn.prefill", program: 1, plant: func(e *edit) {
		e.operand(e.loop("k"), 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, x) })
	}},
	{planted: "the sum of squares is left where nobody looks for it", kernel: "hc_attn_fn.1.prefill", plant: func(e *edit) {
		e.find("lane of the squares", func(op *tile.Op) bool { return op.Code == tile.Eq }).Args[1].Def.Int++
	}},
	{planted: "all of Sinkhorn's rounds but the first are left out", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) { e.loop("round").Args[1].Def.Int = 1 }},
	{planted: "Sinkhorn's iterations end on rows", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) {
		l := e.loop("round")
		l.Args[1].Def.Int = 2 // so few that the order shows
	}},
	{planted: "streams mix by the transposed matrix", kernel: "hc_post.prefill", text: true, plant: func(e *edit) {
		for _, load := range e.all(func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == "comb" }) {
			e.operand(load, 0, func(p *patch, x *tile.Value) *tile.Value { // 16·token + 4j + k
				block := p.binary(tile.Mul, p.binary(tile.Div, x, p.int(16)), p.int(16))
				j := p.binary(tile.Mod, p.binary(tile.Div, x, p.int(4)), p.int(4))
				k := p.binary(tile.Mod, x, p.int(4))
				return p.binary(tile.Add, block, p.binary(tile.Add, p.binary(tile.Mul, k, p.int(4)), j))
			})
		}
	}},
	{planted: "the sublayer's output goes to every stream alike", kernel: "hc_post.prefill", plant: func(e *edit) {
		e.operand(e.load("post"), 0, func(p *patch, x *tile.Value) *tile.Value {
			return p.binary(tile.Mul, p.binary(tile.Div, x, p.int(4)), p.int(4))
		})
	}},
	{planted: "the mean square is taken over one stream", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) {
		e.constant(1.0/1024, false).Float = 1.0 / 256
	}},
	{planted: "the third scale is used for all parts", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) {
		e.operand(e.load("hc_attn_scale"), 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Maximum, x, p.int(2)) })
	}},
	{planted: "post has no factor of two", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) { e.constant(2, false).Float = 1 }},
	{planted: "the gain of the norm is left out", kernel: "enorm_hnorm.prefill", plant: func(e *edit) {
		gain := e.user(e.load("hnorm").Results[0], tile.Cast)
		e.after(gain, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Div, x, x) })
	}},
}

var launchFaults = []fault{
	{planted: "there is no barrier before the ticket", kernel: "wq_b.decode", policy: targets.PolicyBF16, target: "a100", plant: func(e *edit) { e.remove(e.code(tile.Barrier, 0)) }},
	{planted: "the state is changed while it is read", kernel: "wq_b_indexer.decode", plant: func(e *edit) {
		for _, op := range e.all(func(op *tile.Op) bool { return op.Code == tile.Barrier }) {
			if b, i := e.home(op); i > 0 && b.Ops[i-1].Code == tile.If { // behind the pooling
				e.remove(op)
			}
		}
	}},
	{planted: "tickets are not given back", kernel: "wq_b.decode", policy: targets.PolicyBF16, target: "a100", plant: func(e *edit) { e.remove(e.stores("attn_q_tickets")[0]) }},
	{planted: "the last but one goes on", kernel: "wq_b.decode", policy: targets.PolicyBF16, target: "a100", plant: func(e *edit) {
		e.operand(e.user(e.named("ticket").Results[0], tile.Eq), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Sub, x, p.int(1)) })
	}},
	{planted: "two instances store different values in one place", kernel: "wo_b.decode", plant: func(e *edit) {
		e.operand(e.stores("y_2")[0], 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Mod, x, p.int(128)) })
	}},
	{planted: "the first of a row's results is not stored", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) {
		e.operand(e.find("lower bound", func(op *tile.Op) bool { return op.Code == tile.Ge }), 1,
			func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Add, x, p.int(1)) })
	}},
	{planted: "lanes behind a row are stored as well", kernel: "hc_attn_fn.decode", program: 1, plant: func(e *edit) { unmask(e.stores("post")[0]) }},
	{planted: "an instance too few is launched", kernel: "repeat.prefill", plant: func(e *edit) { e.p.Grid = "(" + e.p.Grid + ") - 1" }},
}
