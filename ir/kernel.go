package ir

import (
	"fmt"
	"strings"
)

// Trace is the name under which a result of an instruction is recorded.
type Trace struct {
	Result int // index
	Name   string
}

// Traced lists all results that are recorded, in order.
func (in *Instr) Traced() []Trace {
	if in.Trace == "" {
		return in.Traces
	}
	return append([]Trace{{0, in.Trace}}, in.Traces...)
}

// AddTrace records result i under name as well.
func (in *Instr) AddTrace(i int, name string) {
	if i == 0 && in.Trace == "" {
		in.Trace = name
		return
	}
	in.Traces = append(in.Traces, Trace{i, name})
}

// IsKernel reports whether the function is one launch.
func (f *Func) IsKernel() bool { return f.Params == nil }

// Replaces maps the index of each result of a kernel that is the new value of a state to the index of the argument
// that it replaces.
func (f *Func) Replaces() map[int]int {
	from := map[*Value]int{}
	for i, a := range f.Args {
		if a.Kind == StateValue {
			from[a] = i
		}
	}
	updated := map[*Value]int{}
	for _, in := range f.Body {
		for r, operand := range in.Updated() {
			if arg, ok := from[in.Args[operand]]; ok {
				from[in.Results[r]], updated[in.Results[r]] = arg, arg
			}
		}
	}
	var out map[int]int
	for i, v := range f.Return {
		if arg, ok := updated[v]; ok {
			if out == nil {
				out = map[int]int{}
			}
			out[i] = arg
		}
	}
	return out
}

// Updated maps the index of each result that is the new value of a state to the index of the operand that it
// replaces, for ops and launches alike. Operands and results that are missing are left out.
func (in *Instr) Updated() map[int]int {
	var all map[int]int
	switch {
	case in.Op != nil:
		all = in.Op.Updates
	case in.Kernel != nil:
		all = in.Kernel.Replaces()
	}
	for r, operand := range all {
		if r >= len(in.Results) || operand >= len(in.Args) || in.Args[operand] == nil {
			return nil // the verifier names what is wrong
		}
	}
	return all
}

// IsState reports whether a value is a state: as it enters a function, or as an update leaves it.
func (v *Value) IsState() bool {
	if v.Kind == StateValue || v.Def == nil {
		return v.Kind == StateValue
	}
	for r := range v.Def.Updated() {
		if v.Def.Results[r] == v {
			return true
		}
	}
	return false
}

// kernel prints a kernel function.
func (p *printer) kernel(f *Func) {
	args := make([]string, len(f.Args))
	for i, a := range f.Args {
		args[i] = a.Ref() + ": " + p.typ(a.Type)
	}
	results := make([]string, len(f.Results))
	for i, r := range f.Results {
		results[i] = p.typ(r)
	}
	fmt.Fprintf(p, "\nkernel %s(%s) -> (%s) anchor %s", f.FullName(), strings.Join(args, ", "),
		strings.Join(results, ", "), firstRefs(f.Anchors))
	if f.Tail != nil {
		p.WriteString(" tail " + firstRefs(f.Tail))
	}
	if f.Offered {
		p.WriteString(" offered")
	}
	p.WriteString(" {\n")
	p.body(f)
	p.WriteString("}\n")
}

// firstRefs names instructions by their first results.
func firstRefs(list []*Instr) string {
	refs := make([]string, len(list))
	for i, in := range list {
		refs[i] = "%"
		if len(in.Results) > 0 {
			refs[i] = in.Results[0].Ref()
		}
	}
	return strings.Join(refs, ", ")
}

// traces prints what of an instruction is recorded: !"name" for the first result, !"name"=%x for another, or for the first
// under a further name.
func (in *Instr) traces() string {
	text := ""
	if in.Trace != "" {
		text = fmt.Sprintf(" !%q", in.Trace)
	}
	for _, t := range in.Traces {
		text += fmt.Sprintf(" !%q=%s", t.Name, in.Results[t.Result].Ref())
	}
	return text
}
