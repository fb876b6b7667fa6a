package verify

import (
	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/passes"
	"flagc/targets"
)

// Bounds are the largest sizes that programs are made legal for, where nothing else is said.
var Bounds = map[string]int{"b": passes.DefaultBatch, "s": passes.DefaultChunk, "p": passes.DefaultContext, "m": passes.DefaultContext}

// Programs are those of a kernel as a build has them: lowered, and rewritten as the target needs. What the target
// refuses nevertheless is returned apart; it can be interpreted all the same.
func Programs(m *ir.Module, f *ir.Func, t targets.Target, bounds map[string]int) (*triton.Lowered, []triton.Violation, error) {
	k, err := triton.Lower(m, f, t)
	if err != nil {
		return nil, nil, err
	}
	var refused []triton.Violation
	for i, p := range k.Programs {
		legal, broken := triton.Legalize(p, t, bounds)
		k.Programs[i] = legal
		refused = append(refused, triton.Errors(broken)...)
	}
	return k, refused, nil
}
