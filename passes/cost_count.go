package passes

import (
	"math"

	"flagc/ir"
	"flagc/ir/ops"
)

// counts is what one call of a function asks of a rank.
type counts struct {
	weights  map[Class]float64
	states   float64
	flops    map[ir.DType]float64
	meetings int
	moved    float64
}

func newCounts() *counts {
	return &counts{weights: map[Class]float64{}, flops: map[ir.DType]float64{}}
}

func (c *counts) add(o *counts) {
	for class, n := range o.weights {
		c.weights[class] += n
	}
	for d, n := range o.flops {
		c.flops[d] += n
	}
	c.states += o.states
	c.meetings += o.meetings
	c.moved += o.moved
}

// flopTypes orders number formats in reports.
var flopTypes = []ir.DType{ir.FP4, ir.FP8, ir.BF16, ir.F32}

// counter counts the functions of one module, each once.
type counter struct {
	m       *ir.Module
	env     ir.Env
	classes map[*ir.Value]Class
	weights map[*ir.Value]*ir.Weight
	funcs   map[*ir.Func]*counts
}

func newCounter(m *ir.Module, batch, context int) *counter {
	c := &counter{m: m, env: ir.Env{"b": batch, "s": 1, "p": context - 1, "m": context}, classes: weightClasses(m),
		weights: map[*ir.Value]*ir.Weight{}, funcs: map[*ir.Func]*counts{}}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			c.weights[w.Value] = w
		}
	}
	return c
}

func (c *counter) function(f *ir.Func) (*counts, error) {
	if n := c.funcs[f]; n != nil {
		return n, nil
	}
	n := newCounts()
	var meeting ir.Meeting
	for _, in := range f.Body {
		if meeting.Begins(in) {
			n.meetings++
		}
		if in.Callee != nil {
			callee, err := c.function(in.Callee)
			if err != nil {
				return nil, err
			}
			n.add(callee)
			continue
		}
		if err := c.instr(n, in); err != nil {
			return nil, err
		}
	}
	c.funcs[f] = n
	return n, nil
}

func (c *counter) instr(n *counts, in *ir.Instr) error {
	if in.Op.Class == ir.Collective {
		moved, err := c.moves(in)
		n.moved += moved
		return err
	}
	for i, a := range in.Args {
		if a == nil {
			continue
		}
		root := a.Root()
		if root.Kind != ir.WeightValue && (root.Kind != ir.StateValue || !readsState(in, i)) {
			continue
		}
		bytes, err := c.reads(in, i)
		if err != nil {
			return err
		}
		if root.Kind == ir.StateValue {
			n.states += bytes
		} else {
			n.weights[c.classes[root]] += bytes
		}
	}
	flops, err := in.Flops(c.env)
	n.flops[product(in)] += flops * c.local(in)
	return err
}

// readsState reports whether the instruction reads the state that is operand i: all do but updates that yield nothing
// beside new states, which write their rows alone.
func readsState(in *ir.Instr, i int) bool {
	for _, operand := range in.Op.Updates {
		if operand == i {
			return len(in.Results) > len(in.Op.Updates)
		}
	}
	return in.Op.Class != ir.View
}

// reads is the bytes of operand i that the instruction needs: all, or the part that another operand's values name.
func (c *counter) reads(in *ir.Instr, i int) (float64, error) {
	a := in.Args[i]
	var bytes int
	if w := c.weights[a]; w != nil {
		bytes = w.Bytes()
	} else {
		var err error
		if bytes, err = a.Type.Bytes(c.env); err != nil {
			return 0, err
		}
	}
	by, axis, ok := in.IndexedBy(i)
	if !ok {
		return float64(bytes), nil
	}
	share, err := c.share(in, i, by, axis)
	return float64(bytes) * share, err
}

// share is the expected part of an operand that values of operand by name along axis. The slots of one token name
// different experts, those of different tokens whatever they choose, all equally often: of E experts tokens with A
// slots each meet E·(1 - (1 - A/E)^tokens). Other lists name different rows.
func (c *counter) share(in *ir.Instr, i, by, axis int) (float64, error) {
	ids, err := in.Args[by].Type.Whole().Shape(c.env)
	if err != nil {
		return 0, err
	}
	shape, err := in.Args[i].Type.Whole().Shape(c.env)
	if err != nil {
		return 0, err
	}
	values := 1.0
	for _, n := range ids {
		values *= float64(n)
	}
	if w := c.weights[in.Args[i]]; w != nil && w.IsMany() {
		slots := float64(ids[len(ids)-1])
		return 1 - math.Pow(1-slots/float64(shape[axis]), values/slots), nil
	}
	rows, theirs := 1.0, map[string]bool{}
	for _, l := range in.Letters(by) {
		theirs[l] = true
	}
	for k, l := range in.Letters(i) {
		if k == axis || theirs[l] {
			rows *= float64(shape[k])
		}
	}
	return min(1, values/max(rows, 1)), nil
}

// local is the part of the work that one rank is expected to have where its experts, or rows of a table, are some of
// all.
func (c *counter) local(in *ir.Instr) float64 {
	part := 1.0
	for i, a := range in.Args {
		if a == nil {
			continue
		}
		if _, axis, ok := in.IndexedBy(i); ok && a.Type.Dims[axis].Split > 0 {
			part /= float64(a.Type.Dims[axis].Split)
		}
	}
	return part
}

// product is the number format that an instruction computes in: that of its widest operand, or what it widens weights
// to. What is no product of matrices computes in float32.
func product(in *ir.Instr) ir.DType {
	if in.Op.Class != ir.Contraction {
		return ir.F32
	}
	if d, ok := ir.ParseDType(in.Attrs.Str("compute")); ok {
		return d
	}
	widest := ir.FP4
	for _, a := range in.Args {
		if a != nil && len(a.Type.Dims) > 1 && !a.Type.Elem.DType.IsInt() && a.Type.Elem.DType.Bits() > widest.Bits() {
			widest = a.Type.Elem.DType
		}
	}
	return widest
}

// moves is the bytes that a rank sends in a collective on a ring of its ranks, the least that any scheme can do.
func (c *counter) moves(in *ir.Instr) (float64, error) {
	bytes, err := in.Args[0].Type.Bytes(c.env)
	n := float64(c.m.Mesh.Size(in.Attrs.Str("over")))
	switch in.Op {
	case ops.AllGather:
		return float64(bytes) * (n - 1), err
	case ops.ReduceScatter:
		return float64(bytes) * (n - 1) / n, err
	}
	return float64(bytes) * 2 * (n - 1) / n, err
}
