// Package diag holds the one type for errors that a person can cause: where it is, what was expected,
// what was found, and what to do. Rendering is apart from the value, so that the same diagnostic can
// go to a terminal, to JSON or into a test.
package diag

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Span is a range of one source line. Line and columns count from 1; columns are bytes, and EndCol is the
// first column behind the range. The zero Span means that the place is unknown.
type Span struct {
	File   string
	Line   int
	Col    int
	EndCol int
}

// Known reports whether the span names a line.
func (s Span) Known() bool { return s.Line > 0 }

// String prints file:line:col, leaving out what is unknown.
func (s Span) String() string {
	switch {
	case !s.Known():
		return s.File
	case s.Col == 0:
		return fmt.Sprintf("%s:%d", s.File, s.Line)
	}
	return fmt.Sprintf("%s:%d:%d", s.File, s.Line, s.Col)
}

// Note is a second place, or a second sentence, that explains a diagnostic.
type Note struct {
	Span Span
	Text string
}

// Diagnostic is one error of the user's making.
type Diagnostic struct {
	Span    Span
	Label   string // stable name of the rule that was broken, such as "type1"; may be empty
	Message string
	Notes   []Note
	Help    string // what to do, as a sentence or a question ("did you mean …?"); may be empty
}

// New makes a diagnostic at a place.
func New(at Span, label, format string, args ...any) *Diagnostic {
	return &Diagnostic{Span: at, Label: label, Message: fmt.Sprintf(format, args...)}
}

// WithHelp sets the remedy and returns the diagnostic.
func (d *Diagnostic) WithHelp(format string, args ...any) *Diagnostic {
	d.Help = fmt.Sprintf(format, args...)
	return d
}

// WithNote adds a note and returns the diagnostic.
func (d *Diagnostic) WithNote(at Span, format string, args ...any) *Diagnostic {
	d.Notes = append(d.Notes, Note{at, fmt.Sprintf(format, args...)})
	return d
}

// Error is the one-line form: place, message, remedy.
func (d *Diagnostic) Error() string {
	var b strings.Builder
	if d.Span.File != "" {
		b.WriteString(d.Span.String() + ": ")
	}
	b.WriteString(d.Message)
	if d.Help != "" {
		b.WriteString(" (" + d.Help + ")")
	}
	return b.String()
}

// Limit is how many diagnostics a List keeps: after ten, more of them help nobody.
const Limit = 10

// List collects diagnostics, at most Limit of them.
type List struct {
	items   []*Diagnostic
	dropped int
}

// Add appends a diagnostic, unless the same message at the same place is there already.
func (l *List) Add(d *Diagnostic) {
	for _, have := range l.items {
		if have.Span == d.Span && have.Message == d.Message {
			return
		}
	}
	if len(l.items) >= Limit {
		l.dropped++
		return
	}
	l.items = append(l.items, d)
}

// Full reports whether further diagnostics would be dropped.
func (l *List) Full() bool { return len(l.items) >= Limit }

// Len is the number of diagnostics kept.
func (l *List) Len() int { return len(l.items) }

// Err returns nil for an empty list, and otherwise an Errors in source order.
func (l *List) Err() error {
	if len(l.items) == 0 {
		return nil
	}
	items := append([]*Diagnostic(nil), l.items...)
	sort.SliceStable(items, func(i, j int) bool {
		a, b := items[i].Span, items[j].Span
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	return &Errors{Items: items, Dropped: l.dropped}
}

// Errors is one or more diagnostics as an error.
type Errors struct {
	Items   []*Diagnostic
	Dropped int // how many more there were beyond Limit
}

// Error joins the one-line forms.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Items))
	for i, d := range e.Items {
		lines[i] = d.Error()
	}
	return strings.Join(lines, "\n")
}

// All returns the diagnostics that an error carries, or nil when it carries none.
func All(err error) []*Diagnostic {
	var many *Errors
	if errors.As(err, &many) {
		return many.Items
	}
	var one *Diagnostic
	if errors.As(err, &one) {
		return []*Diagnostic{one}
	}
	return nil
}
