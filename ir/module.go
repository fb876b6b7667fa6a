package ir

import (
	"strings"

	"flagc/internal/diag"
)

// Mode says which half of inference a function computes.
type Mode string

// Prefill computes s ≥ 1 tokens from an empty cache (p = 0); Decode one token after p > 0 others (s = 1).
const (
	Prefill Mode = "prefill"
	Decode  Mode = "decode"
)

// Bound is what a mode fixes: p = 0 in prefill, s = 1 in decode.
func (m Mode) Bound() Env {
	switch m {
	case Prefill:
		return Env{"p": 0}
	case Decode:
		return Env{"s": 1}
	}
	return Env{}
}

// Module is a model elaborated for one configuration.
type Module struct {
	Name   string
	Source string // file name of the .flag source that lines refer to
	Dims   []NamedSize
	Mesh   Mesh    // of the ranks that the module is the program of; nil for one
	Memory *Memory // nil before memory is planned
	Params []*Params
	// Kernels are the functions that are one launch each; nil before the pass that makes them.
	Kernels []*Func
	Funcs   []*Func
}

// NamedSize is a configuration constant under the letter that types use for it.
type NamedSize struct {
	Name  string
	Value int
}

// Names returns the module's named sizes as a map.
func (m *Module) Names() map[string]int {
	names := make(map[string]int, len(m.Dims))
	for _, d := range m.Dims {
		names[d.Name] = d.Value
	}
	return names
}

// Func returns the function with the given full name ("block_csa.decode"), or nil.
func (m *Module) Func(name string) *Func {
	for _, f := range m.Funcs {
		if f.FullName() == name {
			return f
		}
	}
	return nil
}

// Params is the parameter set of one kind of layer: weights and states, and the places of the checkpoint
// (prefixes such as "layers.2") at which an instance of it lives. The set of the whole model has the one
// instance "".
type Params struct {
	Name      string
	Instances []string
	Weights   []*Weight
	States    []*State
	Span      diag.Span
}

// Weight is a tensor of the checkpoint, or a row of equal ones.
type Weight struct {
	Value *Value // kind WeightValue; its name is relative to the instance
	// Tensor is the checkpoint's name after the instance's prefix. A '*' stands for the index along the
	// first axis: the experts of a layer are one weight here and one tensor each in the checkpoint.
	Tensor string
	// From is how the checkpoint encodes the elements where a pass has given the value another encoding; the
	// zero Elem says that nothing is converted. Every conversion is exact.
	From Elem
}

// Encoding is how the checkpoint stores the weight's elements.
func (w *Weight) Encoding() Elem {
	if w.From != (Elem{}) {
		return w.From
	}
	return w.Value.Type.Elem
}

// State is a cache or running state: it enters a function as a value and leaves it as another.
type State struct {
	Value *Value  // kind StateValue
	Init  float64 // what every element is before the first token: 0 or -inf
}

// Weight returns the weight of that name, or nil.
func (p *Params) Weight(name string) *Weight {
	for _, w := range p.Weights {
		if w.Value.Name == name {
			return w
		}
	}
	return nil
}

// State returns the state of that name, or nil.
func (p *Params) State(name string) *State {
	for _, s := range p.States {
		if s.Value.Name == name {
			return s
		}
	}
	return nil
}

// HasInstance reports whether an instance of the set lives at prefix.
func (p *Params) HasInstance(prefix string) bool {
	for _, i := range p.Instances {
		if i == prefix {
			return true
		}
	}
	return false
}

// Join puts an instance's prefix before a name: "layers.2" and "attn.wq_a" give "layers.2.attn.wq_a".
func Join(prefix, name string) string {
	if prefix == "" || name == "" {
		return prefix + name
	}
	return prefix + "." + name
}

// Func is one function of the model for one mode.
type Func struct {
	Name    string
	Mode    Mode
	Doc     string // what it is, one line, from the model's source; may be empty
	Params  *Params
	Args    []*Value // kind ParamValue
	Results []Type
	Body    []*Instr
	Return  []*Value
	Updates []Update
	Calls   Frame // where the room of what the function calls begins, behind what lives through the calls
	Span    diag.Span

	// Anchors are the instructions that a kernel is built round, Tail those that the last of its programs to
	// arrive computes for all; nil in other functions. A kernel has no parameter set: weights and states are
	// arguments.
	Anchors, Tail []*Instr
	// Offered says of a kernel that no function launches it: whoever calls the module's functions may.
	Offered bool
}

// Update says with which value a state leaves the function.
type Update struct {
	State *State
	Value *Value
}

// FullName is the name with the mode, as calls write it.
func (f *Func) FullName() string { return f.Name + "." + string(f.Mode) }

// ValueKind says where a value comes from.
type ValueKind uint8

// A value is an instruction's result, a function's parameter, a weight, or a state as it enters the function. The
// arguments of kernels are of the last three kinds.
const (
	ResultValue ValueKind = iota
	ParamValue
	WeightValue
	StateValue
)

// Sigil is the character before a value's name in IR text.
func (k ValueKind) Sigil() string { return [...]string{"%", "%", "$", "&"}[k] }

// Value is one SSA value.
type Value struct {
	Kind  ValueKind
	Name  string // without the sigil; unique within a function for results and parameters
	Type  Type
	Place Place     // where a planned module has it; none for what lies with another value or with the caller
	Def   *Instr    // for results
	Span  diag.Span // the model's source that it comes from
}

// Ref is the value as IR text names it.
func (v *Value) Ref() string { return v.Kind.Sigil() + v.Name }

// Instr is one instruction: an op on operands, or a call (Op is nil then).
type Instr struct {
	Op      *Op
	Args    []*Value // nil where an optional operand is absent
	Attrs   Attrs
	Results []*Value

	Kernel *Func  // for launches (Op and Callee are nil then)
	From   *Instr // the launch that Inline took the instruction from, nil for none
	Callee *Func  // for calls
	At     string // for calls: the instance of the callee's parameter set

	Trace  string  // the name under which the first result is recorded in traces; "" for none
	Traces []Trace // the same of further results, in order
	Span   diag.Span
}

// Name is the op's name, "call" or "launch".
func (in *Instr) Name() string {
	if in.Kernel != nil {
		return "launch"
	}
	if in.Op == nil {
		return "call"
	}
	return in.Op.Name
}

// Stored returns the shape of a weight in the checkpoint: rows are all leading axes together, except that the
// axis which '*' enumerates is not part of a single tensor.
func (w *Weight) Stored() []int {
	var shape []int
	for _, d := range w.Value.Type.Whole().Dims {
		n, _ := d.Size.IsConst()
		shape = append(shape, n)
	}
	if w.Count() > 1 || w.IsMany() {
		shape = shape[1:]
	}
	for len(shape) > 2 {
		shape = append([]int{shape[0] * shape[1]}, shape[2:]...)
	}
	return shape
}

// IsMany reports whether the weight is a row of tensors, one for each index of its first axis.
func (w *Weight) IsMany() bool { return strings.Contains(w.Tensor, "*") }

// Count is the number of tensors (not counting scales) behind the weight in one instance.
func (w *Weight) Count() int {
	if !w.IsMany() {
		return 1
	}
	n, _ := w.Value.Type.Dims[0].Whole().Size.IsConst()
	return n
}
