package triton

import (
	"math"

	"flagc/ir/tile"
)

// WideOffsets counts positions in i64 where a tensor is large, at the address: what stays below 2^31 by itself is
// computed in i32 as before. bounds gives scalar parameters their largest values.
func WideOffsets(p *tile.Program, large func(*tile.Param) bool, bounds map[string]int) *tile.Program {
	w := &widener{flow: newFlow(p), bounds: bounds, programs: programs(p, bounds)}
	q := rewritten(p, func(c *copier, op *tile.Op) ([]*tile.Value, bool) {
		switch op.Code {
		case tile.Load, tile.Store, tile.AtomicAdd:
			if op.Args[0].DType == tile.I32 && large(op.Param) {
				return c.copyAt(op, w.wide(c, op.Args[0])), true
			}
		}
		return nil, false
	})
	tile.Simplify(q)
	return q
}

// widener computes positions anew in i64.
type widener struct {
	*flow
	bounds   map[string]int
	programs int // the largest grid, 0 if it is not known
}

// wide is a position in i64. Sums, differences, products and choices are computed so, of operands that are counts and
// stay below 2^31.
func (w *widener) wide(c *copier, v *tile.Value) *tile.Value {
	if v.DType == tile.I64 {
		return c.of(v)
	}
	op := v.Def
	if n, ok := w.size(v); op == nil || ok && n <= math.MaxInt32 {
		return w.leaf(c, v)
	}
	switch op.Code {
	case tile.Add, tile.Sub, tile.Mul, tile.Minimum, tile.Maximum:
		return c.Binary(op.Code, w.wide(c, op.Args[0]), w.wide(c, op.Args[1]))
	case tile.Where:
		return c.Where(c.of(op.Args[0]), w.wide(c, op.Args[1]), w.wide(c, op.Args[2]))
	case tile.Expand:
		return c.Expand(w.wide(c, op.Args[0]), op.Axis)
	case tile.Reshape:
		return c.Reshape(w.wide(c, op.Args[0]), v.Shape...)
	case tile.Broadcast, tile.Full:
		return c.BroadcastTo(w.wide(c, op.Args[0]), v.Shape...)
	}
	return w.leaf(c, v)
}

func (w *widener) leaf(c *copier, v *tile.Value) *tile.Value {
	if v.Def != nil && v.Def.Code == tile.ConstInt && v.Def.Const == nil {
		return c.number(float64(v.Def.Int), tile.I64)
	}
	return c.Cast(c.of(v), tile.I64)
}

// size bounds how large a number is, as far as the program's text tells.
func (w *widener) size(v *tile.Value) (float64, bool) {
	op := v.Def
	if op == nil {
		loop := w.plan.holders[w.plan.homes[v]]
		if loop == nil || loop.Code != tile.Loop || v != loop.Body.Args[0] {
			return 0, false
		}
		return w.size(loop.Args[1]) // which the counter stays below
	}
	both := func(join func(x, y float64) float64) (float64, bool) {
		x, known := w.size(op.Args[0])
		y, too := w.size(op.Args[1])
		return join(x, y), known && too
	}
	switch op.Code {
	case tile.ConstInt:
		return math.Abs(float64(op.Int)), true
	case tile.Range:
		return float64(v.Len() - 1), true
	case tile.ProgramID:
		return float64(w.programs), w.programs > 0
	case tile.Scalar:
		n, ok := w.bounds[op.Param.Name]
		return float64(n), ok && n >= 0
	case tile.Expand, tile.Reshape, tile.Broadcast, tile.Full, tile.Div:
		return w.size(op.Args[0])
	case tile.Mod:
		return w.size(op.Args[1])
	case tile.Add, tile.Sub:
		return both(func(x, y float64) float64 { return x + y })
	case tile.Mul:
		return both(func(x, y float64) float64 { return x * y })
	case tile.Minimum, tile.Maximum:
		return both(math.Max)
	}
	return 0, false
}
