package frontend

import (
	"flagc/internal/diag"
	"flagc/ir"
)

// elaborator holds what the expansion of one model for one configuration shares.
type elaborator struct {
	file     *File
	src      *source
	ops      *ir.OpSet
	mod      *ir.Module
	globals  *scope
	modules  map[string]*Module
	funcs    map[string]*Func
	assigned map[string]diag.Span // a place that assigns each name, for messages about conditions
	kinds    []*kind
	byKey    map[string]*kind
	nesting  []*Module          // modules being instantiated, for recursion
	used     map[*ir.Value]bool // weights and states that some function reads
	errs     *reports
	steps    int
	stopped  bool
}

// reports collects diagnostics, one for each place.
type reports struct {
	diag.List
	seen map[diag.Span]bool
	last *diag.Diagnostic
}

// report adds a diagnostic. The same place is reported once: a module that is expanded many times has its
// mistake once. The result may be extended; it is lost if the place was reported already.
func (e *elaborator) report(at diag.Span, format string, args ...any) *diag.Diagnostic {
	d := diag.New(at, "", format, args...)
	if e.errs.seen[at] {
		return d
	}
	if e.errs.seen == nil {
		e.errs.seen = map[diag.Span]bool{}
	}
	e.errs.seen[at] = true
	e.errs.Add(d)
	e.errs.last = d
	return d
}

// maxSteps bounds the work on hostile sources; the largest model published takes some two thousand.
const maxSteps = 1 << 16

// step counts one unit of work and reports whether there may be more.
func (f *frame) step(n node) bool {
	if f.steps++; f.steps > maxSteps && !f.stopped {
		f.fail(n, "the model does not end: more than %d statements, calls and parts were expanded", maxSteps)
		f.stopped = true
	}
	return !f.stopped && !f.errs.Full()
}

// Elaborate expands the model in src for the configuration in cfg, a checkpoint's config.json, over the
// operators ops. The module is verified. Errors carry diagnostics, at most diag.Limit of them; the sources to
// render them with are src and cfg under the last elements of their names.
func Elaborate(src, cfg Source, ops *ir.OpSet) (*ir.Module, error) {
	e, err := elaborate(src, cfg, ops)
	if err != nil {
		return nil, err
	}
	if err := e.mod.Verify(); err != nil {
		return nil, err
	}
	return e.mod, nil
}

// elaborate runs the steps of Elaborate up to the module, each only if those before it succeeded.
func elaborate(src, cfg Source, ops *ir.OpSet) (*elaborator, error) {
	file, err := Parse(src)
	if err != nil {
		return nil, err
	}
	e := &elaborator{
		file: file, src: file.src, ops: ops, mod: &ir.Module{Name: file.Model.Text, Source: file.src.name},
		globals: newScope(nil), modules: map[string]*Module{}, funcs: map[string]*Func{},
		byKey: map[string]*kind{}, used: map[*ir.Value]bool{}, errs: &reports{},
	}
	e.builtins()
	e.assigned = assignments(file, file.src)
	for _, stage := range []func(){e.register, func() { e.configure(cfg) }, e.expand} {
		stage()
		if err := e.errs.Err(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// builtins declares the names that mean the same everywhere.
func (e *elaborator) builtins() {
	for _, name := range ir.Symbols {
		e.globals.set(name, &entity{static: symbol(name)})
	}
	e.globals.set("true", &entity{static: true})
	e.globals.set("false", &entity{static: false})
	e.globals.set("inf", &entity{static: infinity})
	for _, format := range formats {
		e.globals.set(format, &entity{static: format})
	}
}

// formats are the number formats of types, which as values are their own names.
var formats = []string{"bf16", "f32", "fp8", "fp4", "i32", "i64"}

// register collects modules and functions, so that they may stand in any order.
func (e *elaborator) register() {
	top := &frame{elaborator: e, scope: newScope(nil)}
	for _, d := range e.file.Decls {
		switch {
		case d.Module != nil:
			if top.declare(d.Module.Name, nil) {
				e.modules[d.Module.Name.Text] = d.Module
				top.scope.set(d.Module.Name.Text, &entity{static: "module", at: e.src.span(d.Module.Name.node)})
			}
		case d.Member != nil && d.Member.Func != nil:
			e.registerFunc(top, d.Member.Func)
		}
	}
}

func (e *elaborator) registerFunc(top *frame, fn *Func) {
	if fn.Name == nil {
		top.fail(fn.node, "a function of the top level needs a name")
		return
	}
	if e.ops.Lookup(fn.Name.Text) != nil {
		top.fail(fn.Name.node, "%s is an op already: choose another name", fn.Name.Text)
		return
	}
	if top.declare(fn.Name, nil) {
		e.funcs[fn.Name.Text] = fn
		top.scope.set(fn.Name.Text, &entity{static: "function", at: e.src.span(fn.Name.node)})
	}
}

// expand instantiates the top level, builds the functions of its layers and its entries, and looks for what
// nothing uses.
func (e *elaborator) expand() {
	var members []*Member
	var entries []*Entry
	for _, d := range e.file.Decls {
		switch {
		case d.Entry != nil:
			entries = append(entries, d.Entry)
		case d.Member != nil && d.Member.Func == nil:
			members = append(members, d.Member)
		}
	}
	main := &instance{scope: newScope(e.globals), params: &ir.Params{Name: "main", Instances: []string{""}}}
	f := &frame{elaborator: e, scope: main.scope}
	f.members(main, members)
	for _, k := range e.kinds {
		e.mod.Params = append(e.mod.Params, k.params)
		e.buildKind(k)
	}
	e.mod.Params = append(e.mod.Params, main.params)
	if len(entries) == 0 {
		e.report(e.src.span(e.file.Model.node), "the model %s has no entry: nothing can be computed", e.mod.Name).
			WithHelp("declare entry main(…) -> … { … }")
	}
	f.entries(main, entries)
	if e.errs.Len() == 0 {
		e.unused(main)
	}
}

// entries builds the functions that the model's user calls.
func (f *frame) entries(main *instance, entries []*Entry) {
	names := newScope(nil)
	for _, x := range entries {
		if n := names.names[x.Name.Text]; n != nil {
			f.fail(x.Name.node, "the entry %s is declared twice", x.Name.Text).WithNote(n.at, "first here")
			continue
		}
		names.set(x.Name.Text, &entity{at: f.span(x.Name.node)})
		if x.When != nil {
			if wanted, ok := f.condition(x.When); !ok || !wanted {
				continue
			}
		}
		what := body{x.Name.Text, x.node, x.Params, x.Results, x.Body}
		for _, mode := range []ir.Mode{ir.Prefill, ir.Decode} {
			if fn := f.build(what, main, mode); fn != nil {
				f.mod.Funcs = append(f.mod.Funcs, fn)
			}
		}
	}
}
