package gohost

import (
	"fmt"
	"strconv"
	"strings"

	"flagc/ir"
	"flagc/ir/ops"
)

// loop writes a pointwise op as a loop over the result's elements, in float64 with one rounding.
func (e *emitter) loop() {
	names := e.in.Op.Operands()
	elements := map[string]string{}
	for i, name := range names {
		index, err := e.index(i)
		if err != nil {
			e.fail("%v", err)
			return
		}
		elements[name] = "float64(" + e.arg(i) + "[" + index + "])"
	}
	value := e.expr(e.in.Op.PointwiseBody(), elements)
	if e.rounds(0) == "true" {
		value = "float32(formats.RoundBF16(" + value + "))"
	} else {
		value = "float32(" + value + ")"
	}
	e.statement(fmt.Sprintf("for i := range %s {\n%s[i] = %s\n}", e.out(0), e.out(0), value))
}

// binary joins two operands, in parentheses where their own operators bind less.
func (e *emitter) binary(x *ir.Expr, args []string) string {
	strength := map[string]int{"+": 4, "-": 4, "*": 5, "/": 5}[x.Op]
	left, right := protect(args[0], strength), args[1]
	if right = protect(right, strength); x.Op == "-" || x.Op == "/" {
		right = operand(args[1])
	}
	return left + " " + x.Op + " " + right
}

// index is where the element of operand i lies that belongs to element i of the result: axes that the operand
// lacks are left out.
func (e *emitter) index(i int) (string, error) {
	result, operandType := e.in.Results[0].Type, e.in.Args[i].Type
	axes, err := ops.BroadcastStrides(result, operandType)
	if err != nil {
		return "", err
	}
	if sameAxes(result.Dims, operandType.Dims) {
		return "i", nil
	}
	var terms []string
	for a, own := range axes {
		if own < 0 {
			continue
		}
		term := "i"
		if inner := e.product(result.Dims[a+1:]); inner != "1" {
			term += "/" + operand(inner)
		}
		if a > 0 { // the outermost axis needs no remainder
			term += "%" + operand(e.product(result.Dims[a:a+1]))
		}
		if stride := e.product(operandType.Dims[own+1:]); stride != "1" {
			term += "*" + operand(stride)
		}
		terms = append(terms, term)
	}
	if terms == nil {
		return "0", nil
	}
	return strings.Join(terms, " + "), nil
}

// helperFuncs are the functions of pointwise bodies that Go's math package lacks, written into the program
// where needed.
var helperFuncs = map[string]string{
	"sigmoid":  "return 1 / (1 + math.Exp(-x))",
	"silu":     "return x / (1 + math.Exp(-x))",
	"softplus": "if x > 20 {\nreturn x\n}\nreturn math.Log1p(math.Exp(x))",
}

// expr writes a pointwise body over float64.
func (e *emitter) expr(x *ir.Expr, elements map[string]string) string {
	args := make([]string, len(x.Args))
	for i, a := range x.Args {
		args[i] = e.expr(a, elements)
	}
	switch x.Op {
	case "num":
		return "float64(" + strconv.FormatFloat(x.Num, 'g', -1, 64) + ")"
	case "name":
		if text := elements[x.Name]; text != "" {
			return text
		}
		return "float64(" + e.attr(x.Name) + ")"
	case "neg":
		return "-(" + args[0] + ")"
	case "+", "-", "*", "/":
		return e.binary(x, args)
	case "exp", "sqrt":
		return "math." + strings.ToUpper(x.Op[:1]) + x.Op[1:] + list(args)
	case "relu":
		return "max(" + args[0] + ", 0)"
	case "clamp":
		return "min(max(" + args[0] + ", " + args[1] + "), " + args[2] + ")"
	case "min", "max":
		return x.Op + list(args)
	}
	if helperFuncs[x.Op] == "" {
		return e.fail("no rule writes the function %s", x.Op)
	}
	e.g.helpers[x.Op] = true
	return x.Op + list(args)
}
