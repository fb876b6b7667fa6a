package ir

import "fmt"

// memory prints what memory is planned for, and its totals.
func (p *printer) memory(m *Memory) {
	if m == nil {
		return
	}
	fmt.Fprintf(p, "memory batch=%d context=%d chunk=%d weights=%d states=%d prefill=%d decode=%d communication=%d\n",
		m.Batch, m.Context, m.Chunk, m.Weights, m.States, m.Prefill, m.Decode, m.Communication)
}

// memory reads what the printer writes, in that order.
func (p *parser) memory() {
	m := &Memory{}
	for _, field := range []struct {
		name string
		to   *int
	}{
		{"batch", &m.Batch}, {"context", &m.Context}, {"chunk", &m.Chunk}, {"weights", &m.Weights}, {"states", &m.States},
		{"prefill", &m.Prefill}, {"decode", &m.Decode}, {"communication", &m.Communication},
	} {
		p.expect(field.name)
		p.expect("=")
		*field.to = p.integer("a number")
	}
	p.mod.Memory = m
}

// suffix prints a place behind a type: " #256" in the workspace, " comm #256" in the communication buffers, " out" and
// " out 1" where the caller wants the first and the second result.
func (pl Place) suffix() string {
	switch {
	case pl.Region == Workspace:
		return fmt.Sprintf(" #%d", pl.Offset)
	case pl.Region == Communication:
		return fmt.Sprintf(" comm #%d", pl.Offset)
	case pl.Region == Result && pl.Offset > 0:
		return fmt.Sprintf(" out %d", pl.Offset)
	case pl.Region == Result:
		return " out"
	}
	return ""
}

// place reads an optional place.
func (p *parser) place() Place {
	switch {
	case p.accept("#"):
		return Place{Workspace, p.integer("an offset")}
	case p.accept("comm"):
		p.expect("#")
		return Place{Communication, p.integer("an offset")}
	case p.accept("out"):
		if p.lex.tok.kind == tokNumber {
			return Place{Result, p.integer("the index of a result")}
		}
		return Place{Result, 0}
	}
	return Place{}
}

// suffix prints where what a function calls has its room, if that is not at the beginning.
func (f Frame) suffix() string {
	if f == (Frame{}) {
		return ""
	}
	return fmt.Sprintf(" calls #%d, comm #%d", f.Workspace, f.Communication)
}

// frame reads it.
func (p *parser) frame() Frame {
	var f Frame
	if p.accept("calls") {
		p.expect("#")
		f.Workspace = p.integer("an offset")
		p.expect(",")
		p.expect("comm")
		p.expect("#")
		f.Communication = p.integer("an offset")
	}
	return f
}
