package triton

import (
	"fmt"
	"strings"

	"flagc/ir"
	"flagc/ir/tile"
)

// size is the value of a size in the current program: a constant, or arithmetic on scalar parameters.
func (g *gen) size(s ir.Size) *tile.Value {
	s = s.Bind(g.bound)
	return memo(g, "size "+s.String(), func() *tile.Value {
		return ir.Walk(s, g.b.Int, g.symbol, func(op byte, a, b *tile.Value) *tile.Value {
			switch op {
			case '+':
				return g.b.Add(a, b)
			case '-':
				return g.b.Sub(a, b)
			case '*':
				return g.b.Mul(a, b)
			case '/':
				return g.b.Div(a, b)
			}
			return g.b.Minimum(a, b)
		})
	})
}

func (g *gen) symbol(name string) *tile.Value {
	g.kernel.Bindings[name] = Binding{Source: FromSize, Symbol: name}
	return g.b.Scalar(name, symbolDocs[name])
}

var symbolDocs = map[string]string{
	"b": "sequences", "s": "tokens of each in this call", "p": "tokens before this call",
	"m": "tokens that caches hold",
}

// Expression is a size as text that a launcher evaluates: the arithmetic of Python.
func Expression(s ir.Size) string { return express(s).text }

// expression is the text of a size; a leaf stands in a larger one without parentheses.
type expression struct {
	text string
	leaf bool
}

func (e expression) operand() string {
	if e.leaf {
		return e.text
	}
	return "(" + e.text + ")"
}

func express(s ir.Size) expression {
	return ir.Walk(s, func(k int) expression { return expression{fmt.Sprint(k), true} },
		func(n string) expression { return expression{n, true} },
		func(op byte, a, b expression) expression {
			switch op {
			case 'm':
				return expression{"min(" + a.text + ", " + b.text + ")", true}
			case '/':
				return expression{a.operand() + " // " + b.operand(), false}
			}
			return expression{a.operand() + " " + string(op) + " " + b.operand(), false}
		})
}

// shape is the extents of a value as expressions.
func (g *gen) shape(t ir.Type) []string {
	var out []string
	for _, d := range t.Dims {
		text := g.extent(d.Size)
		if k, ok := d.Size.Bind(g.bound).IsConst(); ok && isName(d.Name) && k > 1 {
			g.b.Const(g.constName(d), k, "")
			text = g.constName(d)
		}
		out = append(out, text)
	}
	return out
}

// extent is a size as an expression whose symbols the program has as parameters.
func (g *gen) extent(s ir.Size) string {
	s = s.Bind(g.bound)
	for _, name := range ir.Symbols {
		if _, err := s.Eval(without(name)); err != nil {
			g.symbol(name)
		}
	}
	return Expression(s)
}

// without binds all symbols but one.
func without(name string) ir.Env {
	env := ir.Env{}
	for _, n := range ir.Symbols {
		if n != name {
			env[n] = 1
		}
	}
	return env
}

// constName is how a program calls a constant extent: the model's letter, with the number of parts it is split in.
func (g *gen) constName(d ir.Dim) string {
	if d.Split > 0 {
		return d.Name + "_local"
	}
	return d.Name
}

func isName(s string) bool {
	return s != "" && !strings.ContainsAny(s, "+-*/(), ") && (s[0] < '0' || s[0] > '9')
}

// columns is the extent of a value's last axis, a constant.
func (g *gen) columns(v *ir.Value) int {
	n, ok := v.Type.Dims[len(v.Type.Dims)-1].Size.Bind(g.bound).IsConst()
	if !ok {
		g.fail("the last axis of %s %s has no fixed size", v.Ref(), v.Type)
	}
	return n
}

// rows is the product of all axes but the last.
func (g *gen) rows(v *ir.Value) ir.Size {
	return productOf(v.Type.Dims[:len(v.Type.Dims)-1]).Bind(g.bound)
}

func productOf(dims []ir.Dim) ir.Size {
	n := ir.Const(1)
	for _, d := range dims {
		n = n.Mul(d.Size)
	}
	return n
}

// fixed is a product that must be a constant.
func (g *gen) fixed(s ir.Size, what string) int {
	n, ok := s.Bind(g.bound).IsConst()
	if !ok {
		g.fail("%s is %s, which is no constant", what, s)
	}
	return n
}

// pow2 is the smallest power of two that is at least n.
func pow2(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// lanes is how long a vector of n elements is.
func (g *gen) lanes(n int) int { return max(pow2(n), g.plan.lanes) }

// pow2Divisor is the largest power of two, at most limit, that divides n.
func pow2Divisor(n, limit int) int {
	p := 1
	for p*2 <= limit && n%(p*2) == 0 {
		p *= 2
	}
	return p
}

func ceilDiv(n ir.Size, k int) ir.Size {
	if k == 1 {
		return n
	}
	return n.Add(ir.Const(k - 1)).Div(ir.Const(k))
}
