package gohost

import (
	"strings"

	"github.com/dave/jennifer/jen"

	"flagc/ir"
	"flagc/ir/ops"
)

// loop writes a pointwise op as a loop over the result's elements, in float64 with one rounding.
func (e *emitter) loop() {
	elements := map[string]expr{}
	for i, name := range e.in.Op.Operands() {
		index, err := e.index(i)
		if err != nil {
			e.fail("%v", err)
			return
		}
		elements[name] = float64Of(e.arg(i).Index(index.code))
	}
	value := e.pointwise(e.in.Op.PointwiseBody(), elements).code
	if e.storedBF16(0) {
		value = e.g.formats("RoundBF16").Call(value)
	}
	if o := e.origin(""); o != "" {
		e.code = append(e.code, jen.Comment(o))
	}
	e.code = append(e.code, jen.For(jen.Id("i").Op(":=").Range().Add(e.out(0))).Block(
		e.out(0).Index(jen.Id("i")).Op("=").Float32().Call(value)))
}

func float64Of(code jen.Code) expr { return word(jen.Float64().Call(code)) }

// index is where the element of operand i lies that belongs to element i of the result: axes that the operand
// lacks are left out.
func (e *emitter) index(i int) (expr, error) {
	result, operand := e.in.Results[0].Type, e.in.Args[i].Type
	axes, err := ops.BroadcastStrides(result, operand)
	if err != nil {
		return expr{}, err
	}
	element := word(jen.Id("i"))
	if sameAxes(result.Dims, operand.Dims) {
		return element, nil
	}
	var index expr
	for a, own := range axes {
		if own < 0 {
			continue
		}
		term := element
		if inner := result.Dims[a+1:]; !ones(inner) {
			term = term.op("/", e.g.sizes.product(inner))
		}
		if a > 0 { // the outermost axis needs no remainder
			term = term.op("%", e.g.sizes.product(result.Dims[a:a+1]))
		}
		if stride := operand.Dims[own+1:]; !ones(stride) {
			term = term.op("*", e.g.sizes.product(stride))
		}
		if index.code != nil {
			term = index.op("+", term)
		}
		index = term
	}
	if index.code == nil {
		return number(0), nil
	}
	e.note(index)
	return index, nil
}

// pointwise writes a pointwise body over float64.
func (e *emitter) pointwise(x *ir.Expr, elements map[string]expr) expr {
	args := make([]expr, len(x.Args))
	for i, a := range x.Args {
		args[i] = e.pointwise(a, elements)
	}
	switch x.Op {
	case "num":
		return float64Of(jen.Lit(x.Num))
	case "name":
		if element, ok := elements[x.Name]; ok {
			return element
		}
		return float64Of(e.attr(x.Name))
	case "neg":
		return expr{code: jen.Op("-").Add(args[0].within(primary)), strength: unary}
	case "+", "-", "*", "/":
		return args[0].op(x.Op, args[1])
	case "exp", "log", "sqrt":
		return apply(jen.Qual("math", strings.ToUpper(x.Op[:1])+x.Op[1:]), args...)
	case "relu":
		return apply(jen.Id("max"), args[0], number(0))
	case "clamp":
		return apply(jen.Id("min"), apply(jen.Id("max"), args[0], args[1]), args[2])
	case "min", "max":
		return apply(jen.Id(x.Op), args...)
	}
	if helperFuncs[x.Op] == nil {
		return word(e.fail("no rule writes the function %s", x.Op))
	}
	e.g.helpers[x.Op] = true
	return apply(jen.Id(x.Op), args...)
}

// helperFuncs are the functions of pointwise bodies that Go's math package lacks, over a parameter x; they are
// written into the program where needed.
var helperFuncs = map[string][]jen.Code{
	"sigmoid": {jen.Return(jen.Lit(1).Op("/").Add(onePlusExp))},
	"silu":    {jen.Return(jen.Id("x").Op("/").Add(onePlusExp))},
	"softplus": {
		jen.If(jen.Id("x").Op(">").Lit(20)).Block(jen.Return(jen.Id("x"))),
		jen.Return(jen.Qual("math", "Log1p").Call(jen.Qual("math", "Exp").Call(jen.Id("x")))),
	},
}

var onePlusExp = jen.Parens(jen.Lit(1).Op("+").Qual("math", "Exp").Call(jen.Op("-").Id("x")))
