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
	weight   *ir.Weight
	found    []Reason // against it
	anchored bool     // it passed a product of two values, such as attention
	kind     kind
	passes   map[*ir.Instr]bool
}

// place is where a split axis is and which ranks have its parts. Where a group's ranks divide its work further,
// the axis behind it is split over the lanes.
type place struct {
	axis  int
	over  string
	lanes bool
}

// value reports whether the axis at a place of v can stay split wherever v is used.
func (p *path) value(v *ir.Value, at place) bool {
	p.divides(p.maker(v), v.Type.Dims[at.axis], at.over)
	if at.lanes {
		p.divides(p.maker(v), v.Type.Dims[at.axis+1], lane)
	}
	for _, u := range p.uses[v] {
		switch {
		case u.in == nil:
			if !u.fn.Params.HasInstance("") {
				return false // between layers, values are whole
			}
		case u.in.Callee != nil || !p.through(u, at):
			return false
		}
	}
	return len(p.uses[v]) > 0
}

// maker is the weight that v is a product with, the path's own if there is none.
func (p *path) maker(v *ir.Value) *ir.Weight {
	if v.Def != nil {
		for _, a := range v.Def.Args {
			if w := p.of[a]; w != nil && len(a.Type.Dims) > 1 {
				return w
			}
		}
	}
	return p.weight
}

// divides demands equal parts. What is against them is said of w if that has the axis and the path's own weight lacks it.
func (p *path) divides(w *ir.Weight, d ir.Dim, over string) {
	k, ok := d.Size.IsConst()
	if !ok || k%p.parts(over) == 0 {
		return
	}
	if hasAxis(p.weight, d) || !hasAxis(w, d) {
		w = p.weight
	}
	r := reason(w, "axis %s = %d is not a multiple of %d", d.Name, k, p.parts(over))
	i := slices.IndexFunc(p.found, func(have Reason) bool { return have.Text == r.Text })
	switch {
	case i < 0:
		p.found = append(p.found, r)
	case w != p.weight:
		p.found[i] = r
	}
}

func hasAxis(w *ir.Weight, d ir.Dim) bool {
	return slices.ContainsFunc(w.Value.Type.Dims, func(o ir.Dim) bool { return o.Name == d.Name })
}

// reason notes what is against the axis, once.
func (p *path) reason(w *ir.Weight, format string, args ...any) {
	p.found = merge(p.found, []Reason{reason(w, format, args...)})
}

func reason(w *ir.Weight, format string, args ...any) Reason {
	return Reason{Weight: w.Value.Name, Text: fmt.Sprintf(format, args...), at: w.Value.Span}
}

// through follows an axis of one operand through an instruction.
func (p *path) through(u use, at place) bool {
	in, v := u.in, u.in.Args[u.operand]
	p.passes[in] = true
	if in.Op == ops.ViewAs {
		return p.view(in, v, at)
	}
	letters := in.Letters(u.operand)
	if letters == nil {
		return false
	}
	letter, nth := letters[at.axis], occurrence(letters, at.axis)
	if in.Op.NeedsWhole(letter) || at.lanes && in.Op.NeedsWhole(letters[at.axis+1]) {
		return false
	}
	p.operands(u, at, letters)
	for i, r := range in.Results {
		theirs := in.ResultLetters(i)
		for j, l := range theirs {
			if l != letter || occurrence(theirs, j) != nth {
				continue
			}
			p.anchored = p.anchored || in.Op.Class == ir.Contraction && !hasMatrix(in)
			to := place{j, at.over, at.lanes}
			if at.lanes && !p.lanesStay(in, r, j, theirs, letters[at.axis+1]) {
				return false
			}
			return p.value(r, to)
		}
	}
	return p.ends(in, v, letter)
}

// operands holds the axis, and the one behind it, against blocks of activations and of stored weights.
func (p *path) operands(u use, at place, letters []string) {
	in, v := u.in, u.in.Args[u.operand]
	last, over := at.axis, at.over
	if at.lanes {
		last, over = at.axis+1, lane
		p.partners(in, u.operand, letters[last], v.Type.Dims[last].Name, lane)
	}
	p.partners(in, u.operand, letters[at.axis], v.Type.Dims[at.axis].Name, at.over)
	if block := in.Attrs.Int("block"); block > 0 && last == len(letters)-1 {
		p.block(v, last, block, over)
	}
}

// lanesStay reports whether, behind axis j of a result, an axis is split over the lanes: the one that was, or, where
// the op sums over that, the one that the sum is scattered along.
func (p *path) lanesStay(in *ir.Instr, r *ir.Value, j int, theirs []string, letter string) bool {
	if j+1 >= len(theirs) {
		return false
	}
	return theirs[j+1] == letter || in.Op.Sums(letter)
}

// ends decides about an op whose results do not keep the axis. It must sum over it.
//
// A pair of projections with nothing between them but pointwise work, as in a shared expert, can stay whole; so
// can heads that rate entries, since ranks would have to add up all scores.
func (p *path) ends(in *ir.Instr, v *ir.Value, letter string) bool {
	if !in.Op.Sums(letter) {
		return false
	}
	switch {
	case in.Op.Class == ir.Contraction && !hasMatrix(in):
		p.kind = scores
	case !p.anchored && v.Kind != ir.WeightValue && hasMatrix(in):
		p.kind = pairs
	}
	return true
}

// partners holds the weights that an instruction multiplies a split axis with against the scale blocks that they
// are stored in.
func (p *path) partners(in *ir.Instr, operand int, letter, name, over string) {
	for i, a := range in.Args {
		if i == operand || a == nil || p.of[a] == nil {
			continue
		}
		for axis, l := range in.Letters(i) {
			if l == letter && a.Type.Dims[axis].Name == name {
				p.divides(p.of[a], a.Type.Dims[axis], over)
				p.stored(p.of[a], axis, over)
			}
		}
	}
}

// block demands that a part holds whole blocks of quantised activations.
func (p *path) block(v *ir.Value, axis, block int, over string) {
	n := p.parts(over)
	if k, ok := v.Type.Dims[axis].Size.IsConst(); ok && k%n == 0 && k/n%block != 0 {
		p.reason(p.weight, "a part of axis %s = %d has %d elements, no multiple of the activation block of %d",
			v.Type.Dims[axis].Name, k, k/n, block)
	}
}

// view finds the axis of a view that begins where the given one begins.
func (p *path) view(in *ir.Instr, v *ir.Value, at place) bool {
	r := in.Results[0]
	to := sameStart(v.Type.Dims, at.axis, r.Type.Dims)
	if to < 0 {
		return false
	}
	if at.lanes {
		if sameStart(v.Type.Dims, at.axis+1, r.Type.Dims) == to+1 {
			return p.value(r, place{to, at.over, true})
		}
		return p.value(r, place{axis: to}) // joined: split over all ranks
	}
	if at.over == "" && p.fewer(r.Type.Dims[to]) {
		if !p.makeGrid(r.Type.Dims[to]) {
			return true // the reason is noted
		}
		lanes := p.layout.Groups == Reduce
		if lanes && to+1 >= len(r.Type.Dims) {
			return false
		}
		return p.value(r, place{to, group, lanes})
	}
	return p.value(r, place{to, at.over, false})
}

// fewer reports whether an axis has fewer elements than there are ranks, so many that each could have several ranks.
func (s *sharder) fewer(d ir.Dim) bool {
	k, ok := d.Size.IsConst()
	return ok && k > 1 && k < s.n && s.n%k == 0
}

// makeGrid lets the ranks be a grid, one row for each element of an axis. There can be one such axis.
func (p *path) makeGrid(d ir.Dim) bool {
	if p.grid == nil {
		axis := d
		p.grid = &axis
	}
	if sameAxis(*p.grid, d) {
		return true
	}
	text := fmt.Sprintf("axes %s and %s would each make a grid of the ranks", p.grid, d)
	if !slices.Contains(p.clashes, text) {
		p.clashes = append(p.clashes, text)
	}
	return false
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
// that rows count, blocks of columns for the last. That holds for the encoding that the weight is kept in, and for the
// checkpoint's, from which the part is made. FP8 that is kept widened can be cut anywhere: its codes are bytes, while
// those of FP4 lie in pairs.
func (p *path) stored(w *ir.Weight, axis int, over string) {
	if from := w.Encoding(); from.DType != ir.FP8 || w.Value.Type.Elem.IsQuantised() {
		p.blocks(w, from, axis, over)
	}
	p.blocks(w, w.Value.Type.Elem, axis, over)
}

func (p *path) blocks(w *ir.Weight, elem ir.Elem, axis int, over string) {
	shape := w.Stored()
	if !elem.IsQuantised() || w.IsMany() && axis == 0 {
		return
	}
	n := p.parts(over)
	what, size, block := "rows", shape[0], elem.Rows
	if axis == len(w.Value.Type.Dims)-1 {
		what, size, block = "columns", shape[len(shape)-1], elem.Cols
	}
	if size%n == 0 && size/n%block != 0 { // one that does not divide at all has its reason already
		p.reason(w, "a part of %s has %d of %d %s, no multiple of its scale block of %d", w.Tensor, size/n, size, what, block)
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
