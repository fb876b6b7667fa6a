package gohost

import (
	"github.com/dave/jennifer/jen"

	"flagc/ir"
)

// modelFile declares Model, and how it is loaded and reset.
func (g *generator) modelFile(plans []*plan) *file {
	f := g.newFile("model.go")
	what := "the whole model with its weights, its states and its memory."
	if g.m.Mesh.Ranks() > 1 {
		what = "what one rank has of the model: its part of the weights, its states and its memory."
	}
	f.Comment(comment("Model is " + what + " Kernels are methods of the embedded context. It serves one goroutine at a time."))
	f.Type().Id("Model").Struct(g.modelFields(plans)...)
	f.Comment("call is what one call computes: s tokens of each of b sequences, after p others.")
	f.Type().Id("call").Struct(jen.List(jen.Id("b"), jen.Id("s"), jen.Id("p")).Int())
	f.Comment("load binds all weights. Problems with tensors are collected by the binder.")
	f.Func().Id("load").Params(jen.Id("b").Op("*").Add(g.host("Binder")), jen.Id("threads").Int()).
		Op("*").Id("Model").Block(g.loadAll()...)
	f.Comment("Reset gives all states their initial values, for batch sequences of at most maxSeq tokens.")
	f.Func().Add(receiver("m", "Model")).Id("Reset").Params(jen.List(jen.Id("batch"), jen.Id("maxSeq")).Int()).
		Block(g.resetAll(plans)...)
	f.Comment("Record sends traced values to rec from now on; nil ends it.")
	f.Func().Add(receiver("m", "Model")).Id("Record").Params(jen.Id("rec").Op("*").Add(g.host("Recorder"))).
		Block(selector("m.rec").Op("=").Id("rec"))
	return f
}

// modelFields are the fields of Model.
func (g *generator) modelFields(plans []*plan) []jen.Code {
	fields := []jen.Code{
		jen.Op("*").Add(g.cpu("Ctx")),
		jen.Id("rec").Op("*").Add(g.host("Recorder")).Comment("nil unless values are traced"),
		jen.Line(),
		jen.List(jen.Id("batch"), jen.Id("maxSeq")).Int(),
		jen.Line(),
	}
	fields = append(fields, g.commFields()...)
	if g.counts {
		counter := jen.Index(jen.Lit(len(g.m.Params))).Int()
		fields = append(fields, jen.Id("launched").Add(counter).Comment("kernels so far, by kind of layer"))
		if g.meets() {
			fields = append(fields, jen.Id("met").Add(counter).Comment("collectives so far, those side by side as one"))
		}
		fields = append(fields, jen.Line())
	}
	for _, p := range g.m.Params {
		s := g.sets[p]
		if s.whole() {
			fields = append(fields, jen.Id(s.typ).Id(s.typ))
			continue
		}
		layers := jen.Index(jen.Lit(len(p.Instances))).Id(s.typ)
		fields = append(fields, jen.Id(s.typ).Add(layers).Comment(places(p.Instances)))
	}
	if len(g.ropes) > 0 {
		fields = append(fields, jen.Line(), jen.Comment("Rotary frequencies, by their base."))
	}
	for _, r := range g.ropes {
		fields = append(fields, jen.Id(r.name).Op("*").Add(g.cpu("Rope")))
	}
	var temporaries []jen.Code
	for _, p := range plans {
		if len(p.vars) > 0 {
			temporaries = append(temporaries, jen.Id(g.funcs[p.f]).Id(g.funcs[p.f]+"Temporaries"))
		}
	}
	fields = append(fields, jen.Line(),
		jen.Comment("Memory of intermediate values, by how deep their functions are called."),
		jen.Id("arenas").Index(jen.Lit(g.depth())).Add(g.host("Arena")),
		jen.Id("temporaries").Struct(temporaries...))
	if g.m.Func(Main+".prefill") != nil {
		fields = append(fields, jen.Line(),
			jen.Comment("What the entry functions yield, kept until their next call."))
		for _, r := range g.entryResults() {
			fields = append(fields, jen.Id(r.name).Index().Float32().Comment(r.typ))
		}
	}
	return fields
}

// loadAll binds all parameter sets.
func (g *generator) loadAll() []jen.Code {
	own := append([]jen.Code{pair("Ctx", g.cpu("NewCtx").Call(jen.Id("threads")))}, g.bindComms()...)
	body := []jen.Code{jen.Id("m").Op(":=").Op("&").Id("Model").Values(own...)}
	for _, p := range g.m.Params {
		set := selector("m." + g.sets[p].typ)
		switch {
		case g.sets[p].whole():
			body = append(body, set.Dot("load").Call(jen.Id("b")))
		case len(p.Instances) == 1:
			body = append(body, set.Index(jen.Lit(0)).Dot("load").Call(jen.Id("b"), jen.Lit(p.Instances[0])))
		default:
			each := jen.List(jen.Id("i"), jen.Id("at")).Op(":=").Range().Add(instanceList(p.Instances))
			body = append(body, jen.For(each).Block(
				set.Index(jen.Id("i")).Dot("load").Call(jen.Id("b"), jen.Id("at"))))
		}
	}
	for _, r := range g.ropes {
		body = append(body, selector("m."+r.name).Op("=").Add(g.cpu("NewRope")).Call(r.spec(g)))
	}
	return append(body, jen.Return(jen.Id("m")))
}

// instanceList is the slice of the instances that a loop binds.
func instanceList(instances []string) *jen.Statement {
	list := make([]jen.Code, len(instances))
	for i, at := range instances {
		list[i] = jen.Lit(at)
	}
	return jen.Index().String().Values(fill(len("for i, at := range []string{"), list)...)
}

// resetAll gives all states their initial values and sizes what decoding needs.
func (g *generator) resetAll(plans []*plan) []jen.Code {
	body := []jen.Code{jen.List(selector("m.batch"), selector("m.maxSeq")).Op("=").
		List(jen.Id("batch"), jen.Id("maxSeq"))}
	for _, p := range g.m.Params {
		s := g.sets[p]
		set := selector("m." + s.typ)
		switch {
		case len(p.States) == 0:
		case s.whole():
			body = append(body, set.Dot("state").Dot("reset").Call(jen.Id("m")))
		case len(p.Instances) == 1:
			body = append(body, set.Index(jen.Lit(0)).Dot("state").Dot("reset").Call(jen.Id("m")))
		default:
			body = append(body, jen.For(jen.Id("i").Op(":=").Range().Add(set)).Block(
				selector("m."+s.typ).Index(jen.Id("i")).Dot("state").Dot("reset").Call(jen.Id("m"))))
		}
	}
	var fits []jen.Code
	for _, p := range plans {
		if (p.f.Mode == ir.Decode || g.shared[p.f] != nil) && len(p.vars) > 0 {
			fit := selector("m.temporaries." + g.funcs[p.f] + ".fit")
			fits = append(fits, fit.Call(jen.Id("m"), jen.Id("end")))
		}
	}
	if fits != nil {
		body = append(body, jen.Line(),
			jen.Comment("The last token needs the most memory: sized for it, temporaries do not grow later."),
			jen.Id("end").Op(":=").Id("call").Values(pair("b", jen.Id("batch")), pair("s", jen.Lit(1)),
				pair("p", jen.Id("maxSeq").Op("-").Lit(1))))
	}
	return append(body, fits...)
}
