package safetensors

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// samples has a tensor of every dtype, lengths that leave later ones unaligned, awkward names.
func samples() []Data {
	le := binary.LittleEndian
	f32 := le.AppendUint32(le.AppendUint32(nil, math.Float32bits(1.5)), math.Float32bits(-2))
	i64 := le.AppendUint64(le.AppendUint64(nil, math.MaxInt32), math.MaxUint64)
	return []Data{
		{Spec{"bool", "BOOL", []int{1}}, []byte{1}},
		{Spec{"f32", "F32", []int{2, 1}}, f32},
		{Spec{"i64", "I64", []int{2}}, i64},
		{Spec{"big", "I64", nil}, le.AppendUint64(nil, 1<<31)},
		{Spec{"i32", "I32", []int{1}}, le.AppendUint32(nil, math.MaxUint32)},
		{Spec{"i16", "I16", []int{1}}, []byte{0xFE, 0xFF}},
		{Spec{"i8", "I8", []int{3}}, []byte{0, 0x7F, 0x80}},
		{Spec{"u8", "U8", []int{1}}, []byte{0x80}},
		{Spec{"bf16", "BF16", []int{2}}, []byte{0x80, 0x3F, 0x40, 0xC0}},
		{Spec{"f16", "F16", []int{1}}, []byte{0, 0x3C}},
		{Spec{"f64", "F64", []int{1}}, make([]byte, 8)},
		{Spec{"e4m3", "F8_E4M3", []int{2}}, []byte{0x7E, 0xB8}},
		{Spec{"e8m0", "F8_E8M0", []int{2}}, []byte{0, 128}},
		{Spec{"empty", "F32", []int{0, 4}}, nil},
		{Spec{"ünï \"<&>\n\\", "U8", []int{0}}, nil},
	}
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.safetensors")
	metadata := map[string]string{"format": "pt", "<b>": "\"\n"}
	require.NoError(t, WriteFile(path, metadata, samples()))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, metadata, f.Metadata())
	tensors := f.Tensors()
	require.Len(t, tensors, len(samples()))
	require.Zero(t, tensors[0].Offset%8)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for i, want := range samples() {
		got := tensors[i]
		require.Equal(t, want.Name, got.Name)
		require.Equal(t, want.DType, got.DType)
		require.Equal(t, append([]int{}, want.Shape...), got.Shape)
		require.True(t, bytes.Equal(want.Bytes, got.Data))
		require.True(t, bytes.Equal(want.Bytes, content[got.Offset:got.Offset+int64(len(got.Data))]))
		again, ok := f.Tensor(want.Name)
		require.True(t, ok)
		require.Equal(t, got, again)
	}
	_, ok := f.Tensor("no")
	require.False(t, ok)
	require.NoError(t, WriteFile(filepath.Join(dir, "b"), metadata, samples()))
	second, err := os.ReadFile(filepath.Join(dir, "b"))
	require.NoError(t, err)
	require.Equal(t, content, second, "same input, same bytes")
}

func TestTypedAccess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	require.NoError(t, WriteFile(path, nil, samples()))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	get := func(name string) Tensor { tensor, _ := f.Tensor(name); return tensor }
	for name, want := range map[string][]float32{
		"f32": {1.5, -2}, "bf16": {1, -3}, "e4m3": {448, -1}, "e8m0": {0x1p-127, 2}, "empty": {},
	} {
		got, err := get(name).Float32s()
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	for name, want := range map[string][]int64{
		"i64": {math.MaxInt32, -1}, "i32": {-1}, "i16": {-2}, "i8": {0, 127, -128}, "u8": {128},
		"big": {1 << 31},
	} {
		got, err := get(name).Int64s()
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	got, err := get("i64").Int32s()
	require.NoError(t, err)
	require.Equal(t, []int32{math.MaxInt32, -1}, got)
	_, err = get("big").Int32s()
	require.EqualError(t, err, path+`: tensor "big": element 0 is 2147483648, which does not fit in 32 bits`)
	_, err = get("bf16").Int32s()
	require.EqualError(t, err, path+`: tensor "bf16": expected dtype I64, I32, I16, I8 or U8, found BF16`)
	_, err = get("i8").Float32s()
	require.EqualError(t, err, path+`: tensor "i8": expected dtype F32, BF16, F8_E4M3 or F8_E8M0, found I8`)
}

func TestWriterInAnyOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	all := samples()
	specs := make([]Spec, len(all))
	for i, d := range all {
		specs[i] = d.Spec
	}
	w, err := Create(path, nil, specs)
	require.NoError(t, err)
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, d := range all {
		wg.Go(func() {
			out, err := w.WriterFor(d.Name)
			if err == nil {
				_, err = io.Copy(out, io.LimitReader(bytes.NewReader(d.Bytes), 1))
			}
			if err == nil && len(d.Bytes) > 1 {
				_, err = out.Write(d.Bytes[1:])
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist, "nothing under the name before Close")
	require.NoError(t, w.Close())
	require.NoError(t, w.Abort())
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, WriteFile(path, nil, all))
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestWriterErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	w, err := Create(path, nil, []Spec{{"a", "I8", []int{4}}, {"b", "I8", []int{4}}})
	require.NoError(t, err)
	require.EqualError(t, w.Write("c", nil), path+`: tensor "c" was not announced`)
	require.EqualError(t, w.Write("a", make([]byte, 5)), path+`: tensor "a" has 5 bytes, 4 were announced`)
	out, err := w.WriterFor("b")
	require.NoError(t, err)
	_, err = out.Write(make([]byte, 3))
	require.NoError(t, err)
	_, err = out.Write(make([]byte, 2))
	require.EqualError(t, err, path+`: tensor "b": 2 bytes after 3 exceed the 4 announced`)
	require.EqualError(t, w.Write("b", make([]byte, 4)), path+`: tensor "b" is written twice`)
	require.EqualError(t, w.Close(), path+`: tensor "a" has 0 of 4 bytes`)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "a failed Close leaves nothing")
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	huge := []int{math.MaxInt64 / 2}
	for _, c := range []struct {
		specs []Spec
		want  string
	}{
		{[]Spec{{"a", "I8", nil}, {"a", "I8", nil}}, `tensor "a": announced twice`},
		{[]Spec{{"a", "F4", nil}}, `tensor "a": unknown dtype "F4"`},
		{[]Spec{{"a", "I8", []int{-1}}}, `tensor "a": shape [-1] has a negative dimension`},
		{[]Spec{{"a", "I64", huge}}, `tensor "a": shape [4611686018427387903] overflows 63 bits of bytes`},
		{[]Spec{{"a", "I8", huge}, {"b", "I8", huge}}, `tensor "b": the file would exceed 63 bits of bytes`},
		{[]Spec{{"__metadata__", "I8", nil}}, `tensor "__metadata__": the name is reserved`},
		{[]Spec{{"\xff", "I8", nil}}, `tensor "\xff": the name is not valid UTF-8`},
	} {
		_, err := Create(path, nil, c.specs)
		require.EqualError(t, err, "cannot write "+path+": "+c.want)
	}
	_, err := Create(path, map[string]string{"a": "\xff"}, nil)
	require.ErrorContains(t, err, "is not valid UTF-8")
	_, err = Create(filepath.Join(dir, "no", "a"), nil, nil)
	require.ErrorContains(t, err, "cannot create a temporary file")
	require.Error(t, WriteFile(path, nil, []Data{{Spec{"a", "I8", []int{2}}, []byte{1}}}))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestWriteIndex(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, WriteIndex(dir, map[string]string{"b": "x", "a<": "y"}, 7))
	got, err := os.ReadFile(filepath.Join(dir, IndexName))
	require.NoError(t, err)
	require.Equal(t, strings.Join([]string{
		`{`, `  "metadata": {`, `    "total_size": 7`, `  },`,
		`  "weight_map": {`, `    "a<": "y",`, `    "b": "x"`, `  }`, `}`, ``}, "\n"), string(got))
	require.EqualError(t, WriteIndex(dir, map[string]string{"b": "../x"}, 7), `index entry of tensor "b": `+
		`"../x" is not a plain file name; shards must lie in the folder of the index`)
}

func TestDTypeSize(t *testing.T) {
	size, ok := DTypeSize("BF16")
	require.True(t, ok)
	require.Equal(t, 2, size)
	_, ok = DTypeSize("F4")
	require.False(t, ok)
}
