package weights

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"flagc/ir"
	"flagc/runtime/formats"
	"flagc/runtime/safetensors"
)

// Source hands out the weights of a checkpoint as the interpreter takes them: widened exactly to float64, in
// the shape of the value's type. What was widened once is kept as long as there is room; beyond that it is
// widened anew each time, so that a model of any size runs in bounded memory. It is safe for concurrent use,
// and is not to be used after the checkpoint's Close.
type Source struct {
	// Room is how many widened elements, of 8 bytes each, are kept. It may be set before first use.
	Room int64

	checkpoint Store
	taken      atomic.Int64

	mu   sync.Mutex
	kept map[held]*ir.Tensor
	sets map[*ir.Weight]*ir.Params
}

// held is one weight in one instance.
type held struct {
	instance string
	weight   *ir.Weight
}

// defaultRoom is 4 GiB.
const defaultRoom = 1 << 29

// rowsFrom is the number of elements from which a table in bf16, such as the embedding of a large vocabulary,
// is widened row by row instead of as a whole.
const rowsFrom = 1 << 26

// NewSource reads the weights of m from c, a checkpoint or the files of ranks. Tensors are looked up when they are asked for, so that a Source
// costs nothing; Check tells whether all of them are there.
func NewSource(m *ir.Module, c Store) *Source {
	s := &Source{Room: defaultRoom, checkpoint: c, kept: map[held]*ir.Tensor{}, sets: map[*ir.Weight]*ir.Params{}}
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
	if s.admit(len(t.F)) {
		s.kept[at] = t
	}
	return t, nil
}

// admit takes room for n elements, unless there is too little left.
func (s *Source) admit(n int) bool {
	if s.taken.Add(int64(n)) <= s.Room {
		return true
	}
	s.taken.Add(int64(-n))
	return false
}

// Release forgets what is kept for an instance, so that a large model can be walked layer by layer.
func (s *Source) Release(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, t := range s.kept {
		if at.instance == instance {
			s.taken.Add(int64(-len(t.F)))
			delete(s.kept, at)
		}
	}
}

func (s *Source) load(instance string, w *ir.Weight, set *ir.Params) (*ir.Tensor, error) {
	shape, err := w.Value.Type.Whole().Shape(nil)
	if err != nil {
		return nil, fmt.Errorf("weight %s: %w", w.Value.Name, err)
	}
	stored := w.Stored()
	if w.Encoding().DType == ir.FP4 && (len(stored) == 0 || stored[len(stored)-1]%2 != 0) {
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
	if err := proveConversion(w, found); err != nil {
		return nil, err
	}
	out := &ir.Tensor{Elem: w.Value.Type.Elem, Shape: shape}
	switch {
	case w.IsMany():
		out.Lazy = s.lazy(w.Encoding(), found, len(found)/w.Count())
	case out.Elem == ir.Plain(ir.BF16) && len(shape) == 2 && out.Len() > rowsFrom:
		out.Lazy = tableRows(found[0], shape[1])
	case out.Elem.DType.IsInt():
		out.I, err = found[0].Int32s()
	default:
		out.F = widen(w.Encoding(), found)
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

// lazy widens slice i of a weight from its parts tensors when it is asked for, and keeps it if there is room.
func (s *Source) lazy(elem ir.Elem, found []safetensors.Tensor, parts int) func(i int) []float64 {
	slices := make([]struct {
		mu       sync.Mutex
		elements []float64
	}, len(found)/parts)
	return func(i int) []float64 {
		one := &slices[i]
		one.mu.Lock()
		defer one.mu.Unlock()
		if one.elements != nil {
			return one.elements
		}
		elements := widen(elem, found[i*parts:(i+1)*parts])
		if s.admit(len(elements)) {
			one.elements = elements
		}
		return elements
	}
}

// tableRows widens row i of a bf16 table.
func tableRows(t safetensors.Tensor, width int) func(i int) []float64 {
	return func(i int) []float64 {
		row := make([]float64, width)
		for j := range row {
			row[j] = float64(formats.BF16ToFloat32(binary.LittleEndian.Uint16(t.Data[2*(i*width+j):])))
		}
		return row
	}
}
