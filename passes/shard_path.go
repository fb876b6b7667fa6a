package passes

import (
	"fmt"
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
)

// path follows one axis from a weight through everything that is made of it.
type path struct {
	*sharder
	found    []string // reasons against it
	anchored bool     // it passed a product of two values, such as attention
}

// value reports whether axis of v can stay split wherever v is used.
func (p *path) value(v *ir.Value, axis int) bool {
	p.divides(v.Type.Dims[axis])
	for _, u := range p.uses[v] {
		switch {
		case u.in == nil:
			if !u.fn.Params.HasInstance("") {
				return false // between layers, values are whole
			}
		case u.in.Callee != nil || !p.through(u, axis):
			return false
		}
	}
	return len(p.uses[v]) > 0
}

func (p *path) divides(d ir.Dim) {
	if k, ok := d.Size.IsConst(); ok && k%p.n != 0 {
		p.reason("axis %s = %d is not a multiple of %d", d.Name, k, p.n)
	}
}

func (p *path) reason(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(p.found, text) {
		p.found = append(p.found, text)
	}
}

// through follows an axis of one operand through an instruction.
func (p *path) through(u use, axis int) bool {
	in, v := u.in, u.in.Args[u.operand]
	if in.Op == ops.ViewAs {
		return p.view(in, v, axis)
	}
	letters := in.Letters(u.operand)
	if letters == nil {
		return false
	}
	letter, nth := letters[axis], occurrence(letters, axis)
	if in.Op.NeedsWhole(letter) {
		return false
	}
	if block := in.Attrs.Int("block"); block > 0 && axis == len(letters)-1 {
		p.block(v, axis, block)
	}
	p.partners(in, u.operand, letter, v.Type.Dims[axis].Name)
	for i, r := range in.Results {
		theirs := in.ResultLetters(i)
		for j, l := range theirs {
			if l == letter && occurrence(theirs, j) == nth {
				p.anchored = p.anchored || in.Op.Class == ir.Contraction && !hasMatrix(in)
				return p.value(r, j)
			}
		}
	}
	// Nothing keeps the axis. A pair of projections with nothing between them but pointwise work, as in the
	// shared expert, stays whole: splitting it would cost a collective of its own.
	return in.Op.Sums(letter) && (p.anchored || v.Kind == ir.WeightValue || !hasMatrix(in))
}

// partners holds the weights that an instruction multiplies a split axis with against the scale blocks that they
// are stored in.
func (p *path) partners(in *ir.Instr, operand int, letter, name string) {
	for i, a := range in.Args {
		if i == operand || a == nil || p.of[a] == nil {
			continue
		}
		for axis, l := range in.Letters(i) {
			if l == letter && a.Type.Dims[axis].Name == name {
				p.stored(p.of[a], axis)
			}
		}
	}
}

// block demands that a part holds whole scale blocks.
func (p *path) block(v *ir.Value, axis, block int) {
	if k, ok := v.Type.Dims[axis].Size.IsConst(); ok && k%p.n == 0 && k/p.n%block != 0 {
		p.reason("a part of axis %s = %d has %d elements, no multiple of the activation block of %d", v.Type.Dims[axis].Name, k,
			k/p.n, block)
	}
}

// view finds the axis of a view that begins where the given one begins.
func (p *path) view(in *ir.Instr, v *ir.Value, axis int) bool {
	r := in.Results[0]
	to := sameStart(v.Type.Dims, axis, r.Type.Dims)
	return to >= 0 && p.value(r, to)
}

// sameStart is the axis of b before which as many elements vary as before axis i of a, -1 if there is none.
func sameStart(a []ir.Dim, i int, b []ir.Dim) int {
	before := ir.Const(1)
	for _, d := range a[:i] {
		before = before.Mul(d.Whole().Size)
	}
	have := ir.Const(1)
	for j, d := range b {
		if have.Equal(before) {
			return j
		}
		have = have.Mul(d.Whole().Size)
	}
	return -1
}

// hasMatrix reports whether an instruction multiplies by a matrix of weights.
func hasMatrix(in *ir.Instr) bool {
	for _, a := range in.Args {
		if a != nil && a.Kind == ir.WeightValue && len(a.Type.Dims) > 1 {
			return true
		}
	}
	return false
}

// stored demands that the part of a quantised weight ends where its scale blocks end: blocks of rows for an axis
// that rows count, blocks of columns for the last.
func (p *path) stored(w *ir.Weight, axis int) {
	elem, shape := w.Encoding(), w.Stored()
	if !elem.IsQuantised() || w.IsMany() && axis == 0 {
		return
	}
	what, size, block := "rows", shape[0], elem.Rows
	if axis == len(w.Value.Type.Dims)-1 {
		what, size, block = "columns", shape[len(shape)-1], elem.Cols
	}
	if size%p.n == 0 && size/p.n%block != 0 { // one that does not divide at all has its reason already
		p.reason("a part of %s has %d of %d %s, no multiple of its scale block of %d", w.Tensor, size/p.n, size, what, block)
	}
}

// occurrence is how many equal letters stand before index i.
func occurrence(letters []string, i int) int {
	n := 0
	for _, l := range letters[:i] {
		if l == letters[i] {
			n++
		}
	}
	return n
}
