package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"flagc/runtime/atomicfile"
)

// Spec announces a tensor to be written.
type Spec struct {
	Name  string
	DType string
	Shape []int
}

// Data is a Spec with its content.
type Data struct {
	Spec
	Bytes []byte // little-endian
}

// Writer fills a file whose layout is fixed at Create. Different tensors may be written by different
// goroutines at the same time.
type Writer struct {
	file *atomicfile.File

	mu      sync.Mutex // guards the progress within slots
	slots   map[string]*slot
	ordered []*slot
}

// slot is the place of one tensor in the file.
type slot struct {
	name   string
	offset int64
	size   int64
	filled int64
	taken  bool // by Write or WriterFor
}

// Create begins a file with the tensors of specs, in that order without gaps, so that wide dtypes
// should come first where readers want aligned data; the first tensor is 8-byte aligned. The file takes
// its name only when Close succeeds. Every Create must be followed by Close or Abort.
func Create(path string, metadata map[string]string, specs []Spec) (*Writer, error) {
	header, slots, err := layout(metadata, specs, lengthBytes)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return nil, err
	}
	w := &Writer{file: f, slots: make(map[string]*slot, len(slots)), ordered: slots}
	end := int64(len(header))
	for _, s := range slots {
		w.slots[s.name] = s
		end = s.offset + s.size
	}
	if _, err = f.Write(header); err == nil {
		err = f.Truncate(end) // reserves the length, so that tensors come in any order
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write %s: %w", path, err), f.Abort())
	}
	return w, nil
}

// Header returns what a file of these tensors begins with: the header's length and the header, filled up with
// spaces to a multiple of align, which is a multiple of 8. The tensors' data follows without gaps, in the order of
// specs.
func Header(metadata map[string]string, specs []Spec, align int) ([]byte, error) {
	header, _, err := layout(metadata, specs, align)
	return header, err
}

// layout returns the header, its length included, and the places of the tensors.
func layout(metadata map[string]string, specs []Spec, align int) ([]byte, []*slot, error) {
	var b bytes.Buffer
	b.Write(make([]byte, lengthBytes))
	b.WriteByte('{')
	if err := putMetadata(&b, metadata, len(specs) > 0); err != nil {
		return nil, nil, err
	}
	slots := make([]*slot, len(specs))
	seen := make(map[string]bool, len(specs))
	end := int64(0)
	for i, spec := range specs {
		size, err := checkSpec(spec, seen, end)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", spec.Name, err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		if err := putSpec(&b, spec, end, end+size); err != nil {
			return nil, nil, err
		}
		slots[i] = &slot{name: spec.Name, offset: end, size: size}
		end += size
	}
	b.WriteByte('}')
	if over := b.Len() % align; over > 0 {
		b.WriteString(strings.Repeat(" ", align-over))
	}
	header := b.Bytes()
	if len(header)-lengthBytes > maxHeader {
		return nil, nil, fmt.Errorf("the header has %d bytes, more than the limit of %d; use more files",
			len(header)-lengthBytes, maxHeader)
	}
	binary.LittleEndian.PutUint64(header, uint64(len(header)-lengthBytes))
	for _, s := range slots {
		s.offset += int64(len(header))
	}
	return header, slots, nil
}

func putMetadata(b *bytes.Buffer, metadata map[string]string, more bool) error {
	if len(metadata) == 0 {
		return nil
	}
	for k, v := range metadata {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("metadata %q: %q is not valid UTF-8", k, v)
		}
	}
	text, err := encode(metadata)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, `"%s":%s`, metadataKey, text)
	if more {
		b.WriteByte(',')
	}
	return nil
}

// checkSpec returns the bytes of a tensor that will begin at offset begin of the data.
func checkSpec(spec Spec, seen map[string]bool, begin int64) (int64, error) {
	switch {
	case seen[spec.Name]:
		return 0, errors.New("announced twice")
	case spec.Name == metadataKey:
		return 0, errors.New("the name is reserved")
	case !utf8.ValidString(spec.Name):
		return 0, errors.New("the name is not valid UTF-8")
	}
	seen[spec.Name] = true
	size, err := byteSize(spec.DType, spec.Shape)
	if err == nil && size > math.MaxInt64-maxHeader-lengthBytes-begin {
		err = errors.New("the file would exceed 63 bits of bytes")
	}
	return size, err
}

func putSpec(b *bytes.Buffer, spec Spec, begin, end int64) error {
	name, err := encode(spec.Name)
	if err != nil {
		return err
	}
	shape := strings.ReplaceAll(fmt.Sprint(spec.Shape), " ", ",")
	fmt.Fprintf(b, `%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, spec.DType, shape, begin, end)
	return nil
}

// encode returns the JSON of a string or of a map of strings, with its keys sorted.
func encode(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// take reserves the slot of a tensor, which can be done once.
func (w *Writer) take(name string) (*slot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.slots[name]
	switch {
	case s == nil:
		return nil, fmt.Errorf("%s: tensor %q was not announced", w.file.Target(), name)
	case s.taken:
		return nil, fmt.Errorf("%s: tensor %q is written twice", w.file.Target(), name)
	}
	s.taken = true
	return s, nil
}

// Write writes a whole tensor. Its length must be the announced one.
func (w *Writer) Write(name string, data []byte) error {
	s, err := w.take(name)
	if err != nil {
		return err
	}
	if int64(len(data)) != s.size {
		return fmt.Errorf("%s: tensor %q has %d bytes, %d were announced",
			w.file.Target(), name, len(data), s.size)
	}
	_, err = (&tensorWriter{w, s}).Write(data)
	return err
}

// WriterFor returns a writer that takes the tensor's content in pieces, from its beginning. Going beyond
// the announced length is an error of that Write; falling short is an error of Close.
func (w *Writer) WriterFor(name string) (io.Writer, error) {
	s, err := w.take(name)
	if err != nil {
		return nil, err
	}
	return &tensorWriter{w, s}, nil
}

type tensorWriter struct {
	w *Writer
	s *slot
}

func (t *tensorWriter) Write(p []byte) (int, error) {
	t.w.mu.Lock()
	at := t.s.filled
	t.w.mu.Unlock()
	target := t.w.file.Target()
	if int64(len(p)) > t.s.size-at {
		return 0, fmt.Errorf("%s: tensor %q: %d bytes after %d exceed the %d announced",
			target, t.s.name, len(p), at, t.s.size)
	}
	n, err := t.w.file.WriteAt(p, t.s.offset+at)
	t.w.mu.Lock()
	t.s.filled += int64(n)
	t.w.mu.Unlock()
	if err != nil {
		return n, fmt.Errorf("%s: tensor %q: %w", target, t.s.name, err)
	}
	return n, nil
}

// Close checks that every tensor is complete, flushes the file and gives it its name. After an error
// nothing is left of it.
func (w *Writer) Close() error {
	w.mu.Lock()
	i := slices.IndexFunc(w.ordered, func(s *slot) bool { return s.filled != s.size })
	w.mu.Unlock()
	if i >= 0 {
		s := w.ordered[i]
		err := fmt.Errorf("%s: tensor %q has %d of %d bytes", w.file.Target(), s.name, s.filled, s.size)
		return errors.Join(err, w.Abort())
	}
	return w.file.Commit()
}

// Abort removes what was written. It does nothing after Close, so that it can be deferred.
func (w *Writer) Abort() error { return w.file.Abort() }

// WriteFile writes a whole file from memory, complete or not at all.
func WriteFile(path string, metadata map[string]string, tensors []Data) error {
	specs := make([]Spec, len(tensors))
	for i, t := range tensors {
		specs[i] = t.Spec
	}
	w, err := Create(path, metadata, specs)
	if err != nil {
		return err
	}
	for _, t := range tensors {
		if err := w.Write(t.Name, t.Bytes); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	return w.Close()
}
