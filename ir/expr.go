package ir

import (
	"fmt"
	"math"
)

// Expr is the body of a pointwise op: arithmetic over operands and attributes. Code generators walk it; the
// interpreter evaluates it in float64.
type Expr struct {
	Op   string // "num", "name", "+", "-", "*", "/", "neg", or a function of ExprFuncs
	Num  float64
	Name string
	Args []*Expr
}

// ExprFuncs are the functions that a body may call, with their numbers of arguments.
var ExprFuncs = map[string]int{
	"exp": 1, "log": 1, "sqrt": 1, "sigmoid": 1, "silu": 1, "softplus": 1, "relu": 1, "min": 2, "max": 2, "clamp": 3,
}

// ParseExpr reads a body over the given names.
func ParseExpr(text string, names []string) (*Expr, error) {
	known := map[string]bool{}
	for _, n := range names {
		known[n] = true
	}
	p := &parser{lex: newLexer(text, "")}
	e := p.expr(known, 0)
	if p.err == nil && p.lex.tok.kind != tokEOF {
		p.fail("unexpected %s", p.lex.tok)
	}
	return e, p.err
}

// expr parses sums (level 0), products (1) and factors (2).
func (p *parser) expr(known map[string]bool, level int) *Expr {
	if level == 2 {
		return p.exprFactor(known)
	}
	ops := "+-"
	if level == 1 {
		ops = "*/"
	}
	e := p.expr(known, level+1)
	for p.err == nil && len(p.lex.tok.text) == 1 && (p.lex.tok.text[0] == ops[0] || p.lex.tok.text[0] == ops[1]) {
		op := p.lex.tok.text
		p.lex.next()
		e = &Expr{Op: op, Args: []*Expr{e, p.expr(known, level+1)}}
	}
	return e
}

func (p *parser) exprFactor(known map[string]bool) *Expr {
	switch t := p.lex.tok; {
	case p.err != nil:
		return nil
	case p.accept("-"):
		return &Expr{Op: "neg", Args: []*Expr{p.exprFactor(known)}}
	case p.accept("("):
		e := p.expr(known, 0)
		p.expect(")")
		return e
	case t.kind == tokNumber:
		p.lex.next()
		return &Expr{Op: "num", Num: t.num()}
	case t.kind == tokIdent && ExprFuncs[t.text] > 0:
		p.lex.next()
		e := &Expr{Op: t.text}
		p.expect("(")
		for i := 0; i < ExprFuncs[t.text] && p.err == nil; i++ {
			if i > 0 {
				p.expect(",")
			}
			e.Args = append(e.Args, p.expr(known, 0))
		}
		p.expect(")")
		return e
	case t.kind == tokIdent && known[t.text]:
		p.lex.next()
		return &Expr{Op: "name", Name: t.text}
	default:
		p.fail("expected an operand, an attribute or a function, found %s", t)
		return nil
	}
}

// Compile turns the body into a function of the operands' values; attributes are fixed.
func (e *Expr) Compile(operands []string, attrs Attrs) (func(x []float64) float64, error) {
	switch e.Op {
	case "num":
		k := e.Num
		return func([]float64) float64 { return k }, nil
	case "name":
		for i, n := range operands {
			if n == e.Name {
				return func(x []float64) float64 { return x[i] }, nil
			}
		}
		k, ok := attrs.Get(e.Name).(float64)
		if !ok {
			return nil, fmt.Errorf("attribute %s is not a number", e.Name)
		}
		return func([]float64) float64 { return k }, nil
	}
	args := make([]func([]float64) float64, len(e.Args))
	for i, a := range e.Args {
		var err error
		if args[i], err = a.Compile(operands, attrs); err != nil {
			return nil, err
		}
	}
	return compileNode(e.Op, args), nil
}

func compileNode(op string, args []func([]float64) float64) func([]float64) float64 {
	a := args[0]
	if f, ok := unary[op]; ok {
		return func(x []float64) float64 { return f(a(x)) }
	}
	b := args[1]
	switch op {
	case "+":
		return func(x []float64) float64 { return a(x) + b(x) }
	case "-":
		return func(x []float64) float64 { return a(x) - b(x) }
	case "*":
		return func(x []float64) float64 { return a(x) * b(x) }
	case "/":
		return func(x []float64) float64 { return a(x) / b(x) }
	case "min":
		return func(x []float64) float64 { return math.Min(a(x), b(x)) }
	case "max":
		return func(x []float64) float64 { return math.Max(a(x), b(x)) }
	}
	c := args[2]
	return func(x []float64) float64 { return math.Min(math.Max(a(x), b(x)), c(x)) }
}

// unary gives the meaning of functions of one argument. softplus is the identity above 20, as the official
// code's library defines it.
var unary = map[string]func(float64) float64{
	"neg":     func(v float64) float64 { return -v },
	"exp":     math.Exp,
	"log":     math.Log,
	"sqrt":    math.Sqrt,
	"sigmoid": func(v float64) float64 { return 1 / (1 + math.Exp(-v)) },
	"silu":    func(v float64) float64 { return v / (1 + math.Exp(-v)) },
	"relu":    func(v float64) float64 { return math.Max(v, 0) },
	"softplus": func(v float64) float64 {
		if v > 20 {
			return v
		}
		return math.Log1p(math.Exp(v))
	},
}
