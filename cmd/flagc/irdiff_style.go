package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The styles of a diff.
const (
	sideBySide = "side-by-side"
	unified    = "unified"
)

const (
	defaultWidth = 160 // columns of a diff that is not for a terminal
	leastWidth   = 100 // columns below which the lines of IR side by side are hard to read
	narrowest    = 20  // columns that two columns can be had in at all
)

// diffStyle is a way to show what changed.
type diffStyle interface {
	section(head string)
	// lines shows a line and what it became; one of them is "" where the other side has nothing.
	lines(old, new string)
}

// newDiff begins a diff from one stage to another: of the style that is asked for, else of what the width allows.
func newDiff(w io.Writer, style string, width int, before, after string) diffStyle {
	if style == unified || style == "" && width < leastWidth {
		fmt.Fprintf(w, "- after %s\n+ after %s\n", before, after)
		return unifiedDiff{w}
	}
	d := columnsDiff{w, (width - len(markSame)) / 2}
	d.row("after "+before, markSame, "after "+after)
	return d
}

// unifiedDiff has the new line right below the old one.
type unifiedDiff struct{ io.Writer }

func (d unifiedDiff) section(head string) { fmt.Fprintf(d, "\n%s\n", head) }

func (d unifiedDiff) lines(old, new string) {
	if old != "" {
		fmt.Fprintf(d, "- %s\n", old)
	}
	if new != "" {
		fmt.Fprintf(d, "+ %s\n", new)
	}
}

// What stands between the columns of a row, as diff -y has it.
const (
	markSame    = "   " // of headings
	markChanged = " | "
	markOnlyOld = " < "
	markOnlyNew = " > "
)

// columnsDiff has the new line beside the old one, both wrapped in columns of the given width.
type columnsDiff struct {
	io.Writer
	width int
}

func (d columnsDiff) section(head string) { fmt.Fprintf(d, "\n%s\n", head) }

func (d columnsDiff) lines(old, new string) {
	mark := markChanged
	switch {
	case old == "":
		mark = markOnlyNew
	case new == "":
		mark = markOnlyOld
	}
	d.row(old, mark, new)
}

func (d columnsDiff) row(old, mark, new string) {
	left, right := wrap(old, d.width), wrap(new, d.width)
	for i := range max(len(left), len(right)) {
		var l, r string
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		pad := strings.Repeat(" ", d.width-utf8.RuneCountInString(l))
		fmt.Fprintln(d, strings.TrimRight(l+pad+mark+r, " "))
	}
}

// wrap breaks a line between words into lines of at most width columns; those after the first are indented. What stands
// in brackets, such as the axes of a type, is one word. A word that is longer is broken.
func wrap(line string, width int) []string {
	const indent = "    "
	var out []string
	row := ""
	for _, word := range words(line) {
		if row != "" && utf8.RuneCountInString(row)+1+utf8.RuneCountInString(word) <= width {
			row += " " + word
			continue
		}
		if row != "" {
			out = append(out, row)
			word = indent + word
		}
		runes := []rune(word)
		for len(runes) > width {
			out = append(out, string(runes[:width]))
			runes = append([]rune(indent), runes[width:]...)
		}
		row = string(runes)
	}
	return append(out, row)
}

// words splits a line at the spaces outside of brackets.
func words(line string) []string {
	depth := 0
	return strings.FieldsFunc(line, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		}
		return r == ' ' && depth == 0
	})
}
