package gohost

import (
	"fmt"
	"strings"

	"flagc/ir"
)

// dimsFile holds the named sizes and the attributes that are the same everywhere.
func (g *generator) dimsFile() file {
	var b strings.Builder
	if len(g.m.Dims) > 0 {
		fmt.Fprintf(&b, "// The sizes of this configuration, under the names of %s.\nconst (\n", g.source())
		for _, d := range g.m.Dims {
			fmt.Fprintf(&b, "%s = %d\n", g.sizes.consts[d.Name], d.Value)
		}
		b.WriteString(")\n\n")
	}
	if len(g.attrConst) > 0 {
		b.WriteString("// Attributes that are the same wherever their operator stands.\nconst (\n")
		for _, key := range sortedKeys(g.attrConst) {
			fmt.Fprintf(&b, "%s = %s\n", g.attrConst[key], literal(g.attrValue(key)))
		}
		b.WriteString(")\n")
	}
	return file{name: "dims.go", body: b.String()}
}

// weightsFile declares the parameter sets and binds them to the checkpoint's tensors.
func (g *generator) weightsFile() file {
	var b strings.Builder
	for _, p := range g.m.Params {
		s := g.sets[p]
		if s.whole() {
			fmt.Fprintf(&b, "// %s holds what belongs to the model as a whole.\n", s.typ)
		} else {
			b.WriteString(comment(fmt.Sprintf("%s holds one layer of this kind: %s.", s.typ, places(p.Instances))))
		}
		fmt.Fprintf(&b, "type %s struct {\nat string // the place in the checkpoint\n", s.typ)
		s.weights.write(&b)
		if len(p.States) > 0 {
			fmt.Fprintf(&b, "state %sState\n", s.typ)
		}
		b.WriteString("}\n\n")
		args := "b *host.Binder, at string"
		if s.whole() {
			args = "b *host.Binder"
		}
		fmt.Fprintf(&b, "func (w *%s) load(%s) {\n", s.typ, args)
		if !s.whole() {
			b.WriteString("w.at = at\n")
		}
		for _, w := range p.Weights {
			b.WriteString(s.load(w) + "\n")
		}
		b.WriteString("}\n\n")
	}
	return file{name: "weights.go", body: b.String()}
}

// stateFile declares caches and running states, and gives them their initial values.
func (g *generator) stateFile() file {
	var b strings.Builder
	for _, p := range g.m.Params {
		s := g.sets[p]
		if len(p.States) == 0 {
			continue
		}
		fmt.Fprintf(&b, "// %sState is what a layer of this kind remembers of the tokens so far.\n", s.typ)
		fmt.Fprintf(&b, "type %sState struct {\n", s.typ)
		s.state.write(&b)
		b.WriteString("}\n\n")
		fmt.Fprintf(&b, "func (t *%sState) reset(m *Model) {\n", s.typ)
		var lines []string
		var exprs []string
		for _, st := range p.States {
			v := st.Value
			size := g.sizes.product(v.Type.Dims)
			exprs = append(exprs, size)
			init := "0"
			if st.Init != 0 {
				init = literalInit(st.Init, reprOf(v))
			}
			field := "t." + s.states[v.Name]
			lines = append(lines, fmt.Sprintf("%s = host.Fill(%s, %s, %s)\n", field, field, size, init))
		}
		if used := symbols(exprs); len(used) == 1 && used[0] == "b" {
			b.WriteString("b := m.batch\n")
		}
		b.WriteString(strings.Join(lines, "") + "}\n\n")
	}
	return file{name: "state.go", body: b.String()}
}

// literalInit writes a state's initial value; -inf is the one that models have beside 0.
func literalInit(v float64, r repr) string {
	text := fmt.Sprintf("float32(math.Inf(%d))", sign(v))
	if v-v == 0 {
		text = "float32(" + ir.FormatFloat(v) + ")"
	}
	if r == halves {
		text = "formats.BF16FromFloat32(" + text + ")"
	}
	return text
}

func sign(v float64) int {
	if v < 0 {
		return -1
	}
	return 1
}

// helpersFile holds the functions of pointwise bodies.
func (g *generator) helpersFile() file {
	var b strings.Builder
	for _, name := range sortedKeys(g.helpers) {
		fmt.Fprintf(&b, "func %s(x float64) float64 {\n%s\n}\n\n", name, helperFuncs[name])
	}
	return file{name: "helpers.go", body: b.String()}
}
