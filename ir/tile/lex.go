package tile

import (
	"strconv"
	"strings"

	"flagc/internal/diag"
)

type tokKind uint8

const (
	tokEnd    tokKind = iota // of the line
	tokWord                  // a name or a number
	tokRef                   // %name, %7 or %name.1
	tokString                // the text is the value
	tokPunct
)

type token struct {
	kind     tokKind
	text     string
	pos, end int // byte offsets in the line
}

// String names the token in messages.
func (t token) String() string {
	if t.kind == tokEnd {
		return "the end of the line"
	}
	return strconv.Quote(t.text)
}

// line is one line of the text, split.
type line struct {
	number  int // from 1
	text    string
	toks    []token // at least the end
	comment string  // behind "#"
	noted   bool    // there is a comment
}

// splitLine reads the tokens of a line. A comment runs from # to the end of the line.
func splitLine(text string, number int) line {
	l := line{number: number, text: text}
	for pos := 0; ; {
		for pos < len(text) && (text[pos] == ' ' || text[pos] == '\t' || text[pos] == '\r') {
			pos++
		}
		if pos == len(text) || text[pos] == '#' {
			if pos < len(text) {
				l.noted, l.comment = true, oneLine(text[pos+1:])
			}
			l.toks = append(l.toks, token{kind: tokEnd, pos: pos, end: pos})
			return l
		}
		t := scan(text, pos)
		l.toks = append(l.toks, t)
		pos = t.end
	}
}

func scan(text string, pos int) token {
	t := token{kind: tokPunct, pos: pos, end: pos + 1}
	switch c := text[pos]; {
	case c == '%' && pos+1 < len(text) && isWord(text[pos+1]):
		t.kind, t.end = tokRef, wordEnd(text, pos+1)
		if t.end+1 < len(text) && text[t.end] == '.' && isDigit(text[t.end+1]) {
			t.end = wordEnd(text, t.end+1)
		}
	case isDigit(c):
		t.kind, t.end = tokWord, numberEnd(text, pos)
	case isWord(c):
		t.kind, t.end = tokWord, wordEnd(text, pos)
	case c == '"':
		if raw, err := strconv.QuotedPrefix(text[pos:]); err == nil {
			value, _ := strconv.Unquote(raw)
			return token{tokString, value, pos, pos + len(raw)}
		}
	}
	t.text = text[t.pos:t.end]
	return t
}

func isWord(c byte) bool { return isLetter(c) || isDigit(c) }

func wordEnd(text string, pos int) int {
	for pos < len(text) && isWord(text[pos]) {
		pos++
	}
	return pos
}

// numberEnd passes digits, a fraction and an exponent with its sign.
func numberEnd(text string, pos int) int {
	for pos < len(text) {
		c := text[pos]
		signed := (c == '-' || c == '+') && text[pos-1] == 'e'
		if !isWord(c) && c != '.' && !signed {
			break
		}
		pos++
	}
	return pos
}

// reader walks over the tokens of the lines that are not blank. The first error stops it: from then on every line
// is the end.
type reader struct {
	file  string
	lines []string
	next  int    // index of the line behind the current one
	doc   string // the comment lines directly before the current one
	cur   line
	pos   int
	err   error
	done  bool // the current line is behind the last
}

// advance goes to the next line that has tokens.
func (r *reader) advance() {
	var doc []string
	for r.err == nil && r.next < len(r.lines) {
		r.cur, r.pos = splitLine(r.lines[r.next], r.next+1), 0
		r.next++
		if len(r.cur.toks) > 1 {
			r.doc = strings.Join(doc, "\n")
			return
		}
		if r.cur.noted {
			doc = append(doc, r.cur.comment)
		} else {
			doc = nil
		}
	}
	r.cur, r.pos, r.done = line{number: len(r.lines), toks: []token{{}}}, 0, true
	r.doc = ""
}

func (r *reader) tok() token { return r.cur.toks[min(r.pos, len(r.cur.toks)-1)] }

func (r *reader) fail(expected string) {
	if t := r.tok(); r.done {
		r.failAt(t, "expected %s, found the end of the text", expected)
	} else {
		r.failAt(t, "expected %s, found %s", expected, t)
	}
}

func (r *reader) failAt(t token, format string, args ...any) *diag.Diagnostic {
	at := diag.Span{File: r.file, Line: r.cur.number, Col: t.pos + 1, EndCol: max(t.end, t.pos+1) + 1}
	d := diag.New(at, "", format, args...)
	if r.err == nil {
		r.err = d
	}
	return d
}

func (r *reader) at(text string) bool {
	t := r.tok()
	return r.err == nil && t.text == text && (t.kind == tokWord || t.kind == tokPunct)
}

func (r *reader) accept(text string) bool {
	if r.at(text) {
		r.pos++
		return true
	}
	return false
}

func (r *reader) expect(text string) {
	if !r.accept(text) {
		r.fail(strconv.Quote(text))
	}
}

// end asks for the end of the line and goes to the next.
func (r *reader) end() {
	if r.tok().kind != tokEnd {
		r.fail("the end of the line")
	}
	r.advance()
}

// take passes a token of a kind.
func (r *reader) take(kind tokKind, what string) token {
	t := r.tok()
	if r.err != nil || t.kind != kind {
		r.fail(what)
		return token{}
	}
	r.pos++
	return t
}

func (r *reader) ident(what string) string {
	t := r.tok()
	if r.err != nil || t.kind != tokWord || isDigit(t.text[0]) {
		r.fail(what)
		return ""
	}
	r.pos++
	return t.text
}

// integer reads a whole number with an optional sign.
func (r *reader) integer(what string) int64 {
	sign := ""
	if r.accept("-") {
		sign = "-"
	}
	t := r.tok()
	n, err := strconv.ParseInt(sign+t.text, 10, 64)
	if r.err != nil || t.kind != tokWord || err != nil {
		r.fail(what)
		return 0
	}
	r.pos++
	return n
}

// float reads a number, inf or nan, with an optional sign.
func (r *reader) float() float64 {
	sign := ""
	if r.accept("-") {
		sign = "-"
	}
	t := r.tok()
	x, err := strconv.ParseFloat(sign+t.text, 64)
	if r.err != nil || t.kind != tokWord || err != nil || !isDigit(t.text[0]) && t.text != "inf" && t.text != "nan" {
		r.fail("a number")
		return 0
	}
	r.pos++
	return x
}

// list reads items between commas.
func (r *reader) list(item func()) {
	item()
	for r.accept(",") {
		item()
	}
}

// rest is the text from the current token to the comment; it is passed.
func (r *reader) rest() string {
	end := r.cur.toks[len(r.cur.toks)-1].pos
	text := strings.TrimSpace(r.cur.text[min(r.tok().pos, end):end])
	r.pos = len(r.cur.toks) - 1
	return text
}
