package ir

// Clone copies a module deeply, so that the copy can be rewritten and thrown away. Ops, and attribute values, are
// shared: they never change.
func (m *Module) Clone() *Module {
	c := cloner{values: map[*Value]*Value{}, sets: map[*Params]*Params{}, funcs: map[*Func]*Func{}, states: map[*State]*State{},
		instrs: map[*Instr]*Instr{}}
	out := *m
	out.Dims = append([]NamedSize(nil), m.Dims...)
	out.Mesh = append(Mesh(nil), m.Mesh...)
	if m.Memory != nil {
		memory := *m.Memory
		out.Memory = &memory
	}
	out.Params = make([]*Params, len(m.Params))
	for i, s := range m.Params {
		out.Params[i] = c.params(s)
	}
	out.Kernels, out.Funcs = c.declare(m.Kernels), c.declare(m.Funcs)
	for _, f := range append(append([]*Func(nil), m.Kernels...), m.Funcs...) {
		c.function(f)
	}
	return &out
}

// declare makes the functions that calls and launches can refer to, empty.
func (c *cloner) declare(list []*Func) []*Func {
	var out []*Func
	for _, f := range list {
		c.funcs[f] = &Func{}
		out = append(out, c.funcs[f])
	}
	return out
}

// cloner maps what is copied to its copy.
type cloner struct {
	values map[*Value]*Value
	sets   map[*Params]*Params
	funcs  map[*Func]*Func
	states map[*State]*State
	instrs map[*Instr]*Instr
}

// value copies a value once; its defining instruction is set when that is copied.
func (c *cloner) value(v *Value) *Value {
	if v == nil {
		return nil
	}
	if have := c.values[v]; have != nil {
		return have
	}
	n := *v
	n.Def = nil
	n.Type.Dims = append([]Dim{}, v.Type.Dims...)
	c.values[v] = &n
	return &n
}

func (c *cloner) list(values []*Value) []*Value {
	out := make([]*Value, len(values))
	for i, v := range values {
		out[i] = c.value(v)
	}
	return out
}

func (c *cloner) params(s *Params) *Params {
	out := *s
	out.Instances = append([]string(nil), s.Instances...)
	out.Weights = make([]*Weight, len(s.Weights))
	for i, w := range s.Weights {
		n := *w
		n.Value = c.value(w.Value)
		out.Weights[i] = &n
	}
	out.States = make([]*State, len(s.States))
	for i, st := range s.States {
		n := *st
		n.Value = c.value(st.Value)
		out.States[i] = &n
		c.states[st] = &n
	}
	c.sets[s] = &out
	return &out
}

func (c *cloner) function(f *Func) {
	n := c.funcs[f]
	*n = *f
	n.Params = c.sets[f.Params]
	n.Args = c.list(f.Args)
	n.Results = append([]Type(nil), f.Results...)
	n.Body = make([]*Instr, len(f.Body))
	for i, in := range f.Body {
		n.Body[i] = c.instr(in)
	}
	n.Return = c.list(f.Return)
	n.Updates = make([]Update, len(f.Updates))
	for i, u := range f.Updates {
		n.Updates[i] = Update{c.states[u.State], c.value(u.Value)}
	}
	n.Anchors, n.Tail = c.mapped(f.Anchors), c.mapped(f.Tail)
}

func (c *cloner) instr(in *Instr) *Instr {
	n := *in
	n.Args = c.list(in.Args)
	n.Attrs = append(Attrs(nil), in.Attrs...)
	n.Results = c.list(in.Results)
	for _, r := range n.Results {
		r.Def = &n
	}
	n.Callee, n.Kernel = c.funcs[in.Callee], c.funcs[in.Kernel]
	n.Traces = append([]Trace(nil), in.Traces...)
	c.instrs[in] = &n
	return &n
}

// mapped are the copies of instructions of a body that is copied already.
func (c *cloner) mapped(list []*Instr) []*Instr {
	var out []*Instr
	for _, in := range list {
		out = append(out, c.instrs[in])
	}
	return out
}
