package weights

import (
	"fmt"
	"sync"

	"flagc/ir"
	"flagc/runtime/safetensors"
)

// Source hands out the weights of a checkpoint as the interpreter takes them: widened exactly to float64, in
// the shape of the value's type. What was widened once is kept. It is safe for concurrent use, and is not to
// be used after the checkpoint's Close.
type Source struct {
	checkpoint *safetensors.Checkpoint

	mu   sync.Mutex
	kept map[held]*ir.Tensor
	sets map[*ir.Weight]*ir.Params
}

// held is one weight in one instance.
type held struct {
	instance string
	weight   *ir.Weight
}

// NewSource reads the weights of m from c. Tensors are looked up when they are asked for, so that a Source
// costs nothing; Check tells whether all of them are there.
func NewSource(m *ir.Module, c *safetensors.Checkpoint) *Source {
	s := &Source{checkpoint: c, kept: map[held]*ir.Tensor{}, sets: map[*ir.Weight]*ir.Params{}}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			s.sets[w] = set
		}
	}
	return s
}

// Tensor returns the weight w of the set that lives at instance. Indices come as I, and a weight of many
// tensors as a lazy tensor whose slices are widened when they are first asked for. The elements are shared:
// callers must not change them. A tensor that is missing or not stored as expected is an error.
func (s *Source) Tensor(instance string, w *ir.Weight) (*ir.Tensor, error) {
	at := held{instance, w}
	s.mu.Lock()
	t := s.kept[at]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	set := s.sets[w]
	if set == nil || !set.HasInstance(instance) {
		return nil, fmt.Errorf("weight %s has no instance at %q in this model", w.Value.Name, instance)
	}
	t, err := s.load(instance, w, set)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.kept[at]; have != nil {
		return have, nil // another caller was faster; all must share one
	}
	s.kept[at] = t
	return t, nil
}

// Release forgets what is kept for an instance, so that a large model can be walked layer by layer.
func (s *Source) Release(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range s.kept {
		if at.instance == instance {
			delete(s.kept, at)
		}
	}
}

func (s *Source) load(instance string, w *ir.Weight, set *ir.Params) (*ir.Tensor, error) {
	shape, err := w.Value.Type.Shape(nil)
	if err != nil {
		return nil, fmt.Errorf("weight %s: %w", w.Value.Name, err)
	}
	stored := w.Stored()
	if w.Value.Type.Elem.DType == ir.FP4 && (len(stored) == 0 || stored[len(stored)-1]%2 != 0) {
		return nil, fmt.Errorf("weight %s: fp4 codes lie in pairs, so rows have an even length; its shape is %v",
			w.Value.Name, stored)
	}
	expected := newLayout(w).expand(nil, set, instance)
	found := make([]safetensors.Tensor, len(expected))
	for i, e := range expected {
		if found[i], err = s.find(e); err != nil {
			return nil, err
		}
	}
	out := &ir.Tensor{Elem: w.Value.Type.Elem, Shape: shape}
	switch {
	case w.IsMany():
		out.Lazy = lazy(out.Elem, found, len(found)/w.Count())
	case out.Elem.DType.IsInt():
		out.I, err = found[0].Int32s()
	default:
		out.F = widen(out.Elem, found)
	}
	return out, err
}

// find is the tensor of the checkpoint, stored as expected.
func (s *Source) find(e Tensor) (safetensors.Tensor, error) {
	t, ok := s.checkpoint.Tensor(e.Name)
	if !ok {
		return t, fmt.Errorf("tensor %s is missing in checkpoint %s: expected %s %v",
			e.Name, s.checkpoint.Dir(), e.DType, e.Shape)
	}
	if d := differs(e, t); d != nil {
		return t, d
	}
	return t, nil
}

// lazy widens slice i of a weight from its parts tensors when it is first asked for.
func lazy(elem ir.Elem, found []safetensors.Tensor, parts int) func(i int) []float64 {
	slices := make([]struct {
		once     sync.Once
		elements []float64
	}, len(found)/parts)
	return func(i int) []float64 {
		s := &slices[i]
		s.once.Do(func() { s.elements = widen(elem, found[i*parts:(i+1)*parts]) })
		return s.elements
	}
}
