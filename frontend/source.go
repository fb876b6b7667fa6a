package frontend

import (
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2/lexer"

	"flagc/internal/diag"
)

// Source is a text with the name that messages give it.
type Source struct {
	Name string // a path; messages show its last element
	Text string
}

// source answers questions about the places of a text.
type source struct {
	name  string
	lines []string
}

func newSource(s Source) *source {
	return &source{name: filepath.Base(s.Name), lines: strings.Split(s.Text, "\n")}
}

// span turns what participle counts in runes into bytes. A range over several lines ends with its first.
func (s *source) span(n node) diag.Span {
	at := diag.Span{File: s.name, Line: n.Pos.Line, Col: s.column(n.Pos)}
	switch {
	case n.EndPos.Line == n.Pos.Line:
		at.EndCol = s.column(n.EndPos)
	case at.Line >= 1 && at.Line <= len(s.lines):
		at.EndCol = len(strings.TrimRight(s.lines[at.Line-1], " \t\r")) + 1
	}
	at.EndCol = max(at.EndCol, at.Col+1)
	return at
}

// column is the byte column of a position.
func (s *source) column(p lexer.Position) int {
	if p.Line < 1 || p.Line > len(s.lines) {
		return p.Column
	}
	line, at := s.lines[p.Line-1], 0
	for i := 1; i < p.Column && at < len(line); i++ {
		_, width := utf8.DecodeRuneInString(line[at:])
		at += width
	}
	return at + 1
}

// text is the source of a piece of syntax, as far as its first line goes.
func (s *source) text(n node) string {
	at := s.span(n)
	if at.Line < 1 || at.Line > len(s.lines) || at.EndCol-1 > len(s.lines[at.Line-1]) {
		return ""
	}
	return s.lines[at.Line-1][at.Col-1 : at.EndCol-1]
}

// doc is the comment that ends directly above a piece of syntax.
func (s *source) doc(n node) string {
	var doc []string
	for i := n.Pos.Line - 2; i >= 0 && i < len(s.lines); i-- {
		text, ok := strings.CutPrefix(strings.TrimSpace(s.lines[i]), "//")
		if !ok {
			break
		}
		doc = append([]string{strings.TrimSpace(text)}, doc...)
	}
	return strings.Join(doc, "\n")
}

// blank reports whether line i, from 0, is empty.
func (s *source) blank(i int) bool { return strings.TrimSpace(s.lines[i]) == "" }
