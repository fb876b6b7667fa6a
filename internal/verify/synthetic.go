package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/roles"
)

// The variations of synthetic inputs. Random is what a model has; the others are its edges.
const (
	Random     = "random"
	OnlyNone   = "only-none"  // lists of entries hold nothing but -1
	Duplicates = "duplicates" // the same entry, expert or score several times
	Zeros      = "zeros"      // activations have rows and scale blocks of zeros
	Subnormal  = "subnormal"  // activations lie below the normal numbers of bf16
	Powers     = "powers"     // activations are exact powers of two
	Large      = "large"      // activations are some hundred times as large as usual
)

// Variations lists them all.
var Variations = []string{Random, OnlyNone, Duplicates, Zeros, Subnormal, Powers, Large}

// Concerns reports whether a variation changes the inputs of a kernel.
func Concerns(k *ir.Func, variation string) bool {
	for _, a := range k.Args {
		r := roles.Of(k, a)
		switch variation {
		case Random:
			return true
		case OnlyNone:
			if r == roles.EntryList {
				return true
			}
		case Duplicates:
			if r == roles.EntryList || r == roles.ExpertIDs || r == roles.ExpertTable || r == roles.EntryScores || r == roles.ExpertScores {
				return true
			}
		default:
			if r.IsActivation() {
				return true
			}
		}
	}
	return false
}

// Synthesize makes inputs of a kernel at the sizes of env without running the model, and the results that the ops
// of the kernel leave in exact arithmetic on one rank. Weights lie on their grids, indices are in range, states have
// the history that p tokens leave. The same arguments give the same launch.
func Synthesize(m *ir.Module, k *ir.Func, env ir.Env, rank int, seed int64, variation string) (eval.Launch, error) {
	l := eval.Launch{Kernel: k, Rank: rank, Env: env}
	if !slices.Contains(Variations, variation) {
		return l, fmt.Errorf("unknown variation %q: there are %v", variation, Variations)
	}
	s := &synthesis{mod: m, fn: k, env: env, rank: rank, variation: variation, rand: rand.New(rand.NewPCG(uint64(seed), 1))}
	l.Args = make([]*ir.Tensor, len(k.Args))
	for i, a := range k.Args {
		t, err := s.tensor(a)
		if err != nil {
			return l, fmt.Errorf("kernel %s: %s: %w", k.FullName(), a.Ref(), err)
		}
		l.Args[i] = t
	}
	s.clearForeign(l.Args)
	used := make([]*ir.Tensor, len(l.Args))
	for i, t := range l.Args {
		if used[i] = t; k.Args[i].Kind == ir.StateValue {
			used[i] = t.Clone()
		}
	}
	var err error
	l.Results, err = eval.Kernel(m, k, env, rank, used)
	return l, err
}

// synthesis makes the inputs of one launch.
type synthesis struct {
	mod       *ir.Module
	fn        *ir.Func
	env       ir.Env
	rank      int
	variation string
	rand      *rand.Rand
}

func (s *synthesis) tensor(a *ir.Value) (*ir.Tensor, error) {
	shape, err := a.Type.Shape(s.env)
	if err != nil {
		return nil, err
	}
	t := ir.NewTensor(a.Type.Elem, shape)
	role := roles.Of(s.fn, a)
	if t.I != nil {
		return t, s.indices(t, a, role)
	}
	return t, s.numbers(t, a, role)
}

// clearForeign puts zeros where a value is the rank's part of a sum whose other parts are elsewhere: into the rows of
// slots whose expert another rank has.
func (s *synthesis) clearForeign(args []*ir.Tensor) {
	var chosen *ir.Tensor
	for i, a := range s.fn.Args {
		if roles.Of(s.fn, a) == roles.ExpertIDs {
			chosen = args[i]
		}
	}
	d := roles.ExpertAxis(s.mod)
	if chosen == nil || d.Split == 0 {
		return
	}
	n, _ := d.Size.IsConst()
	first := s.mod.Mesh.Index(s.rank, d.Over) * n
	for i, a := range s.fn.Args {
		t := args[i]
		if a.Type.Partial != ir.PartialOne || len(t.Shape) != 3 || t.Shape[0]*t.Shape[1] != chosen.Len() {
			continue
		}
		for slot, id := range chosen.I {
			if int(id) < first || int(id) >= first+n {
				clear(t.F[slot*t.Shape[2] : (slot+1)*t.Shape[2]])
			}
		}
	}
}
