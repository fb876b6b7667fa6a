package passes

import (
	"slices"

	"flagc/ir"
)

// smallRow is the largest row, in elements of one token, that every program of a launch may compute anew for
// itself: 64 KiB as bf16, what a program reads anyway for 16 rows of a projection of 4096 fp8 columns.
const smallRow = 1 << 15

// shortRow is the largest row, in elements of one token, that programs compute anew although the launch before has parts of
// it: quantising a few elements for each thread takes less time than programs take to find out which of them is the last.
const shortRow = 1 << 11

// reach says which programs of a launch have a value that is computed in it.
type reach uint8

const (
	everywhere reach = iota // any program can compute what it needs of it
	inParts                 // each program has its part
	inState                 // it is in a state that this launch changes: none may read it
	inLast                  // the last program to arrive has it
)

// held is where a value is within the launch that computes it.
type held struct {
	reach    reach
	axes     []part // for inParts, one for each axis
	anchored bool   // an anchor of the launch computes it
	chosen   bool   // and that has weights which values choose
}

// part says how one axis is spread over programs: not at all, or in tiles, which can be any divisor of run long.
type part struct {
	spread bool
	run    int
}

// meets finds where the results of an instruction are if it joins the launch that computes the operands in here,
// and reports whether it can.
func (s *schedule) meets(in *ir.Instr, here map[int]held) ([]held, bool) {
	parts, last, anchored, chosen := map[int]held{}, false, false, false
	for k, h := range here {
		anchored, chosen = anchored || h.anchored, chosen || h.chosen
		switch h.reach {
		case inState:
			if isView(in) {
				return s.all(in, held{reach: inState}), true
			}
			if !in.Op.Stores {
				return nil, false
			}
		case inLast:
			last = true
		case inParts:
			parts[k] = h
		}
	}
	switch {
	case last:
		ok := len(parts) == 0 && !isAnchor(in) && in.Op.Updates == nil
		return s.all(in, held{reach: inLast}), ok
	case isAnchor(in):
		return s.anchor(in, parts, anchored)
	case len(parts) > 0 && isView(in):
		return []held{viewed(in, parts[0])}, true
	case len(parts) > 0 && (s.anew(in, parts) || chosen && s.weighs(parts, here)):
		return nil, false
	case len(parts) > 0:
		out, ok := s.light(in, parts, anchored)
		for i := range out {
			out[i].chosen = chosen && out[i].reach == inParts
		}
		return out, ok
	}
	return s.alone(in), true
}

// anew reports whether an op over blocks of columns leaves the launch of the product that it is computed from to its
// readers, each of whose programs computes it for itself: in decoding programs of a product have fewer columns than a
// block, and the last of them would have to wait for the others. Its readers are products, which stand higher anyway.
// Chosen experts are none of them: each of their programs would need the rows of all slots.
func (s *schedule) anew(in *ir.Instr, parts map[int]held) bool {
	x, r := parts[0], in.Results[0]
	if s.f.Mode != ir.Decode || in.Attrs.Int("block") == 0 || !x.anchored || s.row(in) > shortRow || s.kept[r] {
		return false
	}
	for _, j := range s.users[r] {
		if user := s.body[j]; !isAnchor(user) || user.Op.Class != ir.Contraction || user.ChoosesWeights() {
			return false
		}
	}
	return x.axes[len(x.axes)-1].spread && len(s.users[r]) > 0
}

// weighs reports whether an op joins what chosen experts yield with what each program of the launch would compute for itself, as
// the weights are that they were chosen with. Where a launch is cheap it leaves the launch: whoever reads it has a program in
// front for it, and the products need not wait for anything but their choice.
func (s *schedule) weighs(parts, here map[int]held) bool { return s.cheap && len(parts) < len(here) }

func (s *schedule) all(in *ir.Instr, h held) []held { return slices.Repeat([]held{h}, len(in.Results)) }

// alone is where results are that depend on nothing that the launch computes in parts. A row of one token may be
// computed by every program, or is spread with its tokens: prefill has too many to compute any anew.
func (s *schedule) alone(in *ir.Instr) []held {
	if in.Op.Class != ir.StateUpdate && (elementwise(in) || s.f.Mode == ir.Decode && s.row(in) <= smallRow) {
		return s.all(in, held{})
	}
	out := make([]held, len(in.Results))
	for i, r := range in.Results {
		if _, state := in.Op.Updates[i]; state {
			out[i] = held{reach: inState}
			continue
		}
		out[i] = held{reach: inParts, axes: s.tokens(r.Type)}
	}
	return out
}

// tokens spreads the axes that count tokens.
func (s *schedule) tokens(t ir.Type) []part {
	axes := make([]part, len(t.Dims))
	for i, d := range t.Dims {
		axes[i] = part{s.counts(d.Size), 1}
	}
	return axes
}

// counts reports whether a size grows with the tokens of a call.
func (s *schedule) counts(size ir.Size) bool {
	none := func(int) bool { return false }
	either := func(_ byte, a, b bool) bool { return a || b }
	return ir.Walk(size.Bind(s.env), none, func(sym string) bool { return sym == "b" || sym == "s" }, either)
}

// row is the number of elements that one token has in the largest operand or result, more than smallRow where it
// depends on anything else.
func (s *schedule) row(in *ir.Instr) int {
	most := 0
	for _, v := range append(append([]*ir.Value(nil), in.Args...), in.Results...) {
		if v == nil || v.Kind == ir.WeightValue {
			continue
		}
		n := ir.Const(1)
		for _, d := range v.Type.Dims {
			n = n.Mul(d.Size.Bind(ir.Env{"b": 1, "s": 1}))
		}
		k, ok := n.IsConst()
		if !ok {
			return smallRow + 1
		}
		most = max(most, k)
	}
	return most
}

// anchor is where a product's results are. Its operands must be at hand: computed by every program, or spread as
// nothing but its own tokens are.
func (s *schedule) anchor(in *ir.Instr, parts map[int]held, anchored bool) ([]held, bool) {
	if anchored {
		return nil, false
	}
	out := make([]held, len(in.Results))
	rows := rowLetters(in) // nil if every axis of the result can be spread
	for i, r := range in.Results {
		letters := in.ResultLetters(i)
		if letters == nil {
			return nil, false
		}
		axes := s.tokens(r.Type)
		for j, l := range letters {
			size := r.Type.Dims[j].Size
			if _, fixed := size.IsConst(); !fixed && size.Bind(s.env).Equal(ir.Const(1)) {
				continue // decoding has one token; an axis of one head is spread as one of many
			}
			free := rows == nil && !in.Op.NeedsWhole(l)
			if outer := rows[l]; free || outer && occurrence(letters, j) == 0 {
				axes[j] = part{true, constant(r.Type.Dims[j])}
			}
			if len(parts) > 0 && axes[j].spread && !s.counts(r.Type.Dims[j].Size) {
				return nil, false
			}
		}
		out[i] = held{inParts, axes, true, in.ChoosesWeights()}
	}
	for k, h := range parts {
		if !s.owns(in, k, h) {
			return nil, false
		}
	}
	return out, true
}

// constant is the size of an axis, 1 if it is not fixed.
func constant(d ir.Dim) int {
	k, ok := d.Size.IsConst()
	if !ok {
		return 1
	}
	return k
}

// rowLetters are the letters of the outermost axes that count rows of weights in a result; those further in stay in
// one program. It is nil for products without weights.
func rowLetters(in *ir.Instr) map[string]bool {
	var out map[string]bool
	for i, a := range in.Args {
		if a == nil || a.Kind != ir.WeightValue || len(a.Type.Dims) < 2 {
			continue
		}
		if out == nil {
			out = map[string]bool{}
		}
		for _, l := range in.Letters(i) {
			if in.Yields(l) {
				out[l] = true
				break
			}
		}
	}
	return out
}

// light is where the results of an op that is no anchor are, whose operands are in parts: in the same parts, if the
// op needs no more of them than a program has.
func (s *schedule) light(in *ir.Instr, parts map[int]held, anchored bool) ([]held, bool) {
	for k, h := range parts {
		if !s.owns(in, k, h) {
			return nil, false
		}
	}
	out := make([]held, len(in.Results))
	for i, r := range in.Results {
		if _, state := in.Op.Updates[i]; state {
			out[i] = held{reach: inState}
			continue
		}
		var axes []part
		for k := range in.Args {
			h, ok := parts[k]
			if !ok {
				continue
			}
			mine := carried(in, i, k, h)
			if mine == nil || axes != nil && !sameSpread(axes, mine) {
				return nil, false
			}
			if axes == nil {
				axes = mine
			}
			for j := range axes {
				axes[j].run = min(axes[j].run, mine[j].run)
			}
		}
		if len(axes) != len(r.Type.Dims) {
			return nil, false
		}
		out[i] = held{reach: inParts, axes: axes, anchored: anchored}
	}
	return out, true
}

func sameSpread(a, b []part) bool {
	return slices.EqualFunc(a, b, func(x, y part) bool { return x.spread == y.spread })
}

// owns reports whether a program's part of operand k is all that it needs for its part of the results.
func (s *schedule) owns(in *ir.Instr, k int, h held) bool {
	if in.Op.Class == ir.Pointwise || in.Op.Stores {
		return true
	}
	letters := in.Letters(k)
	if letters == nil {
		return false
	}
	block := in.Attrs.Int("block")
	for j, l := range letters {
		if !h.axes[j].spread {
			continue
		}
		_, fixed := in.Args[k].Type.Dims[j].Size.Bind(s.env).IsConst()
		switch whole := in.Op.NeedsWhole(l); {
		case in.Op.Class == ir.Injective && whole && fixed:
			return false // elements move within a vector
		case in.Op.Class == ir.Injective:
		case whole, in.Op.Sums(l), !in.Yields(l):
			return false
		case block > 0 && j == len(letters)-1 && h.axes[j].run%block != 0:
			return false
		}
	}
	return true
}

// carried spreads the axes of result i as those of operand k, nil if they do not correspond.
func carried(in *ir.Instr, i, k int, h held) []part {
	dims, from := in.Results[i].Type.Dims, in.Args[k].Type.Dims
	axes := make([]part, len(dims))
	if in.Op.Class == ir.Pointwise || len(dims) == len(from) && in.Op.Class == ir.Injective {
		j := 0
		for a, d := range dims {
			axes[a].run = constant(d)
			if j < len(from) && (len(dims) == len(from) || from[j].Equal(d)) {
				axes[a] = h.axes[j]
				j++
			}
		}
		return axes
	}
	mine, theirs := in.Letters(k), in.ResultLetters(i)
	if mine == nil || theirs == nil {
		return nil
	}
	for a, l := range theirs {
		axes[a].run = constant(dims[a])
		for j, m := range mine {
			if l == m && occurrence(theirs, a) == occurrence(mine, j) {
				axes[a] = h.axes[j]
			}
		}
	}
	return axes
}

// viewed spreads the axes of a view: axes that join are spread if one of them is, in tiles that fit behind the last
// of those; axes that are taken apart lose their tiles.
func viewed(in *ir.Instr, h held) held {
	from, to := in.Args[0].Type.Dims, in.Results[0].Type.Dims
	axes := make([]part, len(to))
	i, j := 0, 0
	for i < len(from) && j < len(to) {
		a, b := i+1, j+1
		for !span(from[i:a]).Equal(span(to[j:b])) && (a < len(from) || b < len(to)) {
			if b == len(to) || a < len(from) && a-i <= b-j {
				a++
			} else {
				b++
			}
		}
		together := grouped(from[i:a], h.axes[i:a])
		if b-j > 1 {
			together.run = 1
		}
		for ; j < b; j++ {
			axes[j] = together
		}
		i = a
	}
	h.axes = axes
	return h
}

// grouped joins axes that lie side by side.
func grouped(dims []ir.Dim, axes []part) part {
	out := part{run: 1}
	for i, a := range axes {
		if a.spread {
			out = part{true, a.run}
			continue
		}
		if out.spread && i > 0 && axes[i-1].spread {
			out.run = 1 // tiles lie within the axes behind the last that is spread
		}
		out.run *= constant(dims[i])
	}
	return out
}

func span(dims []ir.Dim) ir.Size {
	n := ir.Const(1)
	for _, d := range dims {
		n = n.Mul(d.Whole().Size)
	}
	return n
}
