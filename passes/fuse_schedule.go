package passes

import (
	"slices"

	"flagc/ir"
	"flagc/targets"
)

// schedule lays the instructions of one function on levels. The ops of level n are launch n; a collective or call of
// level n stands between the launches n and n+1. Views need no launch: they are on a level for those that read them
// there.
type schedule struct {
	f     *ir.Func
	body  []*ir.Instr // as it was before launches took its place
	env   ir.Env      // what the mode fixes
	tails bool        // the last program of a launch can be known
	cheap bool        // a launch may begin while the one before it works, so that one more costs about as much as finding who is last

	index map[*ir.Instr]int
	users map[*ir.Value][]int
	kept  map[*ir.Value]bool // values that leave the function
	least []int              // no instruction goes below this level
	level []int
	held  map[*ir.Value]held
	last  map[*ir.Instr]bool // what the last program to arrive computes for all
}

func newSchedule(f *ir.Func, t targets.Target) *schedule {
	decode := f.Mode == ir.Decode
	s := &schedule{f: f, body: f.Body, env: f.Mode.Bound(), tails: decode && t.Ops.Atomics.Is(targets.Works), cheap: decode && t.Launch.Dependent.Is(true), index: map[*ir.Instr]int{},
		users: map[*ir.Value][]int{}, kept: map[*ir.Value]bool{}, least: make([]int, len(f.Body))}
	for i, in := range f.Body {
		s.index[in] = i
		for _, a := range in.Args {
			if a != nil {
				s.users[a] = append(s.users[a], i)
			}
		}
	}
	for _, v := range f.Return {
		s.kept[v] = true
	}
	for _, u := range f.Updates {
		s.kept[u.Value] = true
	}
	return s
}

// plan finds the levels. An anchor that reads nothing in common with the other anchors of its level then waits for
// the last level with an anchor where this costs no launch: two products whose results are added become one launch.
func (s *schedule) plan() {
	s.lay()
	for i, in := range s.body {
		if !isAnchor(in) || !s.lone(i) {
			continue
		}
		had, before := s.level[i], s.launches()
		for at := slices.Max(s.level); at > had; at-- {
			if !s.hasAnchor(at) {
				continue
			}
			s.least[i] = at
			if s.lay(); s.launches() <= before && s.level[i] == at {
				break
			}
			s.least[i] = 0
			s.lay()
		}
	}
}

func (s *schedule) lay() {
	s.level = make([]int, len(s.body))
	s.held, s.last = map[*ir.Value]held{}, map[*ir.Instr]bool{}
	for i, in := range s.body {
		if isBarrier(in) {
			s.level[i] = s.floor(i)
			continue
		}
		s.place(i)
	}
	s.sink()
}

// floor is the lowest level that the operands allow: for a barrier the level that it follows, -1 for none.
func (s *schedule) floor(i int) int {
	in := s.body[i]
	level := s.least[i]
	if isBarrier(in) {
		level = -1
	}
	for _, a := range in.Args {
		if a == nil {
			continue
		}
		if a.Def != nil {
			above := 0
			if isBarrier(a.Def) && !isBarrier(in) {
				above = 1
			}
			level = max(level, s.level[s.index[a.Def]]+above)
		}
	}
	for _, operand := range in.Updated() {
		level = max(level, s.unread(in.Args[operand], i))
	}
	return level
}

// unread is the lowest level at which the instructions before i have read a state, as it is or through views, and
// at which it has been recorded.
func (s *schedule) unread(state *ir.Value, i int) int {
	level := 0
	if isTraced(state) {
		level = s.level[s.index[state.Def]] + 1
	}
	for _, j := range s.users[state] {
		if j >= i {
			continue
		}
		if in := s.body[j]; isView(in) {
			level = max(level, s.unread(in.Results[0], i))
			continue
		}
		level = max(level, s.level[j]+1)
	}
	return level
}

func isTraced(v *ir.Value) bool {
	return v.Def != nil && slices.ContainsFunc(v.Def.Traced(), func(t ir.Trace) bool { return v.Def.Results[t.Result] == v })
}

// place puts an op on the lowest level where its operands are at hand.
func (s *schedule) place(i int) {
	in := s.body[i]
	for level := s.floor(i); ; level++ {
		here := map[int]held{}
		for k, a := range in.Args {
			if a != nil && a.Def != nil && !isBarrier(a.Def) && s.level[s.index[a.Def]] == level {
				here[k] = s.held[a]
			}
		}
		out, ok := s.meets(in, here)
		if !ok && s.canTail(in, here) {
			out, ok = s.all(in, held{reach: inLast}), true
		}
		if !ok {
			continue
		}
		s.level[i] = level
		for j, r := range in.Results {
			s.held[r] = out[j]
		}
		if len(out) > 0 && out[0].reach == inLast && !isView(in) {
			s.last[in] = true
		}
		return
	}
}

// canTail reports whether the last program to arrive can make a selection from the parts of all: where every program
// can make it for itself in the next launch, that is better.
func (s *schedule) canTail(in *ir.Instr, here map[int]held) bool {
	if !s.tails || in.Op.Class != ir.Selection || s.row(in) <= smallRow {
		return false
	}
	for _, h := range here {
		if h.reach != inParts && h.reach != everywhere {
			return false
		}
	}
	return true
}

// sink moves what any program can compute, views, and collectives up to the level that needs them first: into the
// launch that reads them, and collectives side by side.
func (s *schedule) sink() {
	for i := len(s.body) - 1; i >= 0; i-- {
		in := s.body[i]
		if in.Op == nil || !s.movable(in) {
			continue
		}
		first := -1
		for _, r := range in.Results {
			if s.kept[r] {
				first = s.level[i]
			}
			for _, j := range s.users[r] {
				at := s.level[j]
				if isBarrier(in) && !isBarrier(s.body[j]) {
					at--
				}
				if first < 0 || at < first {
					first = at
				}
			}
		}
		s.level[i] = max(s.level[i], first)
	}
}

func (s *schedule) movable(in *ir.Instr) bool {
	if isBarrier(in) || isView(in) {
		return true
	}
	for _, a := range in.Args {
		for a != nil && a.Def != nil && isView(a.Def) {
			a = a.Def.Args[0]
		}
		if a != nil && a.IsState() {
			return false // an update could overtake it
		}
		if s.cheap && in.Op.Class == ir.Reduction && a != nil && a.Def != nil && a.Def.Op != nil && a.Def.Op.Class == ir.Selection && s.level[s.index[a.Def]] == s.level[s.index[in]] {
			return false // who chooses has it at hand, and its readers wait for little enough
		}
	}
	return s.held[in.Results[0]].reach == everywhere
}

// launches is the number of levels with more than views and barriers on them.
func (s *schedule) launches() int {
	busy := map[int]bool{}
	for i, in := range s.body {
		if !isBarrier(in) && !isView(in) {
			busy[s.level[i]] = true
		}
	}
	return len(busy)
}

func (s *schedule) hasAnchor(level int) bool {
	for i, in := range s.body {
		if s.level[i] == level && isAnchor(in) {
			return true
		}
	}
	return false
}

// lone reports whether an anchor has others beside it and shares no input of the level with any of them.
func (s *schedule) lone(i int) bool {
	mine := s.inputs(i)
	others := false
	for j, in := range s.body {
		if j == i || !isAnchor(in) || s.level[j] != s.level[i] {
			continue
		}
		others = true
		for v := range s.inputs(j) {
			if mine[v] {
				return false
			}
		}
	}
	return others
}

// inputs are the values of lower levels that an instruction is computed from.
func (s *schedule) inputs(i int) map[*ir.Value]bool {
	out := map[*ir.Value]bool{}
	var follow func(in *ir.Instr)
	follow = func(in *ir.Instr) {
		for _, a := range in.Args {
			switch {
			case a == nil || a.Kind == ir.WeightValue:
			case a.Def != nil && !isBarrier(a.Def) && s.level[s.index[a.Def]] == s.level[i]:
				follow(a.Def)
			default:
				out[a] = true
			}
		}
	}
	follow(s.body[i])
	return out
}
