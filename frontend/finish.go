package frontend

import (
	"fmt"
	"slices"

	"flagc/internal/diag"
	"flagc/ir"
)

// removeDead drops instructions that nothing needs: no result, no state, no trace.
func removeDead(f *ir.Func) {
	live := map[*ir.Value]bool{}
	for _, v := range f.Return {
		live[v] = true
	}
	for _, u := range f.Updates {
		live[u.Value] = true
	}
	keep := make([]bool, len(f.Body))
	for i := len(f.Body) - 1; i >= 0; i-- {
		in := f.Body[i]
		keep[i] = in.Trace != "" || in.Callee != nil && len(in.Callee.Updates) > 0
		for _, r := range in.Results {
			keep[i] = keep[i] || live[r]
		}
		for _, a := range in.Args {
			if keep[i] && a != nil {
				live[a] = true
			}
		}
	}
	body := f.Body[:0]
	for i, in := range f.Body {
		if keep[i] {
			body = append(body, in)
		}
	}
	f.Body = body
}

// unused reports parts that are never called, and weights and states that are never read.
func (e *elaborator) unused(main *instance) {
	e.unusedIn(main)
	for _, k := range e.kinds {
		e.unusedIn(k.inst)
		e.unread(k.params)
	}
	e.unread(main.params)
}

// unusedIn reports parts of an instance that are never called.
func (e *elaborator) unusedIn(inst *instance) {
	for _, p := range inst.parts {
		for _, x := range p.elems {
			switch {
			case x == nil || x.called && x.kind != nil:
			case x.called:
				e.unusedIn(x)
			default:
				e.report(e.src.span(p.decl.Name.node), "%s is declared, but never called", elementName(p, x)).
					WithHelp("call it, or remove it together with its weights")
			}
		}
	}
}

// elementName is a part as its calls write it.
func elementName(p *part, x *instance) string {
	name := p.decl.Name.Text
	if p.array {
		name += fmt.Sprintf("[%d]", slices.Index(p.elems, x))
	}
	return name
}

// unread reports tensors that nothing reads, unless parts are reported, which would repeat them.
func (e *elaborator) unread(p *ir.Params) {
	if e.errs.Len() > 0 {
		return
	}
	for _, w := range p.Weights {
		if !e.used[w.Value] {
			e.report(w.Value.Span, "the weight %s is never used", w.Value.Name).
				WithHelp("use it, or remove it: every tensor of the checkpoint that is named here is loaded")
		}
	}
	for _, s := range p.States {
		if !e.used[s.Value] {
			e.report(s.Value.Span, "the state %s is never read", s.Value.Name).WithHelp("read it, or remove it")
		}
	}
}

// assignments finds, for each name, a place that assigns it.
func assignments(file *File, src *source) map[string]diag.Span {
	found := map[string]diag.Span{}
	var block func(b *Block)
	block = func(b *Block) {
		for _, s := range b.Stmts {
			switch {
			case s.Assign != nil:
				for _, n := range s.Assign.Names {
					if _, have := found[n.Text]; !have {
						found[n.Text] = src.span(n.node)
					}
				}
			case s.When != nil:
				block(s.When.Then)
				if s.When.Else != nil {
					block(s.When.Else)
				}
			case s.For != nil:
				block(s.For.Body)
			}
		}
	}
	var members func(list []*Member)
	members = func(list []*Member) {
		for _, m := range list {
			switch {
			case m.Func != nil:
				block(m.Func.Body)
			case m.When != nil:
				members(m.When.Then)
				members(m.When.Else)
			}
		}
	}
	for _, d := range file.Decls {
		switch {
		case d.Module != nil:
			members(d.Module.Body)
		case d.Entry != nil:
			block(d.Entry.Body)
		case d.Member != nil:
			members([]*Member{d.Member})
		}
	}
	return found
}
