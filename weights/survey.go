package weights

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/runtime/safetensors"
)

const (
	// tile is the side of the squares that FP8 has one scale for.
	tile = 128
	// sampleBytes bounds what a survey by sample reads of a tensor, in whole rows of tiles, at least one.
	sampleBytes = 1 << 20
)

// reading is what a survey learns of one weight.
type reading struct {
	largest float64
	spread  map[int]int64    // exponents to tiles
	wrong   *diag.Diagnostic // the first value that no weight has
}

// survey reads the content, or a sample of it, for the largest weights and the spread of FP4 scales.
func (r *Report) survey(m *ir.Module, c *safetensors.Checkpoint, opts InspectOptions) {
	v := newView(m, c)
	var picked []int
	for i, e := range v.expected {
		if e.Role == Elements && v.fits(i) && !e.Weight.Value.Type.Elem.DType.IsInt() && (opts.Full || sampled(e)) {
			picked = append(picked, i)
		}
	}
	readings := make([]reading, len(picked))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for k := next.Add(1) - 1; k < int64(len(picked)); k = next.Add(1) - 1 {
				readings[k] = v.read(picked[k], opts.Full)
			}
		})
	}
	wg.Wait()
	r.merge(v, picked, readings)
}

// sampled reports whether a sample takes the tensor: all but routed experts, of which the first and the
// middle one of every layer stand for the others.
func sampled(e Tensor) bool { return e.Index <= 0 || e.Index == e.Weight.Count()/2 }

// read measures a weight, or its first rows.
func (v *view) read(i int, full bool) reading {
	e, codes := v.expected[i], v.found[i]
	elem := e.Weight.Value.Type.Elem
	parts := []safetensors.Tensor{codes}
	if elem.IsQuantised() {
		if i+1 >= len(v.expected) || !v.fits(i+1) {
			return reading{} // its scales are reported as missing or wrong
		}
		parts = append(parts, v.found[i+1])
	}
	if !full {
		firstRows(parts, elem)
	}
	var out reading
	for k := len(parts) - 1; k >= 0; k-- { // a NaN scale before the NaN weights that it makes
		out.wrong = cmp.Or(out.wrong, checkValues(v.expected[i+k], parts[k]))
	}
	for _, x := range widen(elem, parts) {
		if x == x {
			out.largest = max(out.largest, math.Abs(x))
		}
	}
	if elem.DType == ir.FP4 && len(parts) > 1 && len(parts[1].Shape) == 2 {
		out.spread = spreads(parts[1], max(1, tile/elem.Rows), max(1, tile/elem.Cols))
	}
	return out
}

// firstRows cuts a weight and its scales down to a sample of whole rows of tiles.
func firstRows(parts []safetensors.Tensor, elem ir.Elem) {
	codes := &parts[0]
	if len(codes.Shape) == 0 || codes.Shape[0] == 0 {
		return
	}
	rows := codes.Shape[0]
	perRow := len(codes.Data) / rows
	keep := max(tile, sampleBytes/max(1, perRow)/tile*tile)
	if keep >= rows {
		return
	}
	cut(codes, keep)
	if len(parts) > 1 {
		cut(&parts[1], (keep+elem.Rows-1)/elem.Rows)
	}
}

func cut(t *safetensors.Tensor, rows int) {
	perRow := len(t.Data) / t.Shape[0]
	t.Data = t.Data[:rows*perRow]
	t.Shape = append([]int{rows}, t.Shape[1:]...)
}

// spreads counts, over tiles of rows×cols scales, the difference between the largest and the smallest
// exponent.
func spreads(scales safetensors.Tensor, rows, cols int) map[int]int64 {
	out := map[int]int64{}
	height, width := scales.Shape[0], scales.Shape[1]
	for top := 0; top < height; top += rows {
		for left := 0; left < width; left += cols {
			low, high := byte(255), byte(0)
			for r := top; r < min(top+rows, height); r++ {
				for _, b := range scales.Data[r*width+left : r*width+min(left+cols, width)] {
					low, high = min(low, b), max(high, b)
				}
			}
			out[int(high)-int(low)]++
		}
	}
	return out
}

// merge adds readings up in the order of the tensors.
func (r *Report) merge(v *view, picked []int, readings []reading) {
	classes := map[Class]*ClassReport{}
	for i := range r.Classes {
		classes[r.Classes[i].Class] = &r.Classes[i]
	}
	spread := map[int]int64{}
	for k, reading := range readings {
		name := v.expected[picked[k]].Name
		if c := classes[ClassOf(name)]; c.Where == "" || reading.largest > c.Largest {
			c.Largest, c.Where = reading.largest, name
		}
		for exponents, tiles := range reading.spread {
			spread[exponents] += tiles
		}
		if reading.wrong != nil && r.Sampled { // a full check has told of it already
			r.problem(reading.wrong)
		}
	}
	for exponents, tiles := range spread {
		r.Spread = append(r.Spread, SpreadCount{exponents, tiles})
	}
	slices.SortFunc(r.Spread, func(a, b SpreadCount) int { return cmp.Compare(a.Exponents, b.Exponents) })
}
