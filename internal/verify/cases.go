package verify

import (
	"flagc/ir"
	"flagc/ir/ops"
)

// standardContext is how many tokens the caches of standard cases hold.
const standardContext = 512

// StandardCases are the launches that a kernel of any size is checked on: in decoding the token that completes a
// window of every compressor, and the next of two sequences; in prefill more tokens than a window where they share
// one, else a block of rows and one more, and one token alone.
func StandardCases(m *ir.Module, k *ir.Func) []Case {
	last := m.Mesh.Ranks() - 1
	env := func(b, p, s int) ir.Env { return ir.Env{"b": b, "m": standardContext, "p": p, "s": s} }
	edge := Random
	for _, v := range []string{OnlyNone, Zeros} {
		if Concerns(k, v) {
			edge = v
			break
		}
	}
	if k.Mode == ir.Decode {
		return []Case{{env(1, 255, 1), 0, 1, Random}, {env(2, 256, 1), last, 2, edge}}
	}
	return []Case{{env(1, 0, manyTokens(k)), 0, 1, Random}, {env(2, 0, 1), last, 2, edge}}
}

// TextCases are those for Triton's interpreter, which is slow.
func TextCases(m *ir.Module, k *ir.Func) []Case {
	list := StandardCases(m, k)[:1]
	if s := list[0].Env["s"]; k.Mode == ir.Prefill && !uses(k, ops.CompressPool) {
		list[0].Env["s"] = min(s, 5)
	}
	return list
}

// manyTokens is how many tokens of a prompt show what a kernel does, at the price of as few as possible.
func manyTokens(k *ir.Func) int {
	switch {
	case uses(k, ops.CompressPool), uses(k, ops.RingWrite), uses(k, ops.SparseAttention):
		return 131
	}
	return 33
}
