package gohost

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dave/jennifer/jen"

	"flagc/ir"
	"flagc/ir/ops"
)

// set is a parameter set as Go types: weights and states as nested structs along their dotted names.
type set struct {
	g       *generator
	p       *ir.Params
	typ     string
	paths   map[string]string // weight name → path in the struct
	states  map[string]string // state name → path in the state's struct
	weights *field
	state   *field
	roles   map[string]role
}

// field is a node of a nested struct.
type field struct {
	name     string
	typ      *jen.Statement // of a leaf
	comment  string
	children []*field
	scope    *scope
}

// leafName is the field of a tensor whose name is also the prefix of others: ffn.gate beside ffn.gate.bias.
const leafName = "weight"

func (g *generator) newSet(p *ir.Params) (*set, error) {
	s := &set{g: g, p: p, paths: map[string]string{}, states: map[string]string{}, roles: map[string]role{}}
	if len(p.Instances) > 1 && slices.Contains(p.Instances, "") {
		return nil, fmt.Errorf("parameter set %s stands at the top and at other places", p.Name)
	}
	name := p.Name
	if s.whole() {
		name = "whole_model"
	}
	s.typ = g.top.name(camel(name, false))
	if err := s.findRoles(); err != nil {
		return nil, err
	}
	s.weights = &field{scope: newScope("at", "state", "load")}
	for _, w := range p.Weights {
		name, text := w.Value.Name, g.m.PrintType(w.Value.Type)
		s.paths[name] = s.weights.add(name, g.weightType(s.roles[name]), text, isPrefix(p, name))
	}
	s.state = &field{scope: newScope()}
	for _, st := range p.States {
		name, text := st.Value.Name, g.m.PrintType(st.Value.Type)
		s.states[name] = s.state.add(name, reprOf(st.Value).code(), text, false)
	}
	return s, nil
}

// weightType is the Go type of a weight that is bound in the given way.
func (g *generator) weightType(r role) *jen.Statement {
	switch r {
	case asMatrix:
		return jen.Op("*").Add(g.cpu("Matrix"))
	case asExperts:
		return jen.Op("*").Add(g.cpu("Experts"))
	case asIndices:
		return ints.code()
	}
	return floats.code()
}

// whole reports whether the set is the one of the whole model.
func (s *set) whole() bool { return len(s.p.Instances) == 1 && s.p.Instances[0] == "" }

// isPrefix reports whether another weight's name continues this one's.
func isPrefix(p *ir.Params, name string) bool {
	return slices.ContainsFunc(p.Weights, func(w *ir.Weight) bool { return strings.HasPrefix(w.Value.Name, name+".") })
}

// add makes the fields along a dotted name and returns the Go path.
func (f *field) add(name string, typ *jen.Statement, comment string, prefix bool) string {
	words := strings.Split(name, ".")
	if prefix {
		words = append(words, leafName)
	}
	var path []string
	at := f
	for i, w := range words {
		leaf := i == len(words)-1
		var next *field
		if !leaf {
			same := func(c *field) bool { return c.comment == w && c.typ == nil }
			if j := slices.IndexFunc(at.children, same); j >= 0 {
				next = at.children[j]
			}
		}
		if next == nil {
			next = &field{name: at.scope.name(camel(w, false)), comment: w, scope: newScope()}
			at.children = append(at.children, next)
		}
		if leaf {
			next.typ, next.comment = typ, comment
		}
		path = append(path, next.name)
		at = next
	}
	return strings.Join(path, ".")
}

// declare lists the fields.
func (f *field) declare() []jen.Code {
	var list []jen.Code
	for _, c := range f.children {
		if c.typ != nil {
			list = append(list, jen.Id(c.name).Add(c.typ).Comment(c.comment))
		} else {
			list = append(list, jen.Id(c.name).Struct(c.declare()...))
		}
	}
	return list
}

// instance is the field of Model that holds the set at a place.
func (s *set) instance(at string) *jen.Statement {
	field := selector("m." + s.typ)
	if s.whole() {
		return field
	}
	return field.Index(jen.Lit(slices.Index(s.p.Instances, at)))
}

// findRoles asks the ops that use each weight how they want it.
func (s *set) findRoles() error {
	for _, w := range s.p.Weights {
		name := w.Value.Name
		r, user := s.unused(w), ""
		for _, f := range s.g.m.Funcs {
			if f.Params != s.p {
				continue
			}
			for _, in := range f.Body {
				for i, a := range in.Args {
					if a != w.Value || in.Op == nil {
						continue
					}
					want := asFloats
					if rule := rules[in.Op]; rule != nil {
						want = rule.weights[i]
					}
					if user != "" && want != r {
						return fmt.Errorf("weight %s of %s is used by %s and by %s, which need it in different forms",
							name, s.p.Name, user, in.Op.Name)
					}
					r, user = want, in.Op.Name
				}
			}
		}
		elem := w.Value.Type.Elem
		if r == asFloats && (!elem.DType.IsFloat() || w.IsMany()) {
			return fmt.Errorf("weight %s of %s is %s, which %s cannot use", name, s.p.Name, elem, user)
		}
		s.roles[name] = r
	}
	return nil
}

// unused is how a weight is bound that nothing uses.
func (s *set) unused(w *ir.Weight) role {
	switch {
	case w.Value.Type.Elem.DType.IsInt():
		return asIndices
	case w.IsMany():
		return asExperts
	case w.Value.Type.Elem.IsQuantised():
		return asMatrix
	}
	return asFloats
}

// encodings are the names of stored formats in package cpu, tags those in checkpoints.
var (
	encodings = map[ir.DType]string{ir.F32: "F32", ir.BF16: "BF16", ir.FP8: "FP8", ir.FP4: "FP4"}
	tags      = map[ir.DType]string{ir.F32: "F32", ir.BF16: "BF16", ir.I32: "I32", ir.I64: "I64"}
)

// load is the statement that binds one weight. Sizes are those of the whole tensor; the binder cuts.
func (s *set) load(w *ir.Weight) *jen.Statement {
	name := jen.Lit(w.Tensor)
	if !s.whole() {
		name = jen.Id("at").Op("+").Lit("." + w.Tensor)
	}
	dims, z := w.Value.Type.Whole().Dims, s.g.sizes
	dtype := w.Value.Type.Elem.DType
	method, args := "Floats", []jen.Code{name}
	switch s.roles[w.Value.Name] {
	case asMatrix:
		last := len(dims) - 1
		method = "Matrix"
		args = append(args, s.g.cpu(encodings[dtype]), z.product(dims[:last]).code, z.dim(dims[last]).code)
	case asExperts:
		last := len(dims) - 1
		method = "Experts"
		args = append(args, s.g.cpu(encodings[dtype]), z.dim(dims[0]).code, z.product(dims[1:last]).code,
			z.dim(dims[last]).code)
	case asIndices:
		method = "Indices"
		args = append(append(args, jen.Lit(tags[dtype]), s.limit(w)), s.shape(dims)...)
	default:
		args = append(append(args, jen.Lit(tags[dtype])), s.shape(dims)...)
	}
	code := selector("w." + s.paths[w.Value.Name]).Op("=").Add(call(s.cut(w).Dot(method), args...))
	if w.Value.Span.Line > 0 {
		code.Commentf(":%d", w.Value.Span.Line)
	}
	return code
}

// cut is the binder for the part of a weight that a rank has.
func (s *set) cut(w *ir.Weight) *jen.Statement {
	binder, dims, rows := jen.Id("b"), w.Value.Type.Dims, 0
	if w.IsMany() {
		rows = 1
	}
	for i, d := range dims {
		if d.Split == 0 {
			continue
		}
		over := jen.Id(s.g.comms[d.Over].name)
		switch groups := dims[min(rows, i):i]; {
		case i < rows:
			binder.Dot("Own").Call(over)
		case i > rows && i == len(dims)-1:
			binder.Dot("Columns").Call(over)
		case ones(groups):
			binder.Dot("Rows").Call(over)
		default:
			binder.Dot("RowsIn").Call(s.g.sizes.product(groups).code, over)
		}
	}
	return binder
}

// shape lists the stored shape: leading axes are rows together.
func (s *set) shape(dims []ir.Dim) []jen.Code {
	var list []jen.Code
	if len(dims) > 2 {
		list = append(list, s.g.sizes.product(dims[:len(dims)-1]).code)
		dims = dims[len(dims)-1:]
	}
	for _, d := range dims {
		list = append(list, s.g.sizes.dim(d).code)
	}
	return list
}

// limit is the number below which a table's indices must lie: that of the experts that they choose.
func (s *set) limit(w *ir.Weight) *jen.Statement {
	for _, f := range s.g.m.Funcs {
		for _, in := range f.Body {
			if in.Op != ops.ExpertLinear || in.Args[1].Def == nil {
				continue
			}
			if from := in.Args[1].Def; from.Op == ops.HashExperts && from.Args[1] == w.Value {
				return s.g.sizes.dim(in.Args[2].Type.Dims[0].Whole()).code
			}
		}
	}
	return jen.Qual("math", "MaxInt32")
}
