package ir

// Clone copies a module deeply, so that the copy can be rewritten and thrown away. Ops, and attribute values, are
// shared: they never change.
func (m *Module) Clone() *Module {
	c := cloner{values: map[*Value]*Value{}, sets: map[*Params]*Params{}, funcs: map[*Func]*Func{}, states: map[*State]*State{}}
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
	out.Funcs = make([]*Func, len(m.Funcs))
	for i, f := range m.Funcs {
		out.Funcs[i] = &Func{}
		c.funcs[f] = out.Funcs[i]
	}
	for _, f := range m.Funcs {
		c.function(f)
	}
	return &out
}

// cloner maps what is copied to its copy.
type cloner struct {
	values map[*Value]*Value
	sets   map[*Params]*Params
	funcs  map[*Func]*Func
	states map[*State]*State
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
}

func (c *cloner) instr(in *Instr) *Instr {
	n := *in
	n.Args = c.list(in.Args)
	n.Attrs = append(Attrs(nil), in.Attrs...)
	n.Results = c.list(in.Results)
	for _, r := range n.Results {
		r.Def = &n
	}
	if in.Callee != nil {
		n.Callee = c.funcs[in.Callee]
	}
	return &n
}
