package frontend

import (
	"flagc/internal/diag"
	"flagc/ir"
)

// argument is an evaluated argument of a call.
type argument struct {
	result
	name string // "" when given by position
	expr *Expr
	node node
	text string    // what the author wrote
	at   diag.Span // where, outside functions of the top level
}

// call evaluates a call: of a part of the model, of a function, or of an op.
func (f *frame) call(r *Ref) result {
	if !f.step(r.node) {
		return poison
	}
	if r.Name.Text == "min" || r.Name.Text == "f32" {
		return f.builtin(r)
	}
	if n, _ := f.scope.lookup(r.Name.Text); n != nil {
		return f.callEntity(r, n)
	}
	if r.Index != nil {
		f.fail(r.node, "%s is no array of parts", r.Name.Text)
		return poison
	}
	if f.fn == nil {
		f.fail(r.node, "%s cannot be called here: this must be known before the model runs", r.Name.Text)
		return poison
	}
	fn, op := f.funcs[r.Name.Text], f.ops.Lookup(r.Name.Text)
	if fn == nil && op == nil {
		f.unknownCall(r.Name)
		return poison
	}
	args, ok := f.arguments(r.Call)
	if !ok {
		return poison
	}
	run := func(f *frame, args []argument) result {
		if fn != nil {
			return f.callFunc(r, fn, args)
		}
		return f.callOp(r, op, args)
	}
	before := f.errs.Len()
	out := run(f, args)
	if out.bad && f.site == nil && f.errs.Len() == before+1 {
		f.suggest(run, args)
	}
	return out
}

func (f *frame) unknownCall(name *Name) {
	d := f.fail(name.node, "unknown op or function %s", name.Text)
	if f.modules[name.Text] != nil {
		d.Message = name.Text + " is a module, and only an instance of it has weights"
		d.WithHelp("declare sub %s = %s(…) and call that", name.Text, name.Text)
		return
	}
	names := f.scope.visible(func(n *entity) bool { return n.part != nil })
	for _, decl := range f.file.Decls {
		if decl.Member != nil && decl.Member.Func != nil && decl.Member.Func.Name != nil {
			names = append(names, decl.Member.Func.Name.Text)
		}
	}
	d.Help = diag.DidYouMean(name.Text, append(names, f.ops.Names()...))
}

// arguments evaluates all arguments, so that each faulty one is reported.
func (f *frame) arguments(c *Call) ([]argument, bool) {
	args, ok := make([]argument, len(c.Args)), true
	for i, a := range c.Args {
		at := a.Value.node
		args[i] = argument{result: f.eval(a.Value), expr: a.Value, node: at, text: f.src.text(at), at: f.span(at)}
		if o := f.originOf(a.Value); o != nil {
			args[i].at, args[i].text = o.at, o.text
		} else if f.site != nil {
			args[i].at = f.site.at
		}
		if a.Name != nil {
			args[i].name, args[i].node = a.Name.Text, a.node
		} else if i > 0 && args[i-1].name != "" {
			f.fail(a.node, "an argument by position cannot follow the named argument %s", args[i-1].name)
			ok = false
		}
		ok = ok && !args[i].bad
	}
	return args, ok
}

// originOf is what a caller wrote, where x is nothing but a parameter of a function of the top level.
func (f *frame) originOf(x *Expr) *origin {
	name := x.name()
	if f.site == nil || name == nil {
		return nil
	}
	if n, _ := f.scope.lookup(name.Text); n != nil {
		return n.origin
	}
	return nil
}

// builtin evaluates the static functions.
func (f *frame) builtin(r *Ref) result {
	want := map[string]int{"min": 2, "f32": 1}[r.Name.Text]
	args, ok := f.arguments(r.Call)
	if !ok {
		return poison
	}
	if len(args) != want {
		f.fail(r.node, "%s takes %s, %d given", r.Name.Text, plural(want, "number"), len(args))
		return poison
	}
	values := make([]static, want)
	for i, a := range args {
		if values[i], ok = f.static(a.result, a.node, "an argument of "+r.Name.Text); !ok {
			return poison
		}
	}
	if r.Name.Text == "min" {
		x, okX := values[0].(integer)
		y, okY := values[1].(integer)
		if v, err := arith('m', x, y); okX && okY && err == nil {
			return result{static: v}
		}
	} else if v, ok := toFloat(values[0]); ok {
		return result{static: float64(float32(v))}
	}
	f.fail(r.node, "%s needs %s", r.Name.Text, map[string]string{"min": "integers", "f32": "a number"}[r.Name.Text])
	return poison
}

// callEntity calls an instance of a module.
func (f *frame) callEntity(r *Ref, n *entity) result {
	switch {
	case n.bad:
		return poison
	case n.part == nil:
		f.fail(r.node, "%s is %s and cannot be called", r.Name.Text, n.what())
		return poison
	case f.fn == nil:
		f.fail(r.node, "%s cannot be called here: this must be known before the model runs", r.Name.Text)
		return poison
	}
	inst, ok := f.pick(r, n.part)
	if !ok {
		return poison
	}
	inst.called = true
	args, ok := f.arguments(r.Call)
	if !ok {
		return poison
	}
	if inst.kind != nil {
		return f.callLayer(r, inst, args)
	}
	decl := inst.function
	if decl == nil {
		f.fail(r.node, "%s has no function: module %s declares none", r.Name.Text, inst.decl.Name.Text).
			WithNote(f.span(inst.decl.Name.node), "declared here")
		return poison
	}
	inner := &frame{elaborator: f.elaborator, scope: newScope(f.withMode(inst.scope)), fn: f.fn, path: inst.path}
	return f.expand(r, decl, args, inner)
}

// pick chooses the element of an array of parts.
func (f *frame) pick(r *Ref, p *part) (*instance, bool) {
	if !p.array {
		if r.Index != nil {
			f.fail(r.node, "%s is no array of parts", r.Name.Text)
			return nil, false
		}
		return p.elems[0], p.elems[0] != nil
	}
	if r.Index == nil {
		f.fail(r.node, "%s is an array of %d: say which one", r.Name.Text, len(p.elems)).
			WithHelp("%s[0](…)", r.Name.Text)
		return nil, false
	}
	i, ok := f.integer(r.Index, "an index")
	if !ok {
		return nil, false
	}
	k, fixed := i.size.IsConst()
	if !fixed || k < 0 || k >= len(p.elems) {
		f.fail(r.Index.node, "index %s is outside %s, which has %d elements", show(i), r.Name.Text, len(p.elems))
		return nil, false
	}
	return p.elems[k], p.elems[k] != nil
}

// callFunc expands a function of the top level.
func (f *frame) callFunc(r *Ref, decl *Func, args []argument) result {
	inner := &frame{elaborator: f.elaborator, fn: f.fn, path: f.path, site: f.site}
	inner.scope = newScope(f.withMode(f.globals))
	if inner.site == nil {
		inner.site = &site{f.span(r.node), decl.Name.Text}
	}
	return f.expand(r, decl, args, inner)
}

// withMode adds prefill and decode, which only functions know.
func (f *frame) withMode(parent *scope) *scope {
	s := newScope(parent)
	s.set("prefill", &entity{static: f.fn.mode == ir.Prefill})
	s.set("decode", &entity{static: f.fn.mode == ir.Decode})
	return s
}

// expand runs a function's body in the frame inner with args as its parameters.
func (f *frame) expand(r *Ref, decl *Func, args []argument, inner *frame) result {
	for _, active := range f.fn.active {
		if active == decl.node {
			f.fail(r.node, "%s calls itself: the model would never end", r.Name.Text).
				WithNote(f.span(decl.node), "declared here")
			return poison
		}
	}
	if !f.bind(r, decl.Params, args, inner) {
		return poison
	}
	f.fn.active = append(f.fn.active, decl.node)
	values, ok := inner.run(decl.Body, decl.node, decl.Results)
	f.fn.active = f.fn.active[:len(f.fn.active)-1]
	return result{values: values, bad: !ok}
}

// callLayer calls a layer's function at one of its instances.
func (f *frame) callLayer(r *Ref, inst *instance, args []argument) result {
	fn := inst.kind.funcs[f.fn.mode]
	if fn == nil {
		return poison
	}
	if at, twice := f.fn.called[inst.prefix]; twice {
		f.fail(r.node, "the layer at %s is called twice in one function", inst.prefix).WithNote(at, "first here").
			WithHelp("a layer's caches have one history: declare another instance")
		return poison
	}
	f.fn.called[inst.prefix] = f.span(r.node)
	params := inst.kind.inst.function.Params
	if len(args) != len(params) {
		f.fail(r.node, "%s takes %s, %d given", inst.kind.name, plural(len(params), "value"), len(args))
		return poison
	}
	values := make([]*ir.Value, len(args))
	for i, a := range args {
		slot := i
		if a.name != "" {
			if slot = paramIndex(params, a.name); slot < 0 {
				f.unknownParam(a, params, inst.kind.name)
				return poison
			}
		}
		v, ok := f.tensor(a.result, a.node, inst.kind.name)
		if !ok {
			return poison
		}
		if want := fn.Args[slot].Type; !want.Equal(v.Type) {
			f.mismatch(a, params[slot], want, v)
			return poison
		}
		values[slot] = v
	}
	return result{values: f.fn.b.Call(fn, values, inst.prefix, f.where(r.node)).Results}
}
