package tritoncheck

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Manifest is a folder of kernels: its kernels.json.
type Manifest struct {
	Format  int      `json:"format"`
	Target  string   `json:"target"`
	Kernels []Kernel `json:"kernels"`

	Dir string `json:"-"` // where it was read from
}

// Kernel is one Triton function, in a file of its own under its own name.
type Kernel struct {
	Name      string         `json:"name"`
	File      string         `json:"file"`
	Of        string         `json:"of"`
	Params    []Param        `json:"params"`
	Constants map[string]int `json:"constants"`
	Grid      string         `json:"grid"` // see EvalGrid
	Warps     int            `json:"warps"`
	Stages    int            `json:"stages"`
	Registers int            `json:"registers"`
	Dependent bool           `json:"dependent"`
	Bytes     string         `json:"bytes"`
	Flops     string         `json:"flops"`
}

// Param is a parameter of a kernel, in the order of the function.
type Param struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`             // pointer or scalar
	DType  string `json:"dtype"`            // bf16 f16 f32 e4m3 i8 u8 i32 i64
	Access string `json:"access,omitempty"` // in, out or inout, of a pointer
}

// dtypeBytes are the sizes of the types that parameters have.
var dtypeBytes = map[string]int{"bf16": 2, "f16": 2, "f32": 4, "e4m3": 1, "i8": 1, "u8": 1, "i32": 4, "i64": 8}

const manifestFormat = 1

// ReadManifest reads kernels.json in dir and checks it.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, "kernels.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Dir: dir}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("%s: format %d, expected %d", path, m.Format, manifestFormat)
	}
	for _, k := range m.Kernels {
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("%s: kernel %s: %w", path, k.Name, err)
		}
	}
	return m, nil
}

func (k *Kernel) check() error {
	if k.Name == "" || k.File == "" {
		return fmt.Errorf("without a name or a file")
	}
	for _, p := range k.Params {
		switch {
		case dtypeBytes[p.DType] == 0:
			return fmt.Errorf("parameter %s: unknown dtype %q", p.Name, p.DType)
		case p.Kind == "pointer" && p.Access != "in" && p.Access != "out" && p.Access != "inout":
			return fmt.Errorf("parameter %s: access %q, expected in, out or inout", p.Name, p.Access)
		case p.Kind != "pointer" && p.Kind != "scalar":
			return fmt.Errorf("parameter %s: kind %q, expected pointer or scalar", p.Name, p.Kind)
		}
	}
	return nil
}

// Kernel returns the kernel of that name, or nil.
func (m *Manifest) Kernel(name string) *Kernel {
	for i := range m.Kernels {
		if m.Kernels[i].Name == name {
			return &m.Kernels[i]
		}
	}
	return nil
}
