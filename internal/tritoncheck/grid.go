package tritoncheck

import (
	"fmt"
	"strconv"
)

// EvalGrid computes an integer expression in Python's syntax over named values: + - * // %, parentheses, min and
// max. Division and remainder round toward minus infinity, as Python's do.
func EvalGrid(expr string, values map[string]int64) (n int64, err error) {
	p := &gridParser{text: expr, values: values}
	defer func() {
		if e := recover(); e != nil {
			fault, ok := e.(gridError)
			if !ok {
				panic(e)
			}
			err = fmt.Errorf("grid %q: %s", expr, string(fault))
		}
	}()
	p.next()
	n = p.sum()
	if p.token != "" {
		p.fail("unexpected %q", p.token)
	}
	return n, nil
}

type gridError string

type gridParser struct {
	text   string
	token  string // "" at the end
	values map[string]int64
}

func (p *gridParser) fail(format string, args ...any) { panic(gridError(fmt.Sprintf(format, args...))) }

func (p *gridParser) next() {
	for p.text != "" && p.text[0] == ' ' {
		p.text = p.text[1:]
	}
	n := 0
	for n < len(p.text) && isWord(p.text[n]) {
		n++
	}
	switch {
	case n > 0 || p.text == "":
	case len(p.text) > 1 && p.text[:2] == "//":
		n = 2
	default:
		n = 1
	}
	p.token, p.text = p.text[:n], p.text[n:]
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// take consumes the token if it is one of the alternatives and returns it.
func (p *gridParser) take(alternatives ...string) string {
	for _, a := range alternatives {
		if p.token == a {
			p.next()
			return a
		}
	}
	return ""
}

func (p *gridParser) expect(token string) {
	if p.take(token) == "" {
		p.fail("expected %q, found %q", token, p.token)
	}
}

func (p *gridParser) sum() int64 {
	x := p.product()
	for {
		switch p.take("+", "-") {
		case "+":
			x += p.product()
		case "-":
			x -= p.product()
		default:
			return x
		}
	}
}

func (p *gridParser) product() int64 {
	x := p.unary()
	for {
		switch op := p.take("*", "//", "%"); op {
		case "*":
			x *= p.unary()
		case "//", "%":
			y := p.unary()
			if y == 0 {
				p.fail("division by zero")
			}
			quotient, rest := x/y, x%y
			if rest != 0 && (rest < 0) != (y < 0) {
				quotient, rest = quotient-1, rest+y
			}
			if x = quotient; op == "%" {
				x = rest
			}
		default:
			return x
		}
	}
}

func (p *gridParser) unary() int64 {
	if p.take("-") != "" {
		return -p.unary()
	}
	if p.take("(") != "" {
		x := p.sum()
		p.expect(")")
		return x
	}
	word := p.token
	if word == "" || !isWord(word[0]) {
		p.fail("expected a value, found %q", word)
	}
	p.next()
	if word == "min" || word == "max" {
		p.expect("(")
		x := p.sum()
		for p.take(",") != "" {
			if word == "min" {
				x = min(x, p.sum())
			} else {
				x = max(x, p.sum())
			}
		}
		p.expect(")")
		return x
	}
	if '0' <= word[0] && word[0] <= '9' {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			p.fail("%s is not a number", word)
		}
		return n
	}
	n, ok := p.values[word]
	if !ok {
		p.fail("unknown name %s", word)
	}
	return n
}
