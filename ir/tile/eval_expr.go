package tile

import (
	"fmt"
	"math"
	"math/bits"
	"sort"
	"strconv"
)

// EvalExpr computes the expression of a grid, an extent or a cost: whole numbers, names, + - * // %, min, max and
// parentheses, as Python reads them. A result or a part of it that does not fit 64 bits is an error, and so is a
// division by zero.
func EvalExpr(text string, env map[string]int) (int, error) {
	e, err := parseSizeExpr(text)
	if err != nil {
		return 0, err
	}
	n, err := e.eval(env)
	if err != nil {
		return 0, fmt.Errorf("in %q: %w", text, err)
	}
	return int(n), nil
}

// LeastOf is a number that an expression does not fall below while no name falls below its number in least, which are none
// below zero; false if that cannot be told by looking at sums, products, quotients and minima alone.
func LeastOf(text string, least map[string]int) (int, bool) {
	e, err := parseSizeExpr(text)
	if err != nil || !e.grows() {
		return 0, false
	}
	n, err := e.eval(least)
	return int(n), err == nil
}

// grows reports whether an expression of numbers that are not negative never falls as they grow.
func (e *sizeExpr) grows() bool {
	switch e.op {
	case "-", "neg", "%":
		return false
	case "//":
		return e.args[0].grows() && e.args[1].op == "num"
	}
	for _, a := range e.args {
		if !a.grows() {
			return false
		}
	}
	return true
}

// ExprNames are the names that an expression uses, sorted.
func ExprNames(text string) ([]string, error) {
	e, err := parseSizeExpr(text)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	e.names(seen)
	out := make([]string, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	sort.Strings(out)
	return out, nil
}

// The bounds that keep the recursion on hostile text short.
const (
	maxExprLen   = 4096
	maxExprDepth = 64
)

// sizeExpr is a node: "num", "name", "neg", one of + - * // %, or a function.
type sizeExpr struct {
	op   string
	num  int64
	name string
	args []*sizeExpr
}

func (e *sizeExpr) names(seen map[string]bool) {
	if e.op == "name" {
		seen[e.name] = true
	}
	for _, a := range e.args {
		a.names(seen)
	}
}

func (e *sizeExpr) eval(env map[string]int) (int64, error) {
	switch e.op {
	case "num":
		return e.num, nil
	case "name":
		n, ok := env[e.name]
		if !ok {
			return 0, fmt.Errorf("unknown name %s", e.name)
		}
		return int64(n), nil
	}
	x, err := e.args[0].eval(env)
	if err != nil {
		return 0, err
	}
	if e.op == "neg" {
		return checkedSub(0, x)
	}
	for _, a := range e.args[1:] {
		y, err := a.eval(env)
		if err != nil {
			return 0, err
		}
		if x, err = applySize(e.op, x, y); err != nil {
			return 0, err
		}
	}
	return x, nil
}

func applySize(op string, x, y int64) (int64, error) {
	switch op {
	case "+":
		if y == math.MinInt64 {
			return 0, overflow(op, x, y)
		}
		return checkedSub(x, -y)
	case "-":
		return checkedSub(x, y)
	case "*":
		return checkedMul(x, y)
	case "min":
		return min(x, y), nil
	case "max":
		return max(x, y), nil
	}
	if y == 0 {
		return 0, fmt.Errorf("%d %s 0 divides by zero", x, op)
	}
	if x == math.MinInt64 && y == -1 {
		return 0, overflow(op, x, y)
	}
	q, r := x/y, x%y
	if r != 0 && (r < 0) != (y < 0) { // towards minus infinity, the remainder with the divisor's sign
		q, r = q-1, r+y
	}
	if op == "//" {
		return q, nil
	}
	return r, nil
}

func overflow(op string, x, y int64) error {
	return fmt.Errorf("%d %s %d does not fit 64 bits", x, op, y)
}

func checkedSub(x, y int64) (int64, error) {
	if d := x - y; (x^y)&(x^d) >= 0 {
		return d, nil
	}
	return 0, overflow("-", x, y)
}

func checkedMul(x, y int64) (int64, error) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	signed := int64(hi) - x>>63&y - y>>63&x
	if signed != int64(lo)>>63 {
		return 0, overflow("*", x, y)
	}
	return int64(lo), nil
}

// exprParser reads an expression by recursive descent. The first error stops it.
type exprParser struct {
	text  string
	pos   int
	depth int
	err   error
}

func parseSizeExpr(text string) (*sizeExpr, error) {
	p := &exprParser{text: text}
	if len(text) > maxExprLen {
		return nil, fmt.Errorf("an expression of %d characters is longer than %d", len(text), maxExprLen)
	}
	e := p.sum()
	if p.peek(); p.err == nil && p.pos < len(text) {
		p.fail("an operator or the end")
	}
	return e, p.err
}

// fail records the first error, at the current position.
func (p *exprParser) fail(expected string) {
	if p.err != nil {
		return
	}
	found := "the end"
	if p.pos < len(p.text) {
		found = strconv.Quote(p.text[p.pos:min(len(p.text), p.pos+12)])
	}
	p.err = fmt.Errorf("in %q: expected %s at column %d, found %s", p.text, expected, p.pos+1, found)
}

// peek passes blanks and returns the next character, or 0 at the end.
func (p *exprParser) peek() byte {
	for p.pos < len(p.text) && (p.text[p.pos] == ' ' || p.text[p.pos] == '\t') {
		p.pos++
	}
	if p.pos == len(p.text) {
		return 0
	}
	return p.text[p.pos]
}

func (p *exprParser) expect(c byte) {
	if p.peek() != c {
		p.fail(strconv.Quote(string(c)))
		return
	}
	p.pos++
}

func (p *exprParser) sum() *sizeExpr {
	e := p.product()
	for c := p.peek(); p.err == nil && (c == '+' || c == '-'); c = p.peek() {
		p.pos++
		e = &sizeExpr{op: string(c), args: []*sizeExpr{e, p.product()}}
	}
	return e
}

func (p *exprParser) product() *sizeExpr {
	e := p.factor()
	for c := p.peek(); p.err == nil && (c == '*' || c == '/' || c == '%'); c = p.peek() {
		op := string(c)
		p.pos++
		if c == '/' { // "/" alone yields a fraction in Python
			p.expect('/')
			op = "//"
		}
		e = &sizeExpr{op: op, args: []*sizeExpr{e, p.factor()}}
	}
	return e
}

func (p *exprParser) factor() *sizeExpr {
	if p.depth++; p.depth > maxExprDepth {
		p.fail(fmt.Sprintf("at most %d levels", maxExprDepth))
	}
	defer func() { p.depth-- }()
	if p.err != nil {
		return &sizeExpr{op: "num"}
	}
	switch c := p.peek(); {
	case c == '-':
		p.pos++
		return &sizeExpr{op: "neg", args: []*sizeExpr{p.factor()}}
	case c == '(':
		p.pos++
		e := p.sum()
		p.expect(')')
		return e
	case isDigit(c):
		return p.number()
	case isLetter(c):
		return p.word()
	}
	p.fail("a number, a name or \"(\"")
	return &sizeExpr{op: "num"}
}

func (p *exprParser) number() *sizeExpr {
	start := p.pos
	for p.pos < len(p.text) && (isDigit(p.text[p.pos]) || isLetter(p.text[p.pos])) {
		p.pos++
	}
	word := p.text[start:p.pos]
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || len(word) > 1 && word[0] == '0' { // Python knows no 007
		p.pos = start
		p.fail("a whole number")
	}
	return &sizeExpr{op: "num", num: n}
}

// word reads a name or a call of min or max.
func (p *exprParser) word() *sizeExpr {
	start := p.pos
	for p.pos < len(p.text) && (isDigit(p.text[p.pos]) || isLetter(p.text[p.pos])) {
		p.pos++
	}
	name := p.text[start:p.pos]
	if name != "min" && name != "max" {
		return &sizeExpr{op: "name", name: name}
	}
	e := &sizeExpr{op: name}
	p.expect('(')
	e.args = append(e.args, p.sum())
	for p.err == nil && (p.peek() == ',' || len(e.args) < 2) {
		p.expect(',')
		e.args = append(e.args, p.sum())
	}
	p.expect(')')
	return e
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
