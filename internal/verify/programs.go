package verify

import (
	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/passes"
	"flagc/targets"
)

// Bounds are the largest sizes that programs are made legal for, where nothing else is said.
var Bounds = ir.Memory{Batch: passes.DefaultBatch, Context: passes.DefaultContext, Chunk: passes.DefaultChunk}

// Programs are those of a kernel as a build has them: lowered, simplified, and rewritten as the target needs. What the
// target refuses nevertheless is returned apart; it can be interpreted all the same.
func Programs(m *ir.Module, f *ir.Func, t targets.Target, plan ir.Memory) (*triton.Lowered, []triton.Violation, error) {
	k, all, err := triton.Fit(m, f, t, plan)
	return k, triton.Errors(all), err
}
