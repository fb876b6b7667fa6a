package frontend

import (
	"fmt"
	"math"
	"strconv"

	"flagc/ir"
)

// static is a value known while the model is elaborated: an integer, float64, bool, string or list.
type static any

// integer is a size and the text that names it. The text of a constant written as a number is that number, so
// that a weight of 2*c channels is called so whatever c is, and 2*4 is called 8.
type integer struct {
	size  ir.Size
	text  string
	binds int    // how strongly text's outermost operator binds: 1 sum, 2 product, 3 none
	label string // the word for a value of a list, such as "csa"
}

// list is a list of integers from the configuration.
type list []integer

func constant(k int) integer {
	return integer{size: ir.Const(k), text: strconv.Itoa(k), binds: 3}
}

// named is a constant under the name of the configuration.
func named(name string, k int) integer { return integer{size: ir.Const(k), text: name, binds: 3} }

func symbol(name string) integer { return integer{size: ir.Sym(name), text: name, binds: 3} }

// dim is the integer as an axis.
func (n integer) dim() ir.Dim { return ir.Dim{Name: n.text, Size: n.size} }

// literal is the value of an integer whose text is a number.
func (n integer) literal() (int, bool) {
	k, ok := n.size.IsConst()
	return k, ok && n.text == strconv.Itoa(k)
}

func (n integer) fixed() bool { _, ok := n.size.IsConst(); return ok }

func (n integer) negative() bool { k, ok := n.size.IsConst(); return ok && k < 0 }

// maxInteger keeps products of integers far from overflow; sizes in IR text have the same bound.
const maxInteger = 1<<31 - 1

// maxText bounds the text of a size, and with it the work that a size makes.
const maxText = 400

func overflows(x, y integer) bool {
	a, okA := x.size.IsConst()
	b, okB := y.size.IsConst()
	return okA && okB && a != 0 && max(b, -b) > maxInteger/max(a, -a)
}

// arith computes x op y for + - * / and m (the smaller). The text follows the source, never reordered, with
// numbers folded and neutral elements left out, as ir.Size does it.
func arith(op byte, x, y integer) (integer, error) {
	out := integer{binds: map[byte]int{'+': 1, '-': 1, '*': 2, '/': 2, 'm': 3}[op]}
	if k, ok := y.size.IsConst(); ok && k == 0 && op == '/' {
		return out, fmt.Errorf("%s / %s divides by zero", x.text, y.text)
	}
	if x.negative() != y.negative() && !(x.fixed() && y.fixed()) {
		return out, fmt.Errorf("%s %c %s: a size cannot be computed with a negative number", x.text, op, y.text)
	}
	if op == '*' && overflows(x, y) {
		return out, fmt.Errorf("%s * %s is out of range", x.text, y.text)
	}
	if len(x.text)+len(y.text) > maxText {
		return out, fmt.Errorf("the size is longer than %d characters when it is written out", maxText)
	}
	switch op {
	case '+':
		out.size = x.size.Add(y.size)
	case '-':
		out.size = x.size.Sub(y.size)
	case '*':
		out.size = x.size.Mul(y.size)
	case '/':
		out.size = x.size.Div(y.size)
	case 'm':
		out.size = x.size.Min(y.size)
	}
	if k, ok := out.size.IsConst(); ok && (k > maxInteger || k < -maxInteger) {
		return out, fmt.Errorf("%s %c %s is out of range", x.text, op, y.text)
	}
	kx, cx := x.literal()
	ky, cy := y.literal()
	switch {
	case cx && cy:
		k, _ := out.size.IsConst()
		return constant(k), nil
	case cx && (kx == 0 && op == '+' || kx == 1 && op == '*'):
		return y, nil
	case cy && (ky == 0 && (op == '+' || op == '-') || ky == 1 && (op == '*' || op == '/')):
		return x, nil
	case cx && kx == 0 && (op == '*' || op == '/'), cy && ky == 0 && op == '*':
		return constant(0), nil
	case op == 'm':
		out.text = "min(" + x.text + "," + y.text + ")"
		return out, nil
	}
	right := out.binds
	if op == '-' || op == '*' || op == '/' {
		right++
	}
	out.text = x.within(out.binds) + string(op) + y.within(right)
	return out, nil
}

// within is the text for a place that binds with the given strength.
func (n integer) within(strength int) string {
	if n.binds < strength {
		return "(" + n.text + ")"
	}
	return n.text
}

// sameDim reports whether a declared axis is that of a value: equal in size, and in name too unless the size
// depends on the call, since then no coincidence of numbers can hide a mistake.
func sameDim(a, b ir.Dim) bool {
	_, fixed := a.Size.IsConst()
	return a.Size.Equal(b.Size) && (!fixed || a.Name == b.Name)
}

func sameType(a, b ir.Type) bool {
	if a.Elem != b.Elem || len(a.Dims) != len(b.Dims) {
		return false
	}
	for i := range a.Dims {
		if !sameDim(a.Dims[i], b.Dims[i]) {
			return false
		}
	}
	return true
}

// toFloat widens a constant.
func toFloat(v static) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case integer:
		k, ok := x.size.IsConst()
		return float64(k), ok
	}
	return 0, false
}

// kindOf names the kind of a static value for messages.
func kindOf(v static) string {
	switch v.(type) {
	case integer:
		return "an integer"
	case float64:
		return "a number"
	case bool:
		return "a condition"
	case string:
		return "a string"
	}
	return "a list"
}

// show prints a static value for messages.
func show(v static) string {
	switch x := v.(type) {
	case integer:
		if _, isLiteral := x.literal(); isLiteral || x.size.String() == x.text {
			return x.text
		}
		return x.text + " = " + x.size.String()
	case float64:
		return ir.FormatFloat(x)
	case string:
		return strconv.Quote(x)
	case list:
		return fmt.Sprintf("a list of %d", len(x))
	}
	return fmt.Sprint(v)
}

// binary computes x op y on static values other than && and ||, which do not always need y.
func binary(op string, x, y static) (static, error) {
	a, aInt := x.(integer)
	b, bInt := y.(integer)
	switch op {
	case "+", "-", "*", "/":
		if aInt && bInt {
			return arith(op[0], a, b)
		}
	case "==", "!=":
		if equal, ok := equalStatic(x, y); ok {
			return equal == (op == "=="), nil
		}
		return nil, fmt.Errorf("%s and %s cannot be compared", show(x), show(y))
	}
	f, fOK := toFloat(x)
	g, gOK := toFloat(y)
	if !fOK || !gOK {
		return nil, fmt.Errorf("%s needs numbers, but the operands are %s (%s) and %s (%s)",
			op, show(x), kindOf(x), show(y), kindOf(y))
	}
	switch op {
	case "<":
		return f < g, nil
	case "<=":
		return f <= g, nil
	case ">":
		return f > g, nil
	case ">=":
		return f >= g, nil
	}
	return floatArith(op, f, g)
}

func floatArith(op string, f, g float64) (static, error) {
	var r float64
	switch op {
	case "+":
		r = f + g
	case "-":
		r = f - g
	case "*":
		r = f * g
	case "/":
		r = f / g
	case "^":
		r = math.Pow(f, g)
	}
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return nil, fmt.Errorf("%v %s %v is no finite number", f, op, g)
	}
	return r, nil
}

func equalStatic(x, y static) (equal, ok bool) {
	switch a := x.(type) {
	case bool:
		b, ok := y.(bool)
		return a == b, ok
	case string:
		b, ok := y.(string)
		return a == b, ok
	}
	f, fOK := toFloat(x)
	g, gOK := toFloat(y)
	return f == g, fOK && gOK
}
