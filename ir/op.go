package ir

import (
	"fmt"
	"math"
	"sort"
	"strconv"
)

// Class says how an op may fuse with its neighbours.
type Class string

// The fusion classes, from the most to the least mobile.
const (
	Pointwise   Class = "pointwise"   // each result element depends on one element of each operand
	View        Class = "view"        // other axes over the same elements
	Injective   Class = "injective"   // moves, selects or repeats elements
	Reduction   Class = "reduction"   // sums, norms, softmax over axes
	Contraction Class = "contraction" // matrix products: the anchors of kernels
	Selection   Class = "selection"   // yields indices
	StateUpdate Class = "state"       // consumes a state and yields the new one
	Collective  Class = "collective"  // ranks meet
)

// Op is the one declaration of an operator. Everything that is true of it on every target, in every model and
// under every schedule stands here.
type Op struct {
	Name string
	Doc  string // one sentence, then details where the meaning is not obvious
	Spec string // section of the model's specification that fixes it, "" if none

	Class Class
	// Sig names the axes of operands and results: "q[b,s,h,d] k[b,t,d] -> y[b,s,t]".
	//   *x       any number of axes
	//   k?       an axis that may be absent
	//   w[…]?    an operand that may be absent
	//   ids[…]:e the operand's values index axis e; outside the range means "no entry"
	Sig string
	// Types restricts operands and fixes results, in the order of Sig: "float fp8|bf16 -> bf16". An operand
	// has kinds joined by '|': any, float, int, quant, or the name of a number format. A result is a number
	// format, =name (as operand name), promote (f32 if any operand is), or attr (the dtype attribute).
	Types string
	Attrs []AttrDecl

	Sum   string // axes that are summed when split: the result is partial then
	Zeros bool   // zeros in the first operand are zeros in the result
	Whole string // axes that must not be split
	Parts string // axes that no result has and that may be split: each rank yields what its own part gives
	// Flops is the number of floating-point operations over the axes of Sig, such as "2*b*s*n*k".
	Flops string

	// Rule completes or checks what Sig and Types cannot say; nil for most ops.
	Rule func(*Inference) error
	// Updates maps the index of a result to the index of the state operand that it replaces.
	Updates map[int]int
	// Stores says that the op only puts elements into states: it reads nothing of what they hold.
	Stores bool

	// Exactly one of Body, Eval and Collective is set.
	Body string      // pointwise: an expression over operands and attributes
	Eval func(*Eval) // otherwise: the reference result, in exact arithmetic, unrounded
	// Collective is the reference result where ranks meet: one Eval for each rank.
	Collective func(ranks []*Eval)

	sig   *signature
	body  *Expr
	flops *Expr
}

// AttrKind is the kind of an attribute's value.
type AttrKind uint8

// The kinds of attribute values.
const (
	IntAttr    AttrKind = iota + 1 // int
	FloatAttr                      // float64
	BoolAttr                       // bool
	StringAttr                     // string
	SizeAttr                       // Dim: a size under the text that the author gave it
)

var attrKindNames = [...]string{"", "an integer", "a number", "true or false", "a name", "a size"}

// String describes a value of the kind, for messages.
func (k AttrKind) String() string { return attrKindNames[k] }

// AttrDecl declares an attribute. Without a Default it is required.
type AttrDecl struct {
	Name    string
	Kind    AttrKind
	Doc     string
	Default any // nil when the attribute must be given
}

// Attr returns the declaration of an attribute, or nil.
func (o *Op) Attr(name string) *AttrDecl {
	for i := range o.Attrs {
		if o.Attrs[i].Name == name {
			return &o.Attrs[i]
		}
	}
	return nil
}

// Operands are the operands' names in order.
func (o *Op) Operands() []string {
	names := make([]string, len(o.sig.in))
	for i, t := range o.sig.in {
		names[i] = t.name
	}
	return names
}

// Results are the results' names in order.
func (o *Op) Results() []string {
	names := make([]string, len(o.sig.out))
	for i, t := range o.sig.out {
		names[i] = t.name
	}
	return names
}

// Optional reports whether operand i may be absent.
func (o *Op) Optional(i int) bool { return o.sig.in[i].optional }

// PointwiseBody is the parsed body of a pointwise op, nil for the rest.
func (o *Op) PointwiseBody() *Expr { return o.body }

// prepare parses the op's texts; a mistake in a declaration is a bug of flagc and panics.
func (o *Op) prepare() {
	sig, err := parseSignature(o.Sig, o.Types)
	if err != nil {
		panic(fmt.Sprintf("BUG: op %s: %v", o.Name, err))
	}
	o.sig, o.body, o.flops = sig, nil, nil
	if err := o.parseFlops(); err != nil {
		panic(fmt.Sprintf("BUG: op %s: %v", o.Name, err))
	}
	meanings := 0
	for _, set := range []bool{o.Body != "", o.Eval != nil, o.Collective != nil} {
		if set {
			meanings++
		}
	}
	if meanings != 1 {
		panic(fmt.Sprintf("BUG: op %s: exactly one of Body, Eval and Collective must be set", o.Name))
	}
	if o.Body != "" {
		names := append([]string(nil), o.Operands()...)
		for _, a := range o.Attrs {
			names = append(names, a.Name)
		}
		if o.body, err = ParseExpr(o.Body, names); err != nil {
			panic(fmt.Sprintf("BUG: op %s: body: %v", o.Name, err))
		}
	}
}

// OpSet is a set of declared operators.
type OpSet struct {
	byName map[string]*Op
	sorted []*Op
}

// Define adds an op and returns it, so that a declaration is one Go literal.
func (s *OpSet) Define(o Op) *Op {
	if s.byName == nil {
		s.byName = map[string]*Op{}
	}
	if s.byName[o.Name] != nil {
		panic("BUG: op " + o.Name + " is declared twice")
	}
	op := &o
	op.prepare()
	s.byName[o.Name] = op
	s.sorted = append(s.sorted, op)
	sort.Slice(s.sorted, func(i, j int) bool { return s.sorted[i].Name < s.sorted[j].Name })
	return op
}

// Lookup returns the op of that name, or nil.
func (s *OpSet) Lookup(name string) *Op { return s.byName[name] }

// All returns the ops by name.
func (s *OpSet) All() []*Op { return s.sorted }

// Names returns the ops' names in order.
func (s *OpSet) Names() []string {
	names := make([]string, len(s.sorted))
	for i, o := range s.sorted {
		names[i] = o.Name
	}
	return names
}

// Attr is one attribute of an instruction.
type Attr struct {
	Name  string
	Value any // int, float64, bool, string or Dim
}

// Attrs are the attributes of an instruction, in the order of the op's declaration, defaults included.
type Attrs []Attr

// Get returns the value of an attribute, or nil.
func (a Attrs) Get(name string) any {
	for _, x := range a {
		if x.Name == name {
			return x.Value
		}
	}
	return nil
}

// Set replaces the value of an attribute that is there.
func (a Attrs) Set(name string, value any) {
	for i := range a {
		if a[i].Name == name {
			a[i].Value = value
		}
	}
}

// Int returns an int attribute, 0 when absent.
func (a Attrs) Int(name string) int { v, _ := a.Get(name).(int); return v }

// Float returns a float attribute, 0 when absent.
func (a Attrs) Float(name string) float64 { v, _ := a.Get(name).(float64); return v }

// Bool returns a bool attribute, false when absent.
func (a Attrs) Bool(name string) bool { v, _ := a.Get(name).(bool); return v }

// Str returns a string attribute, "" when absent.
func (a Attrs) Str(name string) string { v, _ := a.Get(name).(string); return v }

// Size returns a size attribute, the constant 0 when absent.
func (a Attrs) Size(name string) Size { v, _ := a.Get(name).(Dim); return v.Size }

// Complete orders the given attributes as op declares them, adds defaults and checks kinds. An int is taken
// where a number or a size is wanted.
func (o *Op) Complete(given Attrs) (Attrs, error) {
	for _, a := range given {
		if o.Attr(a.Name) == nil {
			return nil, &InferError{Operand: -1, Attr: a.Name, Msg: fmt.Sprintf("%s has no attribute %s", o.Name, a.Name)}
		}
	}
	var out Attrs
	for _, d := range o.Attrs {
		v := given.Get(d.Name)
		if v == nil {
			v = d.Default
		}
		if v == nil {
			return nil, &InferError{Operand: -1, Attr: d.Name,
				Msg: fmt.Sprintf("%s needs the attribute %s: %s", o.Name, d.Name, d.Doc)}
		}
		w, ok := convertAttr(d.Kind, v)
		if !ok {
			return nil, &InferError{Operand: -1, Attr: d.Name,
				Msg: fmt.Sprintf("attribute %s of %s must be %s, not %v", d.Name, o.Name, d.Kind, v)}
		}
		out = append(out, Attr{d.Name, w})
	}
	return out, nil
}

// IsDefault reports whether an attribute has the value that it would have if it were left out.
func (o *Op) IsDefault(a Attr) bool {
	d := o.Attr(a.Name)
	if d == nil || d.Default == nil {
		return false
	}
	v, ok := convertAttr(d.Kind, d.Default)
	return ok && v == a.Value
}

// convertAttr makes v a value of the given kind where no information is lost.
func convertAttr(kind AttrKind, v any) (any, bool) {
	switch x := v.(type) {
	case int:
		switch kind {
		case FloatAttr:
			return float64(x), true
		case SizeAttr:
			return Dim{Name: strconv.Itoa(x), Size: Const(x)}, true
		}
		return x, kind == IntAttr
	case Size:
		return convertAttr(kind, Dim{Name: x.String(), Size: x})
	case Dim:
		if k, ok := x.Size.IsConst(); ok && kind != SizeAttr {
			return convertAttr(kind, k)
		}
		return x, kind == SizeAttr
	case float64:
		return x, kind == FloatAttr
	case bool:
		return x, kind == BoolAttr
	case string:
		return x, kind == StringAttr
	}
	return nil, false
}

// formatAttr prints an attribute's value so that parsing by its kind gives it back; dim prints sizes.
func formatAttr(v any, dim func(Dim) string) string {
	switch x := v.(type) {
	case float64:
		return FormatFloat(x)
	case Dim:
		return dim(x)
	case string:
		return strconv.Quote(x)
	}
	return fmt.Sprint(v)
}

// FormatFloat prints the shortest decimal that reads back as x; infinities are inf and -inf.
func FormatFloat(x float64) string {
	switch {
	case math.IsInf(x, 1):
		return "inf"
	case math.IsInf(x, -1):
		return "-inf"
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
