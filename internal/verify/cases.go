package verify

import (
	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/roles"
)

// standardContext is how many tokens the caches of standard cases hold.
const standardContext = 512

// StandardCases are the launches that a kernel of any size is checked on: in decoding the token that completes a
// window of every compressor, and the next of two sequences and of as many as are planned for, up to a few; in prefill more tokens than a window where they share
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
	out := []Case{{env(1, 0, roles.Tokens(k)), 0, 1, Random}, {env(2, 0, 1), last, 2, edge}}
	if k.Mode == ir.Decode {
		out = []Case{{env(1, 255, 1), 0, 1, Random}, {env(2, 256, 1), last, 2, edge}}
		if batch := plan(m).Batch; batch > 2 { // a block of rows, and one more where there may be
			out = append(out, Case{env(min(batch, 17), 256, 1), last, 4, Random})
		}
	}
	return append(out, longChoice(k)...)
}

// longChoice is a launch that chooses entries the long way, where a kernel has one and its inputs are not too many.
func longChoice(k *ir.Func) []Case {
	tokens, ok := triton.LongChoice(k)
	const more = 9
	env := ir.Env{"b": 1, "m": tokens + more, "p": 0, "s": tokens + more}
	if k.Mode == ir.Decode {
		env["p"], env["s"] = tokens+more-1, 1
	}
	if !ok || env["s"] > 1024 {
		return nil
	}
	return []Case{{env, 0, 3, Random}}
}

// TextCases are those for Triton's interpreter, which is slow.
func TextCases(m *ir.Module, k *ir.Func) []Case {
	list := append(StandardCases(m, k)[:1:1], longChoice(k)...)
	if k.Mode == ir.Prefill {
		list[0].Env["s"] = roles.FewTokens(k)
	} else {
		list[0].Env["b"] = min(plan(m).Batch, 5)
	}
	return list
}
