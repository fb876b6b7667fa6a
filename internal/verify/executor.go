package verify

import (
	"fmt"
	"sync"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/targets"
)

// Executor computes the launches of a module as tile programs, in the reference interpreter's place: see
// eval.Options.Execute. It is safe for concurrent use.
type Executor struct {
	kernels map[*ir.Func]*triton.Lowered
	mesh    ir.Mesh
	run     Run

	mu      sync.Mutex
	weights map[*ir.Tensor][2][]byte // encoded once: they never change
}

// NewExecutor lowers all kernels of a module for a target.
func NewExecutor(m *ir.Module, t targets.Target, run Run) (*Executor, error) {
	x := &Executor{kernels: map[*ir.Func]*triton.Lowered{}, mesh: m.Mesh, run: run, weights: map[*ir.Tensor][2][]byte{}}
	for _, f := range m.Kernels {
		k, _, err := Programs(m, f, t, Bounds)
		if err != nil {
			return nil, err
		}
		x.kernels[f] = k
	}
	return x, nil
}

// Execute is what a launch leaves.
func (x *Executor) Execute(l eval.Launch) ([]*ir.Tensor, error) {
	k := x.kernels[l.Kernel]
	if k == nil {
		return nil, fmt.Errorf("kernel %s has no program", l.Kernel.FullName())
	}
	args, err := arguments(k, l, x.mesh, x.encode)
	if err != nil {
		return nil, err
	}
	return Execute(k, l.Env, args, x.run)
}

func (x *Executor) encode(v *ir.Value, t *ir.Tensor, env ir.Env) ([2][]byte, error) {
	if v.Kind != ir.WeightValue {
		return encode(v, t, env)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	pair, ok := x.weights[t]
	if !ok {
		var err error
		if pair, err = encode(v, t, env); err != nil {
			return pair, err
		}
		x.weights[t] = pair
	}
	return pair, nil
}
