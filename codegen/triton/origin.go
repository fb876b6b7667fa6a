package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/tile"
)

// Origin says what a launcher passes for a parameter. Positions and extents are expressions over the size symbols of
// the call: b sequences, s tokens of each, p tokens before them, m tokens that caches hold.
type Origin struct {
	Kind Source `json:"kind"`
	// Value is what a pointer points to, as the launch's IR names it: with % a value, $ a weight, & a state.
	Value string `json:"value,omitempty"`
	// Argument or Result is the value's place among the operands or results of the launch, from 0. A state that is
	// updated in place counts as an operand. Room between instances or programs is neither.
	Argument *int       `json:"argument,omitempty"`
	Result   *int       `json:"result,omitempty"`
	Symbol   string     `json:"symbol,omitempty"` // of a size
	Rope     *RopeTable `json:"rope,omitempty"`
	Part     *Part      `json:"part,omitempty"`
	Zero     bool       `json:"zero,omitempty"` // all zeros before the first launch; each launch leaves it so
}

// RopeTable is what a table of cosines and sines holds: for row i those of position First + i·Step, first all cosines,
// then all sines, one for each pair of channels. The remaining fields make the frequencies; see the op rope.
type RopeTable struct {
	Rows     string  `json:"rows"`
	First    string  `json:"first"`
	Step     int     `json:"step"`
	Dims     int     `json:"dims"`
	Theta    float64 `json:"theta"`
	Factor   float64 `json:"factor"`
	Original int     `json:"original"`
	BetaFast float64 `json:"beta_fast"`
	BetaSlow float64 `json:"beta_slow"`
}

// Part says of a scalar that it is the first index of a rank's part of an axis: Size times the rank's place among the
// ranks that have the parts.
type Part struct {
	Axis  string `json:"axis"`
	Parts int    `json:"parts"`
	Size  int    `json:"size"`
	Over  string `json:"over,omitempty"` // the axis of the mesh; "" for all ranks
}

// Origin is what to pass for a parameter of the kernel's programs, nil for one that has no binding.
func (k *Lowered) Origin(param string) *Origin {
	b, ok := k.Bindings[param]
	if !ok {
		return nil
	}
	o := &Origin{Kind: b.Source}
	switch b.Source {
	case FromValue, FromScales, FromWork:
		if b.Value != nil {
			k.place(o, b.Value)
		}
	case FromRope:
		o.Rope = ropeTableOf(b.Rope, k.Func.Mode.Bound())
	case FromSize:
		o.Symbol = b.Symbol
	case FromFirst:
		n, _ := b.Axis.Size.IsConst()
		o.Part = &Part{b.Axis.Name, b.Axis.Split, n, b.Axis.Over}
	case FromTicket:
		o.Zero = true
	}
	return o
}

// place finds a value among the operands and results of the launch.
func (k *Lowered) place(o *Origin, v *ir.Value) {
	o.Value = v.Ref()
	if i := slices.Index(k.Func.Args, v.Root()); i >= 0 {
		o.Value, o.Argument = v.Root().Ref(), &i
	} else if i := slices.Index(k.Func.Return, v); i >= 0 {
		o.Result = &i
	}
}

func ropeTableOf(in *ir.Instr, bound ir.Env) *RopeTable {
	return &RopeTable{
		Rows: Expression(in.Results[0].Type.Dims[1].Size.Bind(bound)), First: Expression(in.Attrs.Size("first").Bind(bound)),
		Step: in.Attrs.Int("step"), Dims: in.Attrs.Int("dims"), Theta: in.Attrs.Float("theta"), Factor: in.Attrs.Float("factor"),
		Original: in.Attrs.Int("original"), BetaFast: in.Attrs.Float("beta_fast"), BetaSlow: in.Attrs.Float("beta_slow"),
	}
}

// Files are the files of a build's kernels: see Files. kernels.json also says which launch each program belongs to and
// what a launcher passes for every parameter.
func (b *Build) Files() (map[string][]byte, error) {
	of := map[*tile.Program]Kernel{}
	for _, k := range b.Kernels {
		for i, p := range k.Programs {
			of[p] = k.describe(p, i)
		}
	}
	files, err := filesOf(b.Target.Name, b.Target.Toolchain.Triton.Or(""), b.Programs(), func(p *tile.Program) Kernel { return of[p] })
	if err != nil {
		return nil, err
	}
	return files, b.addTests(files)
}

// describe is what kernels.json says of one of the kernel's programs.
func (k *Lowered) describe(p *tile.Program, i int) Kernel {
	d := describeKernel(p)
	d.Launch, d.Step, d.Steps = k.Func.FullName(), i+1, len(k.Programs)
	for j := range d.Params {
		d.Params[j].From = k.Origin(d.Params[j].Name)
	}
	return d
}
