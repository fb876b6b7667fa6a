package frontend

import (
	"fmt"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
)

// bind gives parameters their arguments, by position or by name, or their defaults.
func (f *frame) bind(r *Ref, params []*Param, args []argument, inner *frame) bool {
	given, ok := f.match(r.node, r.Name.Text, params, args)
	if !ok {
		return false
	}
	for i, p := range params {
		if !inner.bindOne(f, p, given[i]) {
			return false
		}
	}
	return true
}

// match finds the argument of each parameter; nil stands for a default.
func (f *frame) match(at node, callee string, params []*Param, args []argument) ([]*argument, bool) {
	given := make([]*argument, len(params))
	for i := range args {
		slot := i
		if args[i].name != "" {
			if slot = paramIndex(params, args[i].name); slot < 0 {
				f.unknownParam(args[i], params, callee)
				return nil, false
			}
		}
		if slot >= len(params) {
			f.fail(args[i].node, "%s takes %s, %d given", callee, plural(len(params), "argument"), len(args))
			return nil, false
		}
		if given[slot] != nil {
			f.fail(args[i].node, "%s is given twice", params[slot].Name.Text)
			return nil, false
		}
		given[slot] = &args[i]
	}
	for i, p := range params {
		if given[i] == nil && p.Default == nil {
			f.fail(at, "%s needs the argument %s", callee, p.Name.Text).WithNote(f.span(p.node), "declared here")
			return nil, false
		}
	}
	return given, true
}

func (f *frame) unknownParam(a argument, params []*Param, callee string) {
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.Name.Text
	}
	f.fail(a.node, "%s has no parameter %s", callee, a.name).Help = didYouMean(a.name, names...)
}

func paramIndex(params []*Param, name string) int {
	for i, p := range params {
		if p.Name.Text == name {
			return i
		}
	}
	return -1
}

// bindOne binds one parameter in f; the caller's frame reports what does not fit.
func (f *frame) bindOne(caller *frame, p *Param, a *argument) bool {
	if !f.declare(p.Name, nil) {
		return false
	}
	n := &entity{at: f.span(p.node)}
	if a == nil {
		v, ok := f.static(f.eval(p.Default), p.Default.node, "a default")
		n.static = v
		f.scope.set(p.Name.Text, n)
		return ok
	}
	n.origin = &origin{a.at, a.text}
	switch {
	case a.static != nil && p.Type != nil:
		caller.fail(a.node, "%s must be a tensor, but %s is the static value %s", p.Name.Text, a.text,
			show(a.static)).WithNote(n.at, "declared here")
		return false
	case a.static != nil:
		n.static = a.static
	default:
		v, ok := caller.tensor(a.result, a.node, "the parameter "+p.Name.Text)
		if !ok {
			return false
		}
		n.value = v
	}
	f.scope.set(p.Name.Text, n)
	if p.Type == nil {
		return true
	}
	want, ok := f.typ(p.Type, false)
	if ok && !sameType(want, n.value.Type) {
		caller.mismatch(*a, p, want, n.value)
		return false
	}
	return ok
}

// mismatch reports an argument whose type is not that of its parameter.
func (f *frame) mismatch(a argument, p *Param, want ir.Type, v *ir.Value) {
	f.fail(a.node, "%s must be %s, but %s is %s", p.Name.Text, want.Describe(), a.text, v.Type.Describe()).
		WithNote(f.span(p.node), "%s is declared here", p.Name.Text)
}

// plural counts things: "1 value", "2 values"; the plural is given where it is not formed with s.
func plural(n int, words ...string) string {
	word := words[0]
	if n != 1 {
		word += "s"
		if len(words) > 1 {
			word = words[1]
		}
	}
	return fmt.Sprintf("%d %s", n, word)
}

// didYouMean offers the nearest of some names, or all of them where they are few.
func didYouMean(name string, names ...string) string {
	if help := diag.DidYouMean(name, names); help != "" || len(names) == 0 || len(names) > 8 {
		return help
	}
	return "there is " + strings.Join(names, ", ")
}
