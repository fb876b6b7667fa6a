package triton

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"flagc/ir/tile"
)

// block prints the statements of a block, or pass if there are none.
func (w *writer) block(b *tile.Block) {
	start := w.text.Len()
	for _, op := range b.Ops {
		if op.Note != "" && op.Code != tile.If {
			w.notes = append(w.notes, op.Note)
		}
		if w.sites[op].keep {
			w.op(op)
		}
	}
	if loop := w.holders[b]; loop != nil && loop.Code == tile.Loop {
		w.assignAll(loop, w.yielded(loop))
	}
	w.notes = nil
	if w.text.Len() == start {
		w.line("pass")
	}
}

func (w *writer) op(op *tile.Op) {
	switch op.Code {
	case tile.Loop:
		w.loop(op)
	case tile.If:
		w.branch(op, "if ")
	case tile.Store:
		args := []*node{w.address(op), w.value(op.Args[1])}
		if op.Args[2] != nil {
			args = append(args, newKeyword("mask", w.value(op.Args[2])))
		}
		w.statement(op, "", newCall("tl.store", args...))
	case tile.Barrier:
		w.statement(op, "", newCall("tl.debug_barrier"))
	case tile.Wait:
		w.wait(op)
	case tile.AtomicAdd:
		if x := w.vars[op.Results[0]]; x != nil {
			w.assign(op, x.name, w.expr(op.Results[0]))
		} else {
			w.statement(op, "", w.expr(op.Results[0]))
		}
	default:
		if x := w.vars[op.Results[0]]; x != nil {
			w.assign(op, x.name, w.expr(op.Results[0]))
		}
	}
}

// wait prints where the launch before has ended, and how the next overlaps with this one. The next may begin only here: what it
// reads before its own wait is then behind two launches.
func (w *writer) wait(op *tile.Op) {
	early := w.program.Launch.Dependents == tile.EarlyDependents
	w.notes = append(w.notes, "The launch before has ended; "+map[bool]string{
		false: "the next begins as this one ends.", true: "the next may begin and wait for this one.",
	}[early])
	w.statement(op, "", newCall("tl.extra.cuda.gdc_wait"))
	if early {
		w.statement(op, "", newCall("tl.extra.cuda.gdc_launch_dependents"))
	}
}

// assign prints x = …, or x += … where that says the same.
func (w *writer) assign(op *tile.Op, name string, n *node) {
	if n.kind == binary && (n.text == "+" || n.text == "-" || n.text == "*") &&
		n.args[0].kind == atom && n.args[0].text == name {
		w.statement(op, name+" "+n.text+"= ", n.args[1])
		return
	}
	if n.kind == atom && n.text == name {
		return
	}
	w.statement(op, name+" = ", n)
}

// statement prints an expression of an op, and before it the comments that are waiting.
func (w *writer) statement(op *tile.Op, before string, n *node) {
	w.comment()
	lines := n.lines(before, "", w.indent, false)
	if len(lines) > 1 {
		w.long = append(w.long, op)
	}
	for _, l := range lines {
		w.text.WriteString(l)
		w.text.WriteByte('\n')
	}
	w.opened = false
}

// comment prints the waiting notes, a blank line before them unless they open a block.
func (w *writer) comment() {
	if len(w.notes) == 0 {
		return
	}
	if !w.opened {
		w.text.WriteByte('\n')
	}
	for _, note := range w.notes {
		for _, l := range wrap(note, lineWidth-w.indent-2) {
			w.line("# %s", l)
		}
	}
	w.notes = nil
	w.opened = false
}

// loop prints the variables that it starts from, then the loop.
func (w *writer) loop(op *tile.Op) {
	var starts []copying
	for k, c := range op.Body.Args[1:] {
		if w.live[c] {
			starts = append(starts, w.copyInto(w.vars[c], op.Args[2+k]))
		}
	}
	w.assignAll(op, starts)
	w.comment()
	args := []*node{w.value(op.Args[0]), w.value(op.Args[1])}
	if op.Step != 1 {
		args = append(args, newAtom(w.step(op)))
	} else if args[0].text == "0" {
		args = args[1:]
	}
	counter := w.vars[op.Body.Args[0]].name
	if op.While {
		w.loopWhile(op, counter)
		return
	}
	for _, l := range newCall("range", args...).lines("for "+counter+" in ", ":", w.indent, false) {
		w.text.WriteString(l)
		w.text.WriteByte('\n')
	}
	w.nested(op.Body)
}

// loopWhile counts by itself, since what a for loop of Triton counts to is fixed.
func (w *writer) loopWhile(op *tile.Op, counter string) {
	w.line("%s = %s", counter, w.value(op.Args[0]).flat())
	below := &node{kind: binary, text: "<", prec: precCompare, args: []*node{newAtom(counter), w.value(op.Args[1])}}
	going := &node{kind: binary, text: "&", prec: precAnd, args: []*node{newAtom(w.vars[op.Body.Args[1]].name), below}}
	w.line("while %s:", going.flat())
	w.nested(op.Body)
	w.indent += 4
	w.line("%s += %d", counter, op.Step)
	w.indent -= 4
}

func (w *writer) nested(b *tile.Block) {
	w.opened = true
	w.indent += 4
	w.block(b)
	w.indent -= 4
	w.opened = false
}

// step is a loop's step, by the name of the extent that the loop takes at once: of a range in its body, or of any
// tile there, if there is one such name only.
func (w *writer) step(op *tile.Op) string {
	ranges, all := map[string]bool{}, map[string]bool{}
	op.Body.Walk(func(o *tile.Op) {
		for _, v := range o.Results {
			for _, d := range v.Shape {
				if d.Size == op.Step && w.program.Const(d.Name) != nil {
					all[d.Name] = true
					ranges[d.Name] = ranges[d.Name] || o.Code == tile.Range
				}
			}
		}
	})
	maps.DeleteFunc(ranges, func(_ string, isRange bool) bool { return !isRange })
	for _, names := range []map[string]bool{ranges, all} {
		for n := range names {
			if len(names) == 1 {
				return n
			}
		}
	}
	return strconv.Itoa(op.Step)
}

// branch prints an if, and an if that is all of an else as elif.
func (w *writer) branch(op *tile.Op, word string) {
	if word == "if " {
		w.comment()
	}
	for _, l := range w.value(op.Args[0]).lines(word, ":", w.indent, false) {
		w.text.WriteString(l)
		w.text.WriteByte('\n')
	}
	if op.Note != "" {
		w.notes = append(w.notes, op.Note)
	}
	w.nested(op.Body)
	if op.Else == nil || !w.prints(op.Else) {
		return
	}
	if only := w.onlyIf(op.Else); only != nil {
		for _, o := range op.Else.Ops {
			if o != only && o.Note != "" {
				w.notes = append(w.notes, o.Note)
			}
		}
		w.branch(only, "elif ")
		return
	}
	w.line("else:")
	w.nested(op.Else)
}

// prints reports whether a block has statements.
func (w *writer) prints(b *tile.Block) bool { return len(w.statements(b)) > 0 }

// statements are the ops of a block that print more than a part of an expression.
func (w *writer) statements(b *tile.Block) []*tile.Op {
	return slices.DeleteFunc(slices.Clone(b.Ops), func(op *tile.Op) bool {
		return !w.sites[op].keep ||
			len(op.Results) == 1 && op.Code != tile.AtomicAdd && op.Code != tile.Loop && w.inline[op.Results[0]]
	})
}

// onlyIf is the if that is all of a block.
func (w *writer) onlyIf(b *tile.Block) *tile.Op {
	if s := w.statements(b); len(s) == 1 && s[0].Code == tile.If {
		return s[0]
	}
	return nil
}

// copying is an assignment among several that happen at once.
type copying struct {
	to    *variable
	from  *node
	reads []*variable
}

func (w *writer) copyInto(to *variable, from *tile.Value) copying {
	return copying{to, w.value(from), w.readBy(from)}
}

// readBy lists the variables in an expression.
func (w *writer) readBy(v *tile.Value) []*variable {
	if x := w.vars[v]; x != nil {
		return []*variable{x}
	}
	var out []*variable
	for _, a := range v.Def.Args {
		if a != nil {
			out = append(out, w.readBy(a)...)
		}
	}
	return out
}

// yielded lists the assignments at the end of a round.
func (w *writer) yielded(loop *tile.Op) []copying {
	var out []copying
	for k, c := range loop.Body.Args[1:] {
		if w.live[c] {
			out = append(out, w.copyInto(w.vars[c], loop.Body.Yield[k]))
		}
	}
	return out
}

// assignAll prints assignments that happen at once, in an order in which none reads what another has overwritten.
// Where all wait for each other, one new value is kept aside.
func (w *writer) assignAll(op *tile.Op, all []copying) {
	pending := slices.DeleteFunc(all, func(c copying) bool { return c.from.kind == atom && c.from.text == c.to.name })
	for len(pending) > 0 {
		i := slices.IndexFunc(pending, func(c copying) bool { return !readByOther(c, pending) })
		if i < 0 {
			aside := w.fresh(pending[0].to.name+"_next", pending[0].to)
			w.assign(op, aside, pending[0].from)
			pending[0].from, pending[0].reads = newAtom(aside), nil
			continue
		}
		w.assign(op, pending[i].to.name, pending[i].from)
		pending = slices.Delete(pending, i, i+1)
	}
}

func readByOther(c copying, all []copying) bool {
	for _, o := range all {
		if o.to != c.to && slices.Contains(o.reads, c.to) {
			return true
		}
	}
	return false
}

// wrap breaks text at blanks.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(out, line)
}
