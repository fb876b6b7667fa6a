package weights

import (
	"strconv"
	"strings"

	"flagc/ir"
	"flagc/runtime/safetensors"
)

// Role says what a tensor of the checkpoint holds.
type Role string

// A tensor holds the elements of a weight, or the scales of a quantised one.
const (
	Elements Role = "weight"
	Scales   Role = "scale"
)

// Tensor is one tensor that a checkpoint of the model must hold.
type Tensor struct {
	Name     string
	DType    string // safetensors tag
	Shape    []int  // as stored; shared between tensors, read-only
	Role     Role
	Weight   *ir.Weight
	Set      *ir.Params // the parameter set that Weight belongs to
	Instance string     // where the set lives: "layers.2", "" for the whole model
	Index    int        // along the axis that '*' enumerates; -1 for a weight that is a single tensor
}

// dtypeTags maps number formats to the tags under which checkpoints store them. Two FP4 codes share one I8.
var dtypeTags = map[ir.DType]string{
	ir.BF16: "BF16", ir.F32: "F32", ir.FP8: "F8_E4M3", ir.FP4: "I8", ir.UE8M0: "F8_E8M0",
	ir.I32: "I32", ir.I64: "I64",
}

// Count is the number of stored elements: codes in pairs for FP4.
func (t Tensor) Count() int64 {
	n := int64(1)
	for _, s := range t.Shape {
		n *= int64(s)
	}
	return n
}

// Bytes is the size of the stored tensor.
func (t Tensor) Bytes() int64 {
	size, _ := safetensors.DTypeSize(t.DType)
	return t.Count() * int64(size)
}

// Parameters is the number of model parameters that the tensor holds, as published figures count them: each
// FP4 code is one; scales and index tables are none.
func (t Tensor) Parameters() int64 {
	switch {
	case t.Role == Scales || t.Weight.Encoding().DType.IsInt():
		return 0
	case t.Weight.Encoding().DType == ir.FP4:
		n := int64(1)
		for _, s := range t.Weight.Stored() {
			n *= int64(s)
		}
		return n
	}
	return t.Count()
}

// MTP reports whether the tensor belongs to a multi-token prediction block.
func (t Tensor) MTP() bool { return strings.HasPrefix(t.Name, mtpPrefix) }

// ScaleName is the name of the scales that belong to a quantised tensor: "wq_a.weight" gives "wq_a.scale".
func ScaleName(weight string) string { return strings.TrimSuffix(weight, ".weight") + ".scale" }

// Expected lists every tensor that a checkpoint of the model holds: by parameter set, instance, weight and
// index, each weight before its scales.
func Expected(m *ir.Module) []Tensor {
	layouts := make([][]layout, len(m.Params))
	total := 0
	for i, set := range m.Params {
		for _, w := range set.Weights {
			l := newLayout(w)
			layouts[i] = append(layouts[i], l)
			total += len(set.Instances) * len(l.parts) * w.Count()
		}
	}
	all := make([]Tensor, 0, total)
	for i, set := range m.Params {
		for _, instance := range set.Instances {
			for _, l := range layouts[i] {
				all = l.expand(all, set, instance)
			}
		}
	}
	return all
}

// expand appends the tensors of one weight in one instance.
func (l layout) expand(all []Tensor, set *ir.Params, instance string) []Tensor {
	t := Tensor{Weight: l.weight, Set: set, Instance: instance, Index: -1}
	if !l.weight.IsMany() {
		for _, p := range l.parts {
			t.Name, t.DType, t.Shape, t.Role = ir.Join(instance, p.name), p.dtype, p.shape, p.role
			all = append(all, t)
		}
		return all
	}
	for i := range l.weight.Count() {
		number := strconv.Itoa(i)
		for _, p := range l.parts {
			name := ir.Join(instance, p.before) + number + p.after
			t.Name, t.DType, t.Shape, t.Role, t.Index = name, p.dtype, p.shape, p.role, i
			all = append(all, t)
		}
	}
	return all
}

// layout is how a weight is stored, the same in all instances and for all indices.
type layout struct {
	weight *ir.Weight
	parts  []part // elements, then scales if there are any
}

type part struct {
	name          string // relative to the instance, '*' included
	before, after string // around '*'
	role          Role
	dtype         string
	shape         []int
}

func newLayout(w *ir.Weight) layout { return layoutOf(w, w.Encoding(), w.Stored()) }

// layoutOf is the layout of a weight, or of a rank's part of it, whose elements lie as elem in a matrix of shape.
func layoutOf(w *ir.Weight, elem ir.Elem, shape []int) layout {
	codes := part{name: w.Tensor, role: Elements, dtype: dtypeTags[elem.DType], shape: shape}
	if elem.DType == ir.FP4 {
		codes.shape = blocks(shape, 1, 2)
	}
	l := layout{weight: w, parts: []part{codes}}
	if elem.IsQuantised() {
		l.parts = append(l.parts, part{
			name: ScaleName(w.Tensor), role: Scales,
			dtype: dtypeTags[elem.Scale], shape: blocks(shape, elem.Rows, elem.Cols),
		})
	}
	for i := range l.parts {
		p := &l.parts[i]
		p.before, p.after, _ = strings.Cut(p.name, "*")
	}
	return l
}

// blocks is the grid of rows×cols blocks that covers a stored matrix; a vector is one row.
func blocks(shape []int, rows, cols int) []int {
	grid := append([]int(nil), shape...)
	if n := len(grid); n > 0 {
		grid[n-1] = (grid[n-1] + cols - 1) / cols
	}
	if n := len(grid); n > 1 {
		grid[n-2] = (grid[n-2] + rows - 1) / rows
	}
	return grid
}
