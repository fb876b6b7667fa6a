package gohost

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

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
	typ      string // of a leaf
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
		typ := [...]string{"[]float32", "*cpu.Matrix", "*cpu.Experts", "[]int32"}[s.roles[w.Value.Name]]
		name, text := w.Value.Name, g.m.PrintType(w.Value.Type)
		s.paths[name] = s.weights.add(name, typ, text, isPrefix(p, name))
	}
	s.state = &field{scope: newScope()}
	for _, st := range p.States {
		name, text := st.Value.Name, g.m.PrintType(st.Value.Type)
		s.states[name] = s.state.add(name, reprType[reprOf(st.Value)], text, false)
	}
	return s, nil
}

// whole reports whether the set is the one of the whole model.
func (s *set) whole() bool { return len(s.p.Instances) == 1 && s.p.Instances[0] == "" }

// isPrefix reports whether another weight's name continues this one's.
func isPrefix(p *ir.Params, name string) bool {
	return slices.ContainsFunc(p.Weights, func(w *ir.Weight) bool { return strings.HasPrefix(w.Value.Name, name+".") })
}

// add makes the fields along a dotted name and returns the Go path.
func (f *field) add(name, typ, comment string, prefix bool) string {
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
			same := func(c *field) bool { return c.comment == w && c.typ == "" }
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

// write prints the fields.
func (f *field) write(b *strings.Builder) {
	for _, c := range f.children {
		if c.typ != "" {
			fmt.Fprintf(b, "%s %s // %s\n", c.name, c.typ, c.comment)
			continue
		}
		fmt.Fprintf(b, "%s struct {\n", c.name)
		c.write(b)
		b.WriteString("}\n")
	}
}

// instance is the field of Model that holds the set at a place.
func (s *set) instance(at string) string {
	if s.whole() {
		return s.typ
	}
	return fmt.Sprintf("%s[%d]", s.typ, slices.Index(s.p.Instances, at))
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

var encodings = map[ir.DType]string{ir.F32: "cpu.F32", ir.BF16: "cpu.BF16", ir.FP8: "cpu.FP8", ir.FP4: "cpu.FP4"}
var tags = map[ir.DType]string{ir.F32: "F32", ir.BF16: "BF16", ir.I32: "I32", ir.I64: "I64"}

// load writes the statement that binds one weight.
func (s *set) load(w *ir.Weight) string {
	name := strconv.Quote(w.Tensor)
	if !s.whole() {
		name = "at+" + strconv.Quote("."+w.Tensor)
	}
	dims, z := w.Value.Type.Dims, s.g.sizes
	elem := w.Value.Type.Elem
	var call string
	switch s.roles[w.Value.Name] {
	case asMatrix:
		call = fmt.Sprintf("Matrix(%s, %s, %s, %s)", name, encodings[elem.DType], z.product(dims[:len(dims)-1]),
			z.dim(dims[len(dims)-1]))
	case asExperts:
		call = fmt.Sprintf("Experts(%s, %s, %s, %s, %s)", name, encodings[elem.DType], z.dim(dims[0]),
			z.product(dims[1:len(dims)-1]), z.dim(dims[len(dims)-1]))
	case asIndices:
		call = fmt.Sprintf("Indices(%s, %q, %s%s)", name, tags[elem.DType], s.limit(w), s.shape(dims))
	default:
		call = fmt.Sprintf("Floats(%s, %q%s)", name, tags[elem.DType], s.shape(dims))
	}
	text := fmt.Sprintf("w.%s = b.%s", s.paths[w.Value.Name], call)
	if w.Value.Span.Line > 0 {
		text += fmt.Sprintf(" // :%d", w.Value.Span.Line)
	}
	return text
}

// shape lists the stored shape: leading axes are rows together.
func (s *set) shape(dims []ir.Dim) string {
	text := ""
	if len(dims) > 2 {
		text += ", " + s.g.sizes.product(dims[:len(dims)-1])
		dims = dims[len(dims)-1:]
	}
	for _, d := range dims {
		text += ", " + s.g.sizes.dim(d)
	}
	return text
}

// limit is the number below which a table's indices must lie: that of the experts that they choose.
func (s *set) limit(w *ir.Weight) string {
	for _, f := range s.g.m.Funcs {
		for _, in := range f.Body {
			if in.Op != ops.ExpertLinear || in.Args[1].Def == nil {
				continue
			}
			if from := in.Args[1].Def; from.Op == ops.HashExperts && from.Args[1] == w.Value {
				return s.g.sizes.dim(in.Args[2].Type.Dims[0])
			}
		}
	}
	return "math.MaxInt32"
}
