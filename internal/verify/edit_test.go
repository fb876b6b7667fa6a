package verify

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir/tile"
)

// edit changes a program in place, as a mistake in the lowering would have. Sites are found by the names that values
// and parameters have in the text; one that is not there fails the test.
type edit struct {
	t *testing.T
	p *tile.Program
}

// all are the ops that a condition holds for, in the order of the text.
func (e *edit) all(is func(*tile.Op) bool) []*tile.Op {
	var out []*tile.Op
	e.p.Body.Walk(func(op *tile.Op) {
		if is(op) {
			out = append(out, op)
		}
	})
	return out
}

func (e *edit) find(what string, is func(*tile.Op) bool) *tile.Op {
	list := e.all(is)
	require.NotEmpty(e.t, list, "kernel %s has no %s:\n%s", e.p.Name, what, e.p)
	return list[0]
}

// named is the op that yields the value of that name.
func (e *edit) named(name string) *tile.Op {
	return e.find("value "+name, func(op *tile.Op) bool {
		return len(op.Results) == 1 && op.Results[0].Name == name
	})
}

func (e *edit) load(param string) *tile.Op {
	return e.find("load of "+param, func(op *tile.Op) bool { return op.Code == tile.Load && op.Param.Name == param })
}

func (e *edit) stores(param string) []*tile.Op {
	list := e.all(func(op *tile.Op) bool { return op.Code == tile.Store && op.Param.Name == param })
	require.NotEmpty(e.t, list, "kernel %s stores no %s", e.p.Name, param)
	return list
}

// loop is the first loop whose counter has that name.
func (e *edit) loop(counter string) *tile.Op {
	return e.find("loop over "+counter, func(op *tile.Op) bool {
		return op.Code == tile.Loop && op.Body.Args[0].Name == counter
	})
}

// code is op number n with that code.
func (e *edit) code(c tile.Code, n int) *tile.Op {
	list := e.all(func(op *tile.Op) bool { return op.Code == c })
	require.Greater(e.t, len(list), n, "kernel %s has %d ops %s", e.p.Name, len(list), c)
	return list[n]
}

// constant is the first constant of that value, an integer or, where whole is false, a number.
func (e *edit) constant(value float64, whole bool) *tile.Op {
	return e.find("constant", func(op *tile.Op) bool {
		return whole && op.Code == tile.ConstInt && op.Int == int64(value) || !whole && op.Code == tile.ConstFloat && op.Float == value
	})
}

// user is the first op with the code that reads a value.
func (e *edit) user(v *tile.Value, c tile.Code) *tile.Op {
	return e.find("user", func(op *tile.Op) bool { return op.Code == c && slices.Contains(op.Args, v) })
}

// home is the block of an op and its place there.
func (e *edit) home(op *tile.Op) (*tile.Block, int) {
	blocks := []*tile.Block{e.p.Body}
	e.p.Body.Walk(func(o *tile.Op) {
		for _, b := range []*tile.Block{o.Body, o.Else} {
			if b != nil {
				blocks = append(blocks, b)
			}
		}
	})
	for _, b := range blocks {
		if i := slices.Index(b.Ops, op); i >= 0 {
			return b, i
		}
	}
	e.t.Fatalf("op %s is nowhere", op.Code)
	return nil, 0
}

// remove takes an op without results out.
func (e *edit) remove(op *tile.Op) {
	b, i := e.home(op)
	b.Ops = slices.Delete(b.Ops, i, i+1)
}

// replace lets everybody who reads a value read another.
func (e *edit) replace(old, by *tile.Value, except ...*tile.Op) {
	swap := func(list []*tile.Value) {
		for i, v := range list {
			if v == old {
				list[i] = by
			}
		}
	}
	e.p.Body.Walk(func(op *tile.Op) {
		if !slices.Contains(except, op) {
			swap(op.Args)
		}
		if op.Body != nil {
			swap(op.Body.Yield)
		}
	})
}

// patch is ops to insert.
type patch struct{ ops []*tile.Op }

func (p *patch) add(op *tile.Op, d tile.DType, shape []tile.Dim) *tile.Value {
	v := &tile.Value{DType: d, Shape: shape, Def: op}
	op.Results = []*tile.Value{v}
	p.ops = append(p.ops, op)
	return v
}

func (p *patch) int(n int) *tile.Value {
	return p.add(&tile.Op{Code: tile.ConstInt, Int: int64(n)}, tile.I32, nil)
}

func (p *patch) binary(c tile.Code, x, y *tile.Value) *tile.Value {
	return p.add(&tile.Op{Code: c, Args: []*tile.Value{x, y}}, x.DType, x.Shape)
}

func (p *patch) cast(x *tile.Value, d tile.DType) *tile.Value {
	return p.add(&tile.Op{Code: tile.Cast, Args: []*tile.Value{x}}, d, x.Shape)
}

func (p *patch) round(x *tile.Value) *tile.Value { return p.cast(p.cast(x, tile.BF16), tile.F32) }

// after lets everybody read what f makes of a value instead of it.
func (e *edit) after(op *tile.Op, f func(p *patch, x *tile.Value) *tile.Value) {
	var p patch
	x := op.Results[0]
	y := f(&p, x)
	e.replace(x, y, p.ops...)
	b, i := e.home(op)
	b.Ops = slices.Insert(b.Ops, i+1, p.ops...)
}

// operand puts what f makes of an operand in its place, for one op alone.
func (e *edit) operand(op *tile.Op, n int, f func(p *patch, x *tile.Value) *tile.Value) {
	var p patch
	y := f(&p, op.Args[n])
	op.Args[n] = y
	b, i := e.home(op)
	b.Ops = slices.Insert(b.Ops, i, p.ops...)
}

// shift moves the places that a load or store goes to by so many elements.
func (e *edit) shift(op *tile.Op, by int) {
	e.operand(op, 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Add, x, p.int(by)) })
}

// flip goes to the neighbour in each pair of places.
func (e *edit) flip(op *tile.Op) {
	e.operand(op, 0, func(p *patch, x *tile.Value) *tile.Value { return p.binary(tile.Xor, x, p.int(1)) })
}

// moveBehind puts an op behind another of its block.
func (e *edit) moveBehind(op, other *tile.Op) {
	e.remove(op)
	b, i := e.home(other)
	b.Ops = slices.Insert(b.Ops, i+1, op)
}
