package triton

import (
	"slices"

	"flagc/ir/tile"
)

// TransposeByLoad loads tiles with their axes exchanged where a program transposes what it has loaded, for machines
// that cannot transpose in a program. What is not made of loads, counters and arithmetic stays.
func TransposeByLoad(p *tile.Program) *tile.Program {
	f := newFlow(p)
	return rewritten(p, func(c *copier, op *tile.Op) ([]*tile.Value, bool) {
		if op.Code != tile.Transpose || len(op.Perm) != 2 || op.Perm[0] != 1 || !f.exchanges(op.Args[0], op) {
			return nil, false
		}
		v := c.exchanged(op.Args[0])
		if v.Name == "" {
			v.Name = op.Results[0].Name
		}
		return []*tile.Value{v}, true
	})
}

// exchanges reports whether a value can be computed with its axes exchanged where op stands.
func (f *flow) exchanges(v *tile.Value, at *tile.Op) bool {
	if v == nil || len(v.Shape) == 0 {
		return true
	}
	if v.Def == nil || len(v.Shape) != 2 {
		return false
	}
	op := v.Def
	switch c := op.Code; {
	case c == tile.Expand:
		return true
	case c == tile.Full:
		return true
	case c == tile.Load && between(f.plan.effects, f.plan.sites[op].pos, f.plan.sites[at].pos):
		return false
	case c == tile.Load, c == tile.Broadcast, c.IsUnary(), c.IsBinary(), c == tile.Where, c == tile.Cast, c == tile.Bitcast:
		return !slices.ContainsFunc(op.Args, func(a *tile.Value) bool { return !f.exchanges(a, at) })
	}
	return false
}

// exchanged computes an old value with its axes exchanged.
func (c *copier) exchanged(v *tile.Value) *tile.Value {
	if v == nil || len(v.Shape) == 0 {
		return c.of(v)
	}
	op := v.Def
	if op.Code == tile.Expand {
		return c.Expand(c.of(op.Args[0]), 1-op.Axis)
	}
	args := make([]*tile.Value, len(op.Args))
	for i, a := range op.Args {
		args[i] = c.exchanged(a)
	}
	shape := []tile.Dim{v.Shape[1], v.Shape[0]}
	like := *op
	like.Results = []*tile.Value{{DType: v.DType, Shape: shape}}
	return c.copyValue(&like, args)
}
