package ir

import (
	"fmt"
	"strings"

	"flagc/internal/diag"
)

// Verify checks the invariants of the package comment and reports every breach with its label, the function
// and the instruction, at the model's line where that is known.
func (m *Module) Verify() error {
	v := &verifier{mod: m, names: m.Names(), index: map[*Func]bool{}}
	for _, f := range m.Funcs {
		v.index[f] = true
	}
	v.tensors()
	v.mesh()
	v.kernels()
	for _, f := range m.Funcs {
		v.function(f)
	}
	v.launched()
	if v.list.Len() == 0 { // plans are only read where values are in order
		v.memory()
	}
	return v.list.Err()
}

type verifier struct {
	mod   *Module
	names map[string]int
	index map[*Func]bool
	list  diag.List

	fn       *Func
	defined  map[*Value]bool
	consumed map[*Value]*Instr
}

func (v *verifier) report(in *Instr, label, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	span := diag.Span{File: v.mod.Source}
	if v.fn != nil {
		text = v.fn.FullName() + ": " + text
		span = v.fn.Span
	}
	if in != nil {
		text += " in \"" + in.String() + "\""
		span = in.Span
	}
	v.list.Add(diag.New(span, label, "%s", text))
}

// tensors holds [param1] over all instances.
func (v *verifier) tensors() {
	seen := map[string]bool{}
	for _, s := range v.mod.Params {
		for _, prefix := range s.Instances {
			for _, w := range s.Weights {
				name := Join(prefix, w.Tensor)
				if seen[name] {
					v.report(nil, "param1", "tensor %s is declared twice (parameter set %s)", name, s.Name)
				}
				seen[name] = true
			}
		}
	}
}

func (v *verifier) function(f *Func) {
	v.fn, v.defined, v.consumed = f, map[*Value]bool{}, map[*Value]*Instr{}
	names := map[string]bool{}
	define := func(val *Value, in *Instr) {
		if names[val.Name] {
			v.report(in, "ssa2", "the name %%%s is used twice", val.Name)
		}
		names[val.Name] = true
		v.defined[val] = true
	}
	for _, a := range f.Args {
		define(a, nil)
	}
	for _, w := range f.Params.Weights {
		v.defined[w.Value] = true
	}
	for _, s := range f.Params.States {
		v.defined[s.Value] = true
	}
	at := map[string]bool{}
	for _, in := range f.Body {
		v.instr(in, at)
		for _, r := range in.Results {
			define(r, in)
		}
	}
	v.returns(f)
	v.updates(f)
}

func (v *verifier) instr(in *Instr, at map[string]bool) {
	for _, a := range in.Args {
		if a == nil {
			continue
		}
		if !v.defined[a] {
			v.report(in, "ssa1", "%s is used before it is defined", a.Ref())
		}
		if by := v.consumed[a]; by != nil {
			v.report(in, "state1", "%s was consumed by \"%s\" and is used again", a.Ref(), by)
		}
	}
	if in.Kernel != nil {
		v.launch(in)
		return
	}
	if in.Op == nil {
		v.call(in, at)
		return
	}
	v.types(in)
	v.collective(in)
	for _, operand := range in.Op.Updates {
		if operand < len(in.Args) && in.Args[operand] != nil {
			v.consumed[in.Args[operand]] = in
		}
	}
}

// types holds [attr1] and [type1].
func (v *verifier) types(in *Instr) {
	full, err := in.Op.Complete(in.Attrs)
	if err != nil {
		v.report(in, "attr1", "%v", err)
		return
	}
	var want *Type
	if len(in.Results) > 0 {
		want = &in.Results[0].Type
	}
	types, err := in.Op.Infer(in.Args, full, v.names, want)
	if err != nil {
		v.report(in, "type1", "%v", err)
		return
	}
	if len(types) != len(in.Results) {
		v.report(in, "type1", "%s yields %d values, not %d", in.Op.Name, len(types), len(in.Results))
		return
	}
	for i, t := range types {
		if !t.Equal(in.Results[i].Type) {
			v.report(in, "type1", "result %s is %s, but the op yields %s",
				in.Results[i].Ref(), in.Results[i].Type.Describe(), t.Describe())
		}
	}
}

// call holds [call1] and [call2].
func (v *verifier) call(in *Instr, at map[string]bool) {
	f := in.Callee
	if f == nil || !v.index[f] {
		v.report(in, "call1", "the callee is not a function of this module")
		return
	}
	if !f.Params.HasInstance(in.At) {
		v.report(in, "call1", "parameter set %s has no instance %q, but %s", f.Params.Name, in.At,
			strings.Join(f.Params.Instances, ", "))
	}
	if at[in.At] {
		v.report(in, "call2", "the instance %q is called twice", in.At)
	}
	at[in.At] = true
	if f.Mode != v.fn.Mode || f == v.fn {
		v.report(in, "call1", "a %s function cannot call %s", v.fn.Mode, f.FullName())
	}
	if len(in.Args) != len(f.Args) || len(in.Results) != len(f.Results) {
		v.report(in, "call1", "%s takes %d values and yields %d", f.FullName(), len(f.Args), len(f.Results))
		return
	}
	for i, a := range in.Args {
		if a == nil || !a.Type.Equal(f.Args[i].Type) {
			v.report(in, "call1", "operand %d must be %s", i, f.Args[i].Type.Describe())
		}
	}
	for i, r := range in.Results {
		if !r.Type.Equal(f.Results[i]) {
			v.report(in, "call1", "result %s must be %s", r.Ref(), f.Results[i].Describe())
		}
	}
}

func (v *verifier) returns(f *Func) {
	if len(f.Return) != len(f.Results) {
		v.report(nil, "ret1", "returns %d values, declares %d", len(f.Return), len(f.Results))
		return
	}
	for i, r := range f.Return {
		if r == nil || !v.defined[r] {
			v.report(nil, "ssa1", "returns a value that is not defined")
		} else if !r.Type.Equal(f.Results[i]) {
			v.report(nil, "ret1", "returns %s of type %s, declares %s", r.Ref(), r.Type.Describe(), f.Results[i].Describe())
		}
	}
}

// updates holds [state1] and [state2] at the function's end.
func (v *verifier) updates(f *Func) {
	last := map[*State]bool{}
	for _, u := range f.Updates {
		if u.Value == nil || !v.defined[u.Value] {
			v.report(nil, "ssa1", "state %s leaves as a value that is not defined", u.State.Value.Ref())
			continue
		}
		if !u.Value.Type.Equal(u.State.Value.Type) {
			v.report(nil, "state2", "state %s leaves as %s, entered as %s", u.State.Value.Ref(),
				u.Value.Type.Describe(), u.State.Value.Type.Describe())
		}
		if by := v.consumed[u.Value]; by != nil {
			v.report(nil, "state1", "state %s leaves as %s, which \"%s\" consumed", u.State.Value.Ref(), u.Value.Ref(), by)
		}
		if last[u.State] {
			v.report(nil, "state1", "state %s leaves twice", u.State.Value.Ref())
		}
		last[u.State] = true
	}
	for _, s := range f.Params.States {
		if by := v.consumed[s.Value]; by != nil && !last[s] {
			v.report(nil, "state1", "state %s is updated by \"%s\" but does not leave", s.Value.Ref(), by)
		}
	}
}
