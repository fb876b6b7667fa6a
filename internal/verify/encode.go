// Package verify holds generated kernels against the reference interpreter: a launch that eval executed is run again
// as tile programs on the same inputs, and what they leave is compared.
package verify

import (
	"encoding/binary"
	"fmt"
	"math"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
	"flagc/runtime/formats"
)

// matrix is a tensor's elements as rows of its last axis, lazy ones read.
func matrix(t *ir.Tensor) (values []float64, columns int) {
	columns = 1
	if n := len(t.Shape); n > 0 {
		columns = t.Shape[n-1]
	}
	if t.Lazy == nil {
		return t.F, columns
	}
	for i := 0; i < t.Shape[0]; i++ {
		values = append(values, t.Lazy(i)...)
	}
	return values, columns
}

// plain stores a tensor's elements in a format, little-endian.
func plain(t *ir.Tensor, d tile.DType) []byte {
	if t.I != nil || t.Elem.DType.IsInt() {
		out := make([]byte, len(t.I)*d.Bytes())
		for i, v := range t.I {
			if d == tile.I64 {
				binary.LittleEndian.PutUint64(out[8*i:], uint64(int64(v)))
			} else {
				binary.LittleEndian.PutUint32(out[4*i:], uint32(v))
			}
		}
		return out
	}
	values, _ := matrix(t)
	out := make([]byte, len(values)*d.Bytes())
	for i, v := range values {
		switch d {
		case tile.BF16:
			binary.LittleEndian.PutUint16(out[2*i:], formats.BF16FromFloat64(v))
		default:
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(float32(v)))
		}
	}
	return out
}

// quantise stores a tensor whose values lie on the grid of a quantised format: codes, packed two to a byte for e2m1, and
// the ue8m0 scales. Every block takes the smallest scale under which its values are codes.
func quantise(t *ir.Tensor, e ir.Elem) (codes, scales []byte, err error) {
	values, k := matrix(t)
	rows := len(values) / max(k, 1)
	down, across := (rows+e.Rows-1)/e.Rows, (k+e.Cols-1)/e.Cols
	scales = make([]byte, down*across)
	flat := make([]byte, len(values))
	for i := 0; i < down; i++ {
		for j := 0; j < across; j++ {
			exponent := blockExponent(values, k, rows, i, j, e)
			if scales[i*across+j], err = formats.UE8M0FromExponent(exponent); err != nil {
				return nil, nil, err
			}
			s := math.Ldexp(1, exponent)
			for r := i * e.Rows; r < min(rows, (i+1)*e.Rows); r++ {
				for c := j * e.Cols; c < min(k, (j+1)*e.Cols); c++ {
					v := values[r*k+c] / s
					code, back := code(v, e.DType)
					if back != v {
						return nil, nil, fmt.Errorf("%v at row %d, column %d is no code of %s under the scale %v", values[r*k+c], r, c, e, s)
					}
					flat[r*k+c] = code
				}
			}
		}
	}
	if e.DType == ir.FP4 {
		packed := make([]byte, len(flat)/2)
		for i := range packed {
			packed[i] = flat[2*i] | flat[2*i+1]<<4
		}
		return packed, scales, nil
	}
	return flat, scales, nil
}

func code(v float64, d ir.DType) (byte, float64) {
	if d == ir.FP4 {
		return formats.E2M1FromFloat64(v), formats.RoundE2M1(v)
	}
	return formats.E4M3FromFloat64(v), formats.RoundE4M3(v)
}

// blockExponent is the exponent of the smallest scale that brings a block's values into the format's range.
func blockExponent(values []float64, k, rows, i, j int, e ir.Elem) int {
	amax := 0.0
	for r := i * e.Rows; r < min(rows, (i+1)*e.Rows); r++ {
		for c := j * e.Cols; c < min(k, (j+1)*e.Cols); c++ {
			amax = math.Max(amax, math.Abs(values[r*k+c]))
		}
	}
	if amax == 0 {
		return 0
	}
	top := formats.E4M3Max
	if e.DType == ir.FP4 {
		top = formats.E2M1Max
	}
	return max(-127, int(math.Ceil(math.Log2(amax/float64(top)))))
}

// decode reads what a program left: a result of the given type.
func decode(data, scales []byte, t ir.Type, shape []int) (*ir.Tensor, error) {
	d, out := triton.StoredAs(t), ir.NewTensor(t.Elem, shape)
	if len(data) != out.Len()*d.Bytes() {
		return nil, fmt.Errorf("%d bytes left, %d elements of %s expected", len(data), out.Len(), d)
	}
	columns := max(1, shape[len(shape)-1])
	for i := range out.I {
		out.I[i] = int32(binary.LittleEndian.Uint32(data[i*d.Bytes():]))
	}
	for i := range out.F {
		switch d {
		case tile.BF16:
			out.F[i] = float64(formats.BF16ToFloat32(binary.LittleEndian.Uint16(data[2*i:])))
		case tile.E4M3:
			across := columns / t.Elem.Cols
			s := scales[i/columns*across+i%columns/t.Elem.Cols]
			out.F[i] = float64(formats.E4M3ToFloat32(data[i])) * formats.UE8M0ToFloat64(s)
		default:
			out.F[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
		}
	}
	return out, nil
}

// ropeTable is what a rope's table holds: for each position the cosines, then the sines.
func ropeTable(in *ir.Instr, env ir.Env) ([]byte, error) {
	rows, err := in.Results[0].Type.Dims[1].Size.Eval(env)
	if err != nil {
		return nil, err
	}
	first, err := in.Attrs.Size("first").Eval(env)
	if err != nil {
		return nil, err
	}
	freqs := ops.Frequencies(in.Attrs)
	var out []byte
	for i := 0; i < rows; i++ {
		position := float32(first + i*in.Attrs.Int("step"))
		for _, f := range []func(float64) float64{math.Cos, math.Sin} {
			for _, w := range freqs {
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(f(float64(position*w)))))
			}
		}
	}
	return out, nil
}
