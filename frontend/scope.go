package frontend

import (
	"slices"

	"flagc/internal/diag"
	"flagc/ir"
)

// entity is what a name stands for: exactly one of its fields says what, unless it is poisoned.
type entity struct {
	static static
	value  *ir.Value // a tensor that was computed, passed or declared as a weight
	state  *ir.State
	part   *part
	bad    bool // its definition failed; whatever uses it stays silent

	at     diag.Span // its declaration
	origin *origin   // for parameters: what the caller wrote
}

// origin is the argument behind a parameter.
type origin struct {
	at   diag.Span
	text string
}

// what describes the entity for messages that say what it is not.
func (n *entity) what() string {
	switch {
	case n.static != nil:
		return "a static value"
	case n.state != nil:
		return "a state"
	case n.part != nil:
		return "a part of the model"
	case n.value != nil && n.value.Kind == ir.WeightValue:
		return "a weight"
	}
	return "a value"
}

// scope maps names to entities, innermost first.
type scope struct {
	parent *scope
	names  map[string]*entity
	order  []string
}

func newScope(parent *scope) *scope {
	return &scope{parent: parent, names: map[string]*entity{}}
}

// lookup finds a name and the scope that has it, or nil.
func (s *scope) lookup(name string) (*entity, *scope) {
	for ; s != nil; s = s.parent {
		if n := s.names[name]; n != nil {
			return n, s
		}
	}
	return nil, nil
}

// set binds a name here, whatever it stood for.
func (s *scope) set(name string, n *entity) {
	if s.names[name] == nil {
		s.order = append(s.order, name)
	}
	s.names[name] = n
}

// unset forgets a name that was bound here.
func (s *scope) unset(name string) {
	delete(s.names, name)
	s.order = slices.DeleteFunc(s.order, func(x string) bool { return x == name })
}

// visible lists the names of s and its parents, the latest and innermost first, as far as keep wants them.
func (s *scope) visible(keep func(*entity) bool) []string {
	var out []string
	for ; s != nil; s = s.parent {
		for i := len(s.order) - 1; i >= 0; i-- {
			if n := s.names[s.order[i]]; keep == nil || keep(n) {
				out = append(out, s.order[i])
			}
		}
	}
	return out
}
