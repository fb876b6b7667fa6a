package weights

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"flagc/ir"
	"flagc/runtime/safetensors"
)

// FileLayout is how the tensors of a converted checkpoint are divided among files.
type FileLayout string

const (
	// Release holds every tensor whole, under its official name, in shards with an index.
	Release FileLayout = "release"
	// Ranks is one file for each rank, which holds what that rank has of every tensor.
	Ranks FileLayout = "ranks"
)

// FileLayouts lists the layouts.
var FileLayouts = []FileLayout{Release, Ranks}

// Conversion is what happens to the elements of a tensor. All are exact: the numbers stay the same.
type Conversion string

// The conversions.
const (
	Keep      Conversion = "keep"
	FP4ToBF16 Conversion = "fp4 to bf16"
	FP4ToFP8  Conversion = "fp4 to fp8" // proved tile by tile
	FP8ToBF16 Conversion = "fp8 to bf16"
)

// Plan says of every byte of a converted checkpoint where it comes from. All ranks have parts of equal sizes, so
// that one list describes the files of all of them: a tensor stands at the same offset in each.
type Plan struct {
	Layout FileLayout
	Model  string
	Mesh   ir.Mesh // of the ranks that have the files; nil in a release
	Files  []PlanFile
	Items  []*Item
}

// PlanFile is one output file of tensors.
type PlanFile struct {
	Name  string
	Rank  int   // whose file it is; 0 in a release
	Data  int64 // where the tensors' data begins: what offsets count from
	Bytes int64 // the whole file
}

// Item is one weight of one layer: what it is read from, what becomes of it, and where it goes.
type Item struct {
	Set        *ir.Params
	Weight     *ir.Weight
	Instance   string
	Conversion Conversion
	From, To   ir.Elem
	Source     []Part // elements, then scales: whole tensors of the checkpoint
	Parts      []Part // elements, then scales: what one file has of them
	Index      Cut    // of the axis that '*' enumerates
	Rows, Cols Cut    // of the stored matrix; of a vector, its rows
	File       int    // in Plan.Files; -1 for every file
}

// Cut says which part of an axis a rank has: one of Parts equal ones, by the rank's place along the mesh axis
// Over. Parts is 1 where every rank has the whole.
type Cut struct {
	Parts int
	Over  string
	Size  int // of the whole axis
}

// Range is the part of a rank.
func (c Cut) Range(mesh ir.Mesh, rank int) (from, to int) {
	if c.Parts < 2 {
		return 0, c.Size
	}
	n := c.Size / c.Parts
	at := mesh.Index(rank, c.Over)
	return at * n, (at + 1) * n
}

// Part is a tensor, or a row of equal tensors that lie one behind the other where its name has a '*'.
type Part struct {
	Name   string
	Role   Role
	DType  string // safetensors tag
	Shape  []int  // of one tensor
	Offset int64  // of the first, from where data begins
	Bytes  int64  // of one
}

// named is the name of the tensor with an index.
func (p Part) named(index int) string { return strings.Replace(p.Name, "*", strconv.Itoa(index), 1) }

// Count is how many tensors of each part one file has, at least 1.
func (it *Item) Count() int { return it.Index.Size / max(1, it.Index.Parts) }

// Ranks is how many ranks the files are for: 1 in a release.
func (p *Plan) Ranks() int { return p.Mesh.Ranks() }

// file is the output file of an item for a rank.
func (p *Plan) file(it *Item, rank int) int {
	if it.File >= 0 {
		return it.File
	}
	return rank
}

// NewPlan plans the conversion of an official checkpoint to what a module's weights say: their encodings after
// lower-precision, their splits after shard. A release holds whole tensors whatever the splits.
func NewPlan(m *ir.Module, layout FileLayout) (*Plan, error) {
	p := &Plan{Layout: layout, Model: ModelName(m)}
	if layout == Ranks {
		p.Mesh = m.Mesh
	}
	for _, set := range m.Params {
		for _, instance := range set.Instances {
			for _, w := range set.Weights {
				it, err := p.item(set, w, instance)
				if err != nil {
					return nil, fmt.Errorf("cannot plan weight %s: %w", ir.Join(instance, w.Tensor), err)
				}
				p.Items = append(p.Items, it)
			}
		}
	}
	if len(p.Items) == 0 {
		return nil, fmt.Errorf("module %s has no weights to convert", m.Name)
	}
	p.divide()
	return p, p.place()
}

// item plans one weight.
func (p *Plan) item(set *ir.Params, w *ir.Weight, instance string) (*Item, error) {
	it := &Item{Set: set, Weight: w, Instance: instance, From: w.Encoding(), To: w.Value.Type.Elem, File: -1}
	var err error
	if it.Conversion, err = conversionOf(it.From, it.To); err != nil {
		return nil, err
	}
	if err := it.cuts(p.Layout == Ranks); err != nil {
		return nil, err
	}
	whole, local := w.Stored(), it.localShape()
	if err := it.fits(whole, local); err != nil {
		return nil, err
	}
	it.Source = parts(layoutOf(w, it.From, whole), instance)
	it.Parts = parts(layoutOf(w, it.To, local), instance)
	return it, nil
}

// conversionOf finds the conversion between two encodings.
func conversionOf(from, to ir.Elem) (Conversion, error) {
	fp4, fp8, bf16 := ir.Quantised(ir.FP4, 1, 32), ir.Quantised(ir.FP8, tile, tile), ir.Plain(ir.BF16)
	switch {
	case from == to:
		return Keep, nil
	case from == fp4 && to == fp8:
		return FP4ToFP8, nil
	case from == fp4 && to == bf16:
		return FP4ToBF16, nil
	case from == fp8 && to == bf16:
		return FP8ToBF16, nil
	}
	return "", fmt.Errorf("no conversion from %s to %s is known to be exact", from, to)
}

// cuts reads the splits off the weight's axes.
func (it *Item) cuts(split bool) error {
	dims := it.Weight.Value.Type.Dims
	stored := it.Weight.Stored()
	it.Index, it.Rows, it.Cols = Cut{Parts: 1, Size: it.Weight.Count()}, Cut{Parts: 1, Size: 1}, Cut{Parts: 1, Size: 1}
	if len(stored) > 0 {
		it.Rows.Size = stored[0]
	}
	if len(stored) > 1 {
		it.Cols.Size = stored[1]
	}
	first := 0
	if it.Weight.IsMany() {
		first = 1
	}
	for i, d := range dims {
		if d.Split < 2 || !split {
			continue
		}
		cut := &it.Rows
		switch {
		case i < first:
			cut = &it.Index
		case i > first && i == len(dims)-1:
			cut = &it.Cols
		case i > first:
			return fmt.Errorf("its axis %s is split, and the rows of such a part do not lie together", d.Name)
		}
		cut.Parts, cut.Over = d.Split, d.Over
	}
	return nil
}

// localShape is the shape of the stored matrix that one file has.
func (it *Item) localShape() []int {
	shape := slices.Clone(it.Weight.Stored())
	for i := range shape {
		shape[i] /= [...]Cut{it.Rows, it.Cols}[i].Parts
	}
	return shape
}

// fits refuses parts that would cut a scale block, or a pair of FP4 codes. FP8 that becomes plain can be cut anywhere.
func (it *Item) fits(whole, local []int) error {
	for _, elem := range []ir.Elem{it.From, it.To} {
		if !elem.IsQuantised() {
			continue
		}
		if len(local) != 2 {
			return fmt.Errorf("%s of shape %v: scale blocks need a matrix", elem, local)
		}
		if elem.DType == ir.FP4 && local[1]%2 != 0 {
			return fmt.Errorf("fp4 codes lie in pairs, so rows have an even length; they have %d", local[1])
		}
		for i, block := range []int{elem.Rows, elem.Cols} {
			anywhere := elem.DType == ir.FP8 && !it.To.IsQuantised()
			if cut := [...]Cut{it.Rows, it.Cols}[i]; cut.Parts > 1 && local[i]%block != 0 && !anywhere {
				return fmt.Errorf("a part has %d of %d %s, no multiple of the scale block of %d in %s",
					local[i], whole[i], [...]string{"rows", "columns"}[i], block, elem)
			}
		}
	}
	if it.Conversion == FP4ToFP8 && (local[0]%tile != 0 || local[1]%tile != 0) {
		return fmt.Errorf("%d×%d is not made of 128×128 tiles, so it cannot be recast to FP8; keep it in FP4 (w4a8)",
			local[0], local[1])
	}
	return nil
}

// parts turns a layout into what a plan says of it.
func parts(l layout, instance string) []Part {
	out := make([]Part, len(l.parts))
	for i, p := range l.parts {
		t := Tensor{DType: p.dtype, Shape: p.shape}
		out[i] = Part{Name: ir.Join(instance, p.name), Role: p.role, DType: p.dtype, Shape: p.shape, Bytes: t.Bytes()}
	}
	return out
}

// divide names the files and gives the items of a release theirs: the embedding, one file for each layer, the head
// with the last norms, the MTP blocks, as the official checkpoints do.
func (p *Plan) divide() {
	if p.Layout == Ranks {
		for r := range p.Ranks() {
			p.Files = append(p.Files, PlanFile{Name: safetensors.RankName(r, p.Ranks()), Rank: r})
		}
		return
	}
	place := func(it *Item) int { return shardPlace(Tensor{Name: it.Parts[0].Name}) }
	var places []int
	for _, it := range p.Items {
		places = append(places, place(it))
	}
	slices.Sort(places)
	places = slices.Compact(places)
	for _, it := range p.Items {
		it.File, _ = slices.BinarySearch(places, place(it))
	}
	for i := range places {
		p.Files = append(p.Files, PlanFile{Name: shardName(i, len(places), false)})
	}
}

const (
	// dataAlign is what the data of a file begins at a multiple of: a page, so that it can be mapped.
	dataAlign = 4096
	// maxAlign is the largest alignment that a tensor's place is chosen for.
	maxAlign = 4096
)

// place gives every part its offset. Parts come by the largest power of two that divides the length of one
// tensor, the greatest first: then each begins at a multiple of its own, without gaps. Equal tensors, such as
// those of a layer's experts, lie one behind the other and can be taken as one array; so do their scales.
func (p *Plan) place() error {
	for f := range p.Files {
		if f > 0 && p.Layout == Ranks {
			p.Files[f].Bytes = p.Files[0].Bytes // the same in every file
			continue
		}
		list := p.placed(f)
		slices.SortStableFunc(list, func(a, b placed) int {
			return cmp.Compare(alignment(b.part.Bytes), alignment(a.part.Bytes))
		})
		for _, l := range list {
			l.part.Offset = p.Files[f].Bytes
			p.Files[f].Bytes += l.part.Bytes * int64(l.it.Count())
		}
	}
	for f := range p.Files {
		header, err := p.header(f)
		if err != nil {
			return err
		}
		p.Files[f].Data = int64(len(header))
		p.Files[f].Bytes += p.Files[f].Data
	}
	return nil
}

// placed is a part with the item that it belongs to.
type placed struct {
	it   *Item
	part *Part
}

// placed lists the parts that file f has.
func (p *Plan) placed(f int) []placed {
	var list []placed
	for _, it := range p.Items {
		if it.File >= 0 && it.File != f {
			continue
		}
		for i := range it.Parts {
			list = append(list, placed{it, &it.Parts[i]})
		}
	}
	return list
}

// alignment is the largest power of two up to maxAlign that divides n.
func alignment(n int64) int64 {
	if n == 0 {
		return maxAlign
	}
	return min(maxAlign, n&-n)
}

// header is what output file f begins with.
func (p *Plan) header(f int) ([]byte, error) {
	list := p.placed(f)
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.part.Offset, b.part.Offset) })
	var specs []safetensors.Spec
	for _, l := range list {
		first, _ := l.it.Index.Range(p.Mesh, p.Files[f].Rank)
		for i := range l.it.Count() {
			specs = append(specs, safetensors.Spec{Name: l.part.named(first + i), DType: l.part.DType, Shape: l.part.Shape})
		}
	}
	return safetensors.Header(p.metadata(f), specs, dataAlign)
}

// metadata is what a file says of itself. Readers of releases look for the format "pt".
func (p *Plan) metadata(f int) map[string]string {
	if p.Layout == Release {
		return map[string]string{"format": "pt"}
	}
	about := safetensors.RankMetadata(p.Files[f].Rank, p.Ranks(), p.Mesh.String())
	about["model"] = p.Model
	return about
}
