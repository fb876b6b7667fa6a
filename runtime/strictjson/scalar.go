package strictjson

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// number reads -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? and keeps its text.
func (p *parser) number() (string, error) {
	start := p.pos
	if p.peek() == '-' {
		p.pos++
	}
	first := p.pos
	if err := p.digits(); err != nil {
		return "", err
	}
	if p.src[first] == '0' && p.pos > first+1 {
		p.pos = first
		return "", p.fail(Syntax, "a number may not begin with a superfluous zero")
	}
	if p.peek() == '.' {
		p.pos++
		if err := p.digits(); err != nil {
			return "", err
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if err := p.digits(); err != nil {
			return "", err
		}
	}
	return p.src[start:p.pos], nil
}

func (p *parser) digits() error {
	start := p.pos
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	if p.pos == start {
		return p.fail(Syntax, "expected a digit, found %s", p.seen())
	}
	return nil
}

// str reads a string, the next byte being its opening quote. Strings without escapes share src.
func (p *parser) str() (string, error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return p.src[start : p.pos-1], nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fail(Syntax, "control character 0x%02X inside a string; write it as \\u%04x", c, c)
		}
		p.pos++
	}
	return "", p.fail(Syntax, "the document ends inside a string")
}

// escaped goes on with a string that began at start and has its first backslash here.
func (p *parser) escaped(start int) (string, error) {
	var b strings.Builder
	b.WriteString(p.src[start:p.pos])
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		switch {
		case c == '"':
			p.pos++
			return b.String(), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			continue
		case c < ' ':
			return "", p.fail(Syntax, "control character 0x%02X inside a string; write it as \\u%04x", c, c)
		}
		b.WriteByte(c)
		p.pos++
	}
	return "", p.fail(Syntax, "the document ends inside a string")
}

// escape reads one escape sequence, two where they form a surrogate pair.
func (p *parser) escape() (rune, error) {
	start := p.pos
	p.pos++
	c := p.peek()
	if c == 'u' {
		return p.unicode(start)
	}
	i := strings.IndexByte(`"\/bfnrt`, c)
	if i < 0 {
		return 0, p.fail(Syntax, "expected one of \" \\ / b f n r t u after a backslash, found %s", p.seen())
	}
	p.pos++
	return rune("\"\\/\b\f\n\r\t"[i]), nil
}

func (p *parser) unicode(start int) (rune, error) {
	r, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if strings.HasPrefix(p.src[p.pos:], `\u`) {
		p.pos++
		low, err := p.hex4()
		if err != nil {
			return 0, err
		}
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, nil
		}
	}
	p.pos = start
	return 0, p.fail(Encoding, "\\u%04x is half of a surrogate pair", r)
}

// hex4 reads u and four hexadecimal digits.
func (p *parser) hex4() (rune, error) {
	p.pos++
	n, err := uint64(0), error(strconv.ErrSyntax)
	if p.pos+4 <= len(p.src) && strings.IndexByte("+-_", p.src[p.pos]) < 0 {
		n, err = strconv.ParseUint(p.src[p.pos:p.pos+4], 16, 16)
	}
	if err != nil {
		return 0, p.fail(Syntax, "expected four hexadecimal digits after \\u")
	}
	p.pos += 4
	return rune(n), nil
}
