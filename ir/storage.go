package ir

import "slices"

// Alias is the operand whose storage result i is: the state that an update replaces, or what a view shows. It is
// nil where the result needs room of its own.
func (in *Instr) Alias(i int) *Value {
	if operand, ok := in.Updated()[i]; ok {
		return in.Args[operand]
	}
	if in.Op != nil && in.Op.Class == View {
		return in.Args[0]
	}
	return nil
}

// MayOverwrite reports whether result i may lie where operand j lay, if nothing reads the operand afterwards: each
// of its elements must depend on the elements at the same place alone, or on those of the same row, which a program
// holds as a whole. So it is for pointwise ops and for those that move elements within rows, on equal shapes.
func (in *Instr) MayOverwrite(i, j int) bool {
	if in.Op == nil || in.Args[j] == nil {
		return false
	}
	r, a := in.Results[i].Type, in.Args[j].Type
	if r.Elem.IsQuantised() || a.Elem.IsQuantised() || r.Elem.DType.Bits() != a.Elem.DType.Bits() {
		return false
	}
	if r.Partial != a.Partial || r.Over != a.Over || !slices.EqualFunc(r.Dims, a.Dims, Dim.Equal) {
		return false
	}
	switch in.Op.Class {
	case Pointwise:
		return true
	case Injective:
		return slices.Equal(in.Letters(j), in.ResultLetters(i))
	}
	return false
}

// Root is the value whose storage v is: v itself, or what views and state updates lead back to.
func (v *Value) Root() *Value {
	for v.Kind == ResultValue {
		a := v.Def.Alias(slices.Index(v.Def.Results, v))
		if a == nil {
			return v
		}
		v = a
	}
	return v
}

// Room is a value that needs room in its function: from the instruction that yields it to the last that reads it or
// a view of it. Parameters are there at -1, what is returned at the length of the body.
type Room struct {
	Value       *Value
	First, Last int
	Region      Region
	Index       int // in region Result: which result
	Bytes       int
}

// Alive reports whether the value is needed at instruction i.
func (r *Room) Alive(i int) bool { return r.First <= i && i <= r.Last }

// Called lists the functions that others call. The rest are entries: their parameters and results have room in
// their own workspace, those of a called function lie where the caller has them.
func (m *Module) Called() map[*Func]bool {
	called := map[*Func]bool{}
	for _, f := range m.Funcs {
		for _, in := range f.Body {
			if in.Callee != nil {
				called[in.Callee] = true
			}
		}
	}
	return called
}

// Rooms lists the values of f that need room, in the order of the text. What a collective reads or writes lies in the
// communication buffers, also where a called function has the collective and yields the value. A called function writes
// a result where the caller wants it, unless it is a parameter, a state, or returned twice: then it is copied at the end.
func (x *Extents) Rooms(f *Func, called bool) ([]*Room, error) {
	l := &lifetimes{index: map[*Value]*Room{}, called: called}
	for _, a := range f.Args {
		if !called {
			l.define(a, -1)
		}
	}
	for i, in := range f.Body {
		for _, a := range in.Args {
			l.read(a, i)
		}
		for k, v := range in.Results {
			if in.Alias(k) == nil {
				l.define(v, i)
			}
		}
		l.collective(in)
	}
	for k, v := range f.Return {
		l.returned(v, k, len(f.Body))
	}
	for _, r := range l.rooms {
		var err error
		if r.Bytes, err = x.Bytes(f.Mode, r.Value.Type); err != nil {
			return nil, err
		}
	}
	return l.rooms, nil
}

// lifetimes collects the rooms of one function.
type lifetimes struct {
	called bool
	rooms  []*Room
	index  map[*Value]*Room
}

func (l *lifetimes) define(v *Value, at int) {
	r := &Room{Value: v, First: at, Last: at, Region: Workspace}
	l.rooms = append(l.rooms, r)
	l.index[v] = r
}

func (l *lifetimes) read(v *Value, at int) {
	if v == nil {
		return
	}
	if r := l.index[v.Root()]; r != nil {
		r.Last = at
	}
}

func (l *lifetimes) collective(in *Instr) {
	for _, v := range in.communicated() {
		if r := l.index[v.Root()]; r != nil {
			r.Region = Communication
		}
	}
}

// communicated are the values of the instruction that lie in communication buffers.
func (in *Instr) communicated() []*Value {
	var list []*Value
	switch {
	case in.Op != nil && in.Op.Class == Collective:
		list = append(slices.Clone(in.Args), in.Results...)
	case in.Callee != nil:
		for k, v := range in.Results {
			if in.Callee.communicates(in.Callee.Return[k].Root()) {
				list = append(list, v)
			}
		}
	}
	return list
}

// communicates reports whether a value of the function lies in communication buffers.
func (f *Func) communicates(root *Value) bool {
	return slices.ContainsFunc(f.Body, func(in *Instr) bool {
		return slices.ContainsFunc(in.communicated(), func(v *Value) bool { return v.Root() == root })
	})
}

// returned keeps result k alive to the end, or lets the caller say where it lies. Views that show less than their
// operand are copied, as are values that are returned before.
func (l *lifetimes) returned(v *Value, k, end int) {
	r := l.index[v.Root()]
	if r == nil {
		return
	}
	before := r.Last
	r.Last = end
	switch {
	case r.Region == Result || before == end:
		if r.Region == Result {
			r.Region = Workspace
		}
	case l.called && v.isWhole():
		r.Region, r.Index = Result, k
	}
}

// isWhole reports whether v shows all of its storage, in order: no view on the way to its root leaves elements out.
func (v *Value) isWhole() bool {
	for v.Kind == ResultValue {
		in := v.Def
		a := in.Alias(slices.Index(in.Results, v))
		if a == nil {
			return true
		}
		if axes := in.Op.sig.in[0].axes; in.Op.Class == View && !(len(axes) == 1 && axes[0].many) {
			return false
		}
		v = a
	}
	return true
}
