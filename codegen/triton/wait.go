package triton

import (
	"slices"

	"flagc/ir"
	"flagc/ir/tile"
)

// On a machine with dependent launches the instances of a launch are there while the one before still works, and wait for
// its end. What no launch writes that may still run by then can be read before: its way from memory, which is long, is
// then hidden by the work of another.

// overlap says how launches of program i of the kernel overlap with others, and puts its wait where it belongs: ahead of all
// else or, where the next launch comes early too, behind loads of what is settled, of up to held bytes, and what these
// need. Programs that stream many bytes keep their loads behind the wait: ahead of it they took longer.
func (k *Lowered) overlap(i int, p *tile.Program, held int) {
	p.Launch.Dependents = k.dependents(p)
	if p.Launch.Dependents != tile.EarlyDependents {
		p.Body.Ops = slices.Insert(p.Body.Ops, 0, &tile.Op{Code: tile.Wait})
		return
	}
	for _, q := range p.Params {
		q.Settled = k.settled(i, q)
	}
	w := &waits{ready: map[*tile.Value]bool{}, is: map[*tile.Value]*tile.Value{}}
	w.place(p.Body, held)
	if w.entered {
		tile.Simplify(p) // a counter that has become a number
	}
}

// settled reports whether program i of the kernel may read a parameter before it waits. No launch writes weights, and the
// host has written ropes' tables before. As for the rest: a launch lets the next begin only when it has waited itself, so when
// program i begins, all launches have ended but the one before it. What that does not write has been written by then. Which
// launch that is is known if it is of the same kernel: the program before, or, where that may have had no instances and so
// no launch, also the one before that.
func (k *Lowered) settled(i int, q *tile.Param) bool {
	b, bound := k.Bindings[q.Name]
	if !q.Pointer || q.Access != tile.In || !bound {
		return false
	}
	if b.Source == FromRope || b.Value != nil && b.Value.Kind == ir.WeightValue {
		return true
	}
	for i--; i >= 0 && !k.writesParam(k.Programs[i], q.Name); i-- {
		if k.launches(k.Programs[i]) {
			return true
		}
	}
	return false
}

// writesParam reports whether a program writes anything of what a parameter of the kernel points to.
func (k *Lowered) writesParam(p *tile.Program, name string) bool {
	return k.writes(p, k.Bindings[name].Value) || slices.ContainsFunc(p.Params, func(q *tile.Param) bool {
		return q.Pointer && q.Access != tile.In && q.Name == name
	})
}

// writes reports whether a program writes anything of a value, of a state under any of its names.
func (k *Lowered) writes(p *tile.Program, v *ir.Value) bool {
	return v != nil && slices.ContainsFunc(p.Params, func(q *tile.Param) bool {
		o := k.Bindings[q.Name].Value
		return q.Pointer && q.Access != tile.In && o != nil && o.Root() == v.Root()
	})
}

// launches reports whether a program has instances whatever the sizes are.
func (k *Lowered) launches(p *tile.Program) bool {
	least := map[string]int{}
	for _, c := range p.Consts {
		least[c.Name] = c.Value
	}
	for _, q := range p.Params {
		least[q.Name] = 0
		if s := k.Bindings[q.Name].Symbol; s == "b" || s == "s" {
			least[q.Name] = 1 // there is no call without a sequence or a token
		}
	}
	n, known := tile.LeastOf(p.Grid, least)
	return known && n > 0
}

// waits puts a program's wait in its place.
type waits struct {
	ready   map[*tile.Value]bool        // whether it can be computed before the wait
	is      map[*tile.Value]*tile.Value // what counters and carried values of loops of at most one round are, and results if they run
	entered bool                        // something has left a loop
}

// reach is the beginning of a block, as far as ops follow each other whatever happens.
type reach struct {
	ops   []*tile.Op // those in loops that run once or not at all among them, without these loops
	stop  *tile.Op   // the first that writes, or that holds ops which may run more or less often than once; nil for none
	loads []*tile.Op // those of settled parameters that go ahead of the wait
	bytes int        // that they load
	all   bool       // everything in ops can go ahead of the wait
	// where has the conditions under which ops run, of those in loops that run once or not at all.
	where map[*tile.Op]*tile.Value
}

// place puts the wait into a block that begins before it and ends behind it: behind loads of up to held bytes. Where nothing
// stands in the way of going on into both branches of a conditional, each has a wait of its own.
func (w *waits) place(b *tile.Block, held int) {
	r := w.look(b, held)
	if branch := r.branch(b); branch != nil && w.gains(branch, held-r.bytes) {
		if branch.Else == nil {
			branch.Else = &tile.Block{}
		}
		w.place(branch.Body, held-r.bytes)
		w.place(branch.Else, held-r.bytes)
		return
	}
	ahead := map[*tile.Op]bool{}
	for _, op := range r.loads {
		w.need(op, ahead)
		if cond := r.where[op]; cond != nil {
			w.need(cond.Def, ahead)
		}
	}
	w.lead(r, ahead)
	var ops []*tile.Op
	for _, op := range r.ops {
		if !ahead[op] {
			continue
		}
		if cond := r.where[op]; cond != nil && op.Code == tile.Load {
			ops = append(ops, w.loadIf(op, cond)...)
		}
		ops = append(ops, op)
		w.entered = w.entered || !slices.Contains(b.Ops, op)
		for i, v := range op.Args {
			op.Args[i] = w.now(v)
		}
	}
	remove(b, ahead)
	b.Ops = slices.Concat(ops, []*tile.Op{{Code: tile.Wait}}, b.Ops)
}

// look finds what a block begins with.
func (w *waits) look(b *tile.Block, held int) reach {
	r := reach{all: true, where: map[*tile.Op]*tile.Value{}}
	r.stop = w.collect(b, &r, nil)
	for _, op := range r.ops {
		ready := w.ready[op.Results[0]]
		r.all = r.all && ready
		if op.Code != tile.Load || !ready {
			continue
		}
		v := op.Results[0]
		if n := v.Len() * v.DType.Bytes(); r.bytes+n <= held {
			r.loads, r.bytes = append(r.loads, op), r.bytes+n
		} else {
			r.all = false
		}
	}
	return r
}

// collect adds the ops of a block that runs under a condition, nil for always, up to the op that it returns.
func (w *waits) collect(b *tile.Block, r *reach, where *tile.Value) *tile.Op {
	for _, op := range b.Ops {
		switch cond := op.RunsIf(); {
		case op.RunsOnce():
			if stop := w.enter(op, r, where); stop != nil {
				return stop
			}
			for k, v := range op.Results {
				w.is[v] = op.Body.Yield[k]
			}
		case cond != nil && where == nil && w.ready[w.now(cond)]:
			r.all = false // what it yields depends on whether it runs
			if stop := w.enter(op, r, w.now(cond)); stop != nil {
				return stop
			}
		case op.Code.HasEffect():
			return op
		default:
			ready := op.Code != tile.Load || op.Param.Settled
			for _, v := range op.Args {
				ready = ready && (v == nil || w.ready[w.now(v)])
			}
			w.ready[op.Results[0]] = ready
			r.ops = append(r.ops, op)
			if where != nil {
				r.where[op] = where
			}
		}
	}
	return nil
}

// enter goes on in a loop of at most one round.
func (w *waits) enter(op *tile.Op, r *reach, where *tile.Value) *tile.Op {
	w.is[op.Body.Args[0]] = op.Args[0]
	for k, v := range op.Body.Args[1:] {
		w.is[v] = op.Args[2+k]
	}
	return w.collect(op.Body, r, where)
}

// loadIf makes a load one that reads nothing unless a condition holds, and returns what that takes.
func (w *waits) loadIf(op *tile.Op, cond *tile.Value) []*tile.Op {
	mask := op.Args[1]
	if mask == nil {
		op.Args[1] = cond
		return nil
	}
	mask = w.now(mask)
	both := &tile.Value{Name: "both", DType: tile.Bool, Shape: mask.Shape}
	both.Def = &tile.Op{Code: tile.And, Args: []*tile.Value{cond, mask}, Results: []*tile.Value{both}}
	op.Args[1] = both
	return []*tile.Op{both.Def}
}

// now is what a value is outside of the loops that run once.
func (w *waits) now(v *tile.Value) *tile.Value {
	for w.is[v] != nil {
		v = w.is[v]
	}
	return v
}

// branch is the conditional in block b that the wait can go into, nil for none.
func (r reach) branch(b *tile.Block) *tile.Op {
	if r.all && r.stop != nil && r.stop.Code == tile.If && slices.Contains(b.Ops, r.stop) {
		return r.stop
	}
	return nil
}

// gains reports whether anything can be loaded before the wait if that goes into a conditional.
func (w *waits) gains(branch *tile.Op, held int) bool {
	for _, b := range []*tile.Block{branch.Body, branch.Else} {
		if b == nil {
			continue
		}
		r := w.look(b, held)
		if len(r.loads) > 0 {
			return true
		}
		if next := r.branch(b); next != nil && w.gains(next, held) {
			return true
		}
	}
	return false
}

// need marks an op and all that it is computed from.
func (w *waits) need(op *tile.Op, ahead map[*tile.Op]bool) {
	if ahead[op] {
		return
	}
	ahead[op] = true
	for _, v := range op.Args {
		if v != nil {
			w.need(w.now(v).Def, ahead)
		}
	}
}

// lead marks what the rounds of the loop behind the wait begin with, where it is made of what has been loaded ahead and of nothing
// else that is loaded.
func (w *waits) lead(r reach, ahead map[*tile.Op]bool) {
	if r.stop == nil || r.stop.Code != tile.Loop {
		return
	}
	here, behind := map[*tile.Op]bool{}, map[*tile.Op]bool{} // ops that depend on loads ahead, on others
	for _, op := range r.ops {
		if op.Code == tile.Load {
			here[op], behind[op] = ahead[op], !ahead[op]
			continue
		}
		for _, v := range op.Args {
			from := w.now(v).Def
			here[op], behind[op] = here[op] || here[from], behind[op] || behind[from]
		}
	}
	for _, v := range r.stop.Args {
		if op := w.now(v).Def; here[op] && !behind[op] {
			w.need(op, ahead)
		}
	}
}

// remove takes ops out of a block and of the loops in it that run once or not at all.
func remove(b *tile.Block, gone map[*tile.Op]bool) {
	for _, op := range b.Ops {
		if op.RunsOnce() || op.RunsIf() != nil {
			remove(op.Body, gone)
		}
	}
	b.Ops = slices.DeleteFunc(b.Ops, func(op *tile.Op) bool { return gone[op] })
}
