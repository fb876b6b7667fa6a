package ir

import "fmt"

// Tensor is a value during evaluation. Floating-point elements are float64 whatever their storage format: the
// reference rounds at storage roundings only and carries float32 steps unrounded.
type Tensor struct {
	Elem  Elem
	Shape []int
	F     []float64 // floating-point elements, row-major; nil for indices and for lazy weights
	I     []int32   // indices

	// Lazy yields slice i along the first axis, for weights too large to widen at once; nil otherwise.
	Lazy func(i int) []float64
}

// NewTensor returns a zero tensor.
func NewTensor(e Elem, shape []int) *Tensor {
	t := &Tensor{Elem: e, Shape: append([]int(nil), shape...)}
	if e.DType.IsInt() {
		t.I = make([]int32, t.Len())
	} else {
		t.F = make([]float64, t.Len())
	}
	return t
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, s := range t.Shape {
		n *= s
	}
	return n
}

// Slice returns the elements at index i of the first axis.
func (t *Tensor) Slice(i int) []float64 {
	if t.Lazy != nil {
		return t.Lazy(i)
	}
	n := len(t.F) / t.Shape[0]
	return t.F[i*n : (i+1)*n]
}

// Dim is the size of axis i; negative i counts from the end.
func (t *Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.Shape)
	}
	return t.Shape[i]
}

// Clone is a deep copy of a tensor that is not lazy.
func (t *Tensor) Clone() *Tensor {
	c := &Tensor{Elem: t.Elem, Shape: append([]int(nil), t.Shape...)}
	c.F = append([]float64(nil), t.F...)
	c.I = append([]int32(nil), t.I...)
	return c
}

// Eval is what an op's evaluation function sees: operands, attributes, the values of the runtime symbols, and
// results to fill. Results that update a state already hold the old state's elements. The function leaves
// results unrounded; the interpreter rounds each to its type's storage format.
type Eval struct {
	Args  []*Tensor // nil where an optional operand is absent
	Attrs Attrs
	Env   Env
	Out   []*Tensor
	// Parallel calls f(i) for 0 ≤ i < n, in any order and at the same time.
	Parallel func(n int, f func(i int))
}

// Size evaluates a size attribute.
func (e *Eval) Size(name string) int {
	n, err := e.Attrs.Size(name).Eval(e.Env)
	if err != nil {
		panic(fmt.Sprintf("BUG: attribute %s: %v", name, err))
	}
	return n
}

// P is the number of tokens before this call, S the number in it.
func (e *Eval) P() int { return e.Env["p"] }

// S is the number of tokens in this call.
func (e *Eval) S() int { return e.Env["s"] }
