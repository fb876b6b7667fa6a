package gohost

import (
	"fmt"
	"strings"
	"unicode"

	"flagc/ir"
)

// columns is where generated lines break.
const columns = 118

// function writes one function of the graph as a method.
func (g *generator) function(p *plan) (string, error) {
	e := &emitter{g: g, p: p}
	if err := e.body(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(g.describe(p.f))
	set := g.sets[p.f.Params]
	fmt.Fprintf(&b, "func (m *Model) %s(at call, l *%s%s) {\n", g.funcs[p.f], set.typ, signature(p))
	b.WriteString(bindSymbols(e.used))
	if len(p.vars) > 0 {
		fmt.Fprintf(&b, "t := &m.temporaries.%s\nt.fit(m, at)\n", g.funcs[p.f])
	}
	for i, l := range e.lines {
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString(l.print())
	}
	b.WriteString("}\n\n")
	return b.String(), nil
}

// print writes the statement with its origin behind it, or before it where it has several lines.
func (l line) print() string {
	origin := ""
	if l.source > 0 {
		origin = "// " + strings.TrimSpace(fmt.Sprintf("%s :%d", l.note, l.source))
	}
	if strings.Contains(l.text, "\n") {
		return origin + "\n" + l.text + "\n"
	}
	return wrap(l.text) + " " + origin + "\n"
}

// describe is a function's documentation: its model's words, where they stand, and the layers that run it.
func (g *generator) describe(f *ir.Func) string {
	doc := strings.Join(strings.Fields(f.Doc), " ")
	mode := "the first tokens of each sequence"
	switch {
	case g.shared[f] != nil:
		mode = "any tokens of each sequence"
	case f.Mode == ir.Decode:
		mode = "one more token of each sequence"
	}
	text := g.funcs[f] + " computes " + mode + "."
	if doc != "" {
		text += " " + string(unicode.ToUpper(rune(doc[0]))) + doc[1:]
		if !strings.HasSuffix(text, ".") {
			text += "."
		}
	}
	where := fmt.Sprintf("%s:%d", g.source(), f.Span.Line)
	if in := f.Params.Instances; !g.sets[f.Params].whole() {
		where += "; " + places(in)
	}
	return comment(text) + comment(where)
}

// comment wraps text into comment lines.
func comment(text string) string {
	var b strings.Builder
	line := "//"
	for _, w := range strings.Fields(text) {
		if len(line)+1+len(w) > 108 && line != "//" {
			b.WriteString(line + "\n")
			line = "//"
		}
		line += " " + w
	}
	return b.String() + line + "\n"
}

// signature lists a method's own parameters: results first, then arguments, equal types together.
func signature(p *plan) string {
	all := append(append([]*variable{}, p.results...), p.args...)
	text := ""
	for i, v := range all {
		text += ", " + v.param
		if i+1 == len(all) || all[i+1].repr != v.repr {
			text += " " + reprType[v.repr]
		}
	}
	return text
}

// bindSymbols declares the locals b, s and p that the expressions need.
func bindSymbols(exprs []string) string {
	used := symbols(exprs)
	if len(used) == 0 {
		return ""
	}
	values := make([]string, len(used))
	for i, u := range used {
		values[i] = "at." + u
	}
	return strings.Join(used, ", ") + " := " + strings.Join(values, ", ") + "\n"
}

// wrap breaks a call after commas where it would leave the page.
func wrap(text string) string {
	if len(text) <= columns-12 || strings.Contains(text, "\n") {
		return text
	}
	var b strings.Builder
	width := 0
	for _, part := range strings.SplitAfter(text, ", ") {
		if width+len(part) > columns-12 {
			out := strings.TrimRight(b.String(), " ")
			b.Reset()
			b.WriteString(out + "\n\t")
			width = 4
		}
		b.WriteString(part)
		width += len(part)
	}
	return b.String()
}

// temporariesFile declares the fields of every function's temporaries, and where their memory lies.
func (g *generator) temporariesFile(plans []*plan) file {
	var b strings.Builder
	for _, p := range plans {
		if len(p.vars) == 0 {
			continue
		}
		typ := g.funcs[p.f] + "Temporaries"
		fmt.Fprintf(&b, "// %s are the intermediate values of %s.\ntype %s struct {\n", typ, g.funcs[p.f], typ)
		for _, v := range p.vars {
			fmt.Fprintf(&b, "%s %s // %s\n", v.name, reprType[v.repr], strings.Join(v.types, ", "))
		}
		b.WriteString("}\n\n")
		fmt.Fprintf(&b, "// fit sizes the values for a call. Values in one slot are never needed at the same time.\n")
		fmt.Fprintf(&b, "func (t *%s) fit(m *Model, at call) {\n", typ)
		var exprs []string
		for _, v := range p.vars {
			exprs = append(exprs, v.size)
		}
		b.WriteString(bindSymbols(exprs))
		fmt.Fprintf(&b, "a := &m.arenas[%d]\n", g.levels[p.f])
		for _, v := range p.vars {
			fmt.Fprintf(&b, "t.%s = a.%s(%d, %s)\n", v.name, reprMethod[v.repr], v.slot, v.size)
		}
		b.WriteString("}\n\n")
	}
	return file{name: "temporaries.go", body: b.String()}
}
