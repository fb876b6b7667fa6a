package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"flagc/runtime/atomicfile"
	"flagc/runtime/strictjson"
)

const (
	// IndexName is the file that names the shard of every tensor.
	IndexName = "model.safetensors.index.json"
	// SingleName is the file of a checkpoint that has no index.
	SingleName = "model.safetensors"

	maxIndex   = 100 << 20
	indexDepth = 8 // metadata may hold more than it needs
)

// index is the checked content of IndexName.
type index struct {
	files     map[string]string // tensor to file, a plain name
	totalSize int64             // -1 when not given
}

func readIndex(path string) (*index, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err != nil {
		return nil, err
	}
	idx, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return idx, nil
}

func parseIndex(text []byte) (*index, error) {
	root, err := strictjson.Parse(text, strictjson.Limits{MaxDepth: indexDepth, MaxBytes: maxIndex})
	if err != nil {
		return nil, err
	}
	weights := root.Field("weight_map")
	if weights.Kind() != strictjson.Object || weights.Len() == 0 {
		return nil, weights.Errorf("expected an object that maps tensor names to files")
	}
	idx := &index{files: make(map[string]string, weights.Len()), totalSize: -1}
	for name, v := range weights.Fields() {
		file, err := v.Str()
		if err != nil {
			return nil, err
		}
		if err := checkBase(file); err != nil {
			return nil, v.Errorf("%v", err)
		}
		idx.files[name] = file
	}
	if size := root.Get("metadata.total_size"); size.Exists() {
		if idx.totalSize, err = size.Int(); err != nil {
			return nil, err
		}
		if idx.totalSize < 0 {
			return nil, size.Errorf("expected a number of bytes, found %d", idx.totalSize)
		}
	}
	return idx, nil
}

// checkBase refuses file names that could lead out of the checkpoint's folder on any system.
func checkBase(file string) error {
	if file == "." || strings.ContainsAny(file, "/\\:\x00") || !filepath.IsLocal(file) {
		return fmt.Errorf("%q is not a plain file name; shards must lie in the folder of the index", file)
	}
	return nil
}

// shardPath returns the path of a shard after checking that it is a regular file inside dir.
func shardPath(dir, file string) (string, error) {
	path := filepath.Join(dir, file)
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s: the index names this file, but it does not exist", file)
	}
	if err != nil {
		return "", err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		return path, checkLink(dir, file)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: not a regular file", file)
	}
	return path, nil
}

// checkLink fails unless the symbolic link leads to a regular file inside dir.
func checkLink(dir, file string) error {
	target, err := filepath.EvalSymlinks(filepath.Join(dir, file))
	if err != nil {
		return fmt.Errorf("%s: the link cannot be followed: %w", file, err)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, target)
	if err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("%s: the link leaves the folder, for %s; put the file itself in the folder",
			file, target)
	}
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", file)
	}
	return nil
}

// WriteIndex writes IndexName into dir, complete or not at all. See IndexText.
func WriteIndex(dir string, files map[string]string, totalSize int64) error {
	text, err := IndexText(files, totalSize)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, IndexName), text, 0o666)
}

// IndexText is the content of IndexName: the file of each tensor, sorted by tensor, and the sum of the tensors'
// bytes. File names must be plain.
func IndexText(files map[string]string, totalSize int64) ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := checkBase(files[name]); err != nil {
			return nil, fmt.Errorf("index entry of tensor %q: %w", name, err)
		}
	}
	var doc struct {
		Metadata struct {
			TotalSize int64 `json:"total_size"`
		} `json:"metadata"`
		WeightMap map[string]string `json:"weight_map"`
	}
	doc.Metadata.TotalSize, doc.WeightMap = totalSize, files
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // sorts the keys of maps
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(doc)
	return b.Bytes(), err
}
