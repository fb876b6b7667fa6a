package triton

import (
	"slices"
	"sort"

	"flagc/ir/tile"
)

// variable is a Python variable: the values that it holds one after the other.
type variable struct {
	values []*tile.Value
	spans  []span
	home   *tile.Block // where it is first assigned
	hint   string      // an author's name
	name   string
}

// span is where a value must be kept, both ends included.
type span struct{ from, to int }

// span of a value reaches to its last read; a value from outside a loop that is read inside is kept to the loop's end.
func (l *plan) span(v *tile.Value) span {
	s := span{l.start(v), l.start(v)}
	if holder := l.holders[l.homes[v]]; v.Def == nil && holder.While && v == holder.Body.Args[0] {
		s.to = 2*l.sites[holder].end + 1 // where it is counted up
	}
	for _, r := range l.reads(v) {
		s.to = max(s.to, r.pos)
		for b := r.block; b != l.homes[v] && b != nil; {
			holder := l.holders[b]
			if holder == nil {
				break
			}
			if holder.Code == tile.Loop {
				s.to = max(s.to, 2*l.sites[holder].end+1)
			}
			b = l.sites[holder].block
		}
	}
	return s
}

// start is the position where a value is assigned.
func (l *plan) start(v *tile.Value) int {
	if v.Def == nil {
		return 2 * l.sites[l.holders[l.homes[v]]].pos
	}
	if v.Def.Code == tile.Loop {
		return 2*l.sites[v.Def].end + 1
	}
	return 2*l.sites[v.Def].pos + 1
}

// assignVariables gives each value that is a statement a variable and joins those that need not differ: what a loop
// carries with its result, with what a round yields and with what it starts from, and values of one name.
func (l *plan) assignVariables() {
	values := l.kept()
	for _, v := range values {
		l.vars[v] = &variable{values: []*tile.Value{v}, spans: []span{l.span(v)}, home: l.homes[v], hint: v.Name}
	}
	loops := l.loops()
	for _, op := range loops {
		for k := range op.Results {
			if l.live[op.Results[k]] {
				l.joinSlot(op, k)
			}
		}
	}
	l.joinNames(values)
}

// kept lists the values that are statements or that a loop brings, in order of the text.
func (l *plan) kept() []*tile.Value {
	var out []*tile.Value
	for op, s := range l.sites {
		if !s.keep {
			continue
		}
		for _, v := range op.Results {
			if l.live[v] && !l.inline[v] {
				out = append(out, v)
			}
		}
		if op.Code == tile.Loop {
			out = append(out, op.Body.Args[0])
			for _, v := range op.Body.Args[1:] {
				if l.live[v] {
					out = append(out, v)
				}
			}
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if l.start(a) != l.start(b) {
			return l.start(a) < l.start(b)
		}
		return l.order(a) < l.order(b)
	})
	return out
}

// order tells values apart that one loop assigns at once.
func (l *plan) order(v *tile.Value) int {
	if v.Def != nil {
		return slices.Index(v.Def.Results, v)
	}
	return slices.Index(l.homes[v].Args, v)
}

// loops lists the loops that matter, in order of the text.
func (l *plan) loops() []*tile.Op {
	var out []*tile.Op
	for op, s := range l.sites {
		if s.keep && op.Code == tile.Loop {
			out = append(out, op)
		}
	}
	sort.Slice(out, func(i, j int) bool { return l.sites[out[i]].pos < l.sites[out[j]].pos })
	return out
}

// joinSlot joins what a loop carries in one place, as far as the values are not needed side by side.
func (l *plan) joinSlot(op *tile.Op, k int) {
	carried, result, yield, init := op.Body.Args[1+k], op.Results[k], op.Body.Yield[k], op.Args[2+k]
	slot := l.vars[carried]
	if slot.hint == "" {
		slot.hint = init.Name
	}
	l.join(slot, l.vars[result])
	slot.home = l.sites[op].block // assigned before the loop starts
	if v := l.vars[yield]; v != nil && l.homes[yield] == op.Body && yield.Def != nil {
		l.tryJoin(slot, v)
	}
	if v := l.vars[init]; v != nil && l.homes[init] == l.sites[op].block {
		if l.tryJoin(slot, v) {
			slot.home = l.homes[init]
		}
	}
}

// joinNames lets a value that an author named like an earlier one take over its variable.
func (l *plan) joinNames(values []*tile.Value) {
	type key struct {
		name string
		home *tile.Block
	}
	last := map[key]*variable{}
	for _, v := range values {
		x := l.vars[v]
		k := key{x.hint, x.home}
		if x.hint == "" {
			continue
		}
		if y := last[k]; y != nil && y != x && sameType(y.values[0], v) && l.tryJoin(y, x) {
			continue
		}
		last[k] = l.vars[v]
	}
}

func (l *plan) tryJoin(x, y *variable) bool {
	if x == y {
		return true
	}
	for _, a := range x.spans {
		for _, b := range y.spans {
			if a.from <= b.to && b.from <= a.to {
				return false
			}
		}
	}
	l.join(x, y)
	return true
}

// join moves the values of y into x.
func (l *plan) join(x, y *variable) {
	if x == y {
		return
	}
	for _, v := range y.values {
		l.vars[v] = x
	}
	x.values = append(x.values, y.values...)
	x.spans = append(x.spans, y.spans...)
	if x.hint == "" {
		x.hint = y.hint
	}
}

// sameType reports whether two values may follow each other in a variable; Triton compares types in branches.
func sameType(x, y *tile.Value) bool {
	return x.DType == y.DType && slices.Equal(x.Sizes(), y.Sizes())
}
