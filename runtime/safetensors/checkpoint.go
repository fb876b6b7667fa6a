package safetensors

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Checkpoint is a folder of open shards whose agreement with their index has been checked. It may be
// read by many goroutines until Close.
type Checkpoint struct {
	dir    string
	shards map[string]*File // by plain file name
	byName map[string]*File
	names  []string
	total  int64
}

// CheckpointError lists what is wrong with a checkpoint, each problem one sentence.
type CheckpointError struct {
	Dir      string
	Problems []error // sorted by file or tensor; at least one
}

// maxShown is how many problems a message lists: a missing shard alone can cause thousands.
const maxShown = 10

// Error shows the folder and the first ten problems, one a line, and counts the others.
func (e *CheckpointError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "checkpoint %s: ", e.Dir)
	if len(e.Problems) == 1 {
		b.WriteString(e.Problems[0].Error())
		return b.String()
	}
	fmt.Fprintf(&b, "%d problems", len(e.Problems))
	for _, p := range e.Problems[:min(len(e.Problems), maxShown)] {
		fmt.Fprintf(&b, "\n  %v", p)
	}
	if more := len(e.Problems) - maxShown; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As the single problems.
func (e *CheckpointError) Unwrap() []error { return e.Problems }

// OpenCheckpoint opens every shard that the index of a folder names, or SingleName where there is no
// index. It checks that index and shards agree tensor by tensor, and the total size if the index gives
// it. Other files of the folder are ignored. Problems come together in a *CheckpointError.
func OpenCheckpoint(dir string) (*Checkpoint, error) {
	idx, err := readIndex(filepath.Join(dir, IndexName))
	if errors.Is(err, os.ErrNotExist) {
		return openSingle(dir)
	}
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{dir: dir}
	problems := c.openShards(sortedValues(idx.files))
	problems = append(problems, c.match(idx)...)
	// With a shard or a tensor out of place the sum cannot be right; one message is enough.
	if len(problems) == 0 && idx.totalSize >= 0 && idx.totalSize != c.total {
		problems = append(problems, fmt.Errorf("%s: metadata.total_size is %d, the tensors have %d bytes",
			IndexName, idx.totalSize, c.total))
	}
	if len(problems) > 0 {
		return nil, errors.Join(&CheckpointError{Dir: dir, Problems: problems}, c.Close())
	}
	return c, nil
}

func openSingle(dir string) (*Checkpoint, error) {
	if _, err := os.Stat(filepath.Join(dir, SingleName)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint %s: neither %s nor %s exists there", dir, IndexName, SingleName)
	}
	c := &Checkpoint{dir: dir}
	if problems := c.openShards([]string{SingleName}); len(problems) > 0 {
		return nil, &CheckpointError{Dir: dir, Problems: problems}
	}
	f := c.shards[SingleName]
	c.byName = make(map[string]*File, len(f.tensors))
	for _, t := range f.tensors {
		c.byName[t.Name] = f
		c.total += int64(len(t.Data))
	}
	c.names = slices.Sorted(maps.Keys(c.byName))
	return c, nil
}

// openShards opens files in parallel: most of the time goes into waiting for their headers.
func (c *Checkpoint) openShards(files []string) (problems []error) {
	opened, errs := make([]*File, len(files)), make([]error, len(files))
	slots := make(chan struct{}, max(4, runtime.GOMAXPROCS(0)))
	var wg sync.WaitGroup
	for i, file := range files {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var path string
			if path, errs[i] = shardPath(c.dir, file); errs[i] == nil {
				opened[i], errs[i] = Open(path)
			}
		})
	}
	wg.Wait()
	c.shards = make(map[string]*File, len(files))
	for i, file := range files {
		if errs[i] != nil {
			problems = append(problems, errs[i])
			continue
		}
		c.shards[file] = opened[i]
	}
	return problems
}

// match fills the table of tensors and returns each tensor that index and shards disagree about.
func (c *Checkpoint) match(idx *index) (problems []error) {
	owners := make(map[string][]string, len(idx.files))
	for _, file := range slices.Sorted(maps.Keys(c.shards)) {
		for _, t := range c.shards[file].tensors {
			owners[t.Name] = append(owners[t.Name], file)
			c.total += int64(len(t.Data))
		}
	}
	names := make(map[string]bool, len(owners))
	for name := range owners {
		names[name] = true
	}
	for name := range idx.files {
		names[name] = true
	}
	c.byName = make(map[string]*File, len(names))
	c.names = slices.Sorted(maps.Keys(names))
	for _, name := range c.names {
		want, listed := idx.files[name]
		shard := c.shards[want]
		if listed && shard == nil {
			continue // its failure to open is reported already
		}
		if err := checkOwners(name, want, owners[name]); err != nil {
			problems = append(problems, err)
		}
		c.byName[name] = shard
	}
	return problems
}

// checkOwners compares the file that the index names for a tensor, "" for none, with those that hold it.
func checkOwners(name, want string, found []string) error {
	switch {
	case len(found) > 1:
		return fmt.Errorf("tensor %q is in %s and in %s; it must be in one file", name, found[0], found[1])
	case want == "":
		return fmt.Errorf("tensor %q is in %s, but not in the index", name, found[0])
	case len(found) == 0:
		return fmt.Errorf("tensor %q: the index places it in %s, which does not hold it", name, want)
	case found[0] != want:
		return fmt.Errorf("tensor %q: the index places it in %s, but it is in %s", name, want, found[0])
	}
	return nil
}

func sortedValues(m map[string]string) []string {
	return slices.Compact(slices.Sorted(maps.Values(m)))
}

// Dir returns the folder.
func (c *Checkpoint) Dir() string { return c.dir }

// Path returns the folder, as the Path of a File is the file.
func (c *Checkpoint) Path() string { return c.dir }

// Tensor returns the tensor of a name, and whether there is one.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	f, ok := c.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensor(name)
}

// Names returns the names of all tensors, sorted.
func (c *Checkpoint) Names() []string { return slices.Clone(c.names) }

// Files returns the open shards, sorted by name.
func (c *Checkpoint) Files() []*File {
	files := make([]*File, 0, len(c.shards))
	for _, name := range slices.Sorted(maps.Keys(c.shards)) {
		files = append(files, c.shards[name])
	}
	return files
}

// TotalBytes returns the sum of the tensors' bytes, headers not counted.
func (c *Checkpoint) TotalBytes() int64 { return c.total }

// Close closes all shards: the Data of all tensors becomes invalid.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.Files() {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
