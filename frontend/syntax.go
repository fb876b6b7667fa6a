package frontend

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"flagc/internal/diag"
)

// syntaxError says in words what participle says in grammar.
func syntaxError(s *source, err error) *diag.Diagnostic {
	var at participle.Error
	if !errors.As(err, &at) {
		return diag.New(diag.Span{File: s.name}, "", "%v", err)
	}
	span := s.span(node{Pos: at.Position(), EndPos: at.Position()})
	var unexpected *participle.UnexpectedTokenError
	if !errors.As(err, &unexpected) {
		if strings.Contains(at.Message(), "invalid quoted string") {
			return diag.New(span, "", "the string that begins here has an unknown escape").
				WithHelp(`a backslash is written \\`)
		}
		return diag.New(span, "", "%s", at.Message())
	}
	t := unexpected.Unexpected
	want := expected(at.Message())
	if t.EOF() && want == inBlock {
		want = `"}"`
	}
	if t.EOF() {
		return diag.New(span, "", "expected %s, but the text ends here", want)
	}
	span.EndCol = span.Col + len(t.Value)
	symbols := flagLexer.Symbols()
	switch t.Type {
	case symbols["Keyword"]:
		if want == inBlock {
			return diag.New(span, "", "the %s that begins here is not complete, or does not belong here", t.Value)
		}
	case symbols["String"]:
		// The token has lost its quotes.
		span.EndCol += 2
	}
	d := diag.New(span, "", "expected %s, found %q", want, t.Value)
	if t.Type == symbols["Keyword"] && want == "a name" {
		d.WithHelp("%s is a word of the language: choose another name", t.Value)
	}
	if near := nearWord(t, want); near != "" && t.Type == symbols["Ident"] {
		d.WithHelp("did you mean %s?", near)
	}
	return d
}

// nearWord finds the word of the language that a name in its place was probably meant to be.
func nearWord(t lexer.Token, want string) string {
	if len(t.Value) < 4 || slices.Contains([]string{"a name", "a value"}, want) {
		return ""
	}
	ofConfig := []string{"expect", "refuse", "default", "divides", "multiple"}
	return diag.Nearest(t.Value, append(ofConfig, keywords...))
}

// expectation is what participle says behind an unexpected token.
var expectation = regexp.MustCompile(`\(expected (.*)\)$`)

// words says what begins a part of the grammar.
var words = []struct{ symbol, word string }{
	{"Expr", "a value"}, {"Operand", "a value"}, {"Argument", "a value"}, {"(<number> |", "a value"},
	{"Name", "a name"}, {"<ident>", "a name"}, {"Assign", "a name"}, {"Param", "a name"},
	{"Type", "a type such as bf16[D]"}, {"Results", "a type such as bf16[D]"}, {"Axes", `axes in "[" and "]"`},
	{"Block", `"{"`}, {"Call", `"("`}, {"Literal", "a constant"}, {"Choice", "a number"},
	{"Range", "an index with its bound, as in l < L"},
	{"<number>", "a number"}, {"<string>", "a string in quotes"},
	{`"}"`, inBlock}, {`")"`, `"," or ")"`}, {`"]"`, `"," or "]"`},
}

// inBlock is what may stand between braces.
const inBlock = `a statement, a declaration or "}"`

// expected takes what is expected first from participle's message.
func expected(message string) string {
	m := expectation.FindStringSubmatch(message)
	if m == nil {
		return "a declaration (config, func, module, layer, weight, sub or entry)"
	}
	rest := m[1]
	for _, w := range words {
		if strings.HasPrefix(rest, w.symbol) {
			return w.word
		}
	}
	if strings.HasPrefix(rest, `"`) {
		if end := strings.IndexByte(rest[1:], '"'); end >= 0 {
			return fmt.Sprintf("%q", rest[1:end+1])
		}
	}
	return rest
}
