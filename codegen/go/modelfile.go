package gohost

import (
	"fmt"
	"strconv"
	"strings"

	"flagc/ir"
)

// modelFile declares Model, and how it is loaded and reset.
func (g *generator) modelFile(plans []*plan) file {
	var b strings.Builder
	g.writeModel(&b, plans)
	b.WriteString("// call is what one call computes: s tokens of each of b sequences, after p others.\n" +
		"type call struct{ b, s, p int }\n\n")
	g.writeLoad(&b)
	g.writeReset(&b, plans)
	b.WriteString("// Record sends traced values to rec from now on; nil ends it.\n" +
		"func (m *Model) Record(rec *host.Recorder) { m.rec = rec }\n")
	return file{name: "model.go", body: b.String()}
}

// writeModel declares the struct.
func (g *generator) writeModel(b *strings.Builder, plans []*plan) {
	b.WriteString(comment("Model is the whole model with its weights, its states and its memory. Kernels are " +
		"methods of the embedded context. It serves one goroutine at a time."))
	b.WriteString("type Model struct {\n*cpu.Ctx\nrec *host.Recorder // nil unless values are traced\n\n" +
		"batch, maxSeq int\n\n")
	for _, p := range g.m.Params {
		if s := g.sets[p]; s.whole() {
			fmt.Fprintf(b, "%s %s\n", s.typ, s.typ)
		} else {
			fmt.Fprintf(b, "%s [%d]%s // %s\n", s.typ, len(p.Instances), s.typ, places(p.Instances))
		}
	}
	if len(g.ropes) > 0 {
		b.WriteString("\n// Rotary frequencies, by their base.\n")
	}
	for _, r := range g.ropes {
		fmt.Fprintf(b, "%s *cpu.Rope\n", r.name)
	}
	b.WriteString("\n// Memory of intermediate values, by how deep their functions are called.\n")
	fmt.Fprintf(b, "arenas [%d]host.Arena\ntemporaries struct {\n", g.depth())
	for _, p := range plans {
		if len(p.vars) > 0 {
			fmt.Fprintf(b, "%s %sTemporaries\n", g.funcs[p.f], g.funcs[p.f])
		}
	}
	b.WriteString("}\n")
	if g.m.Func(Main+".prefill") != nil {
		b.WriteString("\n// What the entry functions yield, kept until their next call.\n")
		for _, r := range g.entryResults() {
			fmt.Fprintf(b, "%s []float32 // %s\n", r.name, r.typ)
		}
	}
	b.WriteString("}\n\n")
}

// writeLoad binds all parameter sets.
func (g *generator) writeLoad(b *strings.Builder) {
	b.WriteString("// load binds all weights. Problems with tensors are collected by the binder.\n" +
		"func load(b *host.Binder, threads int) *Model {\nm := &Model{Ctx: cpu.NewCtx(threads)}\n")
	for _, p := range g.m.Params {
		s := g.sets[p]
		switch {
		case s.whole():
			fmt.Fprintf(b, "m.%s.load(b)\n", s.typ)
		case len(p.Instances) == 1:
			fmt.Fprintf(b, "m.%s[0].load(b, %q)\n", s.typ, p.Instances[0])
		default:
			quoted := make([]string, len(p.Instances))
			for i, at := range p.Instances {
				quoted[i] = strconv.Quote(at)
			}
			list := wrap("[]string{" + strings.Join(quoted, ", ") + "}")
			fmt.Fprintf(b, "for i, at := range %s {\nm.%s[i].load(b, at)\n}\n", list, s.typ)
		}
	}
	for _, r := range g.ropes {
		fmt.Fprintf(b, "m.%s = %s\n", r.name, wrap("cpu.NewRope(cpu.RopeSpec{"+r.spec+"})"))
	}
	b.WriteString("return m\n}\n\n")
}

// writeReset gives all states their initial values and sizes what decoding needs.
func (g *generator) writeReset(b *strings.Builder, plans []*plan) {
	b.WriteString("// Reset gives all states their initial values, for batch sequences of at most maxSeq tokens.\n" +
		"func (m *Model) Reset(batch, maxSeq int) {\nm.batch, m.maxSeq = batch, maxSeq\n")
	for _, p := range g.m.Params {
		s := g.sets[p]
		switch {
		case len(p.States) == 0:
		case s.whole():
			fmt.Fprintf(b, "m.%s.state.reset(m)\n", s.typ)
		case len(p.Instances) == 1:
			fmt.Fprintf(b, "m.%s[0].state.reset(m)\n", s.typ)
		default:
			fmt.Fprintf(b, "for i := range m.%s {\nm.%s[i].state.reset(m)\n}\n", s.typ, s.typ)
		}
	}
	first := true
	for _, p := range plans {
		if p.f.Mode != ir.Decode && g.shared[p.f] == nil || len(p.vars) == 0 {
			continue
		}
		if first {
			b.WriteString("\n// The last token needs the most memory: sized for it, temporaries do not grow later.\n" +
				"end := call{b: batch, s: 1, p: maxSeq - 1}\n")
		}
		first = false
		fmt.Fprintf(b, "m.temporaries.%s.fit(m, end)\n", g.funcs[p.f])
	}
	b.WriteString("}\n\n")
}
