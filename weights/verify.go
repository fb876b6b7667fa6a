package weights

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/runtime/safetensors"
)

// VerifyOptions are the choices of Verify.
type VerifyOptions struct {
	Against *safetensors.Checkpoint // what the checkpoint was converted from; nil to look at it alone
	Sample  bool                    // of routed experts compare the first and the middle one of each layer only
	Jobs    int                     // tensors looked at at a time; 0 for one per processor
}

// Verified is what a verification looked at and found in order.
type Verified struct {
	Tensors  int   `json:"tensors"`
	Bytes    int64 `json:"bytes"`
	Hashed   int   `json:"hashed_files"`     // against SHA256SUMS
	Compared int   `json:"compared_tensors"` // with the source, value by value
}

// opened is a folder of converted tensors of either layout.
type opened struct {
	plan  *Plan
	whole *safetensors.Checkpoint // of a release
	ranks *RankFiles
}

// tensor is a rank's part of a tensor.
func (o *opened) tensor(rank int, name string) (safetensors.Tensor, bool) {
	if o.ranks != nil {
		return o.ranks.files[rank].Tensor(name)
	}
	return o.whole.Tensor(name)
}

func (o *opened) close() error {
	if o.ranks != nil {
		return o.ranks.Close()
	}
	return o.whole.Close()
}

// Verify reads everything in dir again: that its files hold the tensors of the plan and m, which is the module that
// plan was made of, that values are numbers and hashes those of SHA256SUMS, and, against a source, that every value
// is the one of the source. The comparison widens both sides and shares no code with the conversion.
func Verify(plan *Plan, m *ir.Module, dir string, opts VerifyOptions) (v *Verified, err error) {
	o := &opened{plan: plan}
	if plan.Layout == Ranks {
		o.ranks, err = OpenRanks(plan, dir)
	} else {
		o.whole, err = safetensors.OpenCheckpoint(dir)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	v = &Verified{}
	steps := []func() error{
		func() error { return o.values(m, v) },
		func() error { return samePlan(plan, dir) },
		func() error { return checkSums(dir, jobsOrDefault(opts.Jobs), v) },
		func() error { return o.compare(opts, v) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// values checks names, shapes and dtypes, and reads every value.
func (o *opened) values(m *ir.Module, v *Verified) error {
	if o.whole != nil {
		as := m.Clone()
		Adapt(as, o.whole)
		v.Tensors, v.Bytes = len(o.whole.Names()), o.whole.TotalBytes()
		return Check(as, o.whole, CheckOptions{Values: true})
	}
	var problems diag.List
	for _, it := range o.plan.Items {
		for rank, f := range o.ranks.files {
			first, last := it.Index.Range(o.plan.Mesh, rank)
			for _, part := range it.Parts {
				for index := first; index < last; index++ {
					t, _ := f.Tensor(part.named(index))
					v.Tensors, v.Bytes = v.Tensors+1, v.Bytes+int64(len(t.Data))
					if d := checkValues(Tensor{Set: it.Set, Weight: it.Weight}, t); d != nil {
						problems.Add(d)
					}
				}
			}
		}
	}
	return problems.Err()
}

// samePlan holds the plan that lies in the folder, if one does, against the one that the model gives.
func samePlan(plan *Plan, dir string) error {
	text, err := readBounded(filepath.Join(dir, planName), maxCompanion)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	want, err := plan.JSON()
	if err == nil && !bytes.Equal(text, want) {
		return fmt.Errorf("%s is not the plan that this configuration, target and precision give", filepath.Join(dir, planName))
	}
	return err
}

// checkSums holds every file of a folder against its SHA256SUMS, if it has one.
func checkSums(dir string, jobs int, v *Verified) error {
	path := filepath.Join(dir, sumsName)
	text, err := readBounded(path, maxCompanion)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sums, err := parseSums(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := unlisted(dir, sums); err != nil {
		return err
	}
	names := make([]string, 0, len(sums))
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	found := make([]error, len(names))
	var group errgroup.Group
	group.SetLimit(jobs)
	for i, name := range names {
		group.Go(func() error { found[i] = checkSum(dir, name, sums[name]); return nil })
	}
	_ = group.Wait() // they report through found
	v.Hashed = len(names)
	return errors.Join(found...)
}

func checkSum(dir, name, want string) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s lists %s: %w", sumsName, name, err)
	}
	c := converter{sys: system{}}
	sum, err := c.hashFile(path, info.Size())
	if err == nil && sum != want {
		err = fmt.Errorf("%s: its SHA-256 is %s, %s says %s: the file was changed or damaged", path, sum, sumsName, want)
	}
	return err
}

// parseSums reads SHA256SUMS: a hash, two spaces and a local name in each line.
func parseSums(text []byte) (map[string]string, error) {
	sums := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" || !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, fmt.Errorf("line %d: expected a SHA-256, two spaces and a file in the folder", n)
		}
		if _, twice := sums[name]; twice {
			return nil, fmt.Errorf("line %d: %s is listed twice", n, name)
		}
		sums[name] = sum
	}
	return sums, lines.Err()
}

// unlisted fails if a folder holds a file that its SHA256SUMS does not list.
func unlisted(dir string, sums map[string]string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if _, ok := sums[filepath.ToSlash(rel)]; !ok && rel != sumsName {
			return fmt.Errorf("%s is not listed in %s: remove it, or convert again", path, sumsName)
		}
		return nil
	})
}

// oneTensor is one tensor of a weight, to be compared in every file that has it.
type oneTensor struct {
	it    *Item
	index int
}

// compare holds every value against the source.
func (o *opened) compare(opts VerifyOptions, v *Verified) error {
	if opts.Against == nil {
		return nil
	}
	var all []oneTensor
	for _, it := range o.plan.Items {
		for index := range it.Index.Size {
			if !opts.Sample || index == 0 || index == it.Index.Size/2 {
				all = append(all, oneTensor{it, index})
			}
		}
	}
	found := make([]error, len(all))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range jobsOrDefault(opts.Jobs) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				found[i] = o.compareOne(all[i], opts.Against)
			}
		})
	}
	wg.Wait()
	v.Compared = len(all)
	found = slices.DeleteFunc(found, func(err error) bool { return err == nil })
	if more := len(found) - diag.Limit; more > 0 {
		found = append(found[:diag.Limit], fmt.Errorf("and %s more tensors differ", grouped(int64(more))))
	}
	return errors.Join(found...)
}

// compareOne compares the parts of one tensor in all files with the source.
func (o *opened) compareOne(one oneTensor, src *safetensors.Checkpoint) error {
	it := one.it
	source, err := find(src.Tensor, it.Source, one.index, "the source")
	if err != nil {
		return err
	}
	for rank := range o.plan.Ranks() {
		if first, last := it.Index.Range(o.plan.Mesh, rank); one.index < first || one.index >= last {
			continue
		}
		in := func(name string) (safetensors.Tensor, bool) { return o.tensor(rank, name) }
		mine, err := find(in, it.Parts, one.index, o.plan.Files[o.plan.file(it, rank)].Name)
		if err != nil {
			return err
		}
		top, _ := it.Rows.Range(o.plan.Mesh, rank)
		left, _ := it.Cols.Range(o.plan.Mesh, rank)
		if err := it.equal(mine, source, top, left); err != nil {
			return err
		}
	}
	return nil
}

// find looks the tensors of a weight up.
func find(in func(string) (safetensors.Tensor, bool), parts []Part, index int, where string) ([]safetensors.Tensor, error) {
	out := make([]safetensors.Tensor, len(parts))
	for i, p := range parts {
		t, ok := in(p.named(index))
		if !ok || t.DType != p.DType || !slices.Equal(t.Shape, p.Shape) {
			return nil, fmt.Errorf("tensor %s is not in %s as %s %v", p.named(index), where, p.DType, p.Shape)
		}
		out[i] = t
	}
	return out, nil
}

// equal compares a part, whose first element is the source's at row top and column left.
func (it *Item) equal(mine, source []safetensors.Tensor, top, left int) error {
	if it.Conversion == Keep {
		for i := range mine {
			if err := it.sameBytes(i, mine[i], source[i], top, left); err != nil {
				return err
			}
		}
		return nil
	}
	rows, height := bands(mine[0], it.To)
	for from := 0; from < rows; from += height {
		to := min(from+height, rows)
		first := (top + from) / max(1, it.From.Rows) * max(1, it.From.Rows) // where a row of scales begins
		got := widen(it.To, band(mine, it.To, from, to))
		want := widen(it.From, band(source, it.From, first, top+to))
		cols, whole := len(got)/(to-from), len(want)/(top+to-first)
		want = want[(top+from-first)*whole:]
		for i, x := range got {
			r, c := i/cols, i%cols
			if y := want[r*whole+left+c]; x != y {
				return fmt.Errorf("%s: tensor %s: element [%d %d] is %v, the source gives %v",
					mine[0].File, mine[0].Name, from+r, c, x, y)
			}
		}
	}
	return nil
}

// sameBytes compares elements or scales that were not converted.
func (it *Item) sameBytes(i int, mine, source safetensors.Tensor, top, left int) error {
	if len(mine.Shape) == 0 {
		mine.Shape, source.Shape = []int{1}, []int{1}
	}
	if i > 0 {
		top, left = top/it.From.Rows, left/it.From.Cols
	} else {
		m := it.matrix(it.From, 1, 1)
		left = m.codeBytes(left)
	}
	stride, whole := len(mine.Data)/max(1, mine.Shape[0]), len(source.Data)/max(1, source.Shape[0])
	for r := range mine.Shape[0] {
		if !bytes.Equal(mine.Data[r*stride:(r+1)*stride], source.Data[(top+r)*whole+left:][:stride]) {
			return fmt.Errorf("%s: tensor %s: row %d is not that of the source", mine.File, mine.Name, r)
		}
	}
	return nil
}
