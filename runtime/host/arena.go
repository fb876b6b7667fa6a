package host

// Arena is memory for values of which only some are alive at a time: values that share a slot share memory.
// The zero Arena is empty. Slots grow when a larger value comes and never shrink, so that a loop over calls of
// equal size allocates in its first round only.
type Arena struct {
	floats  [][]float32
	doubles [][]float64
	ints    [][]int32
	halves  [][]uint16
}

// Floats returns n float32 of a slot; contents are arbitrary.
func (a *Arena) Floats(slot, n int) []float32 { return take(&a.floats, slot, n) }

// Doubles returns n float64 of a slot; contents are arbitrary.
func (a *Arena) Doubles(slot, n int) []float64 { return take(&a.doubles, slot, n) }

// Ints returns n int32 of a slot; contents are arbitrary.
func (a *Arena) Ints(slot, n int) []int32 { return take(&a.ints, slot, n) }

// Halves returns n bf16 of a slot; contents are arbitrary.
func (a *Arena) Halves(slot, n int) []uint16 { return take(&a.halves, slot, n) }

func take[T any](slots *[][]T, slot, n int) []T {
	for len(*slots) <= slot {
		*slots = append(*slots, nil)
	}
	s := &(*slots)[slot]
	if cap(*s) < n {
		*s = make([]T, n)
	}
	return (*s)[:n]
}

// Fill returns n elements that all have the value v, in the memory of old where it is large enough.
func Fill[T any](old []T, n int, v T) []T {
	if cap(old) < n {
		old = make([]T, n)
	}
	old = old[:n]
	for i := range old {
		old[i] = v
	}
	return old
}

// Resize returns n elements of arbitrary content, in the memory of old where it is large enough.
func Resize[T any](old []T, n int) []T {
	if cap(old) < n {
		return make([]T, n)
	}
	return old[:n]
}
