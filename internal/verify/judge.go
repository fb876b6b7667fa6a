package verify

import (
	"fmt"
	"math"
	"slices"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/roles"
	"flagc/ir/tile"
)

// Difference says how far a result of a kernel is from the reference.
type Difference struct {
	Result   string
	Total    int     // elements
	Unequal  int     // that are not the same bits (of what is rounded to bf16), or further than float32 explains
	Beyond   int     // that are more than one unit in the last place of bf16 away
	Coarse   bool    // the result lies on the grid of codes
	Excused  int     // of the unequal ones: those of rows in which one number on the way was rounded otherwise
	Relative float64 // error of the worst row, relative to its norm
	Where    string  // the first that differs: position, value, expected
}

// Share is how much of the result differs, without what is excused.
func (d Difference) Share() float64 { return float64(d.Unequal-d.Excused) / float64(max(1, d.Total)) }

// Verdict is nil where every result of a launch is as near to the reference as float32 allows.
func Verdict(diffs []Difference) error {
	for _, d := range diffs {
		most := AtMost
		if d.Coarse {
			most = atMostCodes
		}
		if d.Beyond > 0 || d.Unequal-d.Excused > few && d.Share() > most {
			return fmt.Errorf("%s: %d of %d values differ, %d by more than a place or two, the worst row by %.2g of its norm: %s",
				d.Result, d.Unequal, d.Total, d.Beyond, d.Relative, d.Where)
		}
	}
	return nil
}

// compare holds every result of a launch against what it should be.
func compare(k *triton.Lowered, want, got []*ir.Tensor) []Difference {
	var out []Difference
	seen := map[*ir.Value]bool{}
	for i, v := range k.Func.Return {
		if !seen[v] {
			seen[v] = true
			out = append(out, difference(v, want[i], got[i], movedBy(k.Func, v, want, got)))
		}
	}
	return out
}

// movedBy says in which rows of what hyper-connections yield the streams of the token, which the launch leaves too, are not
// the same everywhere: one number of them moves all of such a row.
func movedBy(k *ir.Func, v *ir.Value, want, got []*ir.Tensor) func(row, rows int) bool {
	never := func(int, int) bool { return false }
	x := roles.Streams(v)
	i := slices.Index(k.Return, x)
	if i < 0 || want[i].Len() != got[i].Len() {
		return never
	}
	return func(row, rows int) bool {
		tokens := want[i].Shape[0] * want[i].Shape[1]
		n, token := want[i].Len()/tokens, row*tokens/rows
		return !slices.Equal(want[i].F[token*n:(token+1)*n], got[i].F[token*n:(token+1)*n])
	}
}

// difference compares the elements of one result. moved says in which of its rows something else moves them all.
func difference(v *ir.Value, want, got *ir.Tensor, moved func(row, rows int) bool) Difference {
	d := Difference{Result: v.Ref(), Total: want.Len(), Coarse: roles.Digits(v) < 8}
	if got.Len() != d.Total {
		d.Unequal, d.Beyond = d.Total, d.Total
		d.Where = fmt.Sprintf("%d elements left, %d expected", got.Len(), d.Total)
		return d
	}
	k := max(1, want.Dim(-1))
	for r := 0; r < d.Total; r += k {
		norm, far := 0.0, 0.0
		for i := r; i < r+k; i++ {
			x, y := element(want, i), element(got, i)
			if !isInf(x) {
				norm += x * x
			}
			if !same(y, x) {
				far += (y - x) * (y - x)
			}
		}
		rms, before := math.Sqrt(norm/float64(k)), d.Unequal
		for i := r; i < r+k; i++ {
			x, y := element(want, i), element(got, i)
			equal, near := judge(v, y, x, rms)
			if !equal {
				d.Unequal++
				if d.Where == "" {
					d.Where = fmt.Sprintf("[%d, %d] is %v, expected %v", r/k, i%k, y, x)
				}
			}
			if !near {
				d.Beyond++
			}
		}
		relative := math.Sqrt(far / math.Max(norm, 1e-30))
		d.Relative = math.Max(d.Relative, relative)
		switch {
		case relative <= probability && roles.Attends(v):
			d.Excused = max(d.Excused, d.Unequal-before)
		case d.Unequal > before && relative <= flipped && moved(r/k, d.Total/k):
			d.Excused += d.Unequal - before
		}
	}
	return d
}

func isInf(x float64) bool { return math.IsInf(x, 0) }

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func element(t *ir.Tensor, i int) float64 {
	if t.I != nil {
		return float64(t.I[i])
	}
	return t.F[i]
}

// float32Steps bounds the error of a sum in float32, relative to the root mean square of its row: 2^-24 for each of some
// hundred roundings on the way.
const float32Steps = 2e-5

// A number may be off where it is not the same: by places units in the last place of its grid, one where its own rounding
// fell on the other side of a tie, two where one on the way did, since a unit at the bottom of a binade is two at the top
// of another; or by flipped of its row's root mean square, where sums of rounded numbers cancel and a unit of a large term
// is many of a small result.
const (
	places  = 2
	flipped = 1.0 / 128
)

// probability bounds what a row of attention moves by, relative to its norm, when one probability is rounded to the
// other of two neighbours in bf16, which are that far apart. All numbers of the row then have a chance to differ.
const probability = 1.0 / 256

// flip is by how much of its row's root mean square a number may be off. In attention a probability that is rounded
// otherwise moves it by that part of one of the rows that are averaged, of which few numbers exceed four times the root
// mean square.
func flip(v *ir.Value) float64 {
	switch roles.FlipOf(v) {
	case roles.Attended:
		return 4 * probability
	case roles.Gated:
		return gated
	case roles.OfTerms:
		return 4 * flipped // of a term, which few times exceeds four times the root mean square
	}
	return flipped
}

// subnormalStep is the exponent of the distance between the subnormal numbers of bf16.
const subnormalStep = -133

// gated is by how much a gated activation moves when its gate, at most some 6 below 0 where it still counts, is rounded
// otherwise in bf16: the logarithm of silu(g) there moves by 1-g times that of g, which is 2^-7 at most.
const gated = 1.0 / 16

// leastNormal is the least number that float32 has with all digits; machines may take those below for 0.
const leastNormal = 0x1p-126

// judge says whether a number is what it should be, and whether it is near: a unit or two in the last place of what is
// stored as bf16 or as codes, or within what sums in float32 are off.
func judge(v *ir.Value, got, want, rms float64) (equal, near bool) {
	t := v.Type
	if same(got, want) {
		return true, true
	}
	if t.Elem.DType.IsInt() || isInf(want) || math.IsNaN(got) {
		return false, false
	}
	e := math.Abs(got - want)
	if triton.StoredAs(t) == tile.F32 {
		size := math.Max(rms, math.Abs(want))
		return e <= float32Steps*size+leastNormal, e <= flip(v)*size+leastNormal
	}
	bits := roles.Digits(v)
	_, exponent := math.Frexp(math.Max(math.Abs(got), math.Abs(want)))
	ulp := math.Ldexp(1, max(exponent-bits, subnormalStep))
	return false, e <= places*ulp || e <= flip(v)*rms
}
