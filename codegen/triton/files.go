package triton

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"flagc/ir/tile"
)

// ManifestFile is the name of the list of kernels beside their files.
const ManifestFile = "kernels.json"

// Manifest is what kernels.json holds.
type Manifest struct {
	Format  int      `json:"format"` // 1
	Target  string   `json:"target"`
	Triton  string   `json:"triton"` // release that the target's compiler is of, "" if unknown
	Kernels []Kernel `json:"kernels"`
}

// Kernel is how a kernel is compiled and launched. Expressions are over the scalar parameters and the constants.
type Kernel struct {
	Name      string    `json:"name"`
	File      string    `json:"file"`
	Launch    string    `json:"launch,omitempty"` // the kernel of the graph, as its IR names it
	Step      int       `json:"step,omitempty"`   // which of the launch's programs, from 1, and of how many
	Steps     int       `json:"steps,omitempty"`
	Of        string    `json:"of"` // the first sentence of its text
	Params    []Param   `json:"params"`
	Constants Constants `json:"constants"`
	Grid      string    `json:"grid"` // how many instances; where it is 0 the kernel is not launched
	Warps     int       `json:"warps"`
	Stages    int       `json:"stages"`
	Registers int       `json:"registers,omitempty"` // of a thread at most (maxnreg)
	Dependent bool      `json:"dependent,omitempty"` // to be launched before the launch in front has ended, for which it waits
	Bytes     string    `json:"bytes,omitempty"`     // that a launch must move at least
	Flops     string    `json:"flops,omitempty"`
	Source    string    `json:"source,omitempty"`
}

// Param is an argument of a kernel, in the order of the call.
type Param struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"` // pointer or scalar
	DType  string   `json:"dtype"`
	Access string   `json:"access,omitempty"`
	Shape  []string `json:"shape,omitempty"`
	Doc    string   `json:"doc,omitempty"`
	From   *Origin  `json:"from,omitempty"`
}

// Constants are the named numbers that a kernel is compiled for, in the order of its signature.
type Constants []Constant

// Constant is one of them.
type Constant struct {
	Name  string
	Value int
}

// MarshalJSON writes an object whose keys keep their order.
func (c Constants) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range c {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(k.Name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s:%d", name, k.Value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Files are the kernels' Python files, one for each program, kernels.json and torch_ops.py. Programs are ordered by
// name; two of one name, or one that is not well formed, are an error.
func Files(target, tritonVersion string, programs []*tile.Program) (map[string][]byte, error) {
	return filesOf(target, tritonVersion, programs, describeKernel)
}

// filesOf is Files with what kernels.json says of each program.
func filesOf(target, tritonVersion string, programs []*tile.Program, describe func(*tile.Program) Kernel) (map[string][]byte, error) {
	sorted := append([]*tile.Program(nil), programs...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	files := map[string][]byte{}
	manifest := Manifest{Format: 1, Target: target, Triton: tritonVersion, Kernels: []Kernel{}}
	for _, p := range sorted {
		if err := tile.Verify(p); err != nil {
			return nil, fmt.Errorf("kernel %s is not well formed: %w", p.Name, err)
		}
		k := describe(p)
		if files[k.File] != nil {
			return nil, fmt.Errorf("two kernels are called %s: give each specialisation a name of its own", p.Name)
		}
		if slices.Contains(ownFiles(), k.File) {
			return nil, fmt.Errorf("a kernel cannot be called %s: a file of that name calls or tests kernels", p.Name)
		}
		files[k.File] = Print(p)
		manifest.Kernels = append(manifest.Kernels, k)
	}
	text, err := manifestText(manifest)
	if err != nil {
		return nil, err
	}
	files[ManifestFile] = text
	files[TorchFile] = torchModule(target, sorted)
	return files, nil
}

func manifestText(m Manifest) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(m)
	return b.Bytes(), err
}

func describeKernel(p *tile.Program) Kernel {
	k := Kernel{
		Name: p.Name, File: p.Name + ".py", Of: firstLine(p.Doc), Params: []Param{}, Constants: Constants{},
		Grid: p.Grid, Warps: p.Launch.Warps, Stages: p.Launch.Stages,
		Registers: p.Launch.Registers, Dependent: p.Launch.Dependents != tile.NoDependents,
		Bytes: p.Bytes, Flops: p.Flops, Source: p.Source,
	}
	for _, q := range p.Params {
		kind, access := "scalar", tile.Access("")
		if q.Pointer {
			kind, access = "pointer", q.Access
		}
		k.Params = append(k.Params, Param{q.Name, kind, q.DType.String(), string(access), q.Shape, q.Doc, nil})
	}
	for _, c := range p.Consts {
		k.Constants = append(k.Constants, Constant{c.Name, c.Value})
	}
	return k
}
