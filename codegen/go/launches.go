package gohost

import (
	"github.com/dave/jennifer/jen"

	"flagc/ir"
)

// kernelStart writes what stands before the first statement of each kernel: its name, and that it was launched.
func (e *emitter) kernelStart(before *ir.Instr) {
	launch := e.in.From
	if launch == nil || before != nil && before.From == launch {
		return
	}
	e.code = append(e.code, jen.Comment(comment("kernel "+launch.Kernel.Name)),
		selector("m.launched").Index(jen.Lit(e.g.kind(e.p.f.Params))).Op("++"))
}

// meetingStart writes before a collective that it is one, unless it can be one with those before it.
func (e *emitter) meetingStart(meeting *ir.Meeting) {
	if meeting.Begins(e.in) && e.g.counts {
		e.code = append(e.code, selector("m.met").Index(jen.Lit(e.g.kind(e.p.f.Params))).Op("++"))
	}
}

// kind is the index of a parameter set among the module's.
func (g *generator) kind(p *ir.Params) int {
	for i, have := range g.m.Params {
		if have == p {
			return i
		}
	}
	return -1
}

// sameKernels reports whether the instructions of two functions of equal text are in kernels of equal names.
func sameKernels(a, b *ir.Func) bool {
	for i, in := range a.Body {
		x, y := in.From, b.Body[i].From
		if (x == nil) != (y == nil) || x != nil && x.Kernel.Name != y.Kernel.Name {
			return false
		}
		if i > 0 && (a.Body[i-1].From == x) != (b.Body[i-1].From == y) {
			return false
		}
	}
	return true
}

// launchesFile tells the command line what was launched and how often ranks met; a program of a module without kernels
// has none.
func (g *generator) launchesFile() *file {
	f := g.newFile("launches.go")
	var kinds []jen.Code
	for i, p := range g.m.Params {
		layers := len(p.Instances)
		if g.sets[p].whole() {
			layers = 0
		}
		fields := []jen.Code{pair("Kind", jen.Lit(p.Name)), pair("Layers", jen.Lit(layers)),
			pair("Count", selector("m.launched").Index(jen.Lit(i)))}
		if g.meets() {
			fields = append(fields, pair("Collectives", selector("m.met").Index(jen.Lit(i))))
		}
		kinds = append(kinds, jen.Values(fields...))
	}
	f.Comment("Launched counts the kernels that a device would have been given so far, by the kind of layer, and how " +
		"often ranks met.")
	f.Func().Add(receiver("m", "Model")).Id("Launched").Params().Index().Add(g.host("Launched")).Block(
		jen.Return(jen.Index().Add(g.host("Launched")).Custom(jen.Options{Open: "{", Close: "}", Separator: ",",
			Multi: true}, kinds...)))
	return f
}
