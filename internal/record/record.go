// Package record turns values of the reference interpreter into tensors of a safetensors file: traces under
// the names that the model gives them, and the logits of a run.
package record

import (
	"encoding/binary"
	"math"

	"flagc/ir"
	"flagc/ir/eval"
	"flagc/runtime/formats"
	"flagc/runtime/safetensors"
)

// Recorder collects traced values in the order in which they arise.
type Recorder struct {
	Tensors []safetensors.Data
}

// Add records a value; an empty one (no compressed entry in this call) leaves no tensor.
func (r *Recorder) Add(name string, t *ir.Tensor) {
	if t.Len() > 0 {
		r.Tensors = append(r.Tensors, Tensor(name, t))
	}
}

// Tensor stores a value in its own number format: bf16, float32 (rounded from the exact value) or i32.
func Tensor(name string, t *ir.Tensor) safetensors.Data {
	d := safetensors.Data{Spec: safetensors.Spec{Name: name, Shape: append([]int{}, t.Shape...)}}
	switch {
	case t.I != nil:
		d.DType = "I32"
		for _, v := range t.I {
			d.Bytes = binary.LittleEndian.AppendUint32(d.Bytes, uint32(v))
		}
	case t.Elem == ir.Plain(ir.BF16):
		d.DType = "BF16"
		for _, v := range t.F {
			d.Bytes = binary.LittleEndian.AppendUint16(d.Bytes, formats.BF16FromFloat64(v))
		}
	default:
		d.DType = "F32"
		for _, v := range t.F {
			d.Bytes = binary.LittleEndian.AppendUint32(d.Bytes, math.Float32bits(float32(v)))
		}
	}
	return d
}

// Logits lays the results of a run out as a logits file does: prefill.logits [b,V], decode.logits [b,k,V],
// fed [b,k], and with MTP prefill.mtp.logits [b,V] and decode.mtp.logits [b,k-1,V].
func Logits(r *eval.Result) []safetensors.Data {
	out := []safetensors.Data{Tensor("prefill.logits", r.Prefill)}
	if len(r.Decode) > 0 {
		out = append(out, Tensor("decode.logits", stack(r.Decode)))
	}
	fed := ir.NewTensor(ir.Plain(ir.I32), []int{len(r.Fed), len(r.Fed[0])})
	for b, row := range r.Fed {
		copy(fed.I[b*len(row):], row)
	}
	out = append(out, Tensor("fed", fed))
	if r.PrefillMTP != nil {
		out = append(out, Tensor("prefill.mtp.logits", r.PrefillMTP))
	}
	if len(r.DecodeMTP) > 0 {
		out = append(out, Tensor("decode.mtp.logits", stack(r.DecodeMTP)))
	}
	return out
}

// stack joins k tensors [b,V] into one [b,k,V].
func stack(steps []*ir.Tensor) *ir.Tensor {
	b, v, k := steps[0].Dim(0), steps[0].Dim(1), len(steps)
	out := ir.NewTensor(steps[0].Elem, []int{b, k, v})
	for i := 0; i < b; i++ {
		for j, s := range steps {
			copy(out.F[(i*k+j)*v:], s.Slice(i))
		}
	}
	return out
}
