package verify

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// deviceCase is one launch of one program as the script that times kernels on a GPU reads it.
type deviceCase struct {
	Label    string                   `json:"label"`
	Scalars  map[string]int           `json:"scalars"`
	Bytes    int                      `json:"bytes"`
	Pointers map[string]devicePointer `json:"pointers"`
}

type devicePointer struct {
	Elements int    `json:"elements"`
	Init     string `json:"init,omitempty"`
	Path     string `json:"path,omitempty"`
	Cold     bool   `json:"cold,omitempty"`
	Expect   string `json:"expect,omitempty"`
}

// WriteDeviceCases leaves what a GPU needs to run the programs of a launch and to hold what they leave against the tile
// interpreter, which is held against the launch's results here: beside kernels.json a file of cases for each program,
// with its inputs and expected outputs as raw bytes.
func WriteDeviceCases(dir, label string, k *triton.Lowered, l eval.Launch, mesh ir.Mesh) ([]Difference, error) {
	args, err := Arguments(k, l, mesh)
	if err != nil {
		return nil, err
	}
	for _, p := range k.Programs {
		if err := writeProgram(dir, label, k, p, l, args); err != nil {
			return nil, err
		}
	}
	got, err := left(k, l.Env, args)
	if err != nil {
		return nil, err
	}
	return compare(k, l.Results, got), nil
}

// writeProgram stores the inputs of a program, runs it, and stores what it left.
func writeProgram(dir, label string, k *triton.Lowered, p *tile.Program, l eval.Launch, args map[string]tile.Arg) error {
	c := deviceCase{Label: label, Scalars: map[string]int{}, Pointers: map[string]devicePointer{}}
	n, err := p.Instances(args)
	if n == 0 {
		return err
	}
	mine := map[string]tile.Arg{}
	for _, q := range p.Params {
		a := args[q.Name]
		mine[q.Name] = a
		if !q.Pointer {
			c.Scalars[q.Name] = a.Scalar
			continue
		}
		d := devicePointer{Elements: len(a.Data) / q.DType.Bytes(), Init: "file", Path: p.Name + "." + q.Name + ".in"}
		if err := os.WriteFile(filepath.Join(dir, d.Path), a.Data, 0o644); err != nil {
			return err
		}
		if b := k.Bindings[q.Name]; b.Value != nil && b.Value.Kind == ir.WeightValue {
			d.Cold = true
		}
		c.Bytes += moved(k, l, q, len(a.Data))
		c.Pointers[q.Name] = d
	}
	if err := tile.Interpret(p, mine, tile.Options{}); err != nil {
		return err
	}
	for _, q := range p.Params {
		if d, ok := c.Pointers[q.Name]; ok && q.Access != tile.In {
			d.Expect = p.Name + "." + q.Name + ".out"
			c.Pointers[q.Name] = d
			if err := os.WriteFile(filepath.Join(dir, d.Expect), args[q.Name].Data, 0o644); err != nil {
				return err
			}
		}
	}
	data, err := json.MarshalIndent([]deviceCase{c}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, p.Name+".bench.json"), data, 0o644)
}

// moved is how many of a parameter's bytes a launch must move: of experts those chosen, of caches the rows listed.
func moved(k *triton.Lowered, l eval.Launch, q *tile.Param, all int) int {
	b := k.Bindings[q.Name]
	v := b.Value
	if v == nil {
		if n, err := elements(b.Moved, l.Env); err == nil && b.Moved != nil {
			return min(all, n*q.DType.Bytes())
		}
		return all
	}
	for _, in := range k.Func.Body {
		if in.Op == ops.ExpertLinear && in.Args[2] == v {
			n, _ := v.Type.Dims[0].Size.IsConst()
			return all / n * len(localExperts(in, l, n))
		}
	}
	if v.Kind != ir.StateValue {
		return all
	}
	row := v.Type.Elem.DType.Bits() / 8
	if n, ok := v.Type.Dims[len(v.Type.Dims)-1].Size.IsConst(); ok {
		row *= n
	}
	for _, in := range k.Func.Body {
		switch {
		case in.Op == ops.SparseAttention && in.Args[1] == v:
			n, _ := in.Args[2].Type.Dims[2].Size.Eval(l.Env)
			return n * row
		case in.Op == ops.Take && in.Args[0] == v:
			n, _ := in.Results[0].Type.Dims[1].Size.Eval(l.Env)
			return n * row
		}
	}
	return row
}

// localExperts are the experts of this rank that a launch's tokens chose.
func localExperts(in *ir.Instr, l eval.Launch, n int) map[int32]bool {
	found := map[int32]bool{}
	first := int32(l.Rank * n)
	for i, v := range append(append([]*ir.Value(nil), l.Kernel.Args...), l.Kernel.Return...) {
		if v != in.Args[1] {
			continue
		}
		t := l.Args
		if i >= len(t) {
			t, i = l.Results, i-len(t)
		}
		for _, id := range t[i].I {
			if id >= first && id < first+int32(n) {
				found[id-first] = true
			}
		}
	}
	return found
}

// DeviceLabel names a launch by its position.
func DeviceLabel(env ir.Env) string {
	return fmt.Sprintf("b=%d s=%d p=%d", env["b"], env["s"], env["p"])
}
