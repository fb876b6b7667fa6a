package tile

import (
	"fmt"
	"strings"
)

// Simplify makes a program that verifies shorter and keeps what it computes, bit for bit: it folds whole numbers,
// drops what changes nothing, merges equal values of a block with those of the blocks around it, and removes what
// nobody uses. Floats are not folded or regrouped. Values keep their names, and notes of ops that go move to the
// next op. Loads stay apart, for something may have been stored between them; a constant with a name stays
// visible where it takes part in a sum or a product.
func Simplify(p *Program) {
	for changed := true; changed; {
		s := &simplifier{becomes: map[*Value]*Value{}, seen: map[string]*Value{}, number: map[*Value]int{}}
		s.block(p.Body)
		d := &sweeper{live: map[*Value]bool{}}
		d.mark(p.Body)
		d.sweep(p.Body)
		changed = s.changed || d.changed
	}
}

// simplifier is one walk from top to bottom.
type simplifier struct {
	becomes map[*Value]*Value // values that have gone
	seen    map[string]*Value // what the open blocks have computed
	number  map[*Value]int
	out     []*Op // of the block at hand
	note    string
	changed bool
}

func (s *simplifier) now(v *Value) *Value {
	for v != nil && s.becomes[v] != nil {
		v = s.becomes[v]
	}
	return v
}

func (s *simplifier) block(b *Block) {
	outer, note := s.out, s.note
	s.out, s.note = nil, ""
	var mine []string
	for _, op := range b.Ops {
		if key := s.op(op); key != "" {
			mine = append(mine, key)
		}
	}
	for i, v := range b.Yield {
		b.Yield[i] = s.now(v)
	}
	for _, key := range mine {
		delete(s.seen, key)
	}
	b.Ops = s.out
	s.out, s.note = outer, note
}

// op rewrites an op and keeps or drops it. It returns the key under which its value may be found again.
func (s *simplifier) op(op *Op) string {
	for i, v := range op.Args {
		op.Args[i] = s.now(v)
	}
	s.unmask(op)
	switch op.Code {
	case Loop:
		s.loop(op)
		s.block(op.Body)
		s.emit(op)
		return ""
	case If:
		s.branch(op)
		return ""
	}
	if op.Code.HasEffect() {
		s.emit(op)
		return ""
	}
	if v := s.fold(op); v != nil {
		s.replace(op, v)
		return ""
	}
	if op.Code == Load {
		s.emit(op)
		return ""
	}
	key := s.key(op)
	if v := s.seen[key]; v != nil {
		s.replace(op, v)
		return ""
	}
	s.seen[key] = op.Results[0]
	s.emit(op)
	return key
}

// unmask drops a mask that is true everywhere, unless it is what gives the load its shape.
func (s *simplifier) unmask(op *Op) {
	if op.Code != Load && op.Code != Store {
		return
	}
	last := len(op.Args) - 1
	mask := op.Args[last]
	if mask == nil {
		return
	}
	if c := constOf(mask); c == nil || c.Int == 0 {
		return
	}
	if op.Code == Load && op.Args[0].Len() != op.Results[0].Len() {
		return
	}
	op.Args[last], s.changed = nil, true
}

// emit keeps an op, with the notes of those that went before it.
func (s *simplifier) emit(op *Op) {
	op.Note = joinNotes(s.note, op.Note)
	s.note = ""
	s.out = append(s.out, op)
}

func joinNotes(a, b string) string {
	if a == "" || a == b {
		return b
	}
	if b == "" {
		return a
	}
	return a + "\n" + b
}

// replace drops an op whose value is there already.
func (s *simplifier) replace(op *Op, v *Value) {
	s.becomes[op.Results[0]] = v
	if v.Name == "" {
		v.Name = op.Results[0].Name
	}
	s.note = joinNotes(s.note, op.Note)
	s.changed = true
}

// key is equal for two ops that yield the same. Extents count with their names, for the printed text uses these.
func (s *simplifier) key(op *Op) string {
	var b strings.Builder
	fmt.Fprint(&b, op.Code, typeText(op.Results[0]))
	for _, v := range op.Args {
		if s.number[v] == 0 {
			s.number[v] = len(s.number) + 1
		}
		fmt.Fprint(&b, " ", s.number[v])
	}
	switch c := op.Code; {
	case c == Scalar:
		b.WriteString(op.Param.Name)
	case c == ConstInt && op.Const != nil:
		b.WriteString(op.Const.Name)
	case c == ConstInt:
		fmt.Fprint(&b, "=", op.Int)
	case c == ConstFloat:
		fmt.Fprint(&b, "=", floatText(op.Float))
	case c == Expand || c.IsReduction():
		fmt.Fprint(&b, "@", op.Axis)
	case c == Transpose:
		fmt.Fprint(&b, op.Perm)
	}
	return b.String()
}

// loop takes values out of a loop that it carries without change.
func (s *simplifier) loop(op *Op) {
	b := op.Body
	k := 0
	for i := range op.Results {
		arg, init := b.Args[i+1], op.Args[i+2]
		if isCondition := op.While && i == 0; !isCondition && (s.now(b.Yield[i]) == arg || s.now(b.Yield[i]) == init) {
			s.becomes[arg], s.becomes[op.Results[i]] = init, init
			if init.Name == "" {
				init.Name = op.Results[i].Name
			}
			s.changed = true
			continue
		}
		moveCarried(op, i, k)
		k++
	}
	cutCarried(op, k)
}

// moveCarried puts the carried value i at place k; cutCarried keeps the first n.
func moveCarried(op *Op, i, k int) {
	b := op.Body
	op.Results[k], op.Args[k+2], b.Args[k+1], b.Yield[k] = op.Results[i], op.Args[i+2], b.Args[i+1], b.Yield[i]
}

func cutCarried(op *Op, n int) {
	op.Results, op.Args = op.Results[:n], op.Args[:n+2]
	op.Body.Args, op.Body.Yield = op.Body.Args[:n+1], op.Body.Yield[:n]
}

// branch simplifies a conditional; one whose condition is known gives way to the ops of that side.
func (s *simplifier) branch(op *Op) {
	cond := constOf(op.Args[0])
	if cond == nil {
		s.block(op.Body)
		if op.Else != nil {
			s.block(op.Else)
		}
		s.emit(op)
		return
	}
	s.note = joinNotes(s.note, op.Note)
	s.changed = true
	side := op.Body
	if cond.Int == 0 {
		side = op.Else
	}
	if side == nil {
		return
	}
	note := s.note
	s.note = ""
	s.block(side)
	for i, inner := range side.Ops {
		if i == 0 {
			inner.Note = joinNotes(note, inner.Note)
			note = ""
		}
		s.out = append(s.out, inner)
	}
	s.note = note
}

// sweeper removes what nobody uses.
type sweeper struct {
	live    map[*Value]bool
	changed bool
}

// mark goes from bottom to top: an op is needed if it has an effect or if one of its values is used.
func (d *sweeper) mark(b *Block) {
	for i := len(b.Ops) - 1; i >= 0; i-- {
		op := b.Ops[i]
		if !d.needed(op) {
			continue
		}
		switch op.Code {
		case Loop:
			d.markLoop(op)
		case If:
			d.mark(op.Body)
			if op.Else != nil {
				d.mark(op.Else)
			}
			d.use(op.Args...)
		default:
			d.use(op.Args...)
		}
	}
}

func (d *sweeper) use(values ...*Value) {
	for _, v := range values {
		if v != nil {
			d.live[v] = true
		}
	}
}

// markLoop adds carried values as long as the body turns out to read more of them.
func (d *sweeper) markLoop(op *Op) {
	d.use(op.Args[:2]...)
	if op.While {
		d.use(op.Body.Args[1])
	}
	for before := -1; before != len(d.live); {
		before = len(d.live)
		for k, r := range op.Results {
			if d.live[r] || d.live[op.Body.Args[k+1]] {
				d.use(op.Args[k+2], op.Body.Yield[k])
			}
		}
		d.mark(op.Body)
	}
}

func (d *sweeper) needed(op *Op) bool {
	for _, r := range op.Results {
		if d.live[r] {
			return true
		}
	}
	if op.Code == Loop || op.Code == If {
		return hasEffect(op.Body) || hasEffect(op.Else)
	}
	return op.Code.HasEffect()
}

func hasEffect(b *Block) bool {
	found := false
	b.Walk(func(op *Op) { found = found || op.Code.Acts() })
	return found
}

func (d *sweeper) sweep(b *Block) {
	kept := b.Ops[:0]
	note := ""
	for _, op := range b.Ops {
		if !d.needed(op) {
			note = joinNotes(note, op.Note)
			d.changed = true
			continue
		}
		op.Note = joinNotes(note, op.Note)
		note = ""
		kept = append(kept, op)
		if op.Code == Loop {
			d.cut(op)
		}
		if op.Body != nil {
			d.sweep(op.Body)
		}
		if op.Else != nil {
			d.sweep(op.Else)
			if len(op.Else.Ops) == 0 {
				op.Else = nil
			}
		}
	}
	b.Ops = kept
}

// cut drops carried values that only feed themselves.
func (d *sweeper) cut(op *Op) {
	k := 0
	for i := range op.Results {
		if d.live[op.Results[i]] || d.live[op.Body.Args[i+1]] {
			moveCarried(op, i, k)
			k++
		}
	}
	d.changed = d.changed || k < len(op.Results)
	cutCarried(op, k)
}
