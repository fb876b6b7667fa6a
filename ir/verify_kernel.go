package ir

// kernels holds [kern1], [kern2] and [kern5], and what every function's body must hold.
func (v *verifier) kernels() {
	for _, k := range v.mod.Kernels {
		v.fn, v.defined, v.consumed = k, map[*Value]bool{}, map[*Value]*Instr{}
		names := map[string]bool{}
		define := func(val *Value, in *Instr) {
			if names[val.Ref()] {
				v.report(in, "ssa2", "the name %s is used twice", val.Ref())
			}
			names[val.Ref()], v.defined[val] = true, true
		}
		for _, a := range k.Args {
			define(a, nil)
		}
		for _, in := range k.Body {
			v.kernelInstr(in)
			for _, r := range in.Results {
				define(r, in)
			}
		}
		v.kernelEnd(k)
	}
	v.fn = nil
}

func (v *verifier) kernelInstr(in *Instr) {
	if in.Op == nil || in.Op.Collective != nil || len(in.Traced()) > 0 {
		v.report(in, "kern1", "a kernel holds ops alone: no call, launch, collective or trace")
		return
	}
	for _, operand := range in.Op.Updates {
		if operand < len(in.Args) && in.Args[operand] != nil && !in.Args[operand].IsState() {
			v.report(in, "kern5", "%s is updated and is no state", in.Args[operand].Ref())
		}
	}
	v.instr(in, nil)
}

// kernelEnd holds what a kernel yields and what it is built round.
func (v *verifier) kernelEnd(k *Func) {
	v.returns(k)
	own := map[*Instr]bool{}
	for _, in := range k.Body {
		own[in] = true
	}
	for _, r := range k.Return {
		if r != nil && r.Kind != ResultValue {
			v.report(nil, "kern1", "yields its own argument %s", r.Ref())
		}
		if by := v.consumed[r]; by != nil {
			v.report(nil, "state1", "yields %s, which \"%s\" consumed", r.Ref(), by)
		}
	}
	if len(k.Return) == 0 {
		v.report(nil, "kern1", "yields nothing")
	}
	for _, in := range append(append([]*Instr(nil), k.Anchors...), k.Tail...) {
		if !own[in] {
			v.report(in, "kern2", "an anchor or tail is no instruction of the kernel")
		}
	}
	if len(k.Anchors) == 0 {
		v.report(nil, "kern2", "is built round nothing")
	}
	replaced := map[int]int{}
	for _, arg := range k.Replaces() {
		replaced[arg]++
	}
	for i, a := range k.Args {
		if by := v.consumed[a]; by != nil && replaced[i] != 1 {
			v.report(by, "kern5", "state %s is updated and leaves as %d results, not one", a.Ref(), replaced[i])
		}
	}
}

// launch holds [kern3], and that a state which the kernel updates is consumed.
func (v *verifier) launch(in *Instr) {
	k := in.Kernel
	if !v.mod.holds(k) {
		v.report(in, "kern3", "%s is no kernel of this module", k.FullName())
		return
	}
	if k.Mode != v.fn.Mode {
		v.report(in, "kern3", "a %s function cannot launch %s", v.fn.Mode, k.FullName())
	}
	if len(in.Args) != len(k.Args) || len(in.Results) != len(k.Results) {
		v.report(in, "kern3", "%s takes %d values and yields %d", k.FullName(), len(k.Args), len(k.Results))
		return
	}
	for i, a := range in.Args {
		want := k.Args[i]
		if a == nil || !a.Type.Equal(want.Type) {
			v.report(in, "kern3", "operand %d must be %s", i, want.Type.Describe())
		} else if argKind(a) != want.Kind {
			v.report(in, "kern3", "%s cannot be the argument %s: a weight stands for a weight, a state for a state", a.Ref(), want.Ref())
		}
	}
	for i, r := range in.Results {
		if !r.Type.Equal(k.Results[i]) {
			v.report(in, "kern3", "result %s must be %s", r.Ref(), k.Results[i].Describe())
		}
	}
	for _, operand := range in.Updated() {
		if in.Args[operand] != nil {
			v.consumed[in.Args[operand]] = in
		}
	}
}

// argKind is the kind of the kernel argument that a value can be.
func argKind(v *Value) ValueKind {
	switch {
	case v.Kind == WeightValue:
		return WeightValue
	case v.IsState():
		return StateValue
	}
	return ParamValue
}

func (m *Module) holds(k *Func) bool {
	for _, have := range m.Kernels {
		if have == k {
			return true
		}
	}
	return false
}

// launched holds [kern4].
func (v *verifier) launched() {
	v.fn = nil
	used, names := map[*Func]bool{}, map[string]bool{}
	for _, f := range v.mod.Funcs {
		for _, in := range f.Body {
			used[in.Kernel] = true
		}
	}
	for _, k := range v.mod.Kernels {
		if !used[k] && !k.Offered {
			v.report(nil, "kern4", "kernel %s is launched nowhere", k.FullName())
		}
		if names[k.FullName()] {
			v.report(nil, "kern4", "two kernels are called %s", k.FullName())
		}
		names[k.FullName()] = true
	}
}
