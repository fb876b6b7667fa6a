package frontend

import (
	"strings"

	"flagc/ir"
)

// kind is a layer with certain static arguments. All instances with equal arguments share its parameter set
// and its functions.
type kind struct {
	name   string
	inst   *instance
	params *ir.Params
	funcs  map[ir.Mode]*ir.Func
}

// layerInstance adds an instance at prefix to the kind that the bound parameters in inner select.
func (f *frame) layerInstance(inner *frame, decl *Module, prefix string) *instance {
	name, key := kindName(decl, inner.scope)
	if k := f.byKey[key]; k != nil {
		k.params.Instances = append(k.params.Instances, prefix)
		return &instance{decl: decl, kind: k, prefix: prefix}
	}
	for taken := true; taken; {
		taken = name == "main"
		for _, other := range f.kinds {
			taken = taken || other.name == name
		}
		if taken {
			name += "_"
		}
	}
	k := &kind{name: name, funcs: map[ir.Mode]*ir.Func{}}
	k.params = &ir.Params{Name: name, Instances: []string{prefix}, Span: f.span(decl.node)}
	k.inst = &instance{decl: decl, scope: inner.scope, params: k.params}
	f.kinds, f.byKey[key] = append(f.kinds, k), k
	inner.path = ""
	inner.members(k.inst, decl.Body)
	return &instance{decl: decl, kind: k, prefix: prefix}
}

// kindName joins the layer's name with what tells its kinds apart: the label of a value that has one
// ("csa"), the value of another, the name of a condition that holds. The key tells kinds apart in any case.
func kindName(decl *Module, s *scope) (name, key string) {
	name, key = decl.Name.Text, decl.Name.Text
	for _, p := range decl.Params {
		v := s.names[p.Name.Text].static
		key += ", " + show(v)
		switch x := v.(type) {
		case integer:
			if x.label != "" {
				name += "_" + x.label
			} else {
				name += "_" + p.Name.Text + x.size.String()
			}
		case bool:
			if x {
				name += "_" + p.Name.Text
			}
		}
	}
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name), key
}

// buildKind builds a layer's functions.
func (e *elaborator) buildKind(k *kind) {
	fn := k.inst.function
	if fn == nil {
		e.report(e.src.span(k.inst.decl.Name.node), "layer %s has no function", k.inst.decl.Name.Text)
		return
	}
	what := body{k.name, k.inst.decl.node, fn.Params, fn.Results, fn.Body}
	for _, mode := range []ir.Mode{ir.Prefill, ir.Decode} {
		if out := e.build(what, k.inst, mode); out != nil {
			k.funcs[mode] = out
			e.mod.Funcs = append(e.mod.Funcs, out)
		}
	}
}
