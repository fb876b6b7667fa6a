package triton

import (
	"slices"

	"flagc/ir/tile"
)

// copier builds a changed copy of a program. The old program stays as it is.
type copier struct {
	*tile.Builder
	old    *tile.Program
	values map[*tile.Value]*tile.Value
	// change emits other ops in place of one and returns what its results become, or false to have it copied.
	change func(c *copier, op *tile.Op) ([]*tile.Value, bool)
}

// rewritten copies a program op by op, except where change does otherwise.
func rewritten(p *tile.Program, change func(*copier, *tile.Op) ([]*tile.Value, bool)) *tile.Program {
	c := newCopier(p, change)
	c.block(p.Body)
	return c.Program
}

func newCopier(p *tile.Program, change func(*copier, *tile.Op) ([]*tile.Value, bool)) *copier {
	c := &copier{Builder: tile.NewBuilder(p.Name), old: p, values: map[*tile.Value]*tile.Value{}, change: change}
	body := c.Program.Body
	*c.Program = *p
	c.Program.Body = body
	c.Program.Params, c.Program.Consts = nil, nil
	for _, q := range p.Params {
		r := *q
		r.Shape = slices.Clone(q.Shape)
		c.Program.Params = append(c.Program.Params, &r)
	}
	for _, k := range p.Consts {
		r := *k
		c.Program.Consts = append(c.Program.Consts, &r)
	}
	return c
}

// of is what an old value became.
func (c *copier) of(v *tile.Value) *tile.Value {
	if v == nil {
		return nil
	}
	return c.values[v]
}

func (c *copier) all(values []*tile.Value) []*tile.Value {
	out := make([]*tile.Value, len(values))
	for i, v := range values {
		out[i] = c.of(v)
	}
	return out
}

// param is the copy of an old parameter.
func (c *copier) param(p *tile.Param) *tile.Param {
	if p == nil {
		return nil
	}
	return c.Program.Param(p.Name)
}

func (c *copier) block(b *tile.Block) {
	for _, op := range b.Ops {
		if op.Note != "" {
			c.Note("%s", op.Note)
		}
		results, done := []*tile.Value(nil), false
		if c.change != nil {
			results, done = c.change(c, op)
		}
		if !done {
			results = c.copy(op)
		}
		for i, v := range op.Results {
			c.values[v] = results[i]
		}
	}
}

// copy emits an op as it is, on the copies of its operands.
func (c *copier) copy(op *tile.Op) []*tile.Value { return c.copyOn(op, c.all(op.Args)) }

// copyAt emits an access to memory as it is, at other positions.
func (c *copier) copyAt(op *tile.Op, offsets *tile.Value) []*tile.Value {
	args := c.all(op.Args)
	args[0] = offsets
	return c.copyOn(op, args)
}

// copyOn emits an op on other operands.
func (c *copier) copyOn(op *tile.Op, args []*tile.Value) []*tile.Value {
	switch op.Code {
	case tile.Loop:
		return c.copyLoop(op, args)
	case tile.If:
		var otherwise func()
		if op.Else != nil {
			otherwise = func() { c.block(op.Else) }
		}
		c.If(args[0], func() { c.block(op.Body) }, otherwise)
		return nil
	case tile.Store:
		c.Store(c.param(op.Param), args[0], args[1], args[2])
		return nil
	case tile.Barrier:
		c.Barrier()
		return nil
	case tile.Wait:
		c.Wait()
		return nil
	}
	v := c.copyValue(op, args)
	old := op.Results[0]
	v.Name = old.Name
	if op.Code == tile.ConstInt {
		v.DType = old.DType
	}
	if equalSizes(v.Shape, old.Shape) {
		v.Shape = slices.Clone(old.Shape)
	}
	return []*tile.Value{v}
}

func (c *copier) copyLoop(op *tile.Op, args []*tile.Value) []*tile.Value {
	counter := op.Body.Args[0]
	loop := c.Loop
	if op.While {
		loop = c.LoopWhile
	}
	results := loop(counter.Name, args[0], args[1], op.Step, args[2:],
		func(i *tile.Value, carried []*tile.Value) []*tile.Value {
			c.values[counter] = i
			for k, v := range op.Body.Args[1:] {
				carried[k].Name = v.Name
				c.values[v] = carried[k]
			}
			c.block(op.Body)
			return c.all(op.Body.Yield)
		})
	for k, v := range op.Results {
		results[k].Name = v.Name
	}
	return results
}

// copyValue emits an op with one result.
func (c *copier) copyValue(op *tile.Op, args []*tile.Value) *tile.Value {
	shape := op.Results[0].Shape
	switch code := op.Code; {
	case code == tile.ProgramID:
		return c.ProgramID()
	case code == tile.Scalar:
		return c.Scalar(op.Param.Name, op.Param.Doc)
	case code == tile.ConstInt && op.Const != nil:
		return c.IntOf(tile.Dim{Size: op.Const.Value, Name: op.Const.Name})
	case code == tile.ConstInt:
		return c.Int(int(op.Int))
	case code == tile.ConstFloat:
		return c.Float(op.Float)
	case code == tile.Range:
		return c.Range(shape[0])
	case code == tile.Full:
		return c.Full(args[0], shape...)
	case code == tile.Expand:
		return c.Expand(args[0], op.Axis)
	case code == tile.Broadcast:
		return c.BroadcastTo(args[0], shape...)
	case code == tile.Reshape:
		return c.Reshape(args[0], shape...)
	case code == tile.Transpose:
		return c.Transpose(args[0], op.Perm...)
	case code.IsUnary():
		return c.Unary(code, args[0])
	case code.IsBinary():
		return c.Binary(code, args[0], args[1])
	case code == tile.Where:
		return c.Where(args[0], args[1], args[2])
	case code == tile.Cast:
		return c.castTo(args[0], op.Results[0].DType)
	case code == tile.Bitcast:
		return c.Bitcast(args[0], op.Results[0].DType)
	case code.IsReduction():
		return c.Reduce(code, args[0], op.Axis)
	case code == tile.Dot:
		return c.Dot(args[0], args[1], args[2])
	case code == tile.Load:
		return c.Load(c.param(op.Param), args[0], args[1], op.Float)
	case code == tile.AtomicAdd:
		return c.AtomicAdd(c.param(op.Param), args[0], args[1])
	}
	panic("BUG: no copy of " + op.Code.String())
}

// castTo converts, also to the format that the operand has: the copy then is that operand through a view, so that
// its name can be set without renaming the operand.
func (c *copier) castTo(x *tile.Value, d tile.DType) *tile.Value {
	if x.DType != d {
		return c.Cast(x, d)
	}
	if len(x.Shape) == 0 {
		return c.Where(c.Eq(c.Int(0), c.Int(0)), x, x)
	}
	return c.Reshape(x, x.Shape...)
}
