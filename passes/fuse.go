package passes

import (
	"errors"

	"flagc/ir"
)

// fuse outlines the ops of every function into kernel functions, one launch each. The ops are laid on levels, as low
// as their operands allow: an op that its operand's programs can compute on their own parts stays on the operand's
// level, any other stands a level higher (see parts). What is on one level is one launch, so that there are as few as
// the longest chain of results that a whole grid must have finished. Equal kernels are one.
//
// A device also gets kernels that choose tokens from logits. A module with kernels is left as it is.
func fuse(m *ir.Module, opts Options) error {
	if len(m.Kernels) > 0 {
		return nil
	}
	o := newOutliner(m)
	for _, f := range m.Funcs {
		s := newSchedule(f, opts.Target)
		s.plan()
		o.function(s)
	}
	m.Kernels = o.kernels
	if opts.Target.Host.Executes {
		return nil // its program chooses tokens itself
	}
	extra, err := samplers(m)
	m.Kernels = append(m.Kernels, extra...)
	return err
}

// ErrFused refuses a module with kernels to a pass that would rewrite the ops in them.
var ErrFused = errors.New("the module's ops are in kernels already and would change: run this pass before fuse")

// beforeKernels is a pass that rewrites ops. A module whose ops are in kernels already is left as it is where there is
// nothing to rewrite, and refused otherwise.
func beforeKernels(run func(*ir.Module, Options) error) func(*ir.Module, Options) error {
	return func(m *ir.Module, opts Options) error {
		if len(m.Kernels) == 0 {
			return run(m, opts)
		}
		ops := m.Clone().Inline()
		before := ops.String()
		if err := run(ops, opts); err != nil {
			return err
		}
		if ops.String() != before {
			return ErrFused
		}
		return nil
	}
}

// isBarrier reports whether the instruction stands between launches: ranks meet, or another function runs.
func isBarrier(in *ir.Instr) bool { return in.Op == nil || in.Op.Class == ir.Collective }

func isView(in *ir.Instr) bool { return in.Op != nil && in.Op.Class == ir.View }

// isAnchor reports whether a kernel is built round the op: a matrix product, or a reduction that multiplies by a
// matrix of weights.
func isAnchor(in *ir.Instr) bool {
	return in.Op != nil && (in.Op.Class == ir.Contraction || in.Op.Class == ir.Reduction && hasMatrix(in))
}

// elementwise reports whether single elements of the result cost next to nothing wherever they are needed: no row is
// read for them.
func elementwise(in *ir.Instr) bool {
	switch in.Op.Class {
	case ir.Pointwise, ir.View, ir.Injective:
		return true
	case ir.Selection:
		return len(in.Args) == 0
	}
	return false
}
