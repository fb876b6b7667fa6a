package host

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"flagc/runtime/cpu"
	"flagc/runtime/safetensors"
)

// Binder hands the checkpoint's tensors to generated code. A tensor that is missing or not as expected is
// noted and yields an empty value, so that Err can report all problems at once.
type Binder struct {
	checkpoint *safetensors.Checkpoint
	used       map[string]bool
	problems   []error
}

// NewBinder binds tensors of an open checkpoint, which must stay open as long as what the binder returned is
// in use: matrices are parts of the mapped files.
func NewBinder(c *safetensors.Checkpoint) *Binder {
	return &Binder{checkpoint: c, used: map[string]bool{}}
}

// Scale blocks of the quantised encodings: one scale for so many rows and columns.
const (
	tileSize  = 128
	blockSize = 32
)

// tensor fetches a tensor of exactly this dtype and shape.
func (b *Binder) tensor(name, dtype string, shape []int) (safetensors.Tensor, bool) {
	b.used[name] = true
	t, ok := b.checkpoint.Tensor(name)
	switch {
	case !ok:
		b.fail("tensor %q is missing from %s; expected %s %v", name, b.checkpoint.Dir(), dtype, shape)
		return t, false
	case t.DType != dtype:
		b.fail("%s: tensor %q: expected dtype %s, found %s", t.File, name, dtype, t.DType)
		return t, false
	case !slices.Equal(t.Shape, shape):
		b.fail("%s: tensor %q: expected shape %v, found %v", t.File, name, shape, t.Shape)
		return t, false
	}
	return t, true
}

func (b *Binder) fail(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

// Matrix returns the n×k weight of a name, and of its scale tensor where the encoding has one ("x.weight" is
// scaled by "x.scale").
func (b *Binder) Matrix(name string, enc cpu.Encoding, n, k int) *cpu.Matrix {
	dtype, cols := "", k
	var blocks []int
	switch enc {
	case cpu.F32:
		dtype = "F32"
	case cpu.BF16:
		dtype = "BF16"
	case cpu.FP8:
		dtype, blocks = "F8_E4M3", []int{ceilDiv(n, tileSize), ceilDiv(k, tileSize)}
	case cpu.FP4: // two codes to a byte
		dtype, cols, blocks = "I8", k/2, []int{n, ceilDiv(k, blockSize)}
	}
	t, ok := b.tensor(name, dtype, []int{n, cols})
	var scale []byte
	if blocks != nil {
		s, found := b.tensor(strings.TrimSuffix(name, ".weight")+".scale", "F8_E8M0", blocks)
		scale, ok = s.Data, ok && found
	}
	if !ok {
		return &cpu.Matrix{Enc: enc, N: n, K: k}
	}
	m, err := cpu.NewMatrix(enc, n, k, t.Data, scale)
	if err != nil {
		b.fail("%s: tensor %q: %v", t.File, name, err)
		return &cpu.Matrix{Enc: enc, N: n, K: k}
	}
	return m
}

// Experts returns count weights of n×k each, named by the pattern with '*' replaced by 0, 1, ….
func (b *Binder) Experts(pattern string, enc cpu.Encoding, count, n, k int) *cpu.Experts {
	e := &cpu.Experts{N: n, K: k, W: make([]cpu.Matrix, count)}
	for i := range e.W {
		e.W[i] = *b.Matrix(strings.Replace(pattern, "*", strconv.Itoa(i), 1), enc, n, k)
	}
	return e
}

// Floats returns the elements of a tensor of dtype F32 or BF16, widened exactly.
func (b *Binder) Floats(name, dtype string, shape ...int) []float32 {
	t, ok := b.tensor(name, dtype, shape)
	if !ok {
		return nil
	}
	x, err := t.Float32s()
	if err != nil {
		b.problems = append(b.problems, err)
	}
	return x
}

// Indices returns the elements of an integer tensor, which must lie in 0..limit-1 and differ within a row: a
// row is a choice, such as the experts of a token.
func (b *Binder) Indices(name, dtype string, limit int, shape ...int) []int32 {
	t, ok := b.tensor(name, dtype, shape)
	if !ok {
		return nil
	}
	x, err := t.Int32s()
	if err != nil {
		b.problems = append(b.problems, err)
	}
	for i, v := range x {
		if v < 0 || int(v) >= limit {
			b.fail("%s: tensor %q: element %d is %d, which is not an index below %d", t.File, name, i, v, limit)
			break
		}
		width := shape[len(shape)-1]
		if row := x[i-i%width : i]; len(shape) > 1 && slices.Contains(row, v) {
			b.fail("%s: tensor %q: row %d lists %d twice", t.File, name, i/width, v)
			break
		}
	}
	return x
}

// maxProblems is how many problems Err lists; a wrong checkpoint has thousands.
const maxProblems = 10

// Err reports every tensor that could not be bound, and every tensor of the checkpoint that nothing asked for:
// one that the program does not know would silently have no effect.
func (b *Binder) Err() error {
	problems := b.problems
	for _, name := range b.checkpoint.Names() {
		if !b.used[name] {
			problems = append(problems, fmt.Errorf("tensor %q of %s has no place in this model", name, b.checkpoint.Dir()))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(slices.Clone(problems[:maxProblems]), fmt.Errorf("and %d more", more))
	}
	return fmt.Errorf("the checkpoint does not fit this program (was it built for another configuration?):\n%w",
		errors.Join(problems...))
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
