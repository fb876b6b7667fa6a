package weights

import (
	"fmt"
	"strings"
)

// PlanReport is what a conversion will read, write and need, before anything is touched.
type PlanReport struct {
	Model   string     `json:"model"`
	Layout  FileLayout `json:"layout"`
	Ranks   int        `json:"ranks"`
	Files   int        `json:"files"`
	Read    Amount     `json:"read"`    // tensors of the checkpoint, each byte once
	Written Amount     `json:"written"` // tensors of all files
	Disk    int64      `json:"disk"`    // bytes of all files of tensors
	Largest int64      `json:"largest_file"`
	Memory  int64      `json:"memory"` // about what the conversion takes at its peak
	Jobs    int        `json:"jobs"`
	Classes []Traffic  `json:"classes"`
	Kinds   []Traffic  `json:"conversions"`
}

// Traffic adds up tensors of one class, or of one conversion.
type Traffic struct {
	Name    string `json:"name"`
	Read    Amount `json:"read"`
	Written Amount `json:"written"`
}

// Report adds a plan up for a number of jobs, 0 for the default.
func (p *Plan) Report(jobs int) PlanReport {
	jobs = jobsOrDefault(jobs)
	r := PlanReport{Model: p.Model, Layout: p.Layout, Ranks: p.Ranks(), Files: len(p.Files), Jobs: jobs, Memory: p.memory(jobs)}
	classes, kinds := map[string]*Traffic{}, map[string]*Traffic{}
	for _, it := range p.Items {
		read, written := it.read(), p.written(it)
		r.Read.join(read)
		r.Written.join(written)
		for _, to := range []*Traffic{traffic(classes, string(ClassOf(it.Source[0].Name))), traffic(kinds, string(it.Conversion))} {
			to.Read.join(read)
			to.Written.join(written)
		}
	}
	for _, f := range p.Files {
		r.Disk += f.Bytes
		r.Largest = max(r.Largest, f.Bytes)
	}
	for _, class := range Classes {
		if t := classes[string(class)]; t != nil {
			r.Classes = append(r.Classes, *t)
		}
	}
	for _, kind := range []Conversion{Keep, FP4ToFP8, FP4ToBF16, FP8ToBF16} {
		if t := kinds[string(kind)]; t != nil {
			r.Kinds = append(r.Kinds, *t)
		}
	}
	return r
}

func traffic(all map[string]*Traffic, name string) *Traffic {
	if all[name] == nil {
		all[name] = &Traffic{Name: name}
	}
	return all[name]
}

func (a *Amount) join(b Amount) {
	a.Tensors += b.Tensors
	a.Bytes += b.Bytes
}

// read is what an item takes from the checkpoint.
func (it *Item) read() (a Amount) {
	for _, s := range it.Source {
		a.join(Amount{it.Index.Size, s.Bytes * int64(it.Index.Size)})
	}
	return a
}

// written is what an item has in all files together.
func (p *Plan) written(it *Item) (a Amount) {
	n := it.Count() * p.Ranks()
	for _, s := range it.Parts {
		a.join(Amount{n, s.Bytes * int64(n)})
	}
	return a
}

// Text is the report as a table.
func (r PlanReport) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s as %s: %s", r.Model, r.Layout, plural(r.Files, "file"))
	if r.Layout == Ranks {
		fmt.Fprintf(&b, ", one for each of %s", plural(r.Ranks, "rank"))
	}
	fmt.Fprintf(&b, "\n  read     %14s  %s\n", size(r.Read.Bytes), plural(r.Read.Tensors, "tensor"))
	fmt.Fprintf(&b, "  written  %14s  %s, the largest file %s\n",
		size(r.Written.Bytes), plural(r.Written.Tensors, "tensor"), size(r.Largest))
	fmt.Fprintf(&b, "  disk     %14s  needed beside the checkpoint\n", size(r.Disk))
	fmt.Fprintf(&b, "  memory   %14s  at most, about, with %s\n", size(r.Memory), plural(r.Jobs, "job"))
	table(&b, "class", r.Classes)
	table(&b, "conversion", r.Kinds)
	return b.String()
}

func table(b *strings.Builder, what string, rows []Traffic) {
	fmt.Fprintf(b, "\n  %-18s %9s %14s %9s %14s\n", what, "tensors", "read", "tensors", "written")
	for _, t := range rows {
		fmt.Fprintf(b, "  %-18s %9s %14s %9s %14s\n", t.Name, grouped(int64(t.Read.Tensors)), size(t.Read.Bytes),
			grouped(int64(t.Written.Tensors)), size(t.Written.Bytes))
	}
}
