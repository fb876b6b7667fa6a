package passes

import (
	"fmt"
	"slices"

	"flagc/ir"
)

// plan is a layout, and the weights that stay whole in it although, looked at alone, each could be split.
type plan struct {
	layout Layout
	stay   map[string]bool
}

func (p plan) sharder(m *ir.Module, n int) *sharder {
	s := newSharder(m, n, p.layout)
	s.stay = p.stay
	return s
}

// settle finds the plan of a layout, and returns the program of a rank by it beside the module, which stays as it is.
// A weight's axis may meet values or weights that are whole, because another path of theirs does not allow a split, or
// that have another axis on the same ranks. Then one whose axis comes there stays whole, and rewriting begins anew.
// Without split weights nothing is left to meet.
func settle(m *ir.Module, n int, layout Layout) (plan, *ir.Module, error) {
	p := plan{layout, map[string]bool{}}
	for {
		try := m.Clone()
		s := p.sharder(try, n)
		err := s.module()
		if err == nil {
			return p, try, nil
		}
		guilty := s.guilty()
		if len(guilty) == 0 {
			return p, nil, fmt.Errorf("BUG: nothing is split, and yet: %w", err)
		}
		for _, c := range guilty {
			p.stay[c.key] = true
		}
	}
}

// guilty is the last split weight whose axis passes the instruction where rewriting failed, or another instruction that
// uses a weight of its; all split weights where there is none such.
func (s *sharder) guilty() []candidate {
	for _, c := range slices.Backward(s.planned) {
		if s.clash != nil && s.meets(c, s.clash) {
			return []candidate{c}
		}
	}
	return s.planned
}

func (s *sharder) meets(c candidate, in *ir.Instr) bool {
	if c.passes[in] {
		return true
	}
	for _, a := range in.Args {
		if a != nil && s.of[a] != nil && slices.ContainsFunc(s.uses[a], func(u use) bool { return c.passes[u.in] }) {
			return true
		}
	}
	return false
}
