package gohost

import (
	"fmt"
	"strings"

	"github.com/dave/jennifer/jen"
)

// columns is how much of a line a call may take: the rest of the page is for indentation and for the comment
// that says where the call comes from.
const columns = 106

// expr is a Go expression with what must be known of it to build larger ones.
type expr struct {
	code     *jen.Statement
	strength int  // how closely the outermost operator binds
	divides  bool // the outermost operators are * and /, one of them /
	reads    symbols
}

// Strengths of operators; what has none is primary.
const (
	sum = iota
	product
	unary
	primary
)

var strengths = map[string]int{"+": sum, "-": sum, "*": product, "/": product, "%": product}

// symbols is a set of the locals that stand for the sizes of a call.
type symbols struct{ b, s, p bool }

func (x symbols) union(y symbols) symbols { return symbols{x.b || y.b, x.s || y.s, x.p || y.p} }

// symbol is the local of a size of the call.
func symbol(name string) expr {
	return expr{code: jen.Id(name), strength: primary, reads: symbols{name == "b", name == "s", name == "p"}}
}

// word is an expression that no operator takes apart.
func word(code *jen.Statement) expr { return expr{code: code, strength: primary} }

// op joins two expressions. Parentheses keep the order in which the operators were applied: sums of float64
// depend on it.
func (x expr) op(sign string, y expr) expr {
	strength := strengths[sign]
	return expr{
		code:     jen.Add(x.within(strength)).Op(sign).Add(y.within(strength + 1)),
		strength: strength,
		divides:  strength == product && (sign != "*" || x.divides && x.strength == product),
		reads:    x.reads.union(y.reads),
	}
}

// times multiplies sizes. The factors of a product join those before it: only a quotient must stay whole.
func (x expr) times(y expr) expr {
	if y.strength == product && !y.divides {
		y.strength = primary
	}
	return x.op("*", y)
}

// apply calls a function of expressions.
func apply(function *jen.Statement, args ...expr) expr {
	x := word(nil)
	list := make([]jen.Code, len(args))
	for i, a := range args {
		list[i] = a.code
		x.reads = x.reads.union(a.reads)
	}
	x.code = jen.Add(function).Call(list...)
	return x
}

// within is the expression's code as an operand of an operator of the given strength.
func (x expr) within(strength int) *jen.Statement {
	if x.strength < strength {
		return jen.Parens(x.code)
	}
	return x.code
}

// bind declares the locals of the symbols that a function's expressions read.
func (x symbols) bind() jen.Code {
	var names, values []jen.Code
	for _, s := range []struct {
		name string
		read bool
	}{{"b", x.b}, {"s", x.s}, {"p", x.p}} {
		if s.read {
			names = append(names, jen.Id(s.name))
			values = append(values, jen.Id("at").Dot(s.name))
		}
	}
	if names == nil {
		return jen.Null()
	}
	return jen.List(names...).Op(":=").List(values...)
}

// selector is a dotted path of fields.
func selector(path string) *jen.Statement {
	words := strings.Split(path, ".")
	s := jen.Id(words[0])
	for _, w := range words[1:] {
		s.Dot(w)
	}
	return s
}

// receiver declares the variable of a pointer method.
func receiver(name, typ string) *jen.Statement { return jen.Params(jen.Id(name).Op("*").Id(typ)) }

// call calls a function, its arguments on as many lines as they need.
func call(function *jen.Statement, args ...jen.Code) *jen.Statement {
	return jen.Add(function).Call(fill(width(function), args)...)
}

// composite is a composite literal with one field on each line.
func composite(typ *jen.Statement, fields ...jen.Code) *jen.Statement {
	return jen.Add(typ).Custom(jen.Options{Open: "{", Close: "}", Separator: ",", Multi: true}, fields...)
}

// pair is a field of a composite literal.
func pair(name string, value jen.Code) *jen.Statement { return jen.Id(name).Op(":").Add(value) }

// fill starts a line before each element of a list that would leave the page; at is where the list begins.
func fill(at int, list []jen.Code) []jen.Code {
	return fillBy(at, list, func(x jen.Code) int {
		// Between others, since gofmt spaces the operators of a lone argument more widely.
		return width(jen.Id("f").Call(jen.Null(), jen.Lit(0), x)) - len("f(0)")
	})
}

// fillParams is fill for the parameters of a function.
func fillParams(at int, list []jen.Code) []jen.Code {
	return fillBy(at, list, func(x jen.Code) int {
		return width(jen.Var().Id("f").Func().Params(x)) - len("var f func()") + len(", ")
	})
}

func fillBy(at int, list []jen.Code, measure func(jen.Code) int) []jen.Code {
	out := make([]jen.Code, len(list))
	for i, x := range list {
		w := measure(x)
		if at+w > columns {
			x, at = jen.Line().Add(x), 0
		}
		out[i] = x
		at += w
	}
	return out
}

// width is how long code is in one line.
func width(code *jen.Statement) int { return len(fmt.Sprintf("%#v", code)) }

// comment wraps text into comment lines.
func comment(text string) string {
	var b strings.Builder
	line := "//"
	for _, w := range strings.Fields(text) {
		if len(line)+1+len(w) > 108 && line != "//" {
			b.WriteString(line + "\n")
			line = "//"
		}
		line += " " + w
	}
	return b.String() + line
}
