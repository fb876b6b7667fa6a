package diag

import (
	"fmt"
	"strings"
)

// Sources maps a file name to its text, for the line shown under a message.
type Sources map[string]string

// line returns line n (from 1) of a file, and whether it exists.
func (s Sources) line(file string, n int) (string, bool) {
	text, ok := s[file]
	if !ok {
		return "", false
	}
	lines := strings.Split(text, "\n")
	if n < 1 || n > len(lines) {
		return "", false
	}
	return strings.TrimSuffix(lines[n-1], "\r"), true
}

// Render writes a diagnostic as a person reads it: the sentence, the guilty line with a caret, notes, help.
func Render(d *Diagnostic, src Sources) string {
	var b strings.Builder
	if d.Span.File != "" {
		b.WriteString(d.Span.String() + ": ")
	}
	b.WriteString("error: " + d.Message)
	if d.Label != "" {
		fmt.Fprintf(&b, " [%s]", d.Label)
	}
	b.WriteString("\n")
	excerpt(&b, d.Span, src)
	for _, n := range d.Notes {
		b.WriteString("  note: " + n.Text)
		if n.Span.Known() {
			b.WriteString(" (" + n.Span.String() + ")")
		}
		b.WriteString("\n")
	}
	if d.Help != "" {
		b.WriteString("  help: " + d.Help + "\n")
	}
	return b.String()
}

// RenderAll renders every diagnostic of an error, or the plain error when it holds none.
func RenderAll(err error, src Sources) string {
	items := All(err)
	if items == nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, d := range items {
		b.WriteString(Render(d, src))
	}
	return b.String()
}

// widest is how much of a long line an excerpt shows, so that a one-line JSON file does not fill the screen.
const widest = 100

// excerpt prints the source line, or the part of a long one around the span, and below it a caret under each
// column of the span.
func excerpt(b *strings.Builder, s Span, src Sources) {
	text, ok := src.line(s.File, s.Line)
	if !ok {
		return
	}
	col, end := s.Col, min(s.EndCol, len(text)+1)
	before, after := "", ""
	if start := col - 1 - widest/2; col > 0 && col <= len(text)+1 && len(text) > widest && start > 0 {
		before = "…"
		text, col, end = text[start:], col-start, end-start
	}
	if len(text) > widest {
		text, after = text[:widest], "…"
	}
	number := fmt.Sprintf("%5d", s.Line)
	fmt.Fprintf(b, "%s | %s%s%s\n", number, before, text, after)
	if col < 1 || col > len(text)+1 {
		return
	}
	width := max(1, min(end, len(text)+1)-col)
	// Tabs are repeated so that the caret stands under the right character.
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, before+text[:col-1])
	fmt.Fprintf(b, "%s | %s%s\n", strings.Repeat(" ", len(number)), pad, strings.Repeat("^", width))
}
