package ir

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sharding holds what splitting means for an op, and marks results that are parts of sums:
//
//   - a split axis that a result keeps stays split there, unless the op needs it whole;
//   - a split axis that no result keeps must be one over which the op sums; the result is partial. Where values
//     of an operand index that axis, each element of the result comes from one rank. Or else it is one of whose parts
//     the op's rule says what each rank yields;
//   - an operand that is itself partial is taken by collectives and views, and one of single elements by ops that
//     keep zeros.
func (f *Inference) sharding() error {
	if f.Op.Collective != nil {
		return nil
	}
	partial, over := NotPartial, ""
	var choice *Value // by which the elements of operands and results are on one rank each
	for _, letter := range slices.Sorted(maps.Keys(f.bound)) {
		for _, d := range f.bound[letter] {
			if d.Split == 0 {
				continue
			}
			switch {
			case f.Op.NeedsWhole(letter):
				return f.Errorf(f.by[letter], "%s needs axis %s (%s) whole, but it is split into %d", f.Op.Name, letter, d.Name, d.Split)
			case f.Op.sig.keeps(letter), f.Op.Class == View && f.Op.sig.many(letter): // a view's own rule looks at its axes
			case slices.Contains(strings.Fields(f.Op.Parts), letter):
			case !f.Op.Sums(letter):
				return f.Errorf(f.by[letter], "%s neither keeps axis %s (%s) nor sums over it, and it is split into %d",
					f.Op.Name, letter, d.Name, d.Split)
			case partial != NotPartial && over != d.Over:
				return f.Errorf(f.by[letter], "%s would sum over ranks that differ in %q and in %q at once", f.Op.Name, over, d.Over)
			case f.Op.sig.indexed(letter) >= 0 && partial == NotPartial:
				partial, over = PartialOne, d.Over
				choice = f.Args[f.Op.sig.indexed(letter)].Root()
			default:
				partial, over = PartialSum, d.Over
			}
		}
	}
	for i, a := range f.Args {
		if a == nil || a.Type.Partial == NotPartial {
			continue
		}
		if partial != NotPartial && over != a.Type.Over {
			return f.Errorf(i, "%s would meet sums over ranks that differ in %q and in %q", f.Op.Name, over, a.Type.Over)
		}
		over = a.Type.Over
		if a.Type.Partial == PartialOne {
			c := a.choice()
			if c != nil && choice != nil && c != choice {
				return f.Errorf(i, "%s takes %s, whose elements are on the ranks that %s names, together with what %s names",
					f.Op.Name, a.Ref(), c.Ref(), choice.Ref())
			}
			if choice == nil {
				choice = c
			}
		}
		switch {
		case f.Op.Class == View:
			partial = a.Type.Partial
		case a.Type.Partial == PartialOne && f.Op.Zeros && i == 0:
			if partial == NotPartial {
				partial = PartialOne
			}
			if f.Op.Sum != "" && f.Op.Class == Reduction {
				partial = PartialSum
			}
		case a.Type.Partial == PartialOne && f.Op.Zeros && f.Args[0].Type.Partial == PartialOne:
		default:
			return f.Errorf(i, "%s cannot take %s, which is %s", f.Op.Name, a.Ref(), a.Type.Partial)
		}
	}
	for i := range f.Results {
		f.Results[i].Partial = partial
		if partial != NotPartial {
			f.Results[i].Over = over
		}
	}
	return nil
}

// choice is the indices that say on which rank each element of a value is, one of single elements; nil where the function
// does not tell.
func (v *Value) choice() *Value {
	for v != nil && v.Kind == ResultValue && v.Def.Op != nil && v.Type.Partial == PartialOne {
		for i := range v.Def.LocalIndices() {
			return v.Def.Args[i].Root()
		}
		from := slices.IndexFunc(v.Def.Args, func(a *Value) bool { return a != nil && a.Type.Partial == PartialOne })
		if from < 0 {
			return nil
		}
		v = v.Def.Args[from]
	}
	return nil
}

// NeedsWhole reports whether the op cannot take the axis of a letter split.
func (o *Op) NeedsWhole(letter string) bool { return slices.Contains(strings.Fields(o.Whole), letter) }

// Sums reports whether the op sums over the axis of a letter, so that parts of it yield parts of the result.
func (o *Op) Sums(letter string) bool { return slices.Contains(strings.Fields(o.Sum), letter) }

// keeps reports whether a result has the axis.
func (s *signature) keeps(letter string) bool {
	for _, t := range s.out {
		for _, a := range t.axes {
			if a.name == letter {
				return true
			}
		}
	}
	return false
}

// many reports whether the letter stands for any number of axes.
func (s *signature) many(letter string) bool {
	for _, t := range s.in {
		for _, a := range t.axes {
			if a.name == letter && a.many {
				return true
			}
		}
	}
	return false
}

// indexed is the operand whose values index the axis, -1 if there is none.
func (s *signature) indexed(letter string) int {
	for i, t := range s.in {
		if t.indexes == letter {
			return i
		}
	}
	return -1
}

// LocalIndices returns, for each operand whose values index an axis that is split in this instruction, that axis:
// the rank with part r takes index v for its own v - r·size.
func (in *Instr) LocalIndices() map[int]Dim {
	if in.Op == nil {
		return nil
	}
	var out map[int]Dim
	for i, t := range in.Op.sig.in {
		if t.indexes == "" || i >= len(in.Args) || in.Args[i] == nil {
			continue
		}
		if d, ok := in.axis(t.indexes); ok && d.Split > 0 {
			if out == nil {
				out = map[int]Dim{}
			}
			out[i] = d
		}
	}
	return out
}

// axis finds the axis of an operand that a letter of the signature stands for.
func (in *Instr) axis(letter string) (Dim, bool) {
	for i, a := range in.Args {
		if a == nil {
			continue
		}
		if j := slices.Index(in.Letters(i), letter); j >= 0 {
			return a.Type.Dims[j], true
		}
	}
	return Dim{}, false
}

// Letters says which letter of the op's signature each axis of operand i stands for; axes that a *x covers have
// that name. It is nil where the operand does not fit.
func (in *Instr) Letters(i int) []string {
	return letters(in.Op.sig.in[i].axes, len(in.Args[i].Type.Dims))
}

// ResultLetters is Letters for result i.
func (in *Instr) ResultLetters(i int) []string {
	count := map[string]int{}
	for j, t := range in.Op.sig.in {
		if j >= len(in.Args) || in.Args[j] == nil {
			continue
		}
		found := map[string]int{}
		for _, l := range in.Letters(j) {
			found[l]++
		}
		for _, a := range t.axes {
			count[a.name] = max(count[a.name], found[a.name])
		}
	}
	var out []string
	for _, a := range in.Op.sig.out[i].axes {
		n := 1
		if a.many || a.optional {
			n = count[a.name]
		}
		for range n {
			out = append(out, a.name)
		}
	}
	if len(out) != len(in.Results[i].Type.Dims) {
		return nil
	}
	return out
}

// letters matches single axes from both ends around at most one *x.
func letters(axes []sigAxis, n int) []string {
	fixed := 0
	for _, a := range axes {
		if !a.many && !a.optional {
			fixed++
		}
	}
	spare := n - fixed
	var out []string
	for _, a := range axes {
		take := 1
		switch {
		case a.many:
			take, spare = max(spare, 0), 0
		case a.optional:
			take = min(max(spare, 0), 1)
			spare -= take
		}
		for range take {
			out = append(out, a.name)
		}
	}
	if len(out) != n {
		return nil
	}
	return out
}

// String describes the axis with its size, for reports: "H|8 = 8".
func (d Dim) String() string { return fmt.Sprintf("%s = %s", d.label(), d.Size) }

// Yields reports whether a result has the axis of a letter.
func (in *Instr) Yields(letter string) bool { return in.Op.sig.keeps(letter) }
