package gohost

import (
	"fmt"

	"github.com/dave/jennifer/jen"

	"flagc/ir"
)

// comm is a communicator as the program names it.
type comm struct {
	name string // the constant that names its axis of the mesh, and the field of Model
	size string // the constant that says how many ranks it has
	used bool   // ranks meet in it
}

// overs are the names of the mesh's communicators; a mesh of one axis has one, of all ranks.
func (g *generator) overs() []string {
	overs := []string{""}
	for _, a := range g.m.Mesh {
		if len(g.m.Mesh) > 1 {
			overs = append(overs, a.Name)
		}
	}
	return overs
}

// nameComms names what a program for several ranks says of them.
func (g *generator) nameComms() {
	g.comms, g.sizes.ranks = map[string]comm{}, map[string]string{}
	if g.m.Mesh.Ranks() < 2 {
		return
	}
	meets := map[string]bool{}
	for _, f := range g.m.Funcs {
		for _, in := range f.Body {
			if in.Op != nil && in.Op.Class == ir.Collective {
				meets[in.Attrs.Str("over")] = true
			}
		}
	}
	for _, over := range g.overs() {
		c := comm{size: "Ranks", used: meets[over]}
		if over == "" {
			c.name = g.top.name("all")
		} else {
			c.name = g.top.name(camel(over, false))
			c.size = g.top.name(c.name + "Ranks")
		}
		g.comms[over], g.sizes.ranks[over] = c, c.size
	}
}

// meets reports whether ranks meet anywhere in the program.
func (g *generator) meets() bool {
	for _, c := range g.comms {
		if c.used {
			return true
		}
	}
	return false
}

// commFields are the communicators in Model.
func (g *generator) commFields() []jen.Code {
	var fields []jen.Code
	for _, over := range g.overs() {
		if c := g.comms[over]; c.used {
			fields = append(fields, jen.Id(c.name).Op("*").Add(g.collective("Comm")).Comment(g.who(over)))
		}
	}
	if fields != nil {
		fields = append(fields, jen.Line())
	}
	return fields
}

// who says which ranks a communicator joins.
func (g *generator) who(over string) string {
	if over == "" {
		return "all ranks"
	}
	return fmt.Sprintf("the %d ranks that differ in their %s alone", g.m.Mesh.Size(over), over)
}

// bindComms sets the communicators of Model.
func (g *generator) bindComms() []jen.Code {
	var fields []jen.Code
	for _, over := range g.overs() {
		if c := g.comms[over]; c.used {
			fields = append(fields, pair(c.name, jen.Id("b").Dot("Comm").Call(jen.Id(c.name))))
		}
	}
	return fields
}

// ranksFile declares how many ranks run the program and how they stand.
func (g *generator) ranksFile() *file {
	f := g.newFile("ranks.go")
	f.Comment("Ranks is how many ranks run this program, each with its part of the weights.")
	f.Const().Id("Ranks").Op("=").Lit(g.m.Mesh.Ranks())
	var names, axes, counts []jen.Code
	for _, over := range g.overs() {
		c := g.comms[over]
		names = append(names, jen.Id(c.name).Op("=").Lit(over).Comment(g.who(over)))
		if over != "" {
			counts = append(counts, jen.Id(c.size).Op("=").Lit(g.m.Mesh.Size(over)))
		}
	}
	for _, a := range g.m.Mesh {
		axes = append(axes, jen.Values(pair("Name", jen.Lit(a.Name)), pair("Size", jen.Lit(a.Size))))
	}
	if counts != nil {
		f.Comment("How many ranks stand along each axis of the mesh.")
		f.Const().Defs(counts...)
	}
	f.Comment("The communicators in which ranks meet, and over which weights are split.")
	f.Const().Defs(names...)
	f.Comment("mesh is how the ranks stand: they count row by row.")
	f.Var().Id("mesh").Op("=").Add(g.collective("Mesh")).Values(axes...)
	return f
}

func (g *generator) collective(name string) *jen.Statement {
	return jen.Qual(g.runtime("collective"), name)
}
