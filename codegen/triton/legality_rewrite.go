package triton

import (
	"fmt"
	"go/ast"
	"go/parser"
	"math"
	"strconv"
	"strings"

	"flagc/ir/tile"
)

// Flatten bounds the instances of a program: each takes every max-th id in a loop, so that a launch of at most max
// programs does the same work.
func Flatten(p *tile.Program, max int) *tile.Program {
	var id *tile.Value
	c := newCopier(p, func(_ *copier, op *tile.Op) ([]*tile.Value, bool) {
		return []*tile.Value{id}, op.Code == tile.ProgramID
	})
	total := c.expr(p.Grid).Named("programs")
	c.Loop(programIDName(p), c.ProgramID(), total, max, nil, func(i *tile.Value, _ []*tile.Value) []*tile.Value {
		id = i
		c.block(p.Body)
		return nil
	})
	c.Program.Grid = fmt.Sprintf("min(%s, %d)", p.Grid, max)
	return c.Program
}

// programIDName is what the program calls its id.
func programIDName(p *tile.Program) string {
	name := "pid"
	p.Body.Walk(func(op *tile.Op) {
		if op.Code == tile.ProgramID && op.Results[0].Name != "" {
			name = op.Results[0].Name
		}
	})
	return name
}

// expr computes an expression of sizes in the program. Its grammar is that of Go but for the sign of division.
func (c *copier) expr(text string) *tile.Value {
	e, err := parser.ParseExpr(strings.ReplaceAll(text, "//", "/"))
	if err != nil {
		panic(fmt.Sprintf("BUG: %s: grid %q: %v", c.Program.Name, text, err))
	}
	return c.exprNode(e)
}

func (c *copier) exprNode(e ast.Expr) *tile.Value {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return c.exprNode(e.X)
	case *ast.BasicLit:
		n, err := strconv.Atoi(e.Value)
		if err == nil {
			return c.Int(n)
		}
	case *ast.Ident:
		if k := c.Program.Const(e.Name); k != nil {
			return c.IntOf(tile.Dim{Size: k.Value, Name: k.Name})
		}
		return c.Scalar(e.Name, "")
	case *ast.UnaryExpr:
		return c.Sub(c.Int(0), c.exprNode(e.X))
	case *ast.BinaryExpr:
		code := map[string]tile.Code{"+": tile.Add, "-": tile.Sub, "*": tile.Mul, "/": tile.Div, "%": tile.Mod}[e.Op.String()]
		return c.Binary(code, c.exprNode(e.X), c.exprNode(e.Y))
	case *ast.CallExpr:
		code := map[string]tile.Code{"min": tile.Minimum, "max": tile.Maximum}[fmt.Sprint(e.Fun)]
		v := c.exprNode(e.Args[0])
		for _, a := range e.Args[1:] {
			v = c.Binary(code, v, c.exprNode(a))
		}
		return v
	}
	panic(fmt.Sprintf("BUG: %s: grid %q", c.Program.Name, c.old.Grid))
}

// MaskedWhere chooses what masked lanes hold after each load whose lanes can be seen, for machines whose loads leave
// garbage there. Where the load is only widened the choice comes after that. The loads say nothing of those lanes any
// more: being told has made such a machine spoil others.
func MaskedWhere(p *tile.Program) *tile.Program {
	f := newFlow(p)
	return rewritten(p, func(c *copier, op *tile.Op) ([]*tile.Value, bool) {
		load := op
		if op.Code == tile.Cast {
			load = op.Args[0].Def
		}
		if load == nil || load.Code != tile.Load || load.Args[1] == nil || !f.plan.sites[load].keep {
			return nil, false
		}
		x := c.copy(op)[0]
		if op == load {
			x.Def.Float = math.NaN()
		}
		if !f.needsChoice(load) || op != f.choicePlace(load) {
			return []*tile.Value{x}, true
		}
		name := x.Name
		x.Name = ""
		return []*tile.Value{c.Where(c.of(load.Args[1]), x, c.number(load.Float, x.DType)).Named("%s", name)}, true
	})
}

// choicePlace is the op after which masked lanes are chosen: the only cast of a load, or the load.
func (f *flow) choicePlace(load *tile.Op) *tile.Op {
	uses := f.users(load.Results[0])
	if len(uses) == 1 && uses[0].op.Code == tile.Cast && load.Results[0].Name == "" {
		if d := uses[0].op.Results[0].DType; d == tile.F32 || d == tile.I32 {
			return uses[0].op
		}
	}
	return load
}

// number is a constant of any format in memory.
func (c *copier) number(x float64, d tile.DType) *tile.Value {
	if d.IsFloat() {
		return c.Cast(c.Float(x), d)
	}
	v := c.Int(int(x))
	v.DType = d
	return v
}

// ReadOnce reads what lanes share along an axis once, if any of them needs it, and chooses by the mask afterwards.
func ReadOnce(p *tile.Program) *tile.Program {
	return rewritten(p, func(c *copier, op *tile.Op) ([]*tile.Value, bool) {
		if op.Code != tile.Load || len(repeatedAxes(op)) == 0 {
			return nil, false
		}
		at, mask := c.of(distinct(op.Args[0])), c.of(op.Args[1])
		var v *tile.Value
		if mask == nil {
			v = c.BroadcastTo(c.Load(c.param(op.Param), at, nil, 0), op.Results[0].Shape...)
		} else {
			once := c.Load(c.param(op.Param), at, c.anyAlong(mask, repeatedAxes(op)), op.Float)
			v = c.Where(mask, once, c.number(op.Float, once.DType))
			if !equalSizes(v.Shape, op.Results[0].Shape) {
				v = c.BroadcastTo(v, op.Results[0].Shape...)
			}
		}
		v.Name = op.Results[0].Name
		return []*tile.Value{v}, true
	})
}

// anyAlong is whether a mask holds anywhere along some axes, which keep an extent of 1.
func (c *copier) anyAlong(mask *tile.Value, axes []int) *tile.Value {
	if len(mask.Shape) == 0 {
		return mask
	}
	lanes := mask
	for _, axis := range axes {
		if mask.Shape[axis].Size == 1 {
			continue
		}
		if lanes == mask {
			lanes = c.Cast(mask, tile.I32)
		}
		lanes = c.Expand(c.Max(lanes, axis), axis)
	}
	if lanes == mask {
		return mask
	}
	return c.Gt(lanes, c.Int(0))
}

// LiveMasked sends masked lanes whose addresses may be out of range, as of gathers and scatters, to
// element 0, for machines that form their addresses too.
func LiveMasked(p *tile.Program) *tile.Program {
	f := newFlow(p)
	return rewritten(p, func(c *copier, op *tile.Op) ([]*tile.Value, bool) {
		if op.Code != tile.Load && op.Code != tile.Store || !f.plan.sites[op].keep || !f.needsClamp(op) {
			return nil, false
		}
		mask := c.of(op.Args[len(op.Args)-1])
		offsets := c.of(op.Args[0])
		return c.copyAt(op, c.Where(mask, offsets, c.number(0, offsets.DType))), true
	})
}

// UnmaskRows loads tiles of more rows than a mask may cover without one, for machines that corrupt the others: masked
// lanes read what the program has chosen for them, else element 0, and are chosen themselves afterwards.
func UnmaskRows(p *tile.Program, most int) *tile.Program {
	f := newFlow(p)
	return rewritten(p, func(c *copier, op *tile.Op) ([]*tile.Value, bool) {
		if op.Code != tile.Load || !f.plan.sites[op].keep || !coversRows(op, most) {
			return nil, false
		}
		mask, offsets := c.of(op.Args[1]), c.of(op.Args[0])
		if !f.choosesBy(op.Args[0], op.Args[1]) {
			offsets = c.Where(mask, offsets, c.number(0, offsets.DType))
		}
		v := c.Load(c.param(op.Param), offsets, nil, 0)
		if f.needsChoice(op) {
			v = c.Where(mask, v, c.number(op.Float, v.DType))
		}
		v.Name = op.Results[0].Name
		return []*tile.Value{v}, true
	})
}

// choosesBy reports whether positions are chosen by a mask, so that those of masked lanes are in range too.
func (f *flow) choosesBy(positions, mask *tile.Value) bool {
	for mask.Def != nil && (mask.Def.Code == tile.Expand || mask.Def.Code == tile.Broadcast) {
		mask = mask.Def.Args[0]
	}
	return f.from(positions, func(v *tile.Value) bool {
		return v.Def != nil && v.Def.Code == tile.Where && sameTerm(v.Def.Args[0], mask)
	}, always)
}

// coversRows reports whether a load has a mask and more rows than so many.
func coversRows(load *tile.Op, most int) bool {
	v := load.Results[0]
	return len(v.Shape) > 1 && load.Args[1] != nil && v.Shape[0].Size > most
}

// GuardStores stores under a mask only where a lane is left, for machines on which a store without lanes takes others
// with it.
func GuardStores(p *tile.Program) *tile.Program {
	f := newFlow(p)
	return rewritten(p, func(c *copier, op *tile.Op) ([]*tile.Value, bool) {
		if op.Code != tile.Store || op.Args[2] == nil || f.isGuarded(op) {
			return nil, false
		}
		mask := c.of(op.Args[2])
		cond := mask
		if len(mask.Shape) > 0 {
			lanes := c.Cast(mask, tile.I32)
			for len(lanes.Shape) > 0 {
				lanes = c.Max(lanes, len(lanes.Shape)-1)
			}
			cond = c.Gt(lanes, c.Int(0))
		}
		c.If(cond, func() { c.Store(c.param(op.Param), c.of(op.Args[0]), c.of(op.Args[1]), mask) }, nil)
		return nil, true
	})
}

// FewerWarps launches at most max warps.
func FewerWarps(p *tile.Program, max int) *tile.Program {
	q := rewritten(p, nil)
	q.Launch.Warps = min(q.Launch.Warps, max)
	return q
}

// FewerStages compiles with at most max stages.
func FewerStages(p *tile.Program, max int) *tile.Program {
	q := rewritten(p, nil)
	q.Launch.Stages = min(q.Launch.Stages, max)
	return q
}
