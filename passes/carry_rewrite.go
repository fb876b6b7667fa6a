package passes

import (
	"slices"
	"strings"

	"flagc/ir"
)

// rewrite makes the callers of functions with tails anew, and the versions that they call.
func (c *carrier) rewrite() {
	c.versions, c.callers, c.taken = nil, map[*ir.Func]*ir.Func{}, map[*tail]bool{}
	for _, f := range c.m.Funcs {
		if f.Mode == ir.Decode && calls(f) {
			x := &callerCopy{funcCopy: newFuncCopy(c.m, f), c: c, owing: map[*ir.Value]*owed{}}
			c.callers[f] = x.write(f)
		}
	}
}

// version finds or makes the version of f that takes a tail's operands instead of argument arg.
func (c *carrier) version(f *ir.Func, takes *tail, arg int) *version {
	for _, v := range c.versions {
		if v.of == f && v.arg == arg && (v.takes == nil) == (takes == nil) && (takes == nil || v.takes.key == takes.key) {
			return v
		}
	}
	v := &version{of: f, takes: takes, arg: arg, f: f}
	if takes != nil || c.tails[f] != nil {
		v.f = c.build(f, takes, arg)
	}
	c.versions = append(c.versions, v)
	return v
}

// joins reports whether a function launches no more if it computes a tail first.
func (c *carrier) joins(f *ir.Func, t *tail, arg int) bool {
	return c.launchesOf(c.version(f, t, arg).f) <= c.launchesOf(c.version(f, nil, 0).f)
}

// build writes a version of a function: it yields the operands of its own tail, if it has one, and takes those of
// another's, if one is given, whose result and recorded values it yields behind its own results.
func (c *carrier) build(f *ir.Func, takes *tail, arg int) *ir.Func {
	x := newFuncCopy(c.m, f)
	var finished []*ir.Value
	for j, a := range f.Args {
		if takes == nil || j != arg {
			x.param(a, a.Name)
			continue
		}
		for _, o := range takes.operands {
			x.param(o, x.b.Unique(stem(o.Name)))
		}
	}
	if takes != nil {
		x.now[f.Args[arg]] = x.tail(takes, f.Args[arg].Name)
		recorded, _ := takes.recorded()
		for _, v := range append([]*ir.Value{f.Args[arg]}, recorded...) {
			finished = append(finished, x.value(v))
		}
	}
	own := c.tails[f]
	for _, in := range f.Body {
		if own == nil || !slices.Contains(own.body, in) {
			x.copy(in, in.Args)
		}
	}
	for i, v := range f.Return {
		if own != nil && i == own.result {
			for _, o := range own.operands {
				if o.Kind == ir.ResultValue {
					x.yield(x.value(o))
				}
			}
			continue
		}
		x.yield(x.value(v))
	}
	for _, v := range finished {
		x.yield(v)
	}
	x.updates(f)
	return x.b.Func
}

// funcCopy writes a function that is much like another.
type funcCopy struct {
	b   *ir.Builder
	now map[*ir.Value]*ir.Value // values to what takes their place; others stay
}

func newFuncCopy(m *ir.Module, f *ir.Func) *funcCopy {
	n := &ir.Func{Name: f.Name, Mode: f.Mode, Doc: f.Doc, Params: f.Params, Span: f.Span}
	x := &funcCopy{ir.NewBuilder(m, n), map[*ir.Value]*ir.Value{}}
	for _, a := range f.Args {
		x.b.Unique(a.Name)
	}
	for _, in := range f.Body {
		for _, r := range in.Results {
			x.b.Unique(r.Name)
		}
	}
	return x
}

func (x *funcCopy) value(v *ir.Value) *ir.Value {
	if n := x.now[v]; n != nil {
		return n
	}
	return v
}

func (x *funcCopy) param(v *ir.Value, name string) {
	n := &ir.Value{Kind: ir.ParamValue, Name: name, Type: v.Type, Span: v.Span}
	x.now[v] = n
	x.b.Func.Args = append(x.b.Func.Args, n)
}

func (x *funcCopy) yield(v *ir.Value) {
	x.b.Func.Return = append(x.b.Func.Return, v)
	x.b.Func.Results = append(x.b.Func.Results, v.Type)
}

func (x *funcCopy) updates(f *ir.Func) {
	for _, u := range f.Updates {
		x.b.Func.Updates = append(x.b.Func.Updates, ir.Update{State: u.State, Value: x.value(u.Value)})
	}
}

// copy appends an instruction on what takes the place of the given operands. Its results keep their names.
func (x *funcCopy) copy(in *ir.Instr, args []*ir.Value) *ir.Instr {
	n := *in
	n.Args, n.Results = nil, nil
	for _, a := range args {
		n.Args = append(n.Args, x.value(a))
	}
	for _, r := range in.Results {
		x.result(&n, r, r.Name)
	}
	x.b.Append(&n)
	return &n
}

// result adds a result in the place of v.
func (x *funcCopy) result(in *ir.Instr, v *ir.Value, name string) {
	n := &ir.Value{Kind: ir.ResultValue, Name: name, Type: v.Type, Def: in, Span: v.Span}
	x.now[v] = n
	in.Results = append(in.Results, n)
}

// tail computes a tail, whose operands are at hand, and returns its result under the given name. Nothing of it is
// recorded yet.
func (x *funcCopy) tail(t *tail, name string) *ir.Value {
	var end *ir.Value
	for i, in := range t.body {
		n := &ir.Instr{Op: in.Op, Attrs: in.Attrs, Span: in.Span}
		for _, a := range in.Args {
			n.Args = append(n.Args, x.value(a))
		}
		for _, r := range in.Results {
			if i+1 == len(t.body) {
				x.result(n, r, name)
				end = n.Results[0]
			} else {
				x.result(n, r, x.b.Unique(stem(r.Name)))
			}
		}
		x.b.Append(n)
	}
	return end
}

// stem is a name without the number that made it unique.
func stem(name string) string {
	cut := strings.LastIndexByte(name, '.')
	if cut < 0 || strings.Trim(name[cut+1:], "0123456789") != "" {
		return name
	}
	return name[:cut]
}

// callerCopy writes a caller anew.
type callerCopy struct {
	*funcCopy
	c     *carrier
	owing map[*ir.Value]*owed
	order []*owed
}

// owed is a result of a call that has not been computed yet.
type owed struct {
	*tail
	value  *ir.Value   // the caller's as it was
	pieces []*ir.Value // the tail's operands here; arguments of the call as they were
	call   *ir.Instr   // as it was
	done   bool
}

// names are those under which the result is recorded.
func (p *owed) names() []string {
	var out []string
	for _, t := range p.call.Traced() {
		if t.Result == p.result {
			out = append(out, t.Name)
		}
	}
	return out
}

func (x *callerCopy) write(f *ir.Func) *ir.Func {
	x.b.Func.Args = f.Args
	for _, in := range f.Body {
		if in.Callee != nil {
			x.call(in)
			continue
		}
		for _, a := range in.Args {
			x.finish(a)
		}
		x.copy(in, in.Args)
	}
	for _, p := range x.order {
		if _, recorded := p.recorded(); len(recorded)+len(p.names()) > 0 || slices.Contains(f.Return, p.value) {
			x.finish(p.value)
		}
	}
	for _, v := range f.Return {
		x.yield(x.value(v))
	}
	x.updates(f)
	return x.b.Func
}

// finish computes an owed value here, unless it has been computed.
func (x *callerCopy) finish(v *ir.Value) {
	p := x.owing[v]
	if p == nil || p.done {
		return
	}
	p.done = true
	for i, o := range p.operands {
		x.now[o] = x.value(p.pieces[i])
	}
	x.now[v] = x.tail(p.tail, v.Name)
	recorded, names := p.recorded()
	for i, r := range recorded {
		record(x.now[r], ir.Join(p.call.At, names[i]))
	}
	for _, name := range p.names() {
		record(x.now[v], name)
	}
}

// record gives a value a name in traces.
func record(v *ir.Value, name string) {
	v.Def.AddTrace(slices.Index(v.Def.Results, v), name)
}

// call writes a call: of the version that computes an operand that is owed, where it does so at no cost.
func (x *callerCopy) call(in *ir.Instr) {
	var takes *owed
	arg := 0
	for j, a := range in.Args {
		p := x.owing[a]
		if p == nil || p.done {
			continue
		}
		once := !slices.Contains(in.Args[:j], a) && !slices.Contains(in.Args[j+1:], a)
		if takes == nil && once && !calls(in.Callee) && x.c.joins(in.Callee, p.tail, j) {
			takes, arg = p, j
			continue
		}
		x.finish(a)
	}
	n := &ir.Instr{At: in.At, Span: in.Span, Callee: in.Callee}
	for j, a := range in.Args {
		if takes != nil && j == arg {
			for _, v := range takes.pieces {
				n.Args = append(n.Args, x.value(v))
			}
		} else {
			n.Args = append(n.Args, x.value(a))
		}
	}
	own := x.c.tails[in.Callee]
	for i, r := range in.Results {
		if own != nil && i == own.result {
			x.carry(own, in, n, r)
			continue
		}
		x.result(n, r, r.Name)
		for _, t := range in.Traced() {
			if t.Result == i {
				record(n.Results[len(n.Results)-1], t.Name)
			}
		}
	}
	if takes != nil {
		x.take(takes, n)
	}
	if !calls(in.Callee) {
		v := x.c.version(in.Callee, nil, 0)
		if takes != nil {
			v = x.c.version(in.Callee, takes.tail, arg)
			x.c.taken[takes.tail] = true
		}
		v.calls++
		n.Callee = v.f
	}
	x.b.Append(n)
}

// carry adds the operands of a tail to the results of a call, in the place of result r.
func (x *callerCopy) carry(t *tail, in, n *ir.Instr, r *ir.Value) {
	p := &owed{tail: t, value: r, call: in}
	for _, o := range t.operands {
		if k := slices.Index(t.f.Args, o); k >= 0 {
			p.pieces = append(p.pieces, in.Args[k])
			continue
		}
		x.result(n, o, x.b.Unique(stem(o.Name)))
		p.pieces = append(p.pieces, x.now[o])
	}
	x.owing[r] = p
	x.order = append(x.order, p)
}

// take adds what a version yields of the tail that it computes.
func (x *callerCopy) take(p *owed, n *ir.Instr) {
	p.done = true
	x.result(n, p.value, p.value.Name)
	for _, name := range p.names() {
		record(x.now[p.value], name)
	}
	recorded, names := p.recorded()
	for i, r := range recorded {
		x.result(n, r, x.b.Unique(stem(r.Name)))
		record(x.now[r], ir.Join(p.call.At, names[i]))
	}
}
