// Package compare holds two files of tensors against each other, value by value: where they part first, by how
// much, and whether choices (experts, entries, greedy tokens) differ or only values.
package compare

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"flagc/runtime/safetensors"
)

// Tensor is the comparison of one tensor that both files have.
type Tensor struct {
	Name      string  `json:"name"`
	DType     string  `json:"dtype"`
	Shape     []int   `json:"shape"`
	Elements  int     `json:"elements"`
	Different int     `json:"different"`
	MaxULP    int64   `json:"max_ulp"`            // largest distance in representable values (floats)
	RelL2     float64 `json:"relative_l2_median"` // per row of the last axis (floats)
	WorstL2   float64 `json:"relative_l2_worst"`  // per row of the last axis (floats)
	Argmax    int     `json:"argmax_different"`   // rows whose largest element is another one (floats)
	Sets      int     `json:"sets_different"`     // rows that list other indices, order aside (ints)
	First     *Place  `json:"first,omitempty"`    // the first difference
	Mismatch  string  `json:"mismatch,omitempty"` // why values were not compared
}

// Place is one differing element.
type Place struct {
	Index []int   `json:"index"`
	A     float64 `json:"a"`
	B     float64 `json:"b"`
}

// Equal reports whether all values are the same, float32 up to one unit in the last place.
func (t *Tensor) Equal() bool {
	return t.Mismatch == "" && (t.Different == 0 || t.DType == "F32" && t.MaxULP <= F32Tolerance)
}

// F32Tolerance is the distance in units in the last place up to which float32 values count as equal: exact
// values are float64 and are rounded once when stored, so two exact implementations that sum in another order
// differ by one unit where a sum falls next to a rounding boundary, and never by more.
const F32Tolerance = 1

// Report is the comparison of two files.
type Report struct {
	Tensors []Tensor `json:"tensors"` // in the order of file A
	OnlyA   []string `json:"only_a,omitempty"`
	OnlyB   []string `json:"only_b,omitempty"`
}

// Equal reports whether both files hold the same tensors with equal values.
func (r *Report) Equal() bool {
	for i := range r.Tensors {
		if !r.Tensors[i].Equal() {
			return false
		}
	}
	return len(r.OnlyA) == 0 && len(r.OnlyB) == 0
}

// First returns the first tensor that differs, or nil.
func (r *Report) First() *Tensor {
	for i := range r.Tensors {
		if !r.Tensors[i].Equal() {
			return &r.Tensors[i]
		}
	}
	return nil
}

// Files compares two sets of tensors.
func Files(a, b []safetensors.Tensor) *Report {
	r := &Report{}
	other := map[string]safetensors.Tensor{}
	for _, t := range b {
		other[t.Name] = t
	}
	seen := map[string]bool{}
	for _, t := range a {
		seen[t.Name] = true
		if u, ok := other[t.Name]; ok {
			r.Tensors = append(r.Tensors, Tensors(t, u))
		} else {
			r.OnlyA = append(r.OnlyA, t.Name)
		}
	}
	for _, t := range b {
		if !seen[t.Name] {
			r.OnlyB = append(r.OnlyB, t.Name)
		}
	}
	return r
}

// Tensors compares two tensors of the same name.
func Tensors(a, b safetensors.Tensor) Tensor {
	t := Tensor{Name: a.Name, DType: a.DType, Shape: a.Shape, Elements: a.Elements()}
	switch {
	case a.DType != b.DType:
		t.Mismatch = fmt.Sprintf("dtype %s against %s", a.DType, b.DType)
	case !slices.Equal(a.Shape, b.Shape):
		t.Mismatch = fmt.Sprintf("shape %v against %v", a.Shape, b.Shape)
	}
	if t.Mismatch != "" {
		return t
	}
	if x, err := a.Float32s(); err == nil {
		y, err := b.Float32s()
		if err != nil {
			t.Mismatch = err.Error()
			return t
		}
		t.floats(x, y)
		return t
	}
	x, err := a.Int64s()
	y, err2 := b.Int64s()
	if err != nil || err2 != nil {
		t.Mismatch = "dtype " + a.DType + " cannot be compared"
		return t
	}
	t.ints(x, y)
	return t
}

// width is the length of a row along the last axis.
func (t *Tensor) width() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return max(1, t.Shape[len(t.Shape)-1])
}

func (t *Tensor) differ(i int, a, b float64) {
	if t.Different++; t.First != nil {
		return
	}
	index := make([]int, len(t.Shape))
	for axis, rest := len(t.Shape)-1, i; axis >= 0; axis-- {
		index[axis] = rest % t.Shape[axis]
		rest /= t.Shape[axis]
	}
	t.First = &Place{index, a, b}
}

func (t *Tensor) floats(x, y []float32) {
	var rows []float64
	w := t.width()
	for start := 0; start < len(x); start += w {
		var diff, norm float64
		bestX, bestY := 0, 0
		for i := start; i < min(len(x), start+w); i++ {
			a, b := float64(x[i]), float64(y[i])
			if d := ulps(x[i], y[i], t.DType); d > 0 {
				t.MaxULP = max(t.MaxULP, d)
				t.differ(i, a, b)
			}
			diff += (a - b) * (a - b)
			norm += a * a
			if x[i] > x[start+bestX] {
				bestX = i - start
			}
			if y[i] > y[start+bestY] {
				bestY = i - start
			}
		}
		if bestX != bestY {
			t.Argmax++
		}
		rows = append(rows, relative(diff, norm))
	}
	if len(rows) == 0 {
		return
	}
	sort.Float64s(rows)
	t.RelL2, t.WorstL2 = rows[len(rows)/2], rows[len(rows)-1]
}

// relative is √diff/√norm, 0 for two zero rows.
func relative(diff, norm float64) float64 {
	if diff == 0 {
		return 0
	}
	return math.Sqrt(diff) / math.Sqrt(norm)
}

// ulps is the distance between two floats in representable values of the tensor's format.
func ulps(a, b float32, dtype string) int64 {
	if a == b || a != a && b != b {
		return 0
	}
	d := ordered(a) - ordered(b)
	if d < 0 {
		d = -d
	}
	if dtype == "BF16" {
		d >>= 16
	}
	return max(d, 1)
}

// ordered maps floats to integers that keep their order.
func ordered(v float32) int64 {
	u := int64(math.Float32bits(v))
	if u >= 1<<31 {
		return 1<<31 - u
	}
	return u
}

func (t *Tensor) ints(x, y []int64) {
	w := t.width()
	for start := 0; start < len(x); start += w {
		end := min(len(x), start+w)
		for i := start; i < end; i++ {
			if x[i] != y[i] {
				t.differ(i, float64(x[i]), float64(y[i]))
			}
		}
		a, b := slices.Clone(x[start:end]), slices.Clone(y[start:end])
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Sets++
		}
	}
}
