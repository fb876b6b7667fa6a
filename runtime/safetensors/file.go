package safetensors

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// File is an open safetensors file. It may be read by many goroutines until Close.
type File struct {
	path     string
	tensors  []Tensor
	byName   map[string]int
	metadata map[string]string
	release  func() error
}

// Open maps a file and checks its header completely. The tensors' data stays on disk until it is used;
// the file must not be cut short while it is open, since the system answers such reads with a fault.
func Open(path string) (*File, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the mapping outlives the descriptor
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if int64(int(info.Size())) != info.Size() {
		return nil, fmt.Errorf("%s: %d bytes are too many for the addresses of this machine",
			path, info.Size())
	}
	content, release, err := mapFile(f, int(info.Size()))
	if err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", path, err)
	}
	tensors, metadata, err := parseFile(path, content)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	file := &File{path: path, tensors: tensors, metadata: metadata, release: release}
	file.byName = make(map[string]int, len(tensors))
	for i, t := range tensors {
		file.byName[t.Name] = i
	}
	return file, nil
}

// openRegular opens a file for reading; opening a pipe would wait for its writer.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	return os.Open(path)
}

// Path returns the path that the file was opened by.
func (f *File) Path() string { return f.path }

// Tensors returns all tensors in the order of their data.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Tensor returns the tensor of a name, and whether there is one.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Names returns the names of all tensors, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.byName)) }

// Metadata returns a copy of the header's string map, nil if it has none.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Close releases the mapping: the Data of all tensors becomes invalid. A second Close does nothing.
func (f *File) Close() error {
	release := f.release
	f.release = nil
	if release == nil {
		return nil
	}
	return release()
}
