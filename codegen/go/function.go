package gohost

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/dave/jennifer/jen"

	"flagc/ir"
)

// function writes one function of the graph as a method.
func (g *generator) function(f *file, p *plan) error {
	e := &emitter{g: g, p: p}
	if err := e.body(); err != nil {
		return err
	}
	body := []jen.Code{e.reads.bind()}
	if len(p.vars) > 0 {
		body = append(body, jen.Id("t").Op(":=").Op("&").Add(selector("m.temporaries."+g.funcs[p.f])),
			selector("t.fit").Call(jen.Id("m"), jen.Id("at")))
	}
	body = append(append(body, jen.Line()), e.code...)
	f.Comment(g.describe(p.f))
	at := len("func (m *Model) (") + len(g.funcs[p.f])
	f.Func().Add(receiver("m", "Model")).Id(g.funcs[p.f]).Params(fillParams(at, g.signature(p))...).Block(body...)
	return nil
}

// describe is a function's documentation: its model's words, where they stand, and the layers that run it.
func (g *generator) describe(f *ir.Func) string {
	doc := strings.Join(strings.Fields(f.Doc), " ")
	mode := "the first tokens of each sequence"
	switch {
	case g.shared[f] != nil:
		mode = "any tokens of each sequence"
	case f.Mode == ir.Decode:
		mode = "one more token of each sequence"
	}
	text := g.funcs[f] + " computes " + mode + "."
	if doc != "" {
		text += " " + string(unicode.ToUpper(rune(doc[0]))) + doc[1:]
		if !strings.HasSuffix(text, ".") {
			text += "."
		}
	}
	where := fmt.Sprintf("%s:%d", g.source(), f.Span.Line)
	if in := f.Params.Instances; !g.sets[f.Params].whole() {
		where += "; " + places(in)
	}
	return comment(text) + "\n" + comment(where)
}

// signature lists a method's parameters: the call, the layer, results, then arguments; equal types together.
func (g *generator) signature(p *plan) []jen.Code {
	list := []jen.Code{jen.Id("at").Id("call"), jen.Id("l").Op("*").Id(g.sets[p.f.Params].typ)}
	all := append(append([]*variable{}, p.results...), p.args...)
	var names []jen.Code
	for i, v := range all {
		names = append(names, v.code())
		if i+1 == len(all) || all[i+1].repr != v.repr {
			list = append(list, jen.List(names...).Add(v.repr.code()))
			names = nil
		}
	}
	return list
}

// temporariesFile declares the fields of every function's temporaries, and where their memory lies.
func (g *generator) temporariesFile(plans []*plan) *file {
	f := g.newFile("temporaries.go")
	for _, p := range plans {
		if len(p.vars) == 0 {
			continue
		}
		typ := g.funcs[p.f] + "Temporaries"
		var reads symbols
		var fields, fits []jen.Code
		for _, v := range p.vars {
			reads = reads.union(v.size.reads)
			room := jen.Id("a").Dot(reprMethod[v.repr]).Call(jen.Lit(v.slot), v.size.code)
			fields = append(fields, jen.Id(v.name).Add(v.repr.code()).Comment(strings.Join(v.types, ", ")))
			fits = append(fits, v.code().Op("=").Add(room))
		}
		arena := jen.Id("a").Op(":=").Op("&").Add(selector("m.arenas")).Index(jen.Lit(g.levels[p.f]))
		f.Commentf("%s are the intermediate values of %s.", typ, g.funcs[p.f])
		f.Type().Id(typ).Struct(fields...)
		f.Comment("fit sizes the values for a call. Values in one slot are never needed at the same time.")
		f.Func().Add(receiver("t", typ)).Id("fit").
			Params(jen.Id("m").Op("*").Id("Model"), jen.Id("at").Id("call")).
			Block(append([]jen.Code{reads.bind(), arena}, fits...)...)
	}
	return f
}
