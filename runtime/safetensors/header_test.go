package safetensors

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// raw joins length, header text and data bytes.
func raw(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

// one is a header with one tensor "a".
func one(dtype, shape, offsets string) string {
	return `{"a":{"dtype":"` + dtype + `","shape":` + shape + `,"data_offsets":` + offsets + `}}`
}

// i8 is the entry of a tensor of bytes.
func i8(name, shape, offsets string) string {
	return `"` + name + `":{"dtype":"I8","shape":` + shape + `,"data_offsets":` + offsets + `}`
}

var goodHeader = `{"__metadata__":{"format":"pt"},` + i8("b", "[4]", "[8,12]") + `,` +
	`"s":{"shape":[],"data_offsets":[0,8],"dtype":"I64"},` + i8("none", "[3,0]", "[12,12]") + `}    `

var hostileHeaders = []struct {
	name    string
	content []byte
	want    string
}{
	{"empty file", nil, `truncated: 8 bytes of the header length are missing`},
	{"half a length", []byte{1, 2, 3}, `truncated: 5 bytes of the header length are missing`},
	{"header cut", raw(goodHeader, 12)[:100],
		`truncated: the header has 200 bytes, of which 108 are missing`},
	{"length beyond the limit", binary.LittleEndian.AppendUint64(nil, 1<<63),
		`header length is 9223372036854775808, more than the limit of 104857600: not a safetensors file`},
	{"length of all ones", binary.LittleEndian.AppendUint64(nil, 1<<64-1),
		`header length is 18446744073709551615, more than the limit of 104857600: not a safetensors file`},
	{"no header", raw("", 0), `the header does not begin with '{': not a safetensors file`},
	{"leading space", raw(" {}", 0), `the header does not begin with '{': not a safetensors file`},
	{"an array", raw("[]", 0), `the header does not begin with '{': not a safetensors file`},
	{"JSON cut", raw(`{"a":{`, 0), `header: 1:7: a: expected a key in quotes, found end of the document`},
	{"text after", raw(`{}x`, 0), `header: 1:3: unexpected 'x' after the end of the document`},
	{"invalid UTF-8", raw("{\"\xff\":{}}", 0), `header: 1:3: byte 0xFF is not valid UTF-8`},
	{"deep", raw(`{"a":{"b":[[`, 0), `header: 1:12: a.b.0: nested more than 3 deep`},
	{"many values", raw(`{"a":[`+strings.Repeat("1,", 1000)+`1]}`, 0),
		`header: 1:1373: a.683: the document has more than 685 values`},
	{"duplicate tensor", raw(`{`+i8("a", "[1]", "[0,1]")+`,`+i8("a", "[1]", "[1,2]")+`}`, 2),
		`header: 1:54: key "a" occurs twice in this object`},
	{"duplicate dtype", raw(`{"a":{"dtype":"I8","dtype":"U8"}}`, 0),
		`header: 1:20: a: key "dtype" occurs twice in this object`},
	{"tensor is a list", raw(`{"a":[]}`, 0), `tensor "a": 1:6: a: expected an object, found an array`},
	{"no dtype", raw(`{"a":{"shape":[],"data_offsets":[0,1]}}`, 1),
		`tensor "a": 1:6: a.dtype: missing; expected a string`},
	{"no shape", raw(`{"a":{"dtype":"I8","data_offsets":[0,1]}}`, 1),
		`tensor "a": 1:6: a.shape: missing; expected an array`},
	{"no offsets", raw(`{"a":{"dtype":"I8","shape":[]}}`, 1),
		`tensor "a": 1:6: a.data_offsets: missing; expected an array`},
	{"unknown key", raw(`{"a":{"dtype":"I8","scale":1}}`, 0),
		`tensor "a": 1:28: a.scale: unknown key; expected dtype, shape and data_offsets`},
	{"unknown dtype", raw(one("F4_E2M1", "[1]", "[0,1]"), 1), `tensor "a": unknown dtype "F4_E2M1"`},
	{"dtype in small letters", raw(one("bf16", "[1]", "[0,2]"), 2), `tensor "a": unknown dtype "bf16"`},
	{"dtype is a number", raw(`{"a":{"dtype":8,"shape":[],"data_offsets":[0,1]}}`, 1),
		`tensor "a": 1:15: a.dtype: expected a string, found a number`},
	{"negative dimension", raw(one("I8", "[-1,-1]", "[0,1]"), 1),
		`tensor "a": shape [-1 -1] has a negative dimension`},
	{"fraction", raw(one("I8", "[1.0]", "[0,1]"), 1),
		`tensor "a": 1:29: a.shape.0: expected an integer of at most 64 bits, found 1.0`},
	{"dimension of 65 bits", raw(one("I8", "[18446744073709551617]", "[0,1]"), 1),
		`tensor "a": 1:29: a.shape.0: expected an integer of at most 64 bits, found 18446744073709551617`},
	{"product overflows to 0", raw(one("I8", "[4294967296,4294967296]", "[0,0]"), 0),
		`tensor "a": shape [4294967296 4294967296] overflows 63 bits of bytes`},
	{"bytes overflow", raw(one("I64", "[1152921504606846976]", "[0,0]"), 0),
		`tensor "a": shape [1152921504606846976] overflows 63 bits of bytes`},
	{"rank 9", raw(one("I8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1),
		`tensor "a": shape has 9 dimensions, at most 8 are supported`},
	{"three offsets", raw(one("I8", "[1]", "[0,1,2]"), 1),
		`tensor "a": 1:47: a.data_offsets: expected begin and end, found 3 numbers`},
	{"offsets swapped", raw(one("I8", "[1]", "[1,0]"), 1),
		`tensor "a": 1:47: a.data_offsets: [1, 0] is not a range of bytes`},
	{"negative offset", raw(one("I8", "[1]", "[-1,0]"), 1),
		`tensor "a": 1:47: a.data_offsets: [-1, 0] is not a range of bytes`},
	{"length does not fit", raw(one("BF16", "[2,3]", "[0,11]"), 11),
		`tensor "a": 1:51: a.data_offsets: BF16 [2 3] needs 12 bytes, the offsets span 11`},
	{"overlap", raw(`{`+i8("a", "[4]", "[0,4]")+`,`+i8("b", "[4]", "[3,7]")+`}`, 7),
		`tensor "b" begins at byte 3 of the data, inside tensor "a", which ends at 4`},
	{"same place", raw(`{`+i8("a", "[4]", "[0,4]")+`,`+i8("b", "[4]", "[0,4]")+`}`, 4),
		`tensor "b" begins at byte 0 of the data, inside tensor "a", which ends at 4`},
	{"nested beyond the end", raw(`{`+i8("a", "[9]", "[0,9]")+`,`+i8("b", "[1]", "[4,5]")+`}`, 7),
		`tensor "b" begins at byte 4 of the data, inside tensor "a", which ends at 9`},
	{"gap", raw(`{`+i8("a", "[4]", "[0,4]")+`,`+i8("b", "[4]", "[5,9]")+`}`, 9),
		`bytes 4 to 5 of the data, before tensor "b", belong to no tensor`},
	{"gap at the front", raw(one("I8", "[1]", "[1,2]"), 2),
		`bytes 0 to 1 of the data, before tensor "a", belong to no tensor`},
	{"trailing bytes", raw(one("I8", "[1]", "[0,1]"), 3),
		`2 bytes after the last tensor belong to no tensor`},
	{"only trailing bytes", raw(`{}`, 3), `3 bytes after the last tensor belong to no tensor`},
	{"data cut", raw(goodHeader, 9),
		`truncated: 3 bytes are missing, from tensor "b" on: the tensors have 12 bytes, the file holds 9`},
	{"data far away", raw(one("I8", "[1099511627776]", "[0,1099511627776]"), 1),
		`truncated: 1099511627775 bytes are missing, from tensor "a" on: ` +
			`the tensors have 1099511627776 bytes, the file holds 1`},
	{"metadata of numbers", raw(`{"__metadata__":{"n":1}}`, 0),
		`header: 1:22: __metadata__.n: expected a string, found a number`},
	{"metadata is text", raw(`{"__metadata__":"pt"}`, 0),
		`header: 1:17: __metadata__: expected an object of strings, found a string`},
}

func TestHostileHeaders(t *testing.T) {
	for _, c := range hostileHeaders {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.safetensors")
			require.NoError(t, os.WriteFile(path, c.content, 0o644))
			f, err := Open(path)
			require.EqualError(t, err, path+": "+c.want)
			require.Nil(t, f)
		})
	}
}

func TestHeaderInAnyOrder(t *testing.T) {
	tensors, metadata, err := parseFile("x", raw(goodHeader, 12))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"format": "pt"}, metadata)
	require.Len(t, tensors, 3)
	require.Equal(t, []string{"s", "b", "none"}, []string{tensors[0].Name, tensors[1].Name, tensors[2].Name})
	require.Equal(t, []int{3, 0}, tensors[2].Shape)
	require.Equal(t, []int{}, tensors[0].Shape)
	require.Equal(t, 1, tensors[0].Elements())
	require.Equal(t, int64(8+len(goodHeader)+8), tensors[1].Offset)
	_, metadata, err = parseFile("x", raw(`{}`, 0))
	require.NoError(t, err)
	require.Nil(t, metadata)
}

// FuzzHeader feeds whole files. What is accepted must cover its bytes exactly.
func FuzzHeader(f *testing.F) {
	f.Add(raw(goodHeader, 12))
	for _, c := range hostileHeaders {
		f.Add(c.content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		tensors, _, err := parseFile("x", content)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "x: "))
			return
		}
		at := int64(lengthBytes) + int64(binary.LittleEndian.Uint64(content))
		for _, tensor := range tensors {
			size, err := byteSize(tensor.DType, tensor.Shape)
			require.NoError(t, err)
			require.Equal(t, at, tensor.Offset)
			require.Len(t, tensor.Data, int(size))
			at += size
		}
		require.Equal(t, int64(len(content)), at)
	})
}

// Memory for a header of nothing but values stays in proportion to it.
func TestHeaderAllocation(t *testing.T) {
	const size = 1 << 20
	const perByte = 200 // a value and its share of growing slices, for every two bytes of text
	content := raw(`{"a":[`+strings.Repeat("1,", size/2)+`1]}`, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := parseFile("x", content)
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, err, "more than")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(perByte*size))
}
