package ir

import (
	"fmt"
	"math"
	"slices"
)

// letters lists the axis letters of the signature.
func (s *signature) letters() []string {
	var out []string
	for _, side := range [][]sigTensor{s.in, s.out} {
		for _, t := range side {
			for _, a := range t.axes {
				out = append(out, a.name)
			}
		}
	}
	return out
}

// parseFlops reads Op.Flops, whose names are the axis letters of the signature.
func (o *Op) parseFlops() error {
	if o.Flops == "" {
		return nil
	}
	e, err := ParseExpr(o.Flops, o.sig.letters())
	if err != nil {
		return fmt.Errorf("flops: %w", err)
	}
	o.flops = e
	return nil
}

// Flops is the number of floating-point operations of the instruction for bound symbols: the op's own formula over
// the sizes of one rank's parts, where a letter that stands for several axes counts their product. It is 0 for calls.
func (in *Instr) Flops(env Env) (float64, error) {
	if in.Op == nil || in.Op.flops == nil {
		return 0, nil
	}
	size := map[string]float64{}
	for i, a := range in.Args {
		if a == nil {
			continue
		}
		if err := bindSizes(size, in.Letters(i), a.Type.Dims, env); err != nil {
			return 0, err
		}
	}
	for i, r := range in.Results {
		if err := bindSizes(size, in.ResultLetters(i), r.Type.Dims, env); err != nil {
			return 0, err
		}
	}
	names := in.Op.sig.letters()
	sizes := make([]float64, len(names))
	for i, l := range names {
		if n, ok := size[l]; ok {
			sizes[i] = n
		} else {
			sizes[i] = 1 // stands for no axis here
		}
	}
	f, err := in.Op.flops.Compile(names, nil)
	if err != nil {
		return 0, fmt.Errorf("flops of %s: %w", in.Op.Name, err)
	}
	return f(sizes), nil
}

// FlopSize is Flops as a size over the runtime symbols.
func (in *Instr) FlopSize() (Size, error) {
	if in.Op == nil || in.Op.flops == nil {
		return Const(0), nil
	}
	size := map[string]Size{}
	for i, a := range in.Args {
		if a != nil {
			nameSizes(size, in.Letters(i), a.Type.Dims)
		}
	}
	for i, r := range in.Results {
		nameSizes(size, in.ResultLetters(i), r.Type.Dims)
	}
	return in.Op.flops.size(size)
}

// nameSizes is bindSizes without values.
func nameSizes(size map[string]Size, letters []string, dims []Dim) {
	here := map[string]Size{}
	for i, l := range letters {
		n, ok := here[l]
		if !ok {
			n = Const(1)
		}
		here[l] = n.Mul(dims[i].Size)
	}
	for l, n := range here {
		if _, ok := size[l]; !ok {
			size[l] = n
		}
	}
}

// size is an expression of whole numbers, sums and products over named sizes; a name without one stands for no axis.
func (e *Expr) size(names map[string]Size) (Size, error) {
	switch e.Op {
	case "num":
		if e.Num == math.Trunc(e.Num) {
			return Const(int(e.Num)), nil
		}
	case "name":
		if n, ok := names[e.Name]; ok {
			return n, nil
		}
		return Const(1), nil
	case "+", "*":
		a, err := e.Args[0].size(names)
		if err != nil {
			return a, err
		}
		b, err := e.Args[1].size(names)
		return combine(e.Op[0], a, b), err
	}
	return Size{}, fmt.Errorf("%s is no size", e.Op)
}

// bindSizes gives each letter that is not bound yet the product of the axes that it stands for.
func bindSizes(size map[string]float64, letters []string, dims []Dim, env Env) error {
	here := map[string]float64{}
	for i, l := range letters {
		n, err := dims[i].Size.Eval(env)
		if err != nil {
			return err
		}
		if _, ok := here[l]; !ok {
			here[l] = 1
		}
		here[l] *= float64(n)
	}
	for l, n := range here {
		if _, ok := size[l]; !ok {
			size[l] = n
		}
	}
	return nil
}

// IndexedBy finds the operand whose values index an axis of operand i, and the axis: the experts that chosen ids
// name, the cache rows that a list of entries names. Of such an operand only what is named is read.
func (in *Instr) IndexedBy(i int) (operand, axis int, ok bool) {
	letters := in.Letters(i)
	for j, t := range in.Op.sig.in {
		if t.indexes == "" || j == i || j >= len(in.Args) || in.Args[j] == nil {
			continue
		}
		if axis := slices.Index(letters, t.indexes); axis >= 0 {
			return j, axis, true
		}
	}
	return 0, 0, false
}

// ChoosesWeights reports whether values of an operand choose which of its weights an instruction reads, as chosen experts do.
func (in *Instr) ChoosesWeights() bool {
	for i, a := range in.Args {
		if _, _, indexed := in.IndexedBy(i); indexed && a != nil && a.Kind == WeightValue {
			return true
		}
	}
	return false
}
