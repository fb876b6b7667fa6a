package frontend

import (
	"fmt"
	"math"
	"regexp"

	"flagc/ir"
)

var infinity = math.Inf(1)

// pathName is what may stand behind at.
var pathName = regexp.MustCompile(`^[A-Za-z_]\w*(\.\w+)*$`)

// instance is a module with its static arguments: the names that its function sees.
type instance struct {
	decl     *Module // nil for the top level
	scope    *scope
	path     string // from the layer that it belongs to
	params   *ir.Params
	function *Func
	parts    []*part

	kind   *kind  // for instances of layers at the top level: calls stay calls
	prefix string // and where in the checkpoint it lives
	called bool
}

// part is what a sub declares: one instance or an array of them.
type part struct {
	decl  *Sub
	array bool
	elems []*instance // nil where an instance failed
}

// members declares what stands in a module's body, or at the top level.
func (f *frame) members(inst *instance, members []*Member) {
	for _, m := range members {
		if !f.step(m.node) {
			return
		}
		switch {
		case m.Let != nil:
			f.let(m.Let)
		case m.Tensor != nil:
			f.tensorMember(inst, m.Tensor)
		case m.State != nil:
			f.stateMember(inst, m.State)
		case m.Sub != nil:
			f.subMember(inst, m.Sub)
		case m.When != nil:
			if cond, ok := f.condition(m.When.Cond); ok && cond {
				f.members(inst, m.When.Then)
			} else if ok {
				f.members(inst, m.When.Else)
			}
		case m.Func != nil && inst.function != nil:
			f.fail(m.node, "a module has one function").WithNote(f.span(inst.function.node), "declared here already")
		default:
			inst.function = m.Func
			if m.Func.Name != nil {
				f.fail(m.Func.Name.node, "a module's function has no name: it is called by the name of its instance")
			}
		}
	}
}

// tensorMember declares a weight or a param.
func (f *frame) tensorMember(inst *instance, t *Tensor) {
	name, tensor := t.Name, t.Name.Text
	t2, ok := f.typ(t.Type, true)
	if t.Rest != nil {
		name = &Name{node{t.Name.Pos, t.Rest.EndPos}, t.Name.Text + "." + t.Rest.Text}
		tensor = t.Name.Text + ".*." + t.Rest.Text
		n, okCount := f.integer(t.Count, "the number of tensors")
		t2.Dims = append([]ir.Dim{n.dim()}, t2.Dims...)
		ok = ok && okCount
	}
	if !f.declare(name, nil) {
		return
	}
	n := &entity{at: f.span(t.node), bad: true}
	f.scope.set(name.Text, n)
	if !ok {
		return
	}
	if len(t2.Dims) == 0 {
		f.fail(t.node, "%s %s has no axes", t.Kind, name.Text)
		return
	}
	for _, d := range t2.Dims {
		if k, fixed := d.Size.IsConst(); !fixed || k < 1 {
			f.fail(t.node, "axis %s of the %s %s has no fixed size: a tensor of the checkpoint has", d.Name, t.Kind,
				name.Text)
			return
		}
	}
	if t.Kind == "weight" {
		tensor += ".weight"
	}
	v := &ir.Value{Kind: ir.WeightValue, Name: ir.Join(inst.path, name.Text), Type: t2, Span: n.at}
	if have := inst.params.Weight(v.Name); have != nil {
		f.fail(t.node, "the tensor %s is declared twice", v.Name).WithNote(have.Value.Span, "first here")
		return
	}
	inst.params.Weights = append(inst.params.Weights, &ir.Weight{Value: v, Tensor: ir.Join(inst.path, tensor)})
	n.value, n.bad = v, false
}

// stateMember declares a state.
func (f *frame) stateMember(inst *instance, s *State) {
	t, ok := f.typ(s.Type, false)
	init, okInit := f.static(f.eval(s.Init), s.Init.node, "the initial value")
	value, isNumber := toFloat(init)
	if okInit && !isNumber {
		f.fail(s.Init.node, "the initial value of a state is a number, not %s", kindOf(init))
	}
	if !f.declare(s.Name, nil) {
		return
	}
	n := &entity{at: f.span(s.node), bad: true}
	f.scope.set(s.Name.Text, n)
	if !ok || !isNumber {
		return
	}
	v := &ir.Value{Kind: ir.StateValue, Name: ir.Join(inst.path, s.Name.Text), Type: t, Span: n.at}
	if have := inst.params.State(v.Name); have != nil {
		f.fail(s.node, "the state %s is declared twice", v.Name).WithNote(have.Value.Span, "first here")
		return
	}
	n.state, n.bad = &ir.State{Value: v, Init: value}, false
	inst.params.States = append(inst.params.States, n.state)
}

// subMember declares a part, or an array of parts.
func (f *frame) subMember(inst *instance, s *Sub) {
	decl := f.modules[s.Module.Text]
	if decl == nil {
		names := make([]string, 0, len(f.modules))
		for _, d := range f.file.Decls {
			if d.Module != nil {
				names = append(names, d.Module.Name.Text)
			}
		}
		f.fail(s.Module.node, "unknown module %s", s.Module.Text).Help = didYouMean(s.Module.Text, names...)
	}
	if !f.declare(s.Name, nil) {
		return
	}
	n := &entity{at: f.span(s.node), bad: true}
	f.scope.set(s.Name.Text, n)
	if decl == nil {
		return
	}
	name := s.Name.Text
	if s.At != nil {
		name = *s.At
	}
	if !pathName.MatchString(name) && (name != "" || s.Array != nil) {
		f.fail(s.node, "%q is no part of a tensor's name", name).
			WithHelp("letters, digits, _ and dots, or \"\" for none where there is one instance")
		return
	}
	p := &part{decl: s, array: s.Array != nil}
	inst.parts = append(inst.parts, p)
	if !p.array {
		p.elems = []*instance{f.instantiate(inst, s, decl, ir.Join(inst.path, name))}
	} else if !f.array(inst, s, decl, p, ir.Join(inst.path, name)) {
		return
	}
	n.part, n.bad = p, false
}

func (f *frame) array(inst *instance, s *Sub, decl *Module, p *part, path string) bool {
	count, ok := f.count(s.Array.Bound, "the length of an array", maxLoop)
	if !ok || !f.declare(s.Array.Index, nil) {
		return false
	}
	defer f.scope.unset(s.Array.Index.Text)
	for i := 0; i < count; i++ {
		f.scope.set(s.Array.Index.Text, &entity{static: constant(i), at: f.span(s.Array.node)})
		p.elems = append(p.elems, f.instantiate(inst, s, decl, ir.Join(path, fmt.Sprint(i))))
	}
	return true
}

// instantiate makes an instance of decl at path. Layers of the top level become kinds that instances share;
// inside a layer everything is expanded.
func (f *frame) instantiate(owner *instance, s *Sub, decl *Module, path string) *instance {
	if !f.step(s.node) {
		return nil
	}
	for _, outer := range f.nesting {
		if outer == decl {
			f.fail(s.Module.node, "module %s holds itself: the model would never end", decl.Name.Text).
				WithNote(f.span(decl.Name.node), "declared here")
			return nil
		}
	}
	args, ok := f.arguments(s.Args)
	if !ok {
		return nil
	}
	given, ok := f.match(s.node, decl.Name.Text, decl.Params, args)
	if !ok {
		return nil
	}
	f.nesting = append(f.nesting, decl)
	defer func() { f.nesting = f.nesting[:len(f.nesting)-1] }()
	inner := &frame{elaborator: f.elaborator, scope: newScope(f.globals), path: path}
	for i, p := range decl.Params {
		if !inner.bindOne(f, p, given[i]) {
			return nil
		}
	}
	if decl.Kind == "layer" && owner.params.Name == "main" {
		return f.layerInstance(inner, decl, path)
	}
	inst := &instance{decl: decl, scope: inner.scope, path: path, params: owner.params}
	inner.members(inst, decl.Body)
	return inst
}
