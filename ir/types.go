package ir

import (
	"fmt"
	"strings"
)

// DType is the number format of one element.
type DType uint8

// The number formats of DeepSeek-V4 checkpoints and activations. FP8 is e4m3fn, FP4 is e2m1, UE8M0 is a power
// of two in one byte (spec §2).
const (
	Invalid DType = iota
	BF16
	F32
	FP8
	FP4
	UE8M0
	I32
	I64
)

var dtypeNames = [...]string{"invalid", "bf16", "f32", "fp8", "fp4", "ue8m0", "i32", "i64"}

// String is the name used in .flag and IR text.
func (d DType) String() string {
	if int(d) < len(dtypeNames) {
		return dtypeNames[d]
	}
	return "invalid"
}

// ParseDType is the inverse of String; ok is false for an unknown name.
func ParseDType(name string) (d DType, ok bool) {
	for i, n := range dtypeNames {
		if i > 0 && n == name {
			return DType(i), true
		}
	}
	return Invalid, false
}

// Bits is the storage of one element.
func (d DType) Bits() int {
	return [...]int{0, 16, 32, 8, 4, 8, 32, 64}[d]
}

// IsInt reports whether values of d are indices.
func (d DType) IsInt() bool { return d == I32 || d == I64 }

// IsFloat reports whether values of d are plain, unquantised floating-point numbers.
func (d DType) IsFloat() bool { return d == BF16 || d == F32 }

// Elem is how an element is stored: a plain number format, or a quantised one with one scale for every
// Rows×Cols block of the stored matrix (whose rows are all leading axes together, and whose columns the last).
type Elem struct {
	DType      DType
	Rows, Cols int // scale block; 0, 0 when plain
	Scale      DType
}

// Plain is an unquantised element.
func Plain(d DType) Elem { return Elem{DType: d} }

// Quantised is an element with ue8m0 scales over rows×cols blocks.
func Quantised(d DType, rows, cols int) Elem { return Elem{d, rows, cols, UE8M0} }

// IsQuantised reports whether values carry scales.
func (e Elem) IsQuantised() bool { return e.Rows > 0 }

// String prints bf16, or fp8<128x128> with the scale block; other scales than ue8m0 are named.
func (e Elem) String() string {
	if !e.IsQuantised() {
		return e.DType.String()
	}
	if e.Scale != UE8M0 {
		return fmt.Sprintf("%s<%dx%d,%s>", e.DType, e.Rows, e.Cols, e.Scale)
	}
	return fmt.Sprintf("%s<%dx%d>", e.DType, e.Rows, e.Cols)
}

// Dim is one axis: its name, which is an expression over the module's named sizes and the runtime symbols
// ("D", "2*c", "(p+s)/4"), and its size. Axes that meet in an op must agree in name and in size, so that a
// coincidence of two sizes in a small model never hides a mistake that a large one would show.
//
// An axis that is split over the ranks of a mesh keeps its name and has the size of one rank's part.
type Dim struct {
	Name  string
	Size  Size
	Split int    // into how many parts; 0 for a whole axis
	Over  string // the axis of the mesh whose ranks have the parts; "" for all ranks
}

// Equal reports whether two axes are the same.
func (d Dim) Equal(e Dim) bool {
	return d.Name == e.Name && d.Split == e.Split && d.Over == e.Over && d.Size.Equal(e.Size)
}

// Whole is the axis with the parts of all ranks together.
func (d Dim) Whole() Dim {
	if d.Split == 0 {
		return d
	}
	return Dim{Name: d.Name, Size: d.Size.Mul(Const(d.Split))}
}

// Part is the axis split into n parts, one for each rank.
func (d Dim) Part(n int) Dim {
	return d.PartOver(n, "")
}

// PartOver is the axis split into n parts over one axis of the mesh.
func (d Dim) PartOver(n int, over string) Dim {
	if n < 2 {
		return d
	}
	return Dim{Name: d.Name, Size: d.Size.Div(Const(n)), Split: n, Over: over}
}

// label is the axis as types show it: "H", "H|8" where it is split over all 8 ranks, "G|group" where it is split
// over one axis of the mesh.
func (d Dim) label() string {
	switch {
	case d.Split == 0:
		return d.Name
	case d.Over != "":
		return d.Name + "|" + d.Over
	}
	return fmt.Sprintf("%s|%d", d.Name, d.Split)
}

// Partial says that a value is a part of a sum: added up over the ranks it is what the type says.
type Partial string

// A value is whole, or a sum that is carried unrounded until it is added up, or one whose elements are on one
// rank each and zero on the others: those are rounded as ever and stay so under operators that keep zeros.
const (
	NotPartial Partial = ""
	PartialSum Partial = "partial"
	PartialOne Partial = "partial(one)"
)

// Type is what a value is: elements over named axes.
type Type struct {
	Elem    Elem
	Dims    []Dim
	Partial Partial
	Over    string // where Partial: the axis of the mesh whose ranks have the parts; "" for all ranks
}

// Whole is the type of the value over all ranks.
func (t Type) Whole() Type {
	dims := make([]Dim, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = d.Whole()
	}
	return Type{Elem: t.Elem, Dims: dims}
}

// Equal reports whether both types are the same, names of axes included.
func (t Type) Equal(u Type) bool {
	if t.Elem != u.Elem || len(t.Dims) != len(u.Dims) || t.Partial != u.Partial || t.Over != u.Over {
		return false
	}
	for i, d := range t.Dims {
		if !d.Equal(u.Dims[i]) {
			return false
		}
	}
	return true
}

// String prints the type by axis names alone, as messages show it; text that is parsed again goes through
// the module's printer, which adds sizes where a name does not tell them.
func (t Type) String() string {
	names := make([]string, len(t.Dims))
	for i, d := range t.Dims {
		names[i] = d.label()
	}
	return t.Elem.String() + "[" + strings.Join(names, ", ") + "]" + t.suffix()
}

// Describe prints the type with the size of every axis whose name is not its size already.
func (t Type) Describe() string {
	parts := make([]string, len(t.Dims))
	for i, d := range t.Dims {
		parts[i] = d.label()
		if size := d.Size.String(); size != d.Name {
			parts[i] += "=" + size
		}
	}
	return t.Elem.String() + "[" + strings.Join(parts, ", ") + "]" + t.suffix()
}

func (t Type) suffix() string {
	if t.Partial == NotPartial {
		return ""
	}
	if t.Over != "" {
		return " " + string(t.Partial) + " over " + t.Over
	}
	return " " + string(t.Partial)
}

// IsSplit reports whether an axis is split over ranks.
func (t Type) IsSplit() bool {
	for _, d := range t.Dims {
		if d.Split > 0 {
			return true
		}
	}
	return false
}

// Shape evaluates all sizes.
func (t Type) Shape(env Env) ([]int, error) {
	shape := make([]int, len(t.Dims))
	for i, d := range t.Dims {
		n, err := d.Size.Eval(env)
		if err != nil {
			return nil, fmt.Errorf("axis %s: %w", d.Name, err)
		}
		if n < 0 {
			return nil, fmt.Errorf("axis %s has the negative size %d", d.Name, n)
		}
		shape[i] = n
	}
	return shape, nil
}
