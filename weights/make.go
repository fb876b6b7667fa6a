package weights

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"flagc/ir"
	"flagc/runtime/atomicfile"
	"flagc/runtime/safetensors"
)

// MakeOptions are the choices of Make. The zero value is seed 0 in the official layout.
type MakeOptions struct {
	Seed   uint64
	Single bool // one file model.safetensors in place of shards and an index
	// Progress hears of bytes written, from one goroutine at a time; nil for nobody.
	Progress func(done, total int64)
}

// chunkBytes is how much of a tensor is in memory at a time in each worker.
const chunkBytes = 1 << 20

// configName is the file that a checkpoint's configuration lies in.
const configName = "config.json"

// Make writes a checkpoint of random weights for the model into the new folder dir: shards as the official
// checkpoints are split, their index, and config as config.json. The folder appears complete or not at all;
// one that exists must be empty.
func Make(m *ir.Module, config []byte, dir string, opts MakeOptions) error {
	all := Expected(m)
	if len(all) == 0 {
		return fmt.Errorf("module %s has no weights to make", m.Name)
	}
	if err := refuseContent(dir); err != nil {
		return err
	}
	for _, t := range all {
		if t.Index > 0 {
			continue // as the one of index 0
		}
		if _, err := newFiller(t, opts.Seed); err != nil {
			return err
		}
	}
	tmp, err := makeSibling(dir)
	if err != nil {
		return err
	}
	if err := fillFolder(tmp, all, config, opts); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return place(tmp, dir)
}

// refuseContent fails if dir exists and is not an empty folder.
func refuseContent(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot write a checkpoint to %s: %w", dir, err)
	case len(entries) > 0:
		return fmt.Errorf("folder %s is not empty: it holds %s; choose a new folder, or remove it first",
			dir, entries[0].Name())
	}
	return nil
}

// makeSibling creates a temporary folder beside dir, so that the last step is a rename.
func makeSibling(dir string) (string, error) {
	parent, base := filepath.Split(filepath.Clean(dir))
	if parent != "" {
		if err := os.MkdirAll(parent, 0o777); err != nil {
			return "", err
		}
	}
	tmp := filepath.Join(parent, fmt.Sprintf(".%s.tmp%d", base, rand.Uint32()))
	return tmp, os.Mkdir(tmp, 0o777)
}

// place renames the finished folder.
func place(tmp, dir string) error {
	err := atomicfile.SyncDir(tmp)
	if err == nil {
		err = os.Remove(dir) // empty, if it is there at all
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: %w", dir, err), os.RemoveAll(tmp))
	}
	return atomicfile.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

func fillFolder(dir string, all []Tensor, config []byte, opts MakeOptions) error {
	shards := [][]Tensor{all}
	if !opts.Single {
		shards = officialShards(all)
	}
	p := &progress{report: opts.Progress}
	files := make(map[string]string, len(all))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	names := make([]string, len(shards))
	for i, shard := range shards {
		names[i] = shardName(i, len(shards), opts.Single)
		for _, t := range shard {
			files[t.Name] = names[i]
			p.total += t.Bytes()
		}
	}
	for i, shard := range shards {
		group.Go(func() error { return writeShard(filepath.Join(dir, names[i]), shard, opts.Seed, p) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if !opts.Single {
		if err := safetensors.WriteIndex(dir, files, p.total); err != nil {
			return err
		}
	}
	return atomicfile.WriteFile(filepath.Join(dir, configName), config, 0o666)
}

func shardName(i, n int, single bool) string {
	if single {
		return safetensors.SingleName
	}
	return fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, n)
}

// officialShards splits tensors as the official checkpoints do: the embedding, one file for each layer, the
// head with the last norms, the MTP blocks.
func officialShards(all []Tensor) [][]Tensor {
	places := map[int][]Tensor{}
	for _, t := range all {
		at := shardPlace(t)
		places[at] = append(places[at], t)
	}
	order := make([]int, 0, len(places))
	for at := range places {
		order = append(order, at)
	}
	slices.Sort(order)
	shards := make([][]Tensor, len(order))
	for i, at := range order {
		shards[i] = places[at]
	}
	return shards
}

// shardPlace orders shards: -1 the embedding, then layers by number, then the rest, then MTP.
func shardPlace(t Tensor) int {
	const rest, mtp = math.MaxInt32 - 1, math.MaxInt32
	number, layer := strings.CutPrefix(instanceOf(t.Name), layerPrefix)
	switch {
	case layer:
		n, _ := strconv.Atoi(number) // instanceOf answers with numbers only
		return n
	case t.Name == embedName:
		return -1
	case t.MTP():
		return mtp
	}
	return rest
}

// writeShard makes one file. Wide elements come first, so that all are aligned.
func writeShard(path string, tensors []Tensor, seed uint64, p *progress) error {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Tensor) int {
		return cmp.Compare(elementBytes(b.DType), elementBytes(a.DType))
	})
	specs := make([]safetensors.Spec, len(tensors))
	for i, t := range tensors {
		specs[i] = safetensors.Spec{Name: t.Name, DType: t.DType, Shape: t.Shape}
	}
	w, err := safetensors.Create(path, nil, specs)
	if err != nil {
		return err
	}
	var buffer []byte
	for _, t := range tensors {
		if buffer, err = writeTensor(w, t, seed, buffer, p); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	return w.Close()
}

func elementBytes(dtype string) int {
	size, _ := safetensors.DTypeSize(dtype)
	return size
}

// writeTensor makes a tensor chunk by chunk in buffer, which it returns grown.
func writeTensor(w *safetensors.Writer, t Tensor, seed uint64, buffer []byte, p *progress) ([]byte, error) {
	f, err := newFiller(t, seed)
	if err != nil {
		return buffer, err
	}
	out, err := w.WriterFor(t.Name)
	if err != nil {
		return buffer, err
	}
	size, group := t.Bytes(), int64(f.group())
	perChunk := max(1, chunkBytes/group)
	for first := int64(0); first*group < size; first += perChunk {
		groups := min(perChunk, (size-first*group+group-1)/group)
		buffer = slices.Grow(buffer[:0], int(groups*group))[:groups*group]
		f.fill(buffer, uint64(first))
		// The last group of a tensor may be longer than what is left of it.
		chunk := buffer[:min(groups*group, size-first*group)]
		if _, err := out.Write(chunk); err != nil {
			return buffer, err
		}
		p.add(int64(len(chunk)))
	}
	return buffer, nil
}

// progress adds up bytes for a listener.
type progress struct {
	mu          sync.Mutex
	done, total int64
	report      func(done, total int64)
}

func (p *progress) add(n int64) {
	if p.report == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.report(p.done, p.total)
}
