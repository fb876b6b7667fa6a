package frontend

import (
	_ "embed" // for the guide
	"errors"
	"regexp"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"flagc/internal/diag"
)

const (
	// maxSource bounds a source text; the full model takes 15 KB.
	maxSource = 256 << 10
	// maxDepth bounds how deep brackets nest, and with them the parser's recursion.
	maxDepth = 64
)

// flagLexer never fails: what no other rule takes is a Stray, which the grammar refuses at its place.
var flagLexer = lexer.MustStateful(lexer.Rules{"Root": {
	{Name: "Space", Pattern: `[ \t\r\n]+`},
	{Name: "Comment", Pattern: `//[^\n]*`},
	{Name: "Keyword", Pattern: `(?:` + strings.Join(keywords, "|") + `)\b`},
	{Name: "Ident", Pattern: `[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*`},
	{Name: "Number", Pattern: `\d+(?:\.\d+)?(?:[eE][-+]?\d+)?`},
	{Name: "String", Pattern: `"[^"\n]*"`},
	{Name: "Arrow", Pattern: `->`},
	{Name: "Operator", Pattern: `\|\||&&|==|!=|<=|>=|[-+*/^<>]`},
	{Name: "Punct", Pattern: `[!?:=,.(){}\[\]]`},
	{Name: "Stray", Pattern: `(?s).`},
}})

// keywords cannot be names.
var keywords = []string{
	"model", "config", "module", "layer", "func", "entry", "weight", "param", "state", "sub",
	"when", "else", "let", "return", "trace", "for", "as",
}

var parser = participle.MustBuild[File](
	participle.Lexer(flagLexer), participle.Elide("Space", "Comment"), participle.Unquote("String"),
	participle.UseLookahead(1))

var declParser, _ = participle.ParserForProduction[Decl](parser)

// Grammar is the syntax of the .flag language in EBNF, as the parser has it.
func Grammar() string { return parser.String() }

//go:embed language.md
var guide string

// Guide explains the .flag language in Markdown, by an example that elaborates, and ends with its grammar.
func Guide() string { return guide + "```\n" + Grammar() + "\n```\n" }

// Parse checks the syntax of a source. Its errors carry one diagnostic for each faulty declaration.
func Parse(src Source) (*File, error) {
	s := newSource(src)
	if err := checkTokens(s, src.Text); err != nil {
		return nil, err
	}
	file, err := parser.ParseString(s.name, src.Text)
	if err == nil {
		file.src = s
		return file, nil
	}
	var list diag.List
	chunks := declarations(s)
	var first participle.Error
	if errors.As(err, &first) && (len(chunks) == 0 || first.Position().Line <= leadingLines(chunks[0])) {
		list.Add(syntaxError(s, err))
	}
	for _, chunk := range chunks {
		if _, err := declParser.ParseString(s.name, chunk); err != nil {
			list.Add(syntaxError(s, err))
		}
	}
	if list.Len() == 0 {
		list.Add(syntaxError(s, err))
	}
	return nil, list.Err()
}

// leadingLines counts the padding of a chunk.
func leadingLines(chunk string) int { return len(chunk) - len(strings.TrimLeft(chunk, "\n")) }

// checkTokens refuses characters that begin no word of the language, and what would make the parser recurse
// without end.
func checkTokens(s *source, text string) error {
	if len(text) > maxSource {
		return diag.New(diag.Span{File: s.name}, "", "the source has %d bytes, the limit is %d", len(text),
			maxSource)
	}
	lex, err := flagLexer.LexString(s.name, text)
	if err != nil {
		return syntaxError(s, err)
	}
	stray, depth := flagLexer.Symbols()["Stray"], 0
	for {
		t, err := lex.Next()
		if err != nil {
			return syntaxError(s, err)
		}
		span := s.span(node{t.Pos, t.Pos})
		switch {
		case t.EOF():
			return nil
		case t.Type == stray && t.Value == `"`:
			return diag.New(span, "", "the string that begins here does not end on its line")
		case t.Type == stray:
			return diag.New(span, "", "the character %q has no meaning in a model", t.Value)
		}
		switch t.Value {
		case "(", "[", "{", "?":
			depth++
		case ")", "]", "}", ":":
			depth = max(0, depth-1)
		}
		if depth > maxDepth {
			return diag.New(span, "", "brackets and choices nest deeper than %d here", maxDepth)
		}
	}
}

// declStart is how a declaration begins. Declarations stand at the margin, so that a broken one does not hide
// the next.
var declStart = regexp.MustCompile(`^(config|module|layer|func|entry|weight|param|state|sub|let|when)\b`)

// declarations cuts the source into top-level declarations, each padded to stand on its own line and without
// the comments behind it, which belong to the next.
func declarations(s *source) []string {
	var chunks []string
	start := -1
	flush := func(end int) {
		for end > 0 && (s.blank(end-1) || strings.HasPrefix(strings.TrimSpace(s.lines[end-1]), "//")) {
			end--
		}
		if start >= 0 && end > start {
			chunks = append(chunks, strings.Repeat("\n", start)+strings.Join(s.lines[start:end], "\n"))
		}
	}
	for i, line := range s.lines {
		if declStart.MatchString(line) {
			flush(i)
			start = i
		}
	}
	flush(len(s.lines))
	return chunks
}
