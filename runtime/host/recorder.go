package host

import (
	"encoding/binary"
	"math"

	"flagc/runtime/formats"
	"flagc/runtime/safetensors"
)

// Recorder collects traced values for a file. The methods of a nil *Recorder do nothing, so that generated code
// calls them unconditionally.
type Recorder struct {
	prefix  string // of the current call: "prefill", "decode.3"
	tensors []safetensors.Data
}

// BF16 records values that are bf16 numbers under "prefix.at.name"; at is the layer's place, such as
// "layers.2", and may be empty. An empty value leaves no tensor.
func (r *Recorder) BF16(at, name string, x []float32, shape ...int) {
	if r == nil || len(x) == 0 {
		return
	}
	data := make([]byte, 0, 2*len(x))
	for _, v := range x {
		data = binary.LittleEndian.AppendUint16(data, formats.BF16FromFloat32(v))
	}
	r.add(at, name, "BF16", shape, data)
}

// F32 records float32 values.
func (r *Recorder) F32(at, name string, x []float32, shape ...int) {
	if r == nil || len(x) == 0 {
		return
	}
	r.add(at, name, "F32", shape, float32Bytes(x))
}

// I32 records indices.
func (r *Recorder) I32(at, name string, x []int32, shape ...int) {
	if r == nil || len(x) == 0 {
		return
	}
	r.add(at, name, "I32", shape, int32Bytes(x))
}

func (r *Recorder) add(at, name, dtype string, shape []int, data []byte) {
	if at != "" {
		name = at + "." + name
	}
	r.tensors = append(r.tensors, newData(r.prefix+"."+name, dtype, data, shape...))
}

// newData copies shape, which may be a caller's variadic list.
func newData(name, dtype string, data []byte, shape ...int) safetensors.Data {
	spec := safetensors.Spec{Name: name, DType: dtype, Shape: append([]int(nil), shape...)}
	return safetensors.Data{Spec: spec, Bytes: data}
}

func float32Bytes(x []float32) []byte {
	data := make([]byte, 0, 4*len(x))
	for _, v := range x {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func int32Bytes(x []int32) []byte {
	data := make([]byte, 0, 4*len(x))
	for _, v := range x {
		data = binary.LittleEndian.AppendUint32(data, uint32(v))
	}
	return data
}
