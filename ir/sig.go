package ir

import (
	"fmt"
	"strings"
)

// signature is a parsed Op.Sig with Op.Types.
type signature struct{ in, out []sigTensor }

// sigTensor is one operand or result of a signature.
type sigTensor struct {
	name     string
	axes     []sigAxis
	optional bool
	indexes  string   // the axis that the values index, "" for none
	kinds    []string // operands: accepted kinds; results: the one rule
}

// sigAxis is one axis letter of a signature.
type sigAxis struct {
	name     string
	many     bool // *x: any number of axes
	optional bool // k?: may be absent
}

// parseSignature reads both texts of a declaration.
func parseSignature(sig, types string) (*signature, error) {
	left, right, ok := strings.Cut(sig, "->")
	if !ok {
		return nil, fmt.Errorf("signature %q has no ->", sig)
	}
	s := &signature{}
	var err error
	if s.in, err = parseSigTensors(left); err != nil {
		return nil, err
	}
	if s.out, err = parseSigTensors(right); err != nil {
		return nil, err
	}
	tl, tr, ok := strings.Cut(types, "->")
	if !ok {
		return nil, fmt.Errorf("types %q have no ->", types)
	}
	ins, outs := strings.Fields(tl), strings.Fields(tr)
	if len(ins) != len(s.in) || len(outs) != len(s.out) {
		return nil, fmt.Errorf("types %q do not match signature %q in number", types, sig)
	}
	for i := range ins {
		s.in[i].kinds = strings.Split(ins[i], "|")
	}
	for i := range outs {
		s.out[i].kinds = []string{outs[i]}
	}
	return s, nil
}

func parseSigTensors(text string) ([]sigTensor, error) {
	var list []sigTensor
	for _, word := range strings.Fields(text) {
		name, rest, ok := strings.Cut(word, "[")
		axes, tail, ok2 := strings.Cut(rest, "]")
		if !ok || !ok2 {
			return nil, fmt.Errorf("signature: %q is not name[axes]", word)
		}
		t := sigTensor{name: name}
		for _, a := range strings.FieldsFunc(axes, func(r rune) bool { return r == ',' }) {
			x := sigAxis{name: strings.Trim(a, "*?")}
			x.many, x.optional = strings.HasPrefix(a, "*"), strings.HasSuffix(a, "?")
			t.axes = append(t.axes, x)
		}
		if strings.HasPrefix(tail, "?") {
			t.optional, tail = true, tail[1:]
		}
		if strings.HasPrefix(tail, ":") {
			t.indexes, tail = tail[1:], ""
		}
		if tail != "" {
			return nil, fmt.Errorf("signature: stray %q after %s", tail, name)
		}
		list = append(list, t)
	}
	return list, nil
}

// InferError says which part of an instruction does not fit; the reader of the error adds the place.
type InferError struct {
	Operand int    // index of the guilty operand, -1 when it is none
	Attr    string // name of the guilty attribute, "" when it is none
	Msg     string
	Help    string
}

// Error is the message with its remedy.
func (e *InferError) Error() string {
	if e.Help != "" {
		return e.Msg + " (" + e.Help + ")"
	}
	return e.Msg
}

// Inference is the state of inferring one instruction's result types. An op's Rule reads the bound axes
// and may set results that the signature alone does not determine.
type Inference struct {
	Op      *Op
	Args    []*Value // nil where absent
	Attrs   Attrs
	Results []Type
	Names   map[string]int // the module's named sizes

	bound map[string][]Dim // axis letter → axes (one, except for *x)
	by    map[string]int   // axis letter → operand that bound it
	Want  *Type            // the type that the author ascribed to the first result, nil if none
}

// Dim returns the axis bound to a letter of the signature.
func (f *Inference) Dim(letter string) Dim {
	if b := f.bound[letter]; len(b) == 1 {
		return b[0]
	}
	return Dim{}
}

// Dims returns the axes bound to *letter.
func (f *Inference) Dims(letter string) []Dim { return f.bound[letter] }

// SetDim binds a letter that no operand binds, such as the k of a top-k.
func (f *Inference) SetDim(letter string, d Dim) { f.bound[letter], f.by[letter] = []Dim{d}, -1 }

// Errorf is an error about operand i (-1: the instruction).
func (f *Inference) Errorf(operand int, format string, args ...any) error {
	return &InferError{Operand: operand, Msg: fmt.Sprintf(format, args...)}
}

// Infer computes the result types of op. names are the module's named sizes; want, if not nil, is an ascribed
// type for the first result, used by ops whose result is not determined by their operands (view).
func (o *Op) Infer(args []*Value, attrs Attrs, names map[string]int, want *Type) ([]Type, error) {
	f := &Inference{Op: o, Args: args, Attrs: attrs, Names: names, Want: want,
		bound: map[string][]Dim{}, by: map[string]int{}}
	if err := f.bindOperands(); err != nil {
		return nil, err
	}
	for _, a := range attrs {
		// A size attribute whose name is an unbound axis letter of a result gives that axis.
		if d, ok := a.Value.(Dim); ok && f.bound[a.Name] == nil {
			f.SetDim(a.Name, d)
		}
	}
	f.Results = make([]Type, len(o.sig.out))
	if o.Rule != nil {
		if err := o.Rule(f); err != nil {
			return nil, err
		}
	}
	for i := range f.Results {
		if err := f.finish(i); err != nil {
			return nil, err
		}
	}
	return f.Results, f.sharding()
}

func (f *Inference) bindOperands() error {
	o := f.Op
	required := 0
	for _, t := range o.sig.in {
		if !t.optional {
			required++
		}
	}
	if len(f.Args) < required || len(f.Args) > len(o.sig.in) {
		return f.Errorf(-1, "%s takes %s, %d given", o.Name, counted(required, len(o.sig.in), o.Operands()), len(f.Args))
	}
	for i, t := range o.sig.in {
		if i >= len(f.Args) || f.Args[i] == nil {
			if !t.optional {
				return f.Errorf(-1, "%s needs the operand %s", o.Name, t.name)
			}
			continue
		}
		if err := f.bindOperand(i, t); err != nil {
			return err
		}
	}
	return nil
}

func counted(lo, hi int, names []string) string {
	if lo == hi {
		plural := "s"
		if lo == 1 {
			plural = ""
		}
		return fmt.Sprintf("%d operand%s (%s)", lo, plural, strings.Join(names, ", "))
	}
	return fmt.Sprintf("%d to %d operands (%s)", lo, hi, strings.Join(names, ", "))
}

// bindOperand matches one operand's axes against its pattern. Single axes behind a *x are matched from the end.
func (f *Inference) bindOperand(i int, t sigTensor) error {
	v := f.Args[i]
	if !accepts(t.kinds, v.Type.Elem) {
		return f.Errorf(i, "operand %s of %s must be %s, but %s is %s",
			t.name, f.Op.Name, strings.Join(t.kinds, " or "), v.Ref(), v.Type)
	}
	dims := v.Type.Dims
	need, optional, many := 0, 0, 0
	for _, a := range t.axes {
		switch {
		case a.many:
			many++
		case a.optional:
			optional++
		default:
			need++
		}
	}
	spare := len(dims) - need
	if spare < 0 || many == 0 && spare > optional {
		return f.Errorf(i, "operand %s of %s has axes [%s], but %s is %s",
			t.name, f.Op.Name, t.axesText(), v.Ref(), v.Type)
	}
	for _, a := range t.axes {
		take := 1
		switch {
		case a.many:
			take = spare
			if known := f.bound[a.name]; known != nil && f.knows(a.name) {
				take = len(known)
			}
			take = min(take, spare)
			spare -= take
		case a.optional:
			if spare == 0 {
				f.bound[a.name] = nil
				continue
			}
			spare--
		}
		if err := f.bindAxis(i, a, dims[:take]); err != nil {
			return err
		}
		dims = dims[take:]
	}
	if len(dims) > 0 {
		return f.Errorf(i, "operand %s of %s has axes [%s], but %s is %s",
			t.name, f.Op.Name, t.axesText(), v.Ref(), v.Type)
	}
	return nil
}

func (f *Inference) knows(letter string) bool { _, ok := f.by[letter]; return ok }

func (f *Inference) bindAxis(operand int, a sigAxis, dims []Dim) error {
	have, ok := f.bound[a.name]
	if !f.knows(a.name) || !ok {
		f.bound[a.name], f.by[a.name] = append([]Dim{}, dims...), operand
		return nil
	}
	if len(have) == len(dims) {
		same := true
		for i := range dims {
			same = same && dims[i].Equal(have[i])
		}
		if same {
			return nil
		}
	}
	first := f.Args[f.by[a.name]]
	return f.Errorf(operand, "%s: axis %s of %s is %s, but %s has %s = %s",
		f.Op.Name, a.name, first.Ref(), describe(have), f.Args[operand].Ref(), a.name, describe(dims))
}

// describe prints axes for messages, each with its size: "D = 4096".
func describe(dims []Dim) string {
	if len(dims) == 0 {
		return "no axis"
	}
	parts := make([]string, len(dims))
	for i, d := range dims {
		parts[i] = d.label()
		if size := d.Size.String(); size != d.Name {
			parts[i] += " = " + size
		}
	}
	return strings.Join(parts, ", ")
}

func (t sigTensor) axesText() string {
	parts := make([]string, len(t.axes))
	for i, a := range t.axes {
		parts[i] = a.name
		if a.many {
			parts[i] = "…" + a.name
		}
		if a.optional {
			parts[i] += "?"
		}
	}
	return strings.Join(parts, ", ")
}

func accepts(kinds []string, e Elem) bool {
	for _, k := range kinds {
		switch k {
		case "any":
			return true
		case "float":
			if e.DType.IsFloat() && !e.IsQuantised() {
				return true
			}
		case "int":
			if e.DType.IsInt() {
				return true
			}
		case "quant":
			if e.IsQuantised() {
				return true
			}
		default:
			if e.DType.String() == k {
				return true
			}
		}
	}
	return false
}

// finish gives result i its type from the signature where the hook has not.
func (f *Inference) finish(i int) error {
	t, r := f.Op.sig.out[i], &f.Results[i]
	if r.Dims == nil {
		r.Dims = []Dim{}
		for _, a := range t.axes {
			dims, ok := f.bound[a.name]
			if !ok {
				return f.Errorf(-1, "BUG: op %s: axis %s of result %s is not determined", f.Op.Name, a.name, t.name)
			}
			r.Dims = append(r.Dims, dims...)
		}
	}
	if r.Elem.DType == Invalid {
		return f.resultElem(t, r)
	}
	return nil
}

func (f *Inference) resultElem(t sigTensor, r *Type) error {
	rule := t.kinds[0]
	switch {
	case rule == "promote":
		r.Elem = Plain(BF16)
		for _, a := range f.Args {
			if a != nil && a.Type.Elem.DType == F32 {
				r.Elem = Plain(F32)
			}
		}
	case rule == "attr":
		d, ok := ParseDType(f.Attrs.Str("dtype"))
		if !ok || !d.IsFloat() {
			return &InferError{Operand: -1, Attr: "dtype", Msg: fmt.Sprintf("dtype of %s must be bf16 or f32, not %q",
				f.Op.Name, f.Attrs.Str("dtype"))}
		}
		r.Elem = Plain(d)
	case strings.HasPrefix(rule, "="):
		for j, in := range f.Op.sig.in {
			if in.name == rule[1:] {
				r.Elem = f.Args[j].Type.Elem
			}
		}
	default:
		d, _ := ParseDType(rule)
		r.Elem = Plain(d)
	}
	return nil
}
