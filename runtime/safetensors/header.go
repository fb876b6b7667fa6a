package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"flagc/runtime/strictjson"
)

const (
	lengthBytes = 8
	// maxHeader is generous: the header of a whole Pro checkpoint in one file has about 20 MB.
	maxHeader   = 100 << 20
	headerDepth = 3 // the header, a tensor, its lists
	metadataKey = "__metadata__"

	// A header that describes tensors spends more bytes than these on each of its JSON values. The
	// limit made from it refuses only headers written to exhaust memory.
	minValueBytes = 3
	freeValues    = 16
)

// entry is a tensor as the header describes it; begin and end count from the end of the header.
type entry struct {
	name       string
	dtype      string
	shape      []int
	begin, end int64
}

// parseFile checks the whole content of a file and returns its tensors by offset and its metadata.
func parseFile(file string, content []byte) ([]Tensor, map[string]string, error) {
	text, err := headerText(content)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	entries, metadata, err := parseHeader(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	start := lengthBytes + len(text)
	data := content[start:]
	if err := checkLayout(entries, int64(len(data))); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	tensors := make([]Tensor, len(entries))
	for i, e := range entries {
		tensors[i] = Tensor{
			Name: e.name, DType: e.dtype, Shape: e.shape,
			Data: data[e.begin:e.end:e.end], File: file, Offset: int64(start) + e.begin,
		}
	}
	return tensors, metadata, nil
}

// headerText returns the JSON text of the header.
func headerText(content []byte) ([]byte, error) {
	size := uint64(len(content))
	if size < lengthBytes {
		return nil, fmt.Errorf("truncated: %d bytes of the header length are missing", lengthBytes-size)
	}
	n := binary.LittleEndian.Uint64(content)
	if n > maxHeader {
		return nil, fmt.Errorf("header length is %d, more than the limit of %d: not a safetensors file",
			n, maxHeader)
	}
	if n > size-lengthBytes {
		missing := n - (size - lengthBytes)
		return nil, fmt.Errorf("truncated: the header has %d bytes, of which %d are missing", n, missing)
	}
	text := content[lengthBytes : lengthBytes+n]
	if n == 0 || text[0] != '{' {
		return nil, errors.New("the header does not begin with '{': not a safetensors file")
	}
	return text, nil
}

// parseHeader reads the header's JSON text. Each entry's length fits its dtype and shape; whether the
// entries fit together is left to checkLayout.
func parseHeader(text []byte) ([]entry, map[string]string, error) {
	root, err := strictjson.Parse(text, strictjson.Limits{
		MaxDepth: headerDepth, MaxBytes: maxHeader, MaxValues: len(text)/minValueBytes + freeValues,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	var metadata map[string]string
	entries := make([]entry, 0, root.Len())
	for name, v := range root.Fields() {
		if name == metadataKey {
			if metadata, err = stringMap(v); err != nil {
				return nil, nil, fmt.Errorf("header: %w", err)
			}
			continue
		}
		e, err := parseEntry(name, v)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		entries = append(entries, e)
	}
	return entries, metadata, nil
}

func stringMap(v strictjson.Value) (map[string]string, error) {
	if v.Kind() != strictjson.Object {
		return nil, v.Errorf("expected an object of strings, found %v", v.Kind())
	}
	m := make(map[string]string, v.Len())
	for key, value := range v.Fields() {
		s, err := value.Str()
		if err != nil {
			return nil, err
		}
		m[key] = s
	}
	return m, nil
}

func parseEntry(name string, v strictjson.Value) (entry, error) {
	e := entry{name: name}
	if v.Kind() != strictjson.Object {
		return e, v.Errorf("expected an object, found %v", v.Kind())
	}
	for key, value := range v.Fields() {
		if key != "dtype" && key != "shape" && key != "data_offsets" {
			return e, value.Errorf("unknown key; expected dtype, shape and data_offsets")
		}
	}
	var err error
	if e.dtype, err = v.Field("dtype").Str(); err != nil {
		return e, err
	}
	if e.shape, err = v.Field("shape").Ints(); err != nil {
		return e, err
	}
	want, err := byteSize(e.dtype, e.shape)
	if err != nil {
		return e, err
	}
	offsets := v.Field("data_offsets")
	if offsets.Kind() == strictjson.Array && offsets.Len() != 2 {
		return e, offsets.Errorf("expected begin and end, found %d numbers", offsets.Len())
	}
	ends, err := offsets.Ints()
	if err != nil {
		return e, err
	}
	e.begin, e.end = int64(ends[0]), int64(ends[1])
	if e.begin < 0 || e.end < e.begin {
		return e, offsets.Errorf("[%d, %d] is not a range of bytes", e.begin, e.end)
	}
	if e.end-e.begin != want {
		return e, offsets.Errorf("%s %v needs %d bytes, the offsets span %d",
			e.dtype, e.shape, want, e.end-e.begin)
	}
	return e, nil
}

// checkLayout sorts the entries by offset and checks that they cover exactly size bytes, none twice.
func checkLayout(entries []entry, size int64) error {
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	end, last, cut := int64(0), "", ""
	for _, e := range entries {
		if e.begin < end {
			return fmt.Errorf("tensor %q begins at byte %d of the data, inside tensor %q, which ends at %d",
				e.name, e.begin, last, end)
		}
		if e.begin > end {
			return fmt.Errorf("bytes %d to %d of the data, before tensor %q, belong to no tensor",
				end, e.begin, e.name)
		}
		end, last = e.end, e.name
		if end > size && cut == "" {
			cut = e.name
		}
	}
	if end > size {
		return fmt.Errorf("truncated: %d bytes are missing, from tensor %q on: the tensors have %d bytes, "+
			"the file holds %d", end-size, cut, end, size)
	}
	if end < size {
		return fmt.Errorf("%d bytes after the last tensor belong to no tensor", size-end)
	}
	return nil
}
