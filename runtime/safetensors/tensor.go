package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"flagc/runtime/formats"
)

// dtypes maps the tags that are understood to the bytes of one element.
var dtypes = map[string]int{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E8M0": 1,
	"I16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "F32": 4,
	"I64": 8, "F64": 8,
}

// DTypeSize returns the bytes of one element of a dtype tag, and whether the tag is known.
func DTypeSize(dtype string) (int, bool) {
	size, ok := dtypes[dtype]
	return size, ok
}

const maxRank = 8

// byteSize returns the bytes of a tensor, or what is wrong with its dtype or shape.
func byteSize(dtype string, shape []int) (int64, error) {
	size, ok := dtypes[dtype]
	if !ok {
		return 0, fmt.Errorf("unknown dtype %q", dtype)
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("shape has %d dimensions, at most %d are supported", len(shape), maxRank)
	}
	total := uint64(size)
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		hi, lo := bits.Mul64(total, uint64(n))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("shape %v overflows 63 bits of bytes", shape)
		}
		total = lo
	}
	return int64(total), nil
}

// Tensor is one tensor of an open file.
type Tensor struct {
	Name  string
	DType string // tag as in the file: "BF16", "F8_E4M3", ...
	Shape []int  // row-major; empty for a scalar

	// Data is the little-endian content, a part of the mapped file: read-only, of any alignment, and
	// gone after Close.
	Data []byte

	File   string // path of the file
	Offset int64  // where Data begins in the file
}

// Elements returns the number of elements, 1 for a scalar.
func (t Tensor) Elements() int { return len(t.Data) / dtypes[t.DType] }

func (t Tensor) refuse(want string) error {
	return fmt.Errorf("%s: tensor %q: expected dtype %s, found %s", t.File, t.Name, want, t.DType)
}

// Float32s returns a copy of the elements, widened exactly from BF16, F8_E4M3 or F8_E8M0, or F32 as they are.
// Other dtypes are an error.
func (t Tensor) Float32s() ([]float32, error) {
	var at func(i int) float32
	switch d := t.Data; t.DType {
	case "F32":
		at = func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(d[4*i:])) }
	case "BF16":
		at = func(i int) float32 { return formats.BF16ToFloat32(binary.LittleEndian.Uint16(d[2*i:])) }
	case "F8_E4M3":
		at = func(i int) float32 { return formats.E4M3ToFloat32(d[i]) }
	case "F8_E8M0":
		at = func(i int) float32 { return float32(formats.UE8M0ToFloat64(d[i])) }
	default:
		return nil, t.refuse("F32, BF16, F8_E4M3 or F8_E8M0")
	}
	out := make([]float32, t.Elements())
	for i := range out {
		out[i] = at(i)
	}
	return out, nil
}

// Int64s returns a copy of the elements of a tensor of any integer dtype.
func (t Tensor) Int64s() ([]int64, error) {
	var at func(i int) int64
	switch d := t.Data; t.DType {
	case "I64":
		at = func(i int) int64 { return int64(binary.LittleEndian.Uint64(d[8*i:])) }
	case "I32":
		at = func(i int) int64 { return int64(int32(binary.LittleEndian.Uint32(d[4*i:]))) }
	case "I16":
		at = func(i int) int64 { return int64(int16(binary.LittleEndian.Uint16(d[2*i:]))) }
	case "I8":
		at = func(i int) int64 { return int64(int8(d[i])) }
	case "U8":
		at = func(i int) int64 { return int64(d[i]) }
	default:
		return nil, t.refuse("I64, I32, I16, I8 or U8")
	}
	out := make([]int64, t.Elements())
	for i := range out {
		out[i] = at(i)
	}
	return out, nil
}

// Int32s is Int64s for values that must fit in 32 bits, whatever the dtype; one that does not is an error.
func (t Tensor) Int32s() ([]int32, error) {
	wide, err := t.Int64s()
	if err != nil {
		return nil, err
	}
	out := make([]int32, len(wide))
	for i, v := range wide {
		if int64(int32(v)) != v {
			return nil, fmt.Errorf("%s: tensor %q: element %d is %d, which does not fit in 32 bits",
				t.File, t.Name, i, v)
		}
		out[i] = int32(v)
	}
	return out, nil
}
