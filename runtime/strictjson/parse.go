package strictjson

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits bound what Parse accepts. A zero field means its default.
type Limits struct {
	MaxDepth  int // nesting of arrays and objects; default 64, never more than 10,000
	MaxBytes  int // size of the document; default 128 MiB
	MaxValues int // values in the document, containers included; default 4,194,304
}

const (
	defaultDepth  = 64
	defaultBytes  = 128 << 20
	defaultValues = 4 << 20
	hardestDepth  = 10_000 // keeps the recursion within the stack
)

func (l Limits) withDefaults() Limits {
	if l.MaxDepth <= 0 {
		l.MaxDepth = defaultDepth
	}
	l.MaxDepth = min(l.MaxDepth, hardestDepth)
	if l.MaxBytes <= 0 {
		l.MaxBytes = defaultBytes
	}
	// Positions are kept in 32 bits.
	l.MaxBytes = min(l.MaxBytes, 1<<31-2)
	if l.MaxValues <= 0 {
		l.MaxValues = defaultValues
	}
	return l
}

// Parse reads one JSON document. Errors are of type *Error. The result does not refer to data.
func Parse(data []byte, limits Limits) (Value, error) {
	p := &parser{limits: limits.withDefaults(), line: 1}
	if len(data) > p.limits.MaxBytes {
		return Value{}, p.fail(Limit, "the document has %d bytes, more than the limit of %d",
			len(data), p.limits.MaxBytes)
	}
	p.src = string(data)
	if !utf8.ValidString(p.src) {
		return Value{}, p.invalidUTF8()
	}
	if strings.HasPrefix(p.src, "\uFEFF") {
		return Value{}, p.fail(Syntax, "the document begins with a byte order mark; remove it")
	}
	v, err := p.value(nil, 0, 0)
	if err != nil {
		return Value{}, err
	}
	p.space()
	if p.pos < len(p.src) {
		return Value{}, p.fail(Syntax, "unexpected %s after the end of the document", p.seen())
	}
	return v, nil
}

// parser is a recursive descent over src. It remembers the container it is in for the path of errors.
type parser struct {
	src       string
	limits    Limits
	pos       int
	line      int32
	lineStart int
	values    int

	in   *container
	slot int32
}

func (p *parser) here() Pos { return Pos{p.line, int32(p.pos - p.lineStart + 1)} }

func (p *parser) fail(r Reason, format string, args ...any) error {
	return &Error{Pos: p.here(), Path: p.in.path(p.slot), Reason: r, Msg: fmt.Sprintf(format, args...)}
}

func (p *parser) invalidUTF8() error {
	for i, r := range p.src {
		if r == '\n' {
			p.line, p.lineStart = p.line+1, i+1
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(p.src[i:]); n == 1 {
				p.pos = i
				break
			}
		}
	}
	return p.fail(Encoding, "byte 0x%02X is not valid UTF-8", p.src[p.pos])
}

// seen names the next character for messages.
func (p *parser) seen() string {
	if p.pos >= len(p.src) {
		return "end of the document"
	}
	r, _ := utf8.DecodeRuneInString(p.src[p.pos:])
	return fmt.Sprintf("%q", r)
}

func (p *parser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *parser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case '\n':
			p.line++
			p.lineStart = p.pos + 1
		case ' ', '\t', '\r':
		default:
			return
		}
		p.pos++
	}
}

// value reads the value that becomes child slot of container up.
func (p *parser) value(up *container, slot int32, depth int) (Value, error) {
	p.in, p.slot = up, slot
	p.space()
	if p.values++; p.values > p.limits.MaxValues {
		return Value{}, p.fail(Limit, "the document has more than %d values", p.limits.MaxValues)
	}
	v := Value{Pos: p.here(), slot: slot, up: up}
	var err error
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth >= p.limits.MaxDepth {
			return Value{}, p.fail(Limit, "nested more than %d deep", p.limits.MaxDepth)
		}
		v.box = &container{up: up, slot: slot}
		p.pos++
		if c == '{' {
			v.kind, err = Object, p.object(v.box, depth+1)
		} else {
			v.kind, err = Array, p.array(v.box, depth+1)
		}
	case c == '"':
		v.kind = String
		v.text, err = p.str()
	case c == '-' || c >= '0' && c <= '9':
		v.kind = Number
		v.text, err = p.number()
	default:
		v.kind, v.text, err = p.word()
	}
	return v, err
}

func (p *parser) object(c *container, depth int) error {
	p.space()
	if p.peek() == '}' {
		p.pos++
		return nil
	}
	for {
		if err := p.member(c, depth); err != nil {
			return err
		}
		if done, err := p.separator('}'); done || err != nil {
			return err
		}
		p.space()
	}
}

func (p *parser) member(c *container, depth int) error {
	if p.peek() != '"' {
		return p.fail(Syntax, "expected a key in quotes, found %s", p.seen())
	}
	start := p.here()
	key, err := p.str()
	if err != nil {
		return err
	}
	if _, ok := c.find(key); ok {
		e := p.fail(Duplicate, "key \"%s\" occurs twice in this object", clip(key)).(*Error)
		e.Pos = start
		return e
	}
	slot := int32(len(c.keys))
	c.keys = append(c.keys, key)
	p.indexKey(c, key, slot)
	p.in, p.slot = c, slot
	p.space()
	if p.peek() != ':' {
		return p.fail(Syntax, "expected ':' after the key, found %s", p.seen())
	}
	p.pos++
	v, err := p.value(c, slot, depth)
	if err != nil {
		return err
	}
	c.vals = append(c.vals, v)
	p.in, p.slot = c.up, c.slot
	return nil
}

// indexKey keeps the search for duplicates linear in the size of the object.
func (p *parser) indexKey(c *container, key string, slot int32) {
	if c.index != nil {
		c.index[key] = slot
		return
	}
	if len(c.keys) < indexFrom {
		return
	}
	c.index = make(map[string]int32, 2*indexFrom)
	for i, k := range c.keys {
		c.index[k] = int32(i)
	}
}

func (p *parser) array(c *container, depth int) error {
	p.space()
	if p.peek() == ']' {
		p.pos++
		return nil
	}
	for {
		v, err := p.value(c, int32(len(c.vals)), depth)
		if err != nil {
			return err
		}
		c.vals = append(c.vals, v)
		p.in, p.slot = c.up, c.slot
		if done, err := p.separator(']'); done || err != nil {
			return err
		}
	}
}

// separator reads the comma between two members, or the bracket that ends them.
func (p *parser) separator(end byte) (done bool, err error) {
	p.space()
	switch p.peek() {
	case end:
		p.pos++
		return true, nil
	case ',':
		p.pos++
		return false, nil
	}
	return false, p.fail(Syntax, "expected ',' or '%c', found %s", end, p.seen())
}

func (p *parser) word() (Kind, string, error) {
	for _, w := range []struct {
		text string
		kind Kind
	}{{"true", Bool}, {"false", Bool}, {"null", Null}} {
		if strings.HasPrefix(p.src[p.pos:], w.text) {
			p.pos += len(w.text)
			return w.kind, w.text, nil
		}
	}
	return Missing, "", p.fail(Syntax, "expected a value, found %s", p.seen())
}
