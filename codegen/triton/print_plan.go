package triton

import (
	"sort"

	"flagc/ir/tile"
)

// plan says how the values of a program become Python: which are parts of larger expressions, which are statements,
// and which share a variable.
type plan struct {
	program *tile.Program
	keep    map[*tile.Value]bool
	sites   map[*tile.Op]*site
	holders map[*tile.Block]*tile.Op    // the op that holds a block, nil for the program's body
	homes   map[*tile.Value]*tile.Block // where a value comes to be
	live    map[*tile.Value]bool
	effects []int // positions of ops that write memory or order it, in the order of the text
	slow    []int // of ops that a load had better be on its way before
	users   map[*tile.Value][]user
	inline  map[*tile.Value]bool
	vars    map[*tile.Value]*variable
	taken   map[string][]*variable // by name; nil stands for a parameter
}

// site is where an op stands.
type site struct {
	block *tile.Block
	pos   int
	end   int // of loops and ifs: behind the last op inside
	keep  bool
}

// user is one use of a value.
type user struct {
	op   *tile.Op
	arg  int // index of the argument, or of what a loop's body yields
	back bool
}

// analyse finds the places and uses of a program's values; nothing is decided yet.
func analyse(p *tile.Program) *plan {
	l := &plan{
		program: p,
		sites:   map[*tile.Op]*site{},
		holders: map[*tile.Block]*tile.Op{},
		homes:   map[*tile.Value]*tile.Block{},
		live:    map[*tile.Value]bool{},
		users:   map[*tile.Value][]user{},
	}
	l.number(p.Body, nil, 0)
	l.markLive()
	l.collectUsers(p.Body)
	return l
}

// decide chooses statements, variables and names. The values in keep become statements in any case.
func (l *plan) decide(keep map[*tile.Value]bool) {
	l.keep = keep
	l.inline = map[*tile.Value]bool{}
	l.vars = map[*tile.Value]*variable{}
	l.taken = map[string][]*variable{}
	l.chooseInlined()
	l.limitExpressions(l.program.Body)
	l.assignVariables()
	l.assignNames()
}

// number gives every op its place in the text, and every value the block where it comes to be.
func (l *plan) number(b *tile.Block, parent *tile.Op, pos int) int {
	l.holders[b] = parent
	for _, v := range b.Args {
		l.homes[v] = b
	}
	for _, op := range b.Ops {
		s := &site{block: b, pos: pos}
		l.sites[op] = s
		for _, v := range op.Results {
			l.homes[v] = b
		}
		pos++
		if op.Code.IsReduction() {
			l.slow = append(l.slow, s.pos)
		}
		if op.Code.Acts() {
			l.effects = append(l.effects, s.pos)
		}
		switch op.Code {
		case tile.Dot:
			l.slow = append(l.slow, s.pos)
		case tile.Loop, tile.If:
			l.slow = append(l.slow, s.pos)
			pos = l.number(op.Body, op, pos)
			if op.Else != nil {
				pos = l.number(op.Else, op, pos)
			}
			s.end = pos
			pos++
		}
	}
	return pos
}

// markLive finds the ops that matter: those that write, those that hold such, and those that yield what they need.
func (l *plan) markLive() {
	loopOf := map[*tile.Value]*tile.Op{} // of carried values
	slot := map[*tile.Value]int{}
	for op := range l.sites {
		if op.Code != tile.Loop {
			continue
		}
		for k, v := range op.Body.Args[1:] {
			loopOf[v], slot[v] = op, k
			loopOf[op.Results[k]], slot[op.Results[k]] = op, k
		}
	}
	var need func(v *tile.Value)
	var keep func(op *tile.Op)
	keep = func(op *tile.Op) {
		if op == nil || l.sites[op].keep {
			return
		}
		l.sites[op].keep = true
		keep(l.holders[l.sites[op].block])
		args := op.Args
		if op.Code == tile.Loop {
			args = op.Args[:2]
		}
		for _, v := range args {
			need(v)
		}
		if op.While {
			need(op.Body.Args[1])
		}
	}
	need = func(v *tile.Value) {
		if v == nil || l.live[v] {
			return
		}
		l.live[v] = true
		if loop := loopOf[v]; loop != nil {
			k := slot[v]
			keep(loop)
			for _, w := range []*tile.Value{loop.Args[2+k], loop.Body.Args[1+k], loop.Body.Yield[k], loop.Results[k]} {
				need(w)
			}
			return
		}
		if v.Def == nil {
			keep(l.holders[l.homes[v]]) // the counter
			return
		}
		keep(v.Def)
	}
	for op := range l.sites {
		if op.Code.Acts() {
			keep(op)
		}
	}
}

// collectUsers lists the uses by ops that matter, in order of the text.
func (l *plan) collectUsers(b *tile.Block) {
	for _, op := range b.Ops {
		if !l.sites[op].keep {
			continue
		}
		for i, v := range op.Args {
			if v == nil || op.Code == tile.Loop && i >= 2 && !l.live[op.Results[i-2]] {
				continue
			}
			l.users[v] = append(l.users[v], user{op: op, arg: i})
		}
		if op.Body != nil {
			l.collectUsers(op.Body)
		}
		if op.Else != nil {
			l.collectUsers(op.Else)
		}
		if op.Code == tile.Loop {
			for k, v := range op.Body.Yield {
				if l.live[op.Results[k]] {
					l.users[v] = append(l.users[v], user{op: op, arg: k, back: true})
				}
			}
		}
	}
}

// isInit reports whether the use is the first value that a loop carries.
func (u user) isInit() bool { return u.op.Code == tile.Loop && !u.back && u.arg >= 2 }

// isAcc reports whether the use is what a dot adds to.
func (u user) isAcc() bool { return u.op.Code == tile.Dot && u.arg == 2 }

// chooseInlined decides from the end of the text to its start, so that the reader of a value is decided before it.
func (l *plan) chooseInlined() {
	ops := make([]*tile.Op, 0, len(l.sites))
	for op, s := range l.sites {
		if s.keep && len(op.Results) == 1 && op.Code != tile.Loop && op.Code != tile.AtomicAdd {
			ops = append(ops, op)
		}
	}
	sort.Slice(ops, func(i, j int) bool { return l.sites[ops[i]].pos > l.sites[ops[j]].pos })
	for _, op := range ops {
		v := op.Results[0]
		l.inline[v] = l.free(v) || l.inlines(v)
	}
}

// free reports whether a value is repeated wherever it is used rather than kept: numbers, arguments, views of a
// vector as a row or column, and zeros that start a sum.
func (l *plan) free(v *tile.Value) bool {
	op := v.Def
	switch op.Code {
	case tile.Scalar, tile.ConstInt: // numbers, also where a value with a name was found to be one
		return true
	case tile.ConstFloat, tile.Expand:
		return v.Name == ""
	case tile.Full:
		for _, u := range l.users[v] {
			if !u.isInit() && !u.isAcc() {
				return false
			}
		}
		return isConst(op.Args[0]) && (v.Name == "" || len(l.users[v]) > 1)
	}
	return false
}

func isConst(v *tile.Value) bool {
	return v.Def != nil && (v.Def.Code == tile.ConstInt || v.Def.Code == tile.ConstFloat)
}

// inlines reports whether a value is part of the one expression that uses it.
func (l *plan) inlines(v *tile.Value) bool {
	if v.Name != "" || l.keep[v] {
		return false
	}
	reads := l.reads(v)
	if len(reads) != 1 || reads[0].block != l.homes[v] || reads[0].back {
		return false
	}
	if v.Def.Code != tile.Load {
		return true
	}
	from, to := l.sites[v.Def].pos, (reads[0].pos+1)/2
	return !between(l.effects, from, to) && !between(l.slow, from, to)
}

// between reports whether one of the positions lies behind one and before another. If memory changes there, a load cannot
// move; if all lanes meet there, it would begin late.
func between(positions []int, from, to int) bool {
	i := sort.SearchInts(positions, from+1)
	return i < len(positions) && positions[i] < to
}

// read is a place where a value is read, seen through the values that are inlined there. Even positions are those
// of reading, odd ones behind them of assigning.
type read struct {
	pos   int
	block *tile.Block
	back  bool // at the end of a loop's body, for its next round
}

func (l *plan) reads(v *tile.Value) []read {
	var out []read
	for _, u := range l.users[v] {
		s := l.sites[u.op]
		switch {
		case u.back:
			out = append(out, read{pos: 2 * s.end, block: u.op.Body, back: true})
		case u.isInit(): // before the loop's own variables are assigned
			out = append(out, read{pos: 2*s.pos - 1, block: s.block})
		case len(u.op.Results) == 1 && l.inline[u.op.Results[0]]:
			out = append(out, l.reads(u.op.Results[0])...)
		default:
			out = append(out, read{pos: 2 * s.pos, block: s.block})
		}
	}
	return out
}

// maxWeight is how much arithmetic one statement holds before a part of it becomes a statement of its own.
const maxWeight = 9

// limitExpressions splits expressions that are too large to be read.
func (l *plan) limitExpressions(b *tile.Block) {
	for _, op := range b.Ops {
		s := l.sites[op]
		if !s.keep {
			continue
		}
		for l.split(op) {
		}
		if op.Body != nil {
			l.limitExpressions(op.Body)
		}
		if op.Else != nil {
			l.limitExpressions(op.Else)
		}
	}
}

// split makes a part of a statement that is too heavy a statement, and reports whether it did.
func (l *plan) split(op *tile.Op) bool {
	if len(op.Results) == 1 && l.inline[op.Results[0]] || l.total(op) <= maxWeight {
		return false
	}
	v := l.half(op)
	if v != nil {
		l.inline[v] = false
	}
	return v != nil
}

// total is the weight of a statement.
func (l *plan) total(op *tile.Op) int {
	n := opWeight(op)
	for _, v := range op.Args {
		n += l.weight(v)
	}
	return n
}

// minWeight is how much arithmetic is worth a statement.
const minWeight = 3

// half is the part of a statement that divides it most evenly, nil if all are small.
func (l *plan) half(op *tile.Op) *tile.Value {
	total := l.total(op)
	var best *tile.Value
	off := 2 * total
	var visit func(v *tile.Value)
	visit = func(v *tile.Value) {
		if v == nil || !l.inline[v] {
			return
		}
		n := l.weight(v)
		if distance := max(2*n-total, total-2*n); n >= minWeight && !l.free(v) && distance < off {
			best, off = v, distance
		}
		for _, a := range v.Def.Args {
			visit(a)
		}
	}
	for _, v := range op.Args {
		visit(v)
	}
	return best
}

// weight is that of an inlined value's expression.
func (l *plan) weight(v *tile.Value) int {
	if v == nil || !l.inline[v] {
		return 0
	}
	n := opWeight(v.Def)
	for _, a := range v.Def.Args {
		n += l.weight(a)
	}
	return n
}

func opWeight(op *tile.Op) int {
	switch {
	case op.Code == tile.Scalar, op.Code == tile.ConstInt, op.Code == tile.ConstFloat, op.Code == tile.Expand:
		return 0
	case op.Code == tile.Load, op.Code == tile.Store, op.Code == tile.Dot, op.Code.IsReduction():
		return 2
	}
	return 1
}
