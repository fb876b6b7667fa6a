package weights

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/runtime/safetensors"
)

// InspectOptions say how much of the content is read.
type InspectOptions struct {
	// Full reads every byte; otherwise the routed experts of each layer are sampled, and of every tensor the
	// first rows.
	Full bool
}

// Report describes a checkpoint. Its JSON is what the tool's --json prints.
type Report struct {
	Dir      string           `json:"dir"`
	Model    string           `json:"model"` // "DeepSeek-V4-Flash", …
	Files    int              `json:"files"`
	Totals   Totals           `json:"expected"`
	Found    Amount           `json:"found"`
	Layers   []LayerKind      `json:"layers"`
	Classes  []ClassReport    `json:"classes"`
	DTypes   []DTypeReport    `json:"dtypes"`
	Spread   []SpreadCount    `json:"fp4_scale_spread"`
	Inexact  int64            `json:"inexact_tiles"`     // that FP8 cannot hold exactly, code by code
	Example  string           `json:"inexact,omitempty"` // why, for the first of them
	From     *About           `json:"converted,omitempty"`
	Sampled  bool             `json:"sampled"` // Spread and the largest weights come from a sample
	Problems []*ReportProblem `json:"problems"`
	More     int              `json:"more_problems"`
}

// LayerKind is a kind of layer and where it stands.
type LayerKind struct {
	Kind      string   `json:"kind"` // the name of the parameter set
	Instances []string `json:"instances"`
}

// ClassReport adds up the tensors of a class.
type ClassReport struct {
	Class Class `json:"class"`
	Amount
	Largest float64 `json:"largest"`    // the largest |weight| read; indices not counted
	Where   string  `json:"largest_in"` // the tensor that it is in
}

// DTypeReport adds up the tensors of a dtype.
type DTypeReport struct {
	DType string `json:"dtype"`
	Amount
}

// SpreadCount says how many 128×128 tiles of FP4 weights have scales of which the largest is 2^Exponents
// times the smallest. Up to MaxLossless every tile can be recast to FP8 without loss (spec §7).
type SpreadCount struct {
	Exponents int   `json:"exponents"`
	Tiles     int64 `json:"tiles"`
}

// MaxLossless is the spread of scale exponents within a tile up to which FP8 holds any FP4 codes exactly.
const MaxLossless = 14

// ReportProblem is one thing that is wrong or odd.
type ReportProblem struct {
	File    string `json:"file,omitempty"`
	Message string `json:"message"`
	Help    string `json:"help,omitempty"`
}

// Inspect describes the checkpoint in dir beside the model m that its configuration gives, for a converted one after
// the passes that it was converted for. What is wrong with
// it stands in the report; the error is for folders that cannot be read as a checkpoint at all.
func Inspect(m *ir.Module, dir string, opts InspectOptions) (*Report, error) {
	c, err := safetensors.OpenCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	m = m.Clone()
	Adapt(m, c)
	from, err := ReadAbout(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r := &Report{From: from,
		Dir: dir, Model: ModelName(m), Files: len(c.Files()), Totals: Summary(m), Sampled: !opts.Full,
		Found: Amount{len(c.Names()), c.TotalBytes()}, Problems: []*ReportProblem{},
	}
	for _, set := range m.Params {
		if len(set.Instances) > 0 && set.Instances[0] != "" {
			r.Layers = append(r.Layers, LayerKind{set.Name, set.Instances})
		}
	}
	if err := r.check(m, c, opts); err != nil {
		return nil, err
	}
	r.count(c)
	r.survey(m, c, opts)
	return r, nil
}

// check runs Check, whose findings become part of the report.
func (r *Report) check(m *ir.Module, c *safetensors.Checkpoint, opts InspectOptions) error {
	var wrong *CheckError
	err := Check(m, c, CheckOptions{Values: opts.Full})
	if errors.As(err, &wrong) {
		for _, d := range wrong.Problems {
			r.problem(d)
		}
		r.More = wrong.More
		return nil
	}
	return err
}

func (r *Report) problem(d *diag.Diagnostic) {
	r.Problems = append(r.Problems, &ReportProblem{d.Span.File, d.Message, d.Help})
}

// count adds up what is in the files, known to the model or not.
func (r *Report) count(c *safetensors.Checkpoint) {
	classes, dtypes := map[Class]*ClassReport{}, map[string]*DTypeReport{}
	for _, f := range c.Files() {
		for _, t := range f.Tensors() {
			class, dtype := ClassOf(t.Name), t.DType
			if classes[class] == nil {
				classes[class] = &ClassReport{Class: class}
			}
			classes[class].add(int64(len(t.Data)))
			if dtypes[dtype] == nil {
				dtypes[dtype] = &DTypeReport{DType: dtype}
			}
			dtypes[dtype].add(int64(len(t.Data)))
		}
	}
	for _, class := range Classes {
		if have := classes[class]; have != nil {
			r.Classes = append(r.Classes, *have)
		}
	}
	for _, d := range dtypes {
		r.DTypes = append(r.DTypes, *d)
	}
	slices.SortFunc(r.DTypes, func(a, b DTypeReport) int { return strings.Compare(a.DType, b.DType) })
}

// known are the sizes by which released models are recognised.
var known = []struct {
	name                  string
	hidden, layers, expts int
}{
	{"DeepSeek-V4-Flash", 4096, 43, 256},
	{"DeepSeek-V4-Pro", 7168, 61, 384},
}

// ModelName recognises a released model by its sizes.
func ModelName(m *ir.Module) string {
	hidden, layers, experts := 0, 0, 0
	for _, set := range m.Params {
		for _, w := range set.Weights {
			if stored := w.Stored(); w.Tensor == embedName && len(stored) == 2 {
				hidden = stored[1]
			}
		}
		for _, instance := range set.Instances {
			if strings.HasPrefix(instance, layerPrefix) {
				layers++
			}
		}
		experts = max(experts, expertsOf(set))
	}
	for _, k := range known {
		if k.hidden == hidden && k.layers == layers && k.expts == experts {
			return k.name
		}
	}
	return fmt.Sprintf("a model of %d layers, hidden size %d, %d experts", layers, hidden, experts)
}
