package ir

// Inline returns the module without kernels: in the place of each launch stand the kernel's instructions, each with
// the launch in From. What the functions compute, their traces and the names of values that launches yield are the
// same; a value inside a kernel keeps its name where that is free. A plan of memory is left out, since it was made for
// launches. Parameter sets are shared with m, and m itself is returned if it has no kernels.
func (m *Module) Inline() *Module {
	if len(m.Kernels) == 0 {
		return m
	}
	out := *m
	out.Kernels, out.Funcs, out.Memory = nil, make([]*Func, len(m.Funcs)), nil
	in := inliner{funcs: map[*Func]*Func{}}
	for i, f := range m.Funcs {
		out.Funcs[i] = &Func{}
		in.funcs[f] = out.Funcs[i]
	}
	for _, f := range m.Funcs {
		in.function(f)
	}
	return &out
}

type inliner struct {
	funcs map[*Func]*Func
	now   map[*Value]*Value // of the function at hand: values of m to values of the result
	b     *Builder          // names values
}

func (x *inliner) function(f *Func) {
	n := x.funcs[f]
	*n = *f
	n.Body, n.Calls, n.Args = nil, Frame{}, make([]*Value, len(f.Args))
	x.now = map[*Value]*Value{}
	for i, a := range f.Args {
		c := *a
		c.Place = Place{}
		n.Args[i], x.now[a] = &c, &c
	}
	x.b = NewBuilder(nil, n)
	for _, in := range f.Body {
		for _, r := range in.Results {
			x.b.used[r.Name] = true
		}
	}
	for _, in := range f.Body {
		if in.Kernel != nil {
			x.launch(in)
			continue
		}
		c := x.copy(in)
		c.Callee, c.Trace, c.Traces = x.funcs[in.Callee], in.Trace, in.Traces
		for i, r := range in.Results {
			c.Results[i].Name = r.Name
		}
	}
	n.Return, n.Updates = x.values(f.Return), nil
	for _, u := range f.Updates {
		n.Updates = append(n.Updates, Update{u.State, x.value(u.Value)})
	}
}

// launch writes the kernel's instructions.
func (x *inliner) launch(in *Instr) {
	for i, a := range in.Kernel.Args {
		x.now[a] = x.value(in.Args[i])
	}
	yields := map[*Value]string{}
	for i, v := range in.Kernel.Return {
		if yields[v] == "" {
			yields[v] = in.Results[i].Name
		}
	}
	for _, op := range in.Kernel.Body {
		c := x.copy(op)
		c.From = in
		for i, r := range op.Results {
			if c.Results[i].Name = yields[r]; yields[r] == "" {
				c.Results[i].Name = x.b.Unique(r.Name)
			}
		}
	}
	for i, v := range in.Kernel.Return {
		x.now[in.Results[i]] = x.now[v]
	}
	for _, t := range in.Traced() {
		v := x.now[in.Results[t.Result]]
		for i, r := range v.Def.Results {
			if r == v {
				v.Def.AddTrace(i, t.Name)
			}
		}
	}
}

// copy appends a copy of an instruction, on the values that take the place of its operands, with new results
// that have no names yet.
func (x *inliner) copy(in *Instr) *Instr {
	c := &Instr{Op: in.Op, Args: x.values(in.Args), Attrs: in.Attrs, At: in.At, Span: in.Span}
	for _, r := range in.Results {
		v := &Value{Kind: ResultValue, Type: r.Type, Def: c, Span: r.Span}
		x.now[r] = v
		c.Results = append(c.Results, v)
	}
	x.b.Func.Body = append(x.b.Func.Body, c)
	return c
}

// value is what takes the place of v: parameters, weights and states stay.
func (x *inliner) value(v *Value) *Value {
	if w := x.now[v]; w != nil {
		return w
	}
	return v
}

func (x *inliner) values(list []*Value) []*Value {
	var out []*Value
	for _, v := range list {
		out = append(out, x.value(v))
	}
	return out
}
