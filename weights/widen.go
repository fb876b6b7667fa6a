package weights

import (
	"encoding/binary"
	"math"
	"runtime"
	"sync"

	"flagc/ir"
	"flagc/runtime/formats"
	"flagc/runtime/safetensors"
)

// Values of all codes as float64.
var (
	e4m3Values  = table256(func(b byte) float64 { return float64(formats.E4M3ToFloat32(b)) })
	ue8m0Values = table256(formats.UE8M0ToFloat64)
	e2m1Pairs   = fp4Values()
)

func table256(value func(b byte) float64) (t [256]float64) {
	for b := range t {
		t[b] = value(byte(b))
	}
	return t
}

// fp4Values holds both elements of every byte of packed codes.
func fp4Values() (t [256][2]float64) {
	for b := range t {
		even, odd := formats.UnpackE2M1(byte(b))
		t[b] = [2]float64{float64(formats.E2M1ToFloat32(even)), float64(formats.E2M1ToFloat32(odd))}
	}
	return t
}

// decoder writes the elements from index first on into dst, unscaled.
type decoder func(dst []float64, first int)

// newDecoder reads the elements of a tensor of floating-point numbers; FP4 comes as I8.
func newDecoder(t safetensors.Tensor) decoder {
	data := t.Data
	switch t.DType {
	case "I8":
		return func(dst []float64, first int) {
			for i, b := range data[first/2 : (first+len(dst)+1)/2] {
				copy(dst[2*i:], e2m1Pairs[b][:])
			}
		}
	case "F8_E4M3":
		return func(dst []float64, first int) {
			for i, b := range data[first : first+len(dst)] {
				dst[i] = e4m3Values[b]
			}
		}
	case "F8_E8M0":
		return func(dst []float64, first int) {
			for i, b := range data[first : first+len(dst)] {
				dst[i] = ue8m0Values[b]
			}
		}
	case "BF16":
		return func(dst []float64, first int) {
			for i := range dst {
				dst[i] = float64(formats.BF16ToFloat32(binary.LittleEndian.Uint16(data[2*(first+i):])))
			}
		}
	}
	return func(dst []float64, first int) {
		for i := range dst {
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*(first+i):])))
		}
	}
}

// widen returns the elements of a weight: found[0] holds its codes and found[1], if it is quantised, its
// scales. A code has at most 8 significant bits and a scale, where it is no power of two, 24, so that
// float64 holds every product exactly.
func widen(elem ir.Elem, found []safetensors.Tensor) []float64 {
	shape := found[0].Shape
	n, cols := found[0].Elements(), 1
	if len(shape) > 0 {
		cols = shape[len(shape)-1]
	}
	if elem.DType == ir.FP4 {
		n, cols = 2*n, 2*cols
	}
	if n == 0 {
		return nil
	}
	out := make([]float64, n)
	decode := newDecoder(found[0])
	var scales []float64
	perRow := 0 // scales in a row of blocks
	if elem.IsQuantised() {
		perRow = (cols + elem.Cols - 1) / elem.Cols
		scales = make([]float64, found[1].Elements())
		newDecoder(found[1])(scales, 0)
	}
	inRows(n/cols, cols, func(r int) {
		row := out[r*cols : (r+1)*cols]
		decode(row, r*cols)
		for b := range perRow {
			scale := scales[r/elem.Rows*perRow+b]
			block := row[b*elem.Cols : min((b+1)*elem.Cols, cols)]
			for i := range block {
				block[i] *= scale
			}
		}
	})
	return out
}

// parallelFrom is the number of elements from which rows are shared out: widening fewer takes less time than
// waking goroutines.
const parallelFrom = 1 << 16

// inRows calls f for every row, on several goroutines where there is much to do.
func inRows(rows, cols int, f func(r int)) {
	workers := min(runtime.GOMAXPROCS(0), rows*cols/parallelFrom+1)
	var wg sync.WaitGroup
	for w := range workers {
		work := func() {
			for r := rows * w / workers; r < rows*(w+1)/workers; r++ {
				f(r)
			}
		}
		if w < workers-1 {
			wg.Go(work)
		} else {
			work()
		}
	}
	wg.Wait()
}
