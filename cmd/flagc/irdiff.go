package main

import (
	"fmt"
	"io"
	"strings"
)

// A section of IR text is a function, a parameter set or the header. Its lines are compared without the spaces that
// only align columns.
type section struct {
	head  string // "func block_csa.decode", "params block_csa", "module deepseek_v4"
	lines []string
}

// sections splits IR text.
func sections(text string) []section {
	var out []section
	for _, line := range strings.Split(text, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "func" || word == "kernel" || word == "params" || word == "module" {
			name := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '(' })
			out = append(out, section{head: word + " " + name[0]})
		}
		if len(out) > 0 && strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			s := &out[len(out)-1]
			s.lines = append(s.lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return out
}

// diffIR writes what changed from one text to the other: for each section the old line and, right below it, the new
// one. It reports whether anything did.
func diffIR(w io.Writer, before, after string) bool {
	old, new := sections(before), sections(after)
	changed := false
	for _, p := range align(old, new, func(s section) string { return s.head }) {
		var a, b section
		if p.old >= 0 {
			a = old[p.old]
		}
		if p.new >= 0 {
			b = new[p.new]
		}
		changed = diffSection(w, a, b) || changed
	}
	return changed
}

func diffSection(w io.Writer, a, b section) bool {
	changed := false
	for _, p := range align(a.lines, b.lines, key) {
		if p.old >= 0 && p.new >= 0 && a.lines[p.old] == b.lines[p.new] {
			continue
		}
		if !changed {
			head := a.head
			if head == "" {
				head = b.head
			}
			fmt.Fprintf(w, "\n%s\n", head)
		}
		changed = true
		if p.old >= 0 {
			fmt.Fprintf(w, "- %s\n", a.lines[p.old])
		}
		if p.new >= 0 {
			fmt.Fprintf(w, "+ %s\n", b.lines[p.new])
		}
	}
	return changed
}

// key is what a line defines: the results of an instruction, the name of a weight or a state.
func key(line string) string {
	if strings.HasPrefix(line, "%") {
		results, _, _ := strings.Cut(line, " = ")
		return results
	}
	words := strings.Fields(line)
	return strings.Join(words[:min(2, len(words))], " ")
}

// pair is two places that belong together; -1 where one side has none.
type pair struct{ old, new int }

// align finds a longest common subsequence of keys and lists all elements of both sides in order.
func align[T any](old, new []T, key func(T) string) []pair {
	a, b := make([]string, len(old)), make([]string, len(new))
	for i, x := range old {
		a[i] = key(x)
	}
	for j, x := range new {
		b[j] = key(x)
	}
	length := make([][]int, len(a)+1) // of the longest one from i and j on
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var out []pair
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, pair{i, j})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && length[i+1][j] >= length[i][j+1]:
			out = append(out, pair{i, -1})
			i++
		default:
			out = append(out, pair{-1, j})
			j++
		}
	}
	return out
}
