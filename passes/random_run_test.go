package passes_test

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand"
	"slices"
	"strings"

	"flagc/ir"
	"flagc/ir/eval"
	"flagc/runtime/formats"
)

// served yields the weights of a random module: values that follow from the seed and the tensor's name, on the grid
// of the encoding that the checkpoint has. What a pass says a weight is kept as must hold those values exactly.
//
// Values have few bits, so that a sum of products is exact in float64 in any order, and equal bits can be asked for
// however many ranks share a sum.
type served struct {
	seed int64
	have map[string]*ir.Tensor // by name and encoding
}

func (s served) Tensor(instance string, w *ir.Weight) (*ir.Tensor, error) {
	whole := w.Value.Type.Whole()
	shape, err := whole.Shape(nil)
	if err != nil {
		return nil, err
	}
	name := ir.Join(instance, w.Tensor)
	key := name + " " + whole.Elem.String() + " in " + w.Encoding().String()
	if t := s.have[key]; t != nil {
		return t, nil
	}
	t, err := s.tensor(name, w, shape)
	s.have[key] = t
	return t, err
}

func (s served) tensor(name string, w *ir.Weight, shape []int) (t *ir.Tensor, err error) {
	r := source(s.seed, name)
	t = ir.NewTensor(w.Encoding(), shape)
	if t.I != nil {
		fillTable(t, r, name)
		return t, nil
	}
	blocks(t, w, func(_ ir.Elem, block []float64) { fillBlock(t.Elem, block, r) })
	kept := *t
	kept.Elem = w.Value.Type.Elem
	blocks(&kept, w, func(e ir.Elem, block []float64) {
		if !holds(e, block) && err == nil {
			err = fmt.Errorf("%s is kept as %s, which does not hold its values in %s", name, e, t.Elem)
		}
	})
	return &kept, err
}

// source is the random numbers of one tensor.
func source(seed int64, name string) *rand.Rand {
	h := fnv.New64()
	fmt.Fprintf(h, "%d %s", seed, name)
	return rand.New(rand.NewSource(int64(h.Sum64())))
}

// fillTable fills a table of experts, different ones in each row; the bound is part of the tensor's name.
func fillTable(t *ir.Tensor, r *rand.Rand, name string) {
	below, k := 1, t.Dim(-1)
	_, _ = fmt.Sscanf(name[strings.LastIndex(name, "below"):], "below%d", &below)
	for row := 0; row < len(t.I); row += k {
		first := r.Intn(below)
		for j := range k {
			t.I[row+j] = int32((first + j) % below)
		}
	}
}

// blocks visits the scale blocks of a stored weight: rows are all leading axes together, except that every tensor of
// a row of tensors has blocks of its own. A plain weight is one block.
func blocks(t *ir.Tensor, w *ir.Weight, visit func(ir.Elem, []float64)) {
	cols := t.Dim(-1)
	rows := t.Len() / cols / w.Count()
	if !t.Elem.IsQuantised() {
		visit(t.Elem, t.F)
		return
	}
	high, wide := t.Elem.Rows, t.Elem.Cols
	var block []float64
	for one := range w.Count() {
		for top := 0; top < rows; top += high {
			for left := 0; left < cols; left += wide {
				block = block[:0]
				right := min(cols, left+wide)
				for i := top; i < min(rows, top+high); i++ {
					block = append(block, t.F[(one*rows+i)*cols:][left:right]...)
				}
				visit(t.Elem, block)
				for i := top; i < min(rows, top+high); i++ {
					block = block[copy(t.F[(one*rows+i)*cols:][left:right], block):]
				}
			}
		}
	}
}

// fillBlock draws values of at most eight bits, and of an encoding's codes times one scale where there is one.
func fillBlock(e ir.Elem, block []float64, r *rand.Rand) {
	scale := math.Ldexp(1, -5-r.Intn(2))
	for i := range block {
		v := &block[i]
		switch e.DType {
		case ir.FP4:
			*v = formats.RoundE2M1(float64(r.Intn(13)-6)) * scale
		case ir.FP8:
			*v = float64(r.Intn(31)-15) * scale / 4
		default:
			*v = math.Ldexp(float64(r.Intn(255)-127), -10)
		}
	}
}

// holds reports whether an encoding has every value of a block.
func holds(e ir.Elem, block []float64) bool {
	top := 0.0
	for _, v := range block {
		top = math.Max(top, math.Abs(v))
	}
	round, most := formats.RoundBF16, math.Inf(1)
	switch e.DType {
	case ir.F32:
		round = func(v float64) float64 { return float64(float32(v)) }
	case ir.FP8:
		round, most = formats.RoundE4M3, 448
	case ir.FP4:
		round, most = formats.RoundE2M1, 6
	}
	scale := 1.0
	if top > 0 && !math.IsInf(most, 1) {
		scale = math.Exp2(math.Ceil(math.Log2(top / most)))
	}
	return !slices.ContainsFunc(block, func(v float64) bool { return round(v/scale)*scale != v })
}

// outcome is every result and every traced value of a run, by step and name.
type outcome map[string]*ir.Tensor

// entries are the functions that a random module is run by.
var entries = []string{"main", "draft"}

// run computes a prompt and two further tokens from clean states, with inputs that follow from the seed.
func run(m *ir.Module, w served) (out outcome, err error) {
	seed := w.seed
	r := source(seed, "run")
	batch, prompt := 1+r.Intn(2), 1+r.Intn(6)
	out = outcome{}
	step := ""
	machine, err := eval.New(m, w, eval.Options{Batch: batch, MaxSeq: prompt + 2 + r.Intn(3), Threads: 1,
		Trace: func(name string, t *ir.Tensor) { out[step+" !"+name] = t.Clone() }})
	if err != nil {
		return nil, err
	}
	for i := range 3 {
		mode, p, s := ir.Decode, prompt+i-1, 1
		if i == 0 {
			mode, p, s = ir.Prefill, 0, prompt
		}
		for _, entry := range entries {
			f := m.Func(entry + "." + string(mode))
			if f == nil {
				continue
			}
			step = fmt.Sprintf("%d %s", i, entry)
			results, err := machine.Run(f.FullName(), p, s, inputs(m, f, source(seed, step), ir.Env{"b": batch, "s": s, "p": p})...)
			if err != nil {
				return nil, err
			}
			for j, t := range results {
				out[fmt.Sprintf("%s result %d", step, j)] = t.Clone()
			}
		}
	}
	return out, nil
}

// inputs are arguments of a function: token ids, and values of eight bits.
func inputs(m *ir.Module, f *ir.Func, r *rand.Rand, env ir.Env) []*ir.Tensor {
	var out []*ir.Tensor
	for _, a := range f.Args {
		shape, err := a.Type.Shape(env)
		if err != nil {
			panic(err)
		}
		t := ir.NewTensor(a.Type.Elem, shape)
		for i := range t.I {
			t.I[i] = int32(r.Intn(m.Names()["V"]))
		}
		for i := range t.F {
			t.F[i] = math.Ldexp(float64(r.Intn(31)-15), -3)
		}
		out = append(out, t)
	}
	return out
}

// onRank0 is what the first rank would trace of the values of a whole run; results are whole on every rank.
func onRank0(whole, rank outcome, seen map[string]ir.Type) outcome {
	out := maps.Clone(whole)
	for name, t := range whole {
		at := strings.LastIndexByte(name, '!')
		if at < 0 || rank[name] == nil {
			continue
		}
		of := seen[name[max(at, strings.LastIndexByte(name, '.'))+1:]]
		for axis, d := range of.Dims {
			if d.Split > 0 {
				t = eval.Cut(t, axis, 0, d.Split)
			}
		}
		if out[name] = t; of.Partial == ir.PartialOne {
			out[name] = where(t, rank[name])
		}
	}
	return out
}

// where is what one rank has of a value whose elements are on one rank each: the element, or zero.
func where(whole, part *ir.Tensor) *ir.Tensor {
	out := whole.Clone()
	for i := range out.F {
		if i < len(part.F) && part.F[i] == 0 {
			out.F[i] = 0
		}
	}
	return out
}

// differs says where two runs part; "" where they are equal. Numbers are compared by equality, so that zeros of
// either sign are equal (a sum over ranks has no negative zero), and one that is no number equals itself.
func differs(was, is outcome) string {
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if is[name] == nil {
			return name + " is missing"
		}
		if text := unequal(was[name], is[name]); text != "" {
			return name + ": " + text
		}
	}
	if len(is) != len(was) {
		return fmt.Sprintf("%d values were seen, now %d", len(was), len(is))
	}
	return ""
}

func unequal(a, b *ir.Tensor) string {
	if a.Elem != b.Elem || !slices.Equal(a.Shape, b.Shape) || len(a.F) != len(b.F) {
		return fmt.Sprintf("%s%v became %s%v", a.Elem, a.Shape, b.Elem, b.Shape)
	}
	for i, v := range a.F {
		if w := b.F[i]; v != w && !(math.IsNaN(v) && math.IsNaN(w)) {
			return fmt.Sprintf("element %d was %v, is %v", i, v, w)
		}
	}
	for i, v := range a.I {
		if v != b.I[i] {
			return fmt.Sprintf("element %d was %d, is %d", i, v, b.I[i])
		}
	}
	return ""
}

// traced is the type of every value that a module traces, by the last word of its name, which is unique.
func traced(m *ir.Module) map[string]ir.Type {
	out := map[string]ir.Type{}
	for _, f := range m.Inline().Funcs {
		for _, in := range f.Body {
			for _, t := range in.Traced() {
				out[t.Name] = in.Results[t.Result].Type
			}
		}
	}
	return out
}
