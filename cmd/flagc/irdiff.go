package main

import (
	"slices"
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

// only returns the sections of functions and kernels of a name; all sections if the name is "".
func only(s []section, name string) []section {
	if name == "" {
		return s
	}
	return slices.DeleteFunc(s, func(s section) bool { return s.head != "func "+name && s.head != "kernel "+name })
}

// functionNames lists the functions and kernels of sections.
func functionNames(all []section) []string {
	var out []string
	for _, s := range all {
		if kind, name, _ := strings.Cut(s.head, " "); kind == "func" || kind == "kernel" {
			out = append(out, name)
		}
	}
	return out
}

// diffIR shows what changed from some sections to others. It reports whether anything did.
func diffIR(show diffStyle, old, new []section) bool {
	changed := false
	heads := func(i, j int) int { return asScore(old[i].head == new[j].head) }
	for _, p := range align(len(old), len(new), heads) {
		var a, b section
		if p.old >= 0 {
			a = old[p.old]
		}
		if p.new >= 0 {
			b = new[p.new]
		}
		changed = diffSection(show, a, b) || changed
	}
	return changed
}

func diffSection(show diffStyle, a, b section) bool {
	changed := false
	for _, p := range align(len(a.lines), len(b.lines), related(a.lines, b.lines)) {
		var old, new string
		if p.old >= 0 {
			old = a.lines[p.old]
		}
		if p.new >= 0 {
			new = b.lines[p.new]
		}
		if old == new {
			continue
		}
		if !changed {
			show.section(max(a.head, b.head)) // one of them may be ""
		}
		changed = true
		show.lines(old, new)
	}
	return changed
}

// related rates lines of both sides as pairs: best if they define the same, less if they share a result, as a launch
// does with the ops that are in it.
func related(old, new []string) func(i, j int) int {
	a, b := allDefined(old), allDefined(new)
	return func(i, j int) int {
		if slices.Equal(a[i], b[j]) {
			return 2
		}
		return asScore(slices.ContainsFunc(a[i], func(name string) bool { return slices.Contains(b[j], name) }))
	}
}

func asScore(same bool) int {
	if same {
		return 1
	}
	return 0
}

func allDefined(lines []string) [][]string {
	out := make([][]string, len(lines))
	for i, line := range lines {
		out[i] = defined(line)
	}
	return out
}

// defined is what a line defines: the results of an instruction or of the function, the name of a weight or a state.
func defined(line string) []string {
	if strings.HasPrefix(line, "%") {
		results, _, _ := strings.Cut(line, " = ")
		return strings.Split(results, ", ")
	}
	words := strings.Fields(line)
	if words[0] == "return" {
		return words[:1]
	}
	return []string{strings.Join(words[:min(2, len(words))], " ")}
}

// pair is two places that belong together; -1 where one side has none.
type pair struct{ old, new int }

// align pairs elements of both sides in their order so that the scores add up to the most, never two with score 0, and
// lists all elements.
func align(old, new int, score func(i, j int) int) []pair {
	best := make([][]int, old+1) // from i and j on
	for i := range best {
		best[i] = make([]int, new+1)
	}
	pairs := func(i, j int) bool {
		n := score(i, j)
		return n > 0 && n+best[i+1][j+1] == best[i][j]
	}
	for i := old - 1; i >= 0; i-- {
		for j := new - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1], score(i, j)+best[i+1][j+1])
		}
	}
	var out []pair
	for i, j := 0, 0; i < old || j < new; {
		switch {
		case i < old && j < new && pairs(i, j):
			out = append(out, pair{i, j})
			i, j = i+1, j+1
		case j == new || i < old && best[i+1][j] >= best[i][j+1]:
			out = append(out, pair{i, -1})
			i++
		default:
			out = append(out, pair{-1, j})
			j++
		}
	}
	return out
}
