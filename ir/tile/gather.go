package tile

// Gathers lists the loads whose lanes have places that follow from tiles that were loaded, such as the rows that a list
// names. What a single loaded number shifts as a whole is none.
func Gathers(p *Program) map[*Op]bool {
	g := gatherer{loaded: map[*Value]bool{}, gathers: map[*Op]bool{}}
	for before := -1; before < len(g.loaded); { // what a loop carries may become so in a later round
		before = len(g.loaded)
		g.block(p.Body)
	}
	return g.gathers
}

// gatherer collects values that depend on memory.
type gatherer struct {
	loaded  map[*Value]bool
	gathers map[*Op]bool
}

func (g *gatherer) block(b *Block) {
	if b == nil {
		return
	}
	for _, op := range b.Ops {
		g.op(op)
	}
}

func (g *gatherer) op(op *Op) {
	switch op.Code {
	case Loop:
		g.block(op.Body)
		for k, r := range op.Results {
			if g.loaded[op.Args[k+2]] || g.loaded[op.Body.Yield[k]] {
				g.loaded[r], g.loaded[op.Body.Args[k+1]] = true, true
			}
		}
		return
	case If:
		g.block(op.Body)
		g.block(op.Else)
		return
	case Load:
		if g.loaded[op.Args[0]] {
			g.gathers[op] = true
		}
		if len(op.Results[0].Shape) > 0 {
			g.loaded[op.Results[0]] = true
		}
		return
	}
	for _, a := range op.Args {
		if a != nil && g.loaded[a] && len(op.Results) > 0 && len(op.Results[0].Shape) > 0 {
			g.loaded[op.Results[0]] = true
		}
	}
}
