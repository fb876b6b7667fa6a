package gohost

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"flagc/ir"
)

// dimsFile holds the named sizes and the attributes that are the same everywhere.
func (g *generator) dimsFile() file {
	var b strings.Builder
	if len(g.m.Dims) > 0 {
		fmt.Fprintf(&b, "// The sizes of this configuration, under the names of %s.\nconst (\n", path.Base(g.m.Source))
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

// modelFile declares Model, and how it is loaded, reset and closed.
func (g *generator) modelFile(plans []*plan) file {
	var b strings.Builder
	b.WriteString("// Model is the whole model with its weights, its states and its memory. Kernels are methods of the embedded\n" +
		"// context. It serves one goroutine at a time.\ntype Model struct {\n*cpu.Ctx\n")
	b.WriteString("rec *host.Recorder // nil unless values are traced\n\nbatch, maxSeq int\n\n")
	for _, p := range g.m.Params {
		s := g.sets[p]
		if s.whole() {
			fmt.Fprintf(&b, "%s %s\n", s.typ, s.typ)
			continue
		}
		fmt.Fprintf(&b, "%s [%d]%s // %s\n", s.typ, len(p.Instances), s.typ, strings.Join(p.Instances, ", "))
	}
	if len(g.ropes) > 0 {
		b.WriteString("\n// Rotary frequencies, by their base.\n")
		for _, r := range g.ropes {
			fmt.Fprintf(&b, "%s *cpu.Rope\n", r.name)
		}
	}
	fmt.Fprintf(&b, "\n// Memory of intermediate values, by how deep their functions are called.\narenas [%d]host.Arena\n", g.depth())
	b.WriteString("temporaries struct {\n")
	for _, p := range plans {
		if len(p.vars) > 0 {
			fmt.Fprintf(&b, "%s %sTemporaries\n", g.funcs[p.f], g.funcs[p.f])
		}
	}
	b.WriteString("}\n")
	if g.m.Func(Main+".prefill") != nil {
		b.WriteString("\n// What the entry functions yield, kept until their next call.\n")
		for _, r := range g.entryResults() {
			fmt.Fprintf(&b, "%s []float32 // %s\n", r.name, r.typ)
		}
	}
	b.WriteString("}\n\n")
	b.WriteString(`// call is what one call computes: s tokens of each of b sequences, after p others.
type call struct{ b, s, p int }

`)
	b.WriteString("// load binds all weights. Problems with tensors are collected by the binder.\n" +
		"func load(b *host.Binder, threads int) *Model {\nm := &Model{Ctx: cpu.NewCtx(threads)}\n")
	for _, p := range g.m.Params {
		if s := g.sets[p]; s.whole() {
			fmt.Fprintf(&b, "m.%s.load(b)\n", s.typ)
		} else {
			quoted := make([]string, len(p.Instances))
			for i, at := range p.Instances {
				quoted[i] = strconv.Quote(at)
			}
			fmt.Fprintf(&b, "for i, at := range []string{%s} {\nm.%s[i].load(b, at)\n}\n", strings.Join(quoted, ", "), s.typ)
		}
	}
	for _, r := range g.ropes {
		fmt.Fprintf(&b, "m.%s = cpu.NewRope(cpu.RopeSpec{%s})\n", r.name, r.spec)
	}
	b.WriteString("return m\n}\n\n")
	b.WriteString("// Reset gives all states their initial values, for batch sequences of at most maxSeq tokens.\n" +
		"func (m *Model) Reset(batch, maxSeq int) {\nm.batch, m.maxSeq = batch, maxSeq\n")
	for _, p := range g.m.Params {
		s := g.sets[p]
		switch {
		case len(p.States) == 0:
		case s.whole():
			fmt.Fprintf(&b, "m.%s.state.reset(m)\n", s.typ)
		default:
			fmt.Fprintf(&b, "for i := range m.%s {\nm.%s[i].state.reset(m)\n}\n", s.typ, s.typ)
		}
	}
	decodes := false
	for _, p := range plans {
		if p.f.Mode == ir.Decode && len(p.vars) > 0 {
			if !decodes {
				b.WriteString("\n// The last token needs the most memory: with it here, decoding allocates nothing.\n")
				b.WriteString("end := call{b: batch, s: 1, p: maxSeq - 1}\n")
			}
			decodes = true
			fmt.Fprintf(&b, "m.temporaries.%s.fit(m, end)\n", g.funcs[p.f])
		}
	}
	b.WriteString("}\n\n// Record sends traced values to rec from now on; nil ends it.\n" +
		"func (m *Model) Record(rec *host.Recorder) { m.rec = rec }\n")
	return file{name: "model.go", body: b.String()}
}

// weightsFile declares the parameter sets and binds them to the checkpoint's tensors.
func (g *generator) weightsFile() file {
	var b strings.Builder
	for _, p := range g.m.Params {
		s := g.sets[p]
		if s.whole() {
			fmt.Fprintf(&b, "// %s holds what belongs to the model as a whole.\n", s.typ)
		} else {
			b.WriteString(comment(fmt.Sprintf("%s holds one layer of this kind: %s.", s.typ, strings.Join(p.Instances, ", "))))
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
		fmt.Fprintf(&b, "// %sState is what a layer of this kind remembers of the tokens so far.\ntype %sState struct {\n", s.typ, s.typ)
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
