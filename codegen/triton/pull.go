package triton

import (
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// pulls computes a block of an op's first result, unrounded, from blocks of its operands.
var pulls map[*ir.Op]func(*gen, *ir.Instr, *region) *tile.Value

func init() {
	pulls = map[*ir.Op]func(*gen, *ir.Instr, *region) *tile.Value{
		ops.ViewAs:          (*gen).pullView,
		ops.Last:            (*gen).pullLast,
		ops.Take:            (*gen).pullTake,
		ops.Repeat:          (*gen).pullRepeat,
		ops.Embedding:       (*gen).pullEmbedding,
		ops.RMSNorm:         (*gen).pullRMSNorm,
		ops.HeadNorm:        (*gen).pullHeadNorm,
		ops.Rope:            (*gen).pullRope,
		ops.ActQuant:        (*gen).pullActQuant,
		ops.ActQuantSim:     (*gen).pullActQuantSim,
		ops.FP4QuantSim:     (*gen).pullFP4QuantSim,
		ops.Hadamard:        (*gen).pullHadamard,
		ops.HCPre:           (*gen).pullStreams,
		ops.HCHead:          (*gen).pullStreams,
		ops.HCPost:          (*gen).pullHCPost,
		ops.Linear:          (*gen).pullProduct,
		ops.GroupedLinear:   (*gen).pullProduct,
		ops.ExpertLinear:    (*gen).pullProduct,
		ops.SumSlots:        (*gen).pullSumSlots,
		ops.CompressPool:    (*gen).pullPooled,
		ops.SparseAttention: (*gen).pullAttention,
	}
}

// inMemory reports whether a value is an argument, or was stored by an earlier program of the launch.
func (g *gen) inMemory(v *ir.Value) bool { return v.Kind != ir.ResultValue || g.stored[v] }

// pull is a block of a value in float32, rounded as the value's type says.
func (g *gen) pull(v *ir.Value, r *region) *tile.Value {
	if g.inMemory(v) {
		return g.load(v, r)
	}
	return memo(g, [2]any{v, r}, func() *tile.Value {
		in := v.Def
		var x *tile.Value
		switch rule := pulls[in.Op]; {
		case in.Op.PointwiseBody() != nil:
			x = g.pullPointwise(in, r)
		case rule == nil || in.Results[0] != v:
			g.fail("no rule yields a block of %s, result of %s", v.Ref(), in.Name())
		default:
			x = rule(g, in, r)
		}
		return g.rounded(v.Type, x).Named("%s", Identifier(lastName(v.Name)))
	})
}

// lastName is a value's name without the parts of the model that it belongs to.
func lastName(name string) string {
	for i := len(name) - 1; i > 0; i-- {
		if name[i] == '.' && (name[i+1] < '0' || name[i+1] > '9') {
			return name[i+1:]
		}
	}
	return name
}

// rounded rounds to the format of a type. Sums over ranks stay unrounded until they are complete.
func (g *gen) rounded(t ir.Type, x *tile.Value) *tile.Value {
	if t.Elem == ir.Plain(ir.BF16) && t.Partial != ir.PartialSum {
		return g.b.Round(x, tile.BF16)
	}
	return x
}

// at is a region with other rows and the same columns.
func (g *gen) at(r *region, rows *tile.Value) *region {
	if rows == r.rows {
		return r
	}
	origin := r
	if r.origin != nil {
		origin = r.origin
	}
	if rows == origin.rows {
		return origin
	}
	return memo(g, [3]any{origin, "at", rows}, func() *region {
		out := *r
		out.rows, out.origin = rows, origin
		return &out
	})
}

// divided, remainder and times are arithmetic on rows that is done once.
func (g *gen) divided(rows *tile.Value, n int) *tile.Value {
	if n == 1 {
		return rows
	}
	return memo(g, [3]any{rows, "/", n}, func() *tile.Value { return g.b.DivI(rows, n) })
}

func (g *gen) remainder(rows *tile.Value, n int) *tile.Value {
	if n == 1 {
		return g.b.Int(0)
	}
	return memo(g, [3]any{rows, "%", n}, func() *tile.Value { return g.b.ModI(rows, n) })
}

func (g *gen) times(rows *tile.Value, n, plus int) *tile.Value {
	if n == 1 && plus == 0 {
		return rows
	}
	return memo(g, [4]any{rows, "*", n, plus}, func() *tile.Value {
		product := g.b.AddI(g.b.MulI(rows, n), plus)
		if plus < n { // what it is divided by again is known
			memo(g, [3]any{product, "/", n}, func() *tile.Value { return rows })
			memo(g, [3]any{product, "%", n}, func() *tile.Value { return g.b.Int(plus) })
		}
		return product
	})
}

// pullView reads the same elements under other axes.
func (g *gen) pullView(in *ir.Instr, r *region) *tile.Value {
	a := in.Args[0]
	k, have := g.columns(in.Results[0]), g.columns(a)
	switch {
	case g.inMemory(a) && !a.Type.Elem.IsQuantised(): // the same place in memory
		return g.b.LoadF32(g.elements(a, tile.In), g.offsets(r, k), g.mask(r), 0)
	case k == have:
		return g.pull(a, r)
	case k%have == 0 && have%r.width.Size == 0:
		first := r.first
		if first == nil {
			first = g.b.Int(0)
		}
		return g.pull(a, memo(g, [3]any{r, "narrow", have}, func() *region {
			rows := g.b.Add(g.b.MulI(r.rows, k/have), g.b.DivI(first, have))
			out := g.block(rows, r.live, r.height.Size, g.b.ModI(first, have), r.width, have)
			out.group = g.b.DivI(first, have)
			return out
		}))
	case have%k == 0:
		return g.pull(a, memo(g, [3]any{r, "wide", have}, func() *region {
			out := *r
			out.rows = g.divided(r.rows, have/k)
			shift := g.b.MulI(g.remainder(r.rows, have/k), k)
			out.cols = g.b.Add(r.cols, shift)
			if out.first = r.first; r.height.Size == 1 && len(shift.Shape) == 0 {
				out.first = shift
				if r.first != nil {
					out.first = g.b.Add(r.first, shift)
				}
			}
			return &out
		}))
	}
	g.fail("a block of %d columns of %s does not lie in one row of %s", r.width.Size, in.Results[0].Type, a.Type)
	return nil
}

func (g *gen) pullLast(in *ir.Instr, r *region) *tile.Value {
	// x[b,s,*k] -> y[b,*k]: row (b, k) is row (b, s-1, k).
	x := in.Args[0].Type.Dims
	inner := g.fixed(productOf(x[2:len(x)-1]), "the axes after the tokens")
	s := g.size(x[1].Size)
	rows := memo(g, [2]any{r, "last"}, func() *tile.Value {
		token := g.b.SubI(g.b.Mul(g.b.AddI(g.divided(r.rows, inner), 1), s), 1)
		return g.b.Add(g.b.MulI(token, inner), g.remainder(r.rows, inner))
	})
	return g.pull(in.Args[0], g.at(r, rows))
}

func (g *gen) pullTake(in *ir.Instr, r *region) *tile.Value {
	n, j := g.size(in.Results[0].Type.Dims[1].Size), g.size(in.Args[0].Type.Dims[1].Size)
	rows := memo(g, [2]any{r, "take"}, func() *tile.Value {
		return g.b.Add(g.b.Mul(g.b.Div(r.rows, n), j), g.b.Mod(r.rows, n))
	})
	return g.pull(in.Args[0], g.at(r, rows))
}

func (g *gen) pullRepeat(in *ir.Instr, r *region) *tile.Value {
	dims := in.Results[0].Type.Dims
	return g.pull(in.Args[0], g.at(r, g.divided(r.rows, g.fixed(dims[len(dims)-2].Size, "the repeated axis"))))
}

func (g *gen) pullEmbedding(in *ir.Instr, r *region) *tile.Value {
	table := in.Args[1]
	k, v := g.columns(table), g.fixed(table.Type.Dims[0].Size, "the vocabulary")
	id := g.index(in, 0, r.rows, r.live)
	inside := g.b.And(g.b.GeI(id, 0), g.b.LtI(id, v))
	mask := g.b.And(inside, g.b.LtI(r.cols, k))
	if r.live != nil {
		mask = g.b.And(mask, r.live)
	}
	return g.b.LoadF32(g.elements(table, tile.In), g.b.Add(g.b.MulI(g.b.Where(inside, id, g.b.Int(0)), k), r.cols), mask, 0)
}

// plus adds to a sum, nil for none yet.
func (g *gen) plus(sum, x *tile.Value) *tile.Value {
	if sum == nil {
		return x
	}
	return g.b.Add(sum, x)
}

// index is the element of an index operand at a flat position, as this rank counts.
func (g *gen) index(in *ir.Instr, operand int, at, live *tile.Value) *tile.Value {
	return g.local(in, operand, g.element(in.Args[operand], at, live))
}

// local are values of an index operand as this rank counts.
func (g *gen) local(in *ir.Instr, operand int, id *tile.Value) *tile.Value {
	if d, ok := in.LocalIndices()[operand]; ok {
		return g.b.Sub(id, g.first(d))
	}
	return id
}

// pullPointwise evaluates the body of a pointwise op.
func (g *gen) pullPointwise(in *ir.Instr, r *region) *tile.Value {
	args := map[string]*tile.Value{}
	names := in.Op.Operands()
	for i, a := range in.Args {
		switch n := len(a.Type.Dims); {
		case n == len(in.Results[0].Type.Dims):
			args[names[i]] = g.pull(a, r)
		case n == len(in.Results[0].Type.Dims)-1:
			args[names[i]] = g.column(g.element(a, r.rows, r.live))
		default:
			g.fail("%s of %s and %s", in.Name(), in.Results[0].Type, a.Type)
		}
	}
	return g.expression(in.Op.PointwiseBody(), args, in.Attrs)
}

// column makes a number for each row a column that goes together with blocks.
func (g *gen) column(x *tile.Value) *tile.Value {
	if len(x.Shape) == 0 {
		return g.b.Full(x, tile.D(1), tile.D(1))
	}
	return x
}

func (g *gen) expression(e *ir.Expr, args map[string]*tile.Value, attrs ir.Attrs) *tile.Value {
	b := g.b
	if e.Op == "num" {
		return b.Float(e.Num)
	}
	if e.Op == "name" {
		if x := args[e.Name]; x != nil {
			return x
		}
		return b.Float(attrs.Float(e.Name))
	}
	x := make([]*tile.Value, len(e.Args))
	for i, a := range e.Args {
		x[i] = g.expression(a, args, attrs)
	}
	switch e.Op {
	case "+":
		return b.Add(x[0], x[1])
	case "-":
		return b.Sub(x[0], x[1])
	case "*":
		return b.Mul(x[0], x[1])
	case "/":
		return b.Div(x[0], x[1])
	case "neg":
		return b.Neg(x[0])
	case "exp":
		return b.Exp(x[0])
	case "log":
		return b.Log(x[0])
	case "sqrt":
		return b.Sqrt(x[0])
	case "sigmoid":
		return g.sigmoid(x[0])
	case "silu":
		return b.Div(x[0], b.AddF(b.Exp(b.Neg(x[0])), 1))
	case "relu":
		return b.MaxF(x[0], 0)
	case "softplus":
		return g.softplus(x[0])
	case "min":
		return b.Minimum(x[0], x[1])
	case "max":
		return b.Maximum(x[0], x[1])
	case "clamp":
		return b.Minimum(b.Maximum(x[0], x[1]), x[2])
	}
	g.fail("the function %s has no counterpart in tiles", e.Op)
	return nil
}

func (g *gen) sigmoid(x *tile.Value) *tile.Value {
	return g.b.Div(g.b.Float(1), g.b.AddF(g.b.Exp(g.b.Neg(x)), 1))
}

// softplus is log(1 + e^x), x above 20. For small e = e^x the sum loses digits: log(u)·e/(u-1) with the u that the
// sum became has them back.
func (g *gen) softplus(x *tile.Value) *tile.Value {
	b := g.b
	e := b.Exp(b.MinF(x, 20))
	u := b.AddF(e, 1).Named("u")
	small := b.Eq(u, b.Float(1))
	safe := b.Where(small, b.Float(2), u)
	l := b.Where(small, e, b.Div(b.Mul(b.Log(safe), e), b.AddF(safe, -1)))
	return b.Where(b.Gt(x, b.Float(20)), x, l)
}
