package ir

import (
	"fmt"
	"strings"
)

// printer writes a module as text. Axes print by name where the module's named sizes tell their size.
type printer struct {
	strings.Builder
	names map[string]int
	known map[string]string // dim name → size text, memoised
}

// String prints the whole module; ParseModule reads it back.
func (m *Module) String() string {
	p := &printer{names: m.Names(), known: map[string]string{}}
	fmt.Fprintf(p, "module %s from %q\n", m.Name, m.Source)
	p.dims(m.Dims)
	if m.Mesh != nil {
		fmt.Fprintf(p, "mesh %s\n", m.Mesh)
	}
	p.memory(m.Memory)
	for _, s := range m.Params {
		p.params(s)
	}
	for _, k := range m.Kernels {
		p.kernel(k)
	}
	for _, f := range m.Funcs {
		p.function(f)
	}
	return p.Builder.String()
}

// Print writes one function as text, in the names of its module.
func (f *Func) Print(m *Module) string {
	p := &printer{names: m.Names(), known: map[string]string{}}
	if f.IsKernel() {
		p.kernel(f)
	} else {
		p.function(f)
	}
	return strings.TrimPrefix(p.Builder.String(), "\n")
}

// PrintType writes a type as IR text within the module.
func (m *Module) PrintType(t Type) string {
	p := &printer{names: m.Names(), known: map[string]string{}}
	return p.typ(t)
}

// dims prints the table of named sizes, wrapped.
func (p *printer) dims(dims []NamedSize) {
	if len(dims) == 0 {
		return
	}
	line := "dims"
	for _, d := range dims {
		word := fmt.Sprintf(" %s=%d", d.Name, d.Value)
		if len(line)+len(word) > 108 {
			p.WriteString(line + "\n")
			line = "    "
		}
		line += word
	}
	p.WriteString(line + "\n")
}

func (p *printer) params(s *Params) {
	p.WriteString("\nparams " + s.Name)
	if len(s.Instances) > 0 && !(len(s.Instances) == 1 && s.Instances[0] == "") {
		p.WriteString(" at " + strings.Join(s.Instances, ", "))
	}
	p.WriteString(" {\n")
	width := 0
	for _, w := range s.Weights {
		width = max(width, len(w.Value.Name))
	}
	for _, st := range s.States {
		width = max(width, len(st.Value.Name)-1)
	}
	for _, w := range s.Weights {
		from := ""
		if w.From != (Elem{}) {
			from = " in " + w.From.String()
		}
		fmt.Fprintf(p, "  weight %-*s %s from %q%s%s\n", width+1, w.Value.Name+":", p.typ(w.Value.Type), w.Tensor, from,
			at(w.Value.Span.Line))
	}
	for _, st := range s.States {
		fmt.Fprintf(p, "  state %-*s %s = %s%s\n", width+2, st.Value.Name+":", p.typ(st.Value.Type),
			FormatFloat(st.Init), at(st.Value.Span.Line))
	}
	p.WriteString("}\n")
}

func at(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(" @%d", line)
}

func (p *printer) function(f *Func) {
	p.WriteString("\n")
	for _, line := range strings.Split(f.Doc, "\n") {
		if line != "" {
			p.WriteString("# " + line + "\n")
		}
	}
	args := make([]string, len(f.Args))
	for i, a := range f.Args {
		args[i] = a.Ref() + ": " + p.typ(a.Type) + a.Place.suffix()
	}
	results := make([]string, len(f.Results))
	for i, r := range f.Results {
		results[i] = p.typ(r)
	}
	fmt.Fprintf(p, "func %s(%s) -> (%s) uses %s%s {\n", f.FullName(), strings.Join(args, ", "),
		strings.Join(results, ", "), f.Params.Name, f.Calls.suffix()+at(f.Span.Line))
	p.body(f)
	p.WriteString("}\n")
}

// Lines that fit these widths stand in columns; longer ones push the rest to the right.
const (
	leftColumn  = 78
	rightColumn = 44
)

// body prints the instructions with types and lines in columns.
func (p *printer) body(f *Func) {
	left, right := make([]string, len(f.Body)), make([]string, len(f.Body))
	lw, rw := 0, 0
	for i, in := range f.Body {
		left[i], right[i] = in.head(p.dim), p.resultTypes(in)
		if len(left[i]) <= leftColumn {
			lw = max(lw, len(left[i]))
			if len(right[i]) <= rightColumn {
				rw = max(rw, len(right[i]))
			}
		}
	}
	for i, in := range f.Body {
		width := max(0, lw+rw-max(lw, len(left[i])))
		line := fmt.Sprintf("  %-*s : %-*s", lw, left[i], width, right[i]) + at(in.Span.Line)
		line += in.traces()
		p.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for _, u := range f.Updates {
		fmt.Fprintf(p, "  %s <- %s\n", u.State.Value.Ref(), u.Value.Ref())
	}
	refs := make([]string, len(f.Return))
	for i, v := range f.Return {
		refs[i] = v.Ref()
	}
	p.WriteString(strings.TrimRight("  return "+strings.Join(refs, ", "), " ") + "\n")
}

// head prints an instruction without types: "%y = op %x, $w {eps=1e-06}".
func (in *Instr) head(dim func(Dim) string) string {
	results := make([]string, len(in.Results))
	for i, v := range in.Results {
		results[i] = v.Ref()
	}
	args := make([]string, len(in.Args))
	for i, v := range in.Args {
		args[i] = "_"
		if v != nil {
			args[i] = v.Ref()
		}
	}
	text := in.Name()
	if len(results) > 0 {
		text = strings.Join(results, ", ") + " = " + text
	}
	if in.Callee != nil {
		text += " " + in.Callee.FullName()
	}
	if in.Kernel != nil {
		text += " " + in.Kernel.FullName()
	}
	if len(args) > 0 {
		text += " " + strings.Join(args, ", ")
	}
	if in.Callee != nil && in.At != "" {
		text += " at " + in.At
	}
	var parts []string
	for _, a := range in.Attrs {
		if in.Op == nil || !in.Op.IsDefault(a) {
			parts = append(parts, a.Name+"="+formatAttr(a.Value, dim))
		}
	}
	if parts != nil {
		text += " {" + strings.Join(parts, ", ") + "}"
	}
	return text
}

// String prints the instruction without types.
func (in *Instr) String() string {
	return in.head(func(d Dim) string { return d.Name })
}

func (p *printer) resultTypes(in *Instr) string {
	types := make([]string, len(in.Results))
	for i, v := range in.Results {
		types[i] = p.typ(v.Type) + v.Place.suffix()
	}
	return strings.Join(types, ", ")
}

func (p *printer) typ(t Type) string {
	dims := make([]string, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = p.dim(d)
	}
	return t.Elem.String() + "[" + strings.Join(dims, ", ") + "]" + t.suffix()
}

// dim prints an axis by its name, with the size where the name alone does not give it.
func (p *printer) dim(d Dim) string {
	size, ok := p.known[d.Name]
	if !ok {
		if s, err := ParseSize(d.Name, p.names); err == nil {
			size = s.String()
		}
		p.known[d.Name] = size
	}
	if text := d.Whole().Size.String(); text != size {
		return d.label() + "=" + d.Size.String()
	}
	return d.label()
}
