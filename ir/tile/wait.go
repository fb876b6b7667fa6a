package tile

// RunsOnce reports whether an op is a loop of exactly one round whatever happens: its bounds are numbers, and one step leads
// from the first to the second.
func (op *Op) RunsOnce() bool {
	if op.Code != Loop {
		return false
	}
	from, to := constOf(op.Args[0]), constOf(op.Args[1])
	return from != nil && to != nil && from.Int < to.Int && from.Int+int64(op.Step) >= to.Int
}

// RunsIf is the scalar condition under which an op is a loop of exactly one round, and of none if it does not hold; nil for
// other ops.
func (op *Op) RunsIf() *Value {
	if op.Code != Loop || op.While || constOf(op.Args[0]) == nil || op.Args[1].Def == nil || op.Args[1].Def.Code != Where {
		return nil
	}
	from, then, otherwise := constOf(op.Args[0]), constOf(op.Args[1].Def.Args[1]), constOf(op.Args[1].Def.Args[2])
	if then == nil || otherwise == nil || otherwise.Int > from.Int || from.Int >= then.Int || from.Int+int64(op.Step) < then.Int {
		return nil
	}
	return op.Args[1].Def.Args[0]
}

// waits holds [wait1] of a program that is well formed otherwise.
func (v *verifier) waits() {
	if v.p.Launch.Dependents == NoDependents {
		v.p.Body.Walk(func(op *Op) {
			if op.Code == Wait {
				v.report(op, "wait1", "there is nothing to wait for: launches of the program are not dependent")
			}
		})
		return
	}
	if !v.waited(v.p.Body, false) {
		v.report(nil, "wait1", "launches are dependent, and the program ends without a wait")
	}
}

// waited follows a block, before which the program has waited or not, and says whether it has behind it.
func (v *verifier) waited(b *Block, already bool) bool {
	for _, op := range b.Ops {
		switch {
		case op.Code == Wait && already:
			v.report(op, "wait1", "the program has waited before")
		case op.Code == Wait:
			already = true
		case op.Code == Loop:
			behind := v.waited(op.Body, already)
			if behind != already && !op.RunsOnce() {
				v.report(op, "wait1", "a loop that waits must run once, from one number to another in one step")
			}
			already = behind
		case op.Code == If:
			already = v.waitedBoth(op, already)
		case already:
		case op.Code == Store || op.Code == AtomicAdd:
			v.report(op, "wait1", "%s is written before the wait", op.Param.Name)
		case op.Code == Load && !op.Param.Settled:
			v.report(op, "wait1", "%s is read before the wait and is not settled", op.Param.Name)
		}
	}
	return already
}

// waitedBoth follows both branches: either has waited if the other has.
func (v *verifier) waitedBoth(op *Op, already bool) bool {
	then, otherwise := v.waited(op.Body, already), already
	if op.Else != nil {
		otherwise = v.waited(op.Else, already)
	}
	if then != otherwise {
		v.report(op, "wait1", "one branch waits and the other does not")
	}
	return then || otherwise
}
