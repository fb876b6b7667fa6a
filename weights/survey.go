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
	// bandBytes is what a survey reads of a tensor at a time, and by sample altogether, give or take a row
	// of tiles: widened it takes up to 16 times the memory.
	bandBytes = 1 << 20
)

// reading is what a survey learns of one weight.
type reading struct {
	largest float64
	spread  map[int]int64    // exponents to tiles
	inexact int64            // tiles that FP8 cannot hold exactly
	example string           // why, for the first of them
	wrong   *diag.Diagnostic // the first value that no weight has
}

// survey reads the content, or a sample of it, for the largest weights and the spread of FP4 scales.
func (r *Report) survey(m *ir.Module, c *safetensors.Checkpoint, opts InspectOptions) {
	v := newView(m, c)
	var picked []int
	for i, e := range v.expected {
		if e.Role == Elements && v.fits(i) && !e.Weight.Encoding().DType.IsInt() && (opts.Full || sampled(e)) {
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

// read measures a weight band by band, or its first band alone.
func (v *view) read(i int, full bool) reading {
	elem := v.expected[i].Weight.Encoding()
	parts := v.found[i : i+1]
	if elem.IsQuantised() {
		if i+1 >= len(v.expected) || !v.fits(i+1) {
			return reading{} // its scales are reported as missing or wrong
		}
		parts = v.found[i : i+2]
	}
	out := reading{spread: map[int]int64{}}
	rows, height := bands(parts[0], elem)
	for from := 0; from < rows; from += height {
		now := band(parts, elem, from, min(from+height, rows))
		out.add(elem, now)
		if full {
			continue
		}
		for k := len(now) - 1; k >= 0; k-- { // a NaN scale before the NaN weights that it makes
			out.wrong = cmp.Or(out.wrong, checkValues(v.expected[i+k], now[k]))
		}
		break
	}
	return out
}

// add measures one band.
func (r *reading) add(elem ir.Elem, parts []safetensors.Tensor) {
	for _, x := range widen(elem, parts) {
		if x == x {
			r.largest = max(r.largest, math.Abs(x))
		}
	}
	if elem.DType == ir.FP4 && len(parts) > 1 && len(parts[1].Shape) == 2 {
		wide := false
		for exponents, tiles := range spreads(parts[1], max(1, tile/elem.Rows), max(1, tile/elem.Cols)) {
			r.spread[exponents] += tiles
			wide = wide || exponents > MaxLossless
		}
		if wide {
			r.prove(parts)
		}
	}
}

// prove counts the tiles of a band that FP8 cannot hold exactly, code by code. A band that is not made of tiles is
// refused as a whole when it is to be converted.
func (r *reading) prove(parts []safetensors.Tensor) {
	rows, width := parts[1].Shape[0], parts[1].Shape[1]
	if rows%tile != 0 || width%perTile != 0 {
		return
	}
	for top := 0; top < rows; top += tile {
		for left := 0; left < width; left += perTile {
			if err := proveTile(parts[0], parts[1], top, left, width); err != nil {
				r.inexact++
				r.example = cmp.Or(r.example, err.Error())
			}
		}
	}
}

// bands divides a matrix into whole rows of tiles of about bandBytes; a vector is one band.
func bands(t safetensors.Tensor, elem ir.Elem) (rows, height int) {
	if len(t.Shape) < 2 || len(t.Data) == 0 {
		return 1, 1
	}
	rows = t.Shape[0]
	if elem.IsQuantised() && tile%elem.Rows != 0 {
		return rows, rows
	}
	return rows, max(tile, bandBytes/(len(t.Data)/rows)/tile*tile)
}

// band is a weight and its scales cut down to the rows from ≤ r < to; from begins a row of scales.
func band(parts []safetensors.Tensor, elem ir.Elem, from, to int) []safetensors.Tensor {
	if len(parts[0].Shape) < 2 {
		return parts
	}
	out := []safetensors.Tensor{cut(parts[0], from, to)}
	if len(parts) > 1 {
		out = append(out, cut(parts[1], from/elem.Rows, (to+elem.Rows-1)/elem.Rows))
	}
	return out
}

func cut(t safetensors.Tensor, from, to int) safetensors.Tensor {
	perRow := len(t.Data) / max(1, t.Shape[0])
	t.Data = t.Data[from*perRow : to*perRow]
	t.Shape = append([]int{to - from}, t.Shape[1:]...)
	return t
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
		r.Inexact += reading.inexact
		r.Example = cmp.Or(r.Example, reading.example)
		if reading.wrong != nil && r.Sampled { // a full check has told of it already
			r.problem(reading.wrong)
		}
	}
	for exponents, tiles := range spread {
		r.Spread = append(r.Spread, SpreadCount{exponents, tiles})
	}
	slices.SortFunc(r.Spread, func(a, b SpreadCount) int { return cmp.Compare(a.Exponents, b.Exponents) })
}
