package compare

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/runtime/safetensors"
)

func f32(name string, shape []int, x ...float32) safetensors.Tensor {
	t := safetensors.Tensor{Name: name, DType: "F32", Shape: shape}
	for _, v := range x {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(v))
	}
	return t
}

func i32(name string, shape []int, x ...int32) safetensors.Tensor {
	t := safetensors.Tensor{Name: name, DType: "I32", Shape: shape}
	for _, v := range x {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(v))
	}
	return t
}

func bf16(name string, bits ...uint16) safetensors.Tensor {
	t := safetensors.Tensor{Name: name, DType: "BF16", Shape: []int{len(bits)}}
	for _, v := range bits {
		t.Data = binary.LittleEndian.AppendUint16(t.Data, v)
	}
	return t
}

func TestFloat32ToOneUnit(t *testing.T) {
	up := math.Nextafter32(1, 2)
	c := Tensors(f32("x", []int{2}, 1, -1), f32("x", []int{2}, up, -1))
	require.True(t, c.Equal())
	require.EqualValues(t, 1, c.MaxULP)
	c = Tensors(f32("x", []int{2}, 1, -1), f32("x", []int{2}, math.Nextafter32(up, 2), -1))
	require.False(t, c.Equal())
	c = Tensors(f32("x", []int{1}, 0), f32("x", []int{1}, float32(math.Copysign(0, -1))))
	require.True(t, c.Equal(), "zeros of both signs are the same number")
	c = Tensors(f32("x", []int{1}, 1), f32("x", []int{1}, float32(math.NaN())))
	require.False(t, c.Equal())
}

func TestBF16ByBits(t *testing.T) {
	c := Tensors(bf16("x", 0x3f80, 0x3f80), bf16("x", 0x3f80, 0x3f81))
	require.False(t, c.Equal())
	require.Equal(t, 1, c.Different)
	require.EqualValues(t, 1, c.MaxULP)
	require.Equal(t, &Place{[]int{1}, 1, 1.0078125}, c.First)
}

func TestRowsAndArgmax(t *testing.T) {
	c := Tensors(f32("x", []int{2, 2}, 3, 4, 1, 2), f32("x", []int{2, 2}, 3, 4, 2, 1))
	require.Equal(t, 1, c.Argmax)
	require.InDelta(t, math.Sqrt(2)/math.Sqrt(5), c.WorstL2, 1e-12)
	require.Equal(t, []int{1, 0}, c.First.Index)
}

func TestChoicesOrderApart(t *testing.T) {
	c := Tensors(i32("x", []int{2, 3}, 1, 2, 3, 4, 5, 6), i32("x", []int{2, 3}, 3, 2, 1, 4, 5, 7))
	require.Equal(t, 1, c.Sets)
	require.Equal(t, 3, c.Different)
	require.False(t, c.Equal())
}

func TestFilesInTheOrderOfTheFirst(t *testing.T) {
	r := Files([]safetensors.Tensor{f32("b", []int{1}, 1), f32("a", []int{1}, 2), f32("only", nil, 1)},
		[]safetensors.Tensor{f32("a", []int{1}, 3), f32("b", []int{1}, 5), f32("other", nil, 1)})
	require.Equal(t, "b", r.First().Name)
	require.Equal(t, []string{"only"}, r.OnlyA)
	require.Equal(t, []string{"other"}, r.OnlyB)
	require.False(t, r.Equal())
}

func TestUnlikeTensorsAreNotCompared(t *testing.T) {
	require.Equal(t, "dtype F32 against I32", Tensors(f32("x", []int{1}, 1), i32("x", []int{1}, 1)).Mismatch)
	require.Equal(t, "shape [1] against [1 1]", Tensors(f32("x", []int{1}, 1), f32("x", []int{1, 1}, 1)).Mismatch)
}
