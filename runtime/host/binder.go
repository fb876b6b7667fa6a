package host

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"flagc/runtime/collective"
	"flagc/runtime/cpu"
	"flagc/runtime/safetensors"
)

// Binder hands the checkpoint's tensors to generated code. A tensor that is missing or not as expected is
// noted and yields an empty value, so that Err can report all problems at once.
//
// Rows, RowsIn, Columns and Own return a Binder that binds a rank's part of tensors; sizes are always those of the
// whole tensor, as it stands in the official checkpoint. The file of a rank holds its parts already.
type Binder struct {
	*binding
	cuts []cut  // of rows and columns, in order
	own  *share // of experts; nil for all of them
}

// binding is what a binder and those made from it have in common.
type binding struct {
	tensors  tensors
	parts    bool // tensors are the rank's parts already
	wants    Weights
	rank     *collective.Rank
	used     map[string]bool
	problems []error
	stored   []error // of the problems those with a dtype
}

// tensors is where a binder finds tensors: a checkpoint, or the file of a rank.
type tensors interface {
	Path() string
	Names() []string
	Tensor(name string) (safetensors.Tensor, bool)
}

// NewBinder binds tensors of an open checkpoint, which must stay open as long as what the binder returned is
// in use: matrices are parts of the mapped files. The rank is nil where there is only one.
func NewBinder(c *safetensors.Checkpoint, r *collective.Rank) *Binder {
	return &Binder{binding: &binding{tensors: c, rank: r, used: map[string]bool{}}}
}

// Comm is the rank's communicator over an axis of the mesh; "" is all ranks.
func (b *Binder) Comm(over string) *collective.Comm { return b.rank.Comm(over) }

// Rows binds the part of the rows that the rank has among the ranks of a communicator: of as many equal ranges of
// rows as there are ranks one each, in their order.
func (b *Binder) Rows(over string) *Binder { return b.RowsIn(1, over) }

// RowsIn is Rows where the rows form groups, each of which is divided among the ranks.
func (b *Binder) RowsIn(groups int, over string) *Binder {
	return b.with(cut{groups: groups, share: b.share(over)})
}

// Columns binds the part of the columns that the rank has.
func (b *Binder) Columns(over string) *Binder {
	return b.with(cut{columns: true, share: b.share(over)})
}

// Own binds the experts that the rank has.
func (b *Binder) Own(over string) *Binder {
	own := b.share(over)
	return &Binder{binding: b.binding, cuts: b.cuts, own: &own}
}

func (b *Binder) share(over string) share {
	part, parts := b.rank.Part(over)
	return share{part, parts}
}

func (b *Binder) with(c cut) *Binder {
	return &Binder{binding: b.binding, cuts: append(slices.Clone(b.cuts), c), own: b.own}
}

// tensor fetches a tensor of exactly this dtype and shape.
func (b *binding) tensor(name, dtype string, shape []int) (safetensors.Tensor, bool) {
	b.used[name] = true
	t, ok := b.tensors.Tensor(name)
	switch {
	case !ok:
		b.fail("tensor %q is missing from %s; expected %s %v", name, b.tensors.Path(), dtype, shape)
		return t, false
	case t.DType != dtype:
		b.fail("%s: tensor %q: expected dtype %s, found %s", t.File, name, dtype, t.DType)
		b.stored = append(b.stored, b.problems[len(b.problems)-1])
		return t, false
	case !slices.Equal(t.Shape, shape):
		b.fail("%s: tensor %q: expected shape %v, found %v", t.File, name, shape, t.Shape)
		return t, false
	}
	return t, true
}

func (b *binding) fail(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

// Matrix returns the n×k weight of a name, and of its scale tensor where the encoding has one ("x.weight" is
// scaled by "x.scale").
func (b *Binder) Matrix(name string, enc cpu.Encoding, n, k int) *cpu.Matrix {
	part, err := b.block(name, block{n: n, k: k, layout: layouts[enc]})
	if err == nil {
		var m *cpu.Matrix
		if m, err = cpu.NewMatrix(enc, part.n, part.k, part.data, part.scale); err == nil {
			m.First = part.first
			return m
		}
	}
	if err != errNoted {
		b.fail("%s: tensor %q: %v", b.tensors.Path(), name, err)
	}
	return &cpu.Matrix{Enc: enc, N: n, K: k}
}

// errNoted says that a problem is noted already.
var errNoted = errors.New("noted")

// block fetches the binder's part of a block that is given without its data.
func (b *Binder) block(name string, x block) (block, error) {
	if b.parts { // cut before there is data: it comes cut
		var err error
		if x, err = x.cut(b.cuts); err != nil {
			return x, err
		}
	}
	t, ok := b.tensor(name, x.dtype, []int{x.n, x.pitch() / x.stored})
	x.data = t.Data
	if x.scaled() {
		s, found := b.tensor(strings.TrimSuffix(name, ".weight")+".scale", "F8_E8M0", x.scales())
		x.scale, ok = s.Data, ok && found
	}
	if !ok {
		return x, errNoted
	}
	if b.parts {
		return x, nil
	}
	return x.cut(b.cuts)
}

// Experts returns count weights of n×k each, named by the pattern with '*' replaced by 0, 1, …; of a rank's own, the
// others are known and left alone.
func (b *Binder) Experts(pattern string, enc cpu.Encoding, count, n, k int) *cpu.Experts {
	first, end := 0, count
	if b.own != nil {
		if count%b.own.parts != 0 {
			b.fail("%d experts of %q cannot be divided among %d ranks", count, pattern, b.own.parts)
			return &cpu.Experts{N: n, K: k}
		}
		first, end = b.own.of(count)
	}
	e := &cpu.Experts{N: n, K: k, First: first}
	for i := range count {
		name := strings.Replace(pattern, "*", strconv.Itoa(i), 1)
		if i < first || i >= end {
			b.used[name], b.used[strings.TrimSuffix(name, ".weight")+".scale"] = true, true
			continue
		}
		e.W = append(e.W, *b.Matrix(name, enc, n, k))
	}
	if len(e.W) > 0 {
		e.N, e.K = e.W[0].N, e.W[0].K
	}
	return e
}

// elements fetches a tensor of plain elements, of which the binder's part is left.
func (b *Binder) elements(name, dtype string, shape []int) (safetensors.Tensor, bool) {
	if len(b.cuts) == 0 {
		return b.tensor(name, dtype, shape)
	}
	size, _ := safetensors.DTypeSize(dtype)
	x := block{n: shape[0], k: 1, layout: layout{stored: size, rows: 1, columns: 1}}
	if len(shape) > 1 {
		x.k = shape[1]
	}
	part, err := x.cut(b.cuts) // its sizes
	if err == nil && b.parts {
		return b.tensor(name, dtype, []int{part.n, part.k}[:len(shape)])
	}
	t, ok := b.tensor(name, dtype, shape)
	if !ok {
		return t, false
	}
	if err != nil {
		b.fail("%s: tensor %q: %v", t.File, name, err)
		return t, false
	}
	x.data = t.Data
	part, _ = x.cut(b.cuts) // as just before
	t.Data, t.Shape = part.data, []int{part.n, part.k}[:len(shape)]
	return t, true
}

// Floats returns the elements of a tensor of dtype F32 or BF16, widened exactly.
func (b *Binder) Floats(name, dtype string, shape ...int) []float32 {
	t, ok := b.elements(name, dtype, shape)
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
	t, ok := b.elements(name, dtype, shape)
	if !ok {
		return nil
	}
	x, err := t.Int32s()
	if err != nil {
		b.problems = append(b.problems, err)
	}
	width := t.Shape[len(t.Shape)-1]
	for i, v := range x {
		if v < 0 || int(v) >= limit {
			b.fail("%s: tensor %q: element %d is %d, which is not an index below %d", t.File, name, i, v, limit)
			break
		}
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
	if len(b.stored) > 0 && !b.wants.Official && b.wants.Precision != "" {
		return b.unconverted()
	}
	problems := b.problems
	for _, name := range b.tensors.Names() {
		if !b.used[name] {
			problems = append(problems, fmt.Errorf("tensor %q of %s has no place in this model", name, b.tensors.Path()))
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

// unconverted is the error for weights as published, given to a program that takes converted ones.
func (b *binding) unconverted() error {
	how := fmt.Sprintf("%d tensors are stored otherwise than precision %s takes them", len(b.stored), b.wants.Precision)
	if len(b.stored) == 1 {
		how = fmt.Sprintf("1 tensor is stored otherwise than precision %s takes it", b.wants.Precision)
	}
	return fmt.Errorf("%w (%s): convert the checkpoint with flagc weights convert %s -o DIR %s and give --weights DIR",
		b.stored[0], how, b.tensors.Path(), b.wants.Flags)
}
