package ir

import (
	"strconv"
	"strings"

	"flagc/internal/diag"
)

type tokKind uint8

const (
	tokEOF tokKind = iota
	tokIdent
	tokNumber
	tokString
	tokPunct
)

// token is one word of IR text. A doc holds the comment lines that stand directly before it.
type token struct {
	kind      tokKind
	text      string
	pos, end  int // byte offsets
	line, col int
	doc       string
}

// String names the token in messages.
func (t token) String() string {
	if t.kind == tokEOF {
		return "the end of the text"
	}
	return strconv.Quote(t.text)
}

func (t token) num() float64 {
	v, _ := strconv.ParseFloat(t.text, 64)
	return v
}

// lexer splits IR text. Names may hold dots ("attn.wq_a", "kv.1"); comments run from # to the end of the line,
// unless a digit follows: #256 is an offset.
type lexer struct {
	src  string
	file string
	pos  int
	line int
	bol  int // offset of the current line
	tok  token
}

func newLexer(src, file string) *lexer {
	l := &lexer{src: src, file: file, line: 1}
	l.next()
	return l
}

func (l *lexer) span(t token) diag.Span {
	return diag.Span{File: l.file, Line: t.line, Col: t.col, EndCol: t.col + max(1, t.end-t.pos)}
}

// next reads one token into l.tok.
func (l *lexer) next() {
	doc := l.skipSpace()
	start := l.pos
	t := token{pos: start, line: l.line, col: start - l.bol + 1, doc: doc}
	defer func() {
		t.end = l.pos
		l.tok = t
	}()
	if l.pos >= len(l.src) {
		return
	}
	c := l.src[l.pos]
	switch {
	case isLetter(c):
		t.kind = tokIdent
		for l.pos < len(l.src) && (isLetter(l.src[l.pos]) || isDigit(l.src[l.pos]) || l.dotInName()) {
			l.pos++
		}
		t.text = l.src[start:l.pos]
	case isDigit(c):
		t.kind = tokNumber
		l.number()
		t.text = l.src[start:l.pos]
	case c == '"':
		t.kind, t.text = tokString, l.quoted()
	default:
		t.kind = tokPunct
		l.pos++
		if two := l.src[start:min(len(l.src), start+2)]; two == "->" || two == "<-" {
			l.pos++
		}
		t.text = l.src[start:l.pos]
	}
}

// skipSpace passes white space and comments, and returns the comment block that ends directly above.
func (l *lexer) skipSpace() string {
	var doc []string
	blank := 0
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == '\n':
			l.pos++
			l.line++
			l.bol = l.pos
			if blank++; blank > 1 {
				doc = nil
			}
		case c == ' ' || c == '\t' || c == '\r':
			l.pos++
		case c == '#' && !l.placeFollows():
			end := strings.IndexByte(l.src[l.pos:], '\n')
			if end < 0 {
				end = len(l.src) - l.pos
			}
			doc = append(doc, strings.TrimSpace(strings.TrimPrefix(l.src[l.pos:l.pos+end], "#")))
			l.pos += end
			blank = 0
		default:
			return strings.Join(doc, "\n")
		}
	}
	return ""
}

// placeFollows reports whether the # at the current position begins an offset (#256) and no comment.
func (l *lexer) placeFollows() bool { return l.pos+1 < len(l.src) && isDigit(l.src[l.pos+1]) }

// dotInName reports whether the dot at the current position joins two parts of a name.
func (l *lexer) dotInName() bool {
	return l.src[l.pos] == '.' && l.pos+1 < len(l.src) && (isLetter(l.src[l.pos+1]) || isDigit(l.src[l.pos+1]))
}

// number passes digits with an optional fraction and exponent.
func (l *lexer) number() {
	digits := func() {
		for l.pos < len(l.src) && isDigit(l.src[l.pos]) {
			l.pos++
		}
	}
	digits()
	if l.pos+1 < len(l.src) && l.src[l.pos] == '.' && isDigit(l.src[l.pos+1]) {
		l.pos++
		digits()
	}
	if l.pos+1 < len(l.src) && l.src[l.pos] == 'e' {
		rest := l.src[l.pos+1:]
		if sign := rest[0] == '-' || rest[0] == '+'; sign && len(rest) > 1 && isDigit(rest[1]) {
			l.pos += 2
			digits()
		} else if isDigit(rest[0]) {
			l.pos++
			digits()
		}
	}
}

// quoted passes a string in Go syntax and returns its value; a broken one yields its raw text.
func (l *lexer) quoted() string {
	start := l.pos
	l.pos++
	for l.pos < len(l.src) && l.src[l.pos] != '"' && l.src[l.pos] != '\n' {
		if l.src[l.pos] == '\\' && l.pos+1 < len(l.src) {
			l.pos++
		}
		l.pos++
	}
	if l.pos < len(l.src) && l.src[l.pos] == '"' {
		l.pos++
	}
	raw := l.src[start:min(l.pos, len(l.src))]
	if s, err := strconv.Unquote(raw); err == nil {
		return s
	}
	return raw
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// parser holds what reading IR text needs. The first error stops it.
type parser struct {
	lex   *lexer
	names map[string]int
	err   error

	ops    *OpSet
	mod    *Module
	fn     *Func
	values map[string]*Value
	depth  int
	calls  []pendingCall
}

// fail records the first error, at the current token.
func (p *parser) fail(format string, args ...any) {
	p.failAt(p.lex.tok, format, args...)
}

func (p *parser) failAt(t token, format string, args ...any) {
	if p.err == nil {
		p.err = diag.New(p.lex.span(t), "", format, args...)
	}
}

// accept passes a token with the given text.
func (p *parser) accept(text string) bool {
	if p.err == nil && p.lex.tok.text == text && (p.lex.tok.kind == tokPunct || p.lex.tok.kind == tokIdent) {
		p.lex.next()
		return true
	}
	return false
}

func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.fail("expected %q, found %s", text, p.lex.tok)
	}
}

func (p *parser) ident(what string) string {
	t := p.lex.tok
	if p.err != nil || t.kind != tokIdent {
		p.fail("expected %s, found %s", what, t)
		return ""
	}
	p.lex.next()
	return t.text
}

func (p *parser) str(what string) string {
	t := p.lex.tok
	if p.err != nil || t.kind != tokString {
		p.fail("expected %s in quotes, found %s", what, t)
		return ""
	}
	p.lex.next()
	return t.text
}

func (p *parser) integer(what string) int {
	t := p.lex.tok
	n, err := strconv.Atoi(t.text)
	if p.err != nil || t.kind != tokNumber || err != nil {
		p.fail("expected %s, found %s", what, t)
		return 0
	}
	p.lex.next()
	return n
}

// wholeSize parses a size that must fill the text.
func (p *parser) wholeSize() (Size, error) {
	s := p.size(0)
	if p.err == nil && p.lex.tok.kind != tokEOF {
		p.fail("unexpected %s in a size", p.lex.tok)
	}
	return s, p.err
}

// maxNesting bounds the recursion on hostile text.
const maxNesting = 64

// maxSize bounds constants in sizes, so that products of a few of them stay far from overflow.
const maxSize = 1<<31 - 1

// size parses sums (level 0), products (1) and factors (2).
func (p *parser) size(level int) Size {
	if level == 2 {
		return p.sizeFactor()
	}
	ops := "+-"
	if level == 1 {
		ops = "*/"
	}
	s := p.size(level + 1)
	for p.err == nil && p.lex.tok.kind == tokPunct && strings.Contains(ops, p.lex.tok.text) {
		op := p.lex.tok
		p.lex.next()
		t := p.size(level + 1)
		if k, ok := t.IsConst(); op.text == "/" && ok && k == 0 {
			p.failAt(op, "size divides by zero")
			return s
		}
		s = combine(op.text[0], s, t)
		if k, ok := s.IsConst(); ok && (k > maxSize || k < -maxSize) {
			p.failAt(op, "size %d is out of range", k)
		}
	}
	return s
}

func (p *parser) sizeFactor() Size {
	if p.depth++; p.depth > maxNesting {
		p.fail("size is nested deeper than %d", maxNesting)
	}
	defer func() { p.depth-- }()
	t := p.lex.tok
	switch {
	case p.err != nil:
		return Size{}
	case p.accept("("):
		s := p.size(0)
		p.expect(")")
		return s
	case p.accept("min"):
		p.expect("(")
		a := p.size(0)
		p.expect(",")
		b := p.size(0)
		p.expect(")")
		return a.Min(b)
	case t.kind == tokNumber:
		n := p.integer("a size")
		if n > maxSize {
			p.failAt(t, "size %d is out of range", n)
		}
		return Const(n)
	case t.kind == tokIdent:
		p.lex.next()
		if IsSymbol(t.text) {
			return Sym(t.text)
		}
		if k, ok := p.names[t.text]; ok {
			return Const(k)
		}
		p.failAt(t, "unknown size %s", t.text)
		return Size{}
	}
	p.fail("expected a size, found %s", t)
	return Size{}
}
