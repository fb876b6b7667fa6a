package ir

import (
	"fmt"
	"strconv"
)

// Size is an integer expression over the runtime symbols of a function: b (batch), s (tokens in this call),
// p (tokens before this call) and m (the longest sequence that the caches hold). Sizes are immutable and kept
// simplified, so that two equal texts mean equal sizes; division rounds down, as every operand is ≥ 0.
type Size struct {
	op   byte // 'k' constant, 's' symbol, '+', '-', '*', '/', 'm' (min)
	k    int
	sym  string
	a, b *Size
}

// Symbols are the names that may stay unbound in a Size until a call.
var Symbols = []string{"b", "s", "p", "m"}

// IsSymbol reports whether name is one of Symbols.
func IsSymbol(name string) bool {
	for _, s := range Symbols {
		if s == name {
			return true
		}
	}
	return false
}

// Const is the size k.
func Const(k int) Size { return Size{op: 'k', k: k} }

// Sym is the size named by a runtime symbol.
func Sym(name string) Size { return Size{op: 's', sym: name} }

// IsConst returns the value of a constant size.
func (s Size) IsConst() (int, bool) { return s.k, s.op == 'k' || s.op == 0 }

// Add is s + t, Sub s - t, Mul s · t, Div ⌊s / t⌋ and Min the smaller of both.
func (s Size) Add(t Size) Size { return combine('+', s, t) }

// Sub is s - t.
func (s Size) Sub(t Size) Size { return combine('-', s, t) }

// Mul is s · t.
func (s Size) Mul(t Size) Size { return combine('*', s, t) }

// Div is ⌊s / t⌋; a constant divisor of zero panics, callers check first.
func (s Size) Div(t Size) Size { return combine('/', s, t) }

// Min is the smaller of s and t.
func (s Size) Min(t Size) Size { return combine('m', s, t) }

// combine builds one node, folding constants and neutral elements.
func combine(op byte, x, y Size) Size {
	kx, cx := x.IsConst()
	ky, cy := y.IsConst()
	if cx && cy {
		return Const(apply(op, kx, ky))
	}
	switch {
	case cx && kx == 0 && op == '+', cx && kx == 1 && op == '*':
		return y
	case cy && ky == 0 && (op == '+' || op == '-'), cy && ky == 1 && (op == '*' || op == '/'):
		return x
	case cx && kx == 0 && (op == '*' || op == '/'), cy && ky == 0 && op == '*':
		return Const(0)
	case op == '+' && cx && y.op == '+': // as its text reads: 8+(8+s) is (8+8)+s
		if k, ok := y.a.IsConst(); ok {
			return combine('+', Const(kx+k), *y.b)
		}
	case op == '/' && cy && x.op == '*': // (x*8)/8
		if k, ok := x.b.IsConst(); ok && ky != 0 && k%ky == 0 {
			return combine('*', *x.a, Const(k/ky))
		}
	case op == 'm' && x.Equal(y):
		return x
	}
	return Size{op: op, a: &x, b: &y}
}

func apply(op byte, x, y int) int {
	switch op {
	case '+':
		return x + y
	case '-':
		return x - y
	case '*':
		return x * y
	case '/':
		return x / y
	}
	return min(x, y)
}

// Equal reports whether both sizes have the same simplified form.
func (s Size) Equal(t Size) bool { return s.String() == t.String() }

// Eval computes the size for bound symbols. An unbound symbol is an error that names it.
func (s Size) Eval(env Env) (int, error) {
	switch s.op {
	case 'k', 0:
		return s.k, nil
	case 's':
		v, ok := env[s.sym]
		if !ok {
			return 0, fmt.Errorf("size %s has no value here", s.sym)
		}
		return v, nil
	}
	x, err := s.a.Eval(env)
	if err != nil {
		return 0, err
	}
	y, err := s.b.Eval(env)
	if err != nil {
		return 0, err
	}
	if s.op == '/' && y == 0 {
		return 0, fmt.Errorf("size %s divides by zero", s)
	}
	return apply(s.op, x, y), nil
}

// Bind replaces the symbols of env by their values and simplifies.
func (s Size) Bind(env Env) Size {
	switch s.op {
	case 'k', 0:
		return s
	case 's':
		if v, ok := env[s.sym]; ok {
			return Const(v)
		}
		return s
	}
	return combine(s.op, s.a.Bind(env), s.b.Bind(env))
}

// Walk calls f for each node's operator and operands from the leaves up; printers for other languages use it.
// The leaf functions receive constants and symbols, join the results of an inner node.
func Walk[T any](s Size, leafConst func(int) T, leafSym func(string) T, join func(op byte, a, b T) T) T {
	switch s.op {
	case 'k', 0:
		return leafConst(s.k)
	case 's':
		return leafSym(s.sym)
	}
	a := Walk(*s.a, leafConst, leafSym, join)
	b := Walk(*s.b, leafConst, leafSym, join)
	return join(s.op, a, b)
}

// Factors returns both operands of a product.
func (s Size) Factors() (a, b Size, ok bool) {
	if s.op != '*' {
		return Size{}, Size{}, false
	}
	return *s.a, *s.b, true
}

// Env binds runtime symbols to values.
type Env map[string]int

// String prints the size with as few parentheses as its meaning allows.
func (s Size) String() string { return s.text(0) }

// text prints for a context that binds with the given strength: 0 none, 1 sums, 2 products, 3 divisors.
func (s Size) text(strength int) string {
	switch s.op {
	case 'k', 0:
		return strconv.Itoa(s.k)
	case 's':
		return s.sym
	case 'm':
		return "min(" + s.a.text(0) + "," + s.b.text(0) + ")"
	}
	var out string
	own := 1
	if s.op == '*' || s.op == '/' {
		own = 2
		out = s.a.text(2) + string(s.op) + s.b.text(3)
	} else {
		right := 1
		if s.op == '-' {
			right = 2
		}
		out = s.a.text(1) + string(s.op) + s.b.text(right)
	}
	if own < strength {
		return "(" + out + ")"
	}
	return out
}

// ParseSize reads a size, with names (of constants) beside the runtime symbols.
func ParseSize(text string, names map[string]int) (Size, error) {
	p := &parser{lex: newLexer(text, ""), names: names}
	return p.wholeSize()
}
