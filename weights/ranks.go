package weights

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"flagc/runtime/safetensors"
)

// Store is where a Source finds whole tensors: a checkpoint, or the files of all ranks.
type Store interface {
	Dir() string
	Tensor(name string) (safetensors.Tensor, bool)
}

// RankFiles are the open files of all ranks of a converted checkpoint.
type RankFiles struct {
	dir    string
	plan   *Plan
	files  []*safetensors.File
	byName map[string]ranked
}

// ranked is where a tensor is: a part of an item, with an index.
type ranked struct {
	it    *Item
	part  int
	index int
}

// OpenRanks opens the files that plan describes, in dir, and checks that each holds exactly what the plan says, where
// it says so.
func OpenRanks(plan *Plan, dir string) (*RankFiles, error) {
	r := &RankFiles{dir: dir, plan: plan, byName: map[string]ranked{}}
	for i, f := range plan.Files {
		file, err := safetensors.Open(filepath.Join(dir, f.Name))
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		r.files = append(r.files, file)
		if err := file.CheckRank(f.Rank, plan.Ranks(), plan.Mesh.String()); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		if err := r.check(i); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", file.Path(), err), r.Close())
		}
	}
	for _, it := range plan.Items {
		for i, part := range it.Parts {
			for index := range it.Index.Size {
				r.byName[part.named(index)] = ranked{it, i, index}
			}
		}
	}
	return r, nil
}

// check holds a file against the plan.
func (r *RankFiles) check(rank int) error {
	f, expected := r.files[rank], 0
	for _, it := range r.plan.Items {
		first, last := it.Index.Range(r.plan.Mesh, rank)
		for _, part := range it.Parts {
			for index := first; index < last; index++ {
				expected++
				t, ok := f.Tensor(part.named(index))
				at := r.plan.Files[rank].Data + part.Offset + part.Bytes*int64(index-first)
				switch {
				case !ok:
					return fmt.Errorf("tensor %s is missing: expected %s %v", part.named(index), part.DType, part.Shape)
				case t.DType != part.DType || !slices.Equal(t.Shape, part.Shape):
					return fmt.Errorf("tensor %s: expected %s %v, found %s %v; the files must be of the same ranks and precision",
						t.Name, part.DType, part.Shape, t.DType, t.Shape)
				case t.Offset != at:
					return fmt.Errorf("tensor %s begins at byte %d, expected at %d", t.Name, t.Offset, at)
				}
			}
		}
	}
	if n := len(f.Tensors()); n != expected {
		return fmt.Errorf("it holds %s, expected %d", plural(n, "tensor"), expected)
	}
	return nil
}

// Dir returns the folder.
func (r *RankFiles) Dir() string { return r.dir }

// Tensor returns the whole tensor of a name: mapped where one rank has all of it, put together from the ranks' parts
// where not.
func (r *RankFiles) Tensor(name string) (safetensors.Tensor, bool) {
	at, ok := r.byName[name]
	if !ok {
		return safetensors.Tensor{}, false
	}
	it := at.it
	if it.Rows.Parts < 2 && it.Cols.Parts < 2 {
		return r.owner(at).Tensor(name)
	}
	return r.assemble(at, name), true
}

// owner is the first file that has an index.
func (r *RankFiles) owner(at ranked) *safetensors.File {
	for rank, f := range r.files {
		if first, last := at.it.Index.Range(r.plan.Mesh, rank); first <= at.index && at.index < last {
			return f
		}
	}
	return nil // ranges cover the axis
}

// assemble copies the parts of all ranks to their places.
func (r *RankFiles) assemble(at ranked, name string) safetensors.Tensor {
	it := at.it
	whole := layoutOf(it.Weight, it.To, it.Weight.Stored()).parts[at.part]
	t := Tensor{DType: whole.dtype, Shape: whole.shape}
	out := safetensors.Tensor{Name: name, DType: whole.dtype, Shape: whole.shape, File: r.files[0].Path()}
	out.Data = make([]byte, t.Bytes())
	stride := len(out.Data) / max(1, whole.shape[0])
	for rank, f := range r.files {
		part, ok := f.Tensor(name)
		if !ok {
			continue
		}
		top, _ := scaled(it.Rows, whole.shape[0]).Range(r.plan.Mesh, rank)
		left, _ := scaled(it.Cols, stride).Range(r.plan.Mesh, rank)
		width := len(part.Data) / max(1, part.Shape[0])
		for row := range part.Shape[0] {
			copy(out.Data[(top+row)*stride+left:][:width], part.Data[row*width:])
		}
	}
	return out
}

// scaled is a cut of an axis counted in other units: rows of scale blocks, bytes of a row.
func scaled(c Cut, size int) Cut { return Cut{Parts: c.Parts, Over: c.Over, Size: size} }

// Close releases the files: the data of tensors becomes invalid.
func (r *RankFiles) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
