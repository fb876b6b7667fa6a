package verify

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/tritoncheck"
	"flagc/ir/tile"
	"flagc/targets"
)

// vectorFaults are mistakes in what only machines get that want long vectors, few masked rows, sums along rows alone,
// no exponentials in the program that scales by them, and no pointers to bytes.
var vectorFaults = []fault{
	{planted: "blocks are not brought to the last maximum", kernel: "sparse_attention.1.decode", policy: targets.PolicyBF16, program: 2, text: true, plant: func(e *edit) {
		scaled := e.user(e.code(tile.Dot, 0).Results[0], tile.Mul)
		e.replace(scaled.Results[0], scaled.Args[0])
	}},
	{planted: "factors are those of the last maximum to the block's", kernel: "sparse_attention.1.decode", policy: targets.PolicyBF16, program: 1, plant: func(e *edit) {
		sub := e.named("factor").Args[0].Def
		sub.Args[0], sub.Args[1] = sub.Args[1], sub.Args[0]
	}},
	{planted: "the sink is in no denominator", kernel: "sparse_attention.1.decode", policy: targets.PolicyBF16, program: 1, plant: func(e *edit) {
		sum := e.user(e.load("attn_sink").Results[0], tile.Sub)
		add := e.user(e.user(sum.Results[0], tile.Exp).Results[0], tile.Add)
		e.replace(add.Results[0], add.Args[0])
	}},
	{planted: "heads that repeat the last one have its weight", kernel: "index_score.decode", policy: targets.PolicyBF16, plant: func(e *edit) {
		unmask(e.load("w"))
		choice := e.find("choice of weights", func(op *tile.Op) bool { return op.Code == tile.Where && op.Results[0].Shape[0].Size == 1 })
		e.replace(choice.Results[0], choice.Args[1])
	}},
	{planted: "the second block of rows of the mixing matrix is the first once more", kernel: "hc_attn_fn.decode", policy: targets.PolicyBF16, plant: func(e *edit) {
		e.constant(8, true).Int = 0
	}},
	{planted: "the sum of squares lies where the last logit does", kernel: "hc_attn_fn.decode", policy: targets.PolicyBF16, program: 1, plant: func(e *edit) {
		e.constant(24, true).Int--
	}},
	{planted: "the score of a chosen expert goes to the first slot", kernel: "shared_experts_w2_gate.prefill", policy: targets.PolicyBF16, plant: func(e *edit) {
		loop := e.loop("slot")
		loop.Args[1] = loop.Args[0]
	}},
	{planted: "weights have the scale of the next byte of the word", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A16, target: "p800", text: true, plant: func(e *edit) {
		e.operand(e.scaleShift("w1_scale"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Xor, x, p.int(8)) })
	}},
	{planted: "all scales are the first of their word", kernel: "experts_w2.prefill", policy: targets.PolicyW4A16, target: "p800", plant: func(e *edit) {
		e.operand(e.scaleShift("w2_scale"), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.And, x, p.int(0)) })
	}},
	{planted: "scales lose the highest bit of their byte", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A16, target: "p800", variation: Large, plant: func(e *edit) {
		e.user(e.scaleShift("w3_scale").Results[0], tile.And).Args[1].Def.Int = 127
	}},
	{planted: "the sign of e2m1 is lost", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A16, target: "p800", text: true, plant: func(e *edit) {
		e.constant(-1<<31, true).Int = 0
	}},
	{planted: "the codes of a word are taken in reverse", kernel: "experts_w1_w3.prefill", policy: targets.PolicyW4A16, target: "p800", plant: func(e *edit) {
		shift := e.user(e.user(e.load("w3").Results[0], tile.Xor).Results[0], tile.Expand)
		e.operand(e.user(shift.Results[0], tile.Shl), 1, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Xor, x, p.int(28)) })
	}},
	{planted: "magnitude 6 is read as 5", kernel: "experts_w1_w3.decode", policy: targets.PolicyW4A16, target: "p800", plant: func(e *edit) {
		e.constant(0x0123468c, true).Int -= 2
	}},
}

// scaleShift moves the byte of a scale to the bottom of its word.
func (e *edit) scaleShift(param string) *tile.Op { return e.user(e.load(param).Results[0], tile.Shr) }

// TestBlocksThatOverlap checks a product whose columns are no whole number of blocks where the last block begins early.
func TestBlocksThatOverlap(t *testing.T) {
	m, target := lowered(t, "deepseek-v4-nano", "p800", 2, "")
	small := Shrink(m, 2, 160)
	table, err := Verify(t.Context(), m, target, Options{Checks: []Check{Tiles}, NoCache: true, Words: 160, Kernels: []string{"head.decode", "head.prefill"}})
	require.NoError(t, err)
	require.NotEmpty(t, table.Rows)
	for _, r := range table.Rows {
		require.Equal(t, tritoncheck.Passed, r.Cells[Tiles].State, "%s: %s", r.Kernel, r.Cells[Tiles].Why)
	}
	for _, f := range small.Kernels {
		if f.FullName() == "head.decode" {
			k, _, err := Programs(small, f, target, Bounds)
			require.NoError(t, err)
			require.Contains(t, k.Programs[0].String(), "minimum", "the last block")
		}
	}
}
