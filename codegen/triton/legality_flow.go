package triton

import (
	"slices"

	"flagc/ir/tile"
)

// flow is where the values of a program come from and go to.
type flow struct {
	plan      *plan // its places and uses; nothing is inlined
	addresses map[*tile.Value]bool
}

func newFlow(p *tile.Program) *flow {
	return &flow{plan: analyse(p), addresses: map[*tile.Value]bool{}}
}

func (f *flow) users(v *tile.Value) []user { return f.plan.users[v] }

// inLoop reports whether an op is inside a loop.
func (f *flow) inLoop(op *tile.Op) bool { return f.loop(op) != nil }

// loop is the innermost loop around an op, nil if there is none.
func (f *flow) loop(op *tile.Op) *tile.Op {
	for s := f.plan.sites[op]; s != nil; {
		holder := f.plan.holders[s.block]
		if holder == nil || holder.Code == tile.Loop {
			return holder
		}
		s = f.plan.sites[holder]
	}
	return nil
}

// carries returns the init and the yield of a value that a loop carries, or of its result.
func (f *flow) carries(v *tile.Value) []*tile.Value {
	loop, k := v.Def, -1
	if loop == nil {
		loop = f.plan.holders[f.plan.homes[v]]
		k = slices.Index(loop.Body.Args, v) - 1
	} else if loop.Code == tile.Loop {
		k = slices.Index(loop.Results, v)
	}
	if k < 0 {
		return nil
	}
	return []*tile.Value{loop.Args[2+k], loop.Body.Yield[k]}
}

// from reports whether a value depends on one that is found, along paths on which through holds.
func (f *flow) from(v *tile.Value, found, through func(*tile.Value) bool) bool {
	seen := map[*tile.Value]bool{}
	var visit func(v *tile.Value) bool
	visit = func(v *tile.Value) bool {
		if v == nil || seen[v] {
			return false
		}
		seen[v] = true
		if found(v) {
			return true
		}
		if !through(v) {
			return false
		}
		operands := f.carries(v)
		if operands == nil && v.Def != nil {
			operands = v.Def.Args
		}
		return slices.ContainsFunc(operands, visit)
	}
	return visit(v)
}

// isGathered reports whether a load or store goes to addresses that were themselves loaded, lane by lane. What became
// one number on the way is the same for all lanes.
func (f *flow) isGathered(op *tile.Op) bool {
	return f.from(op.Args[0], isLoadedTile, func(v *tile.Value) bool { return len(v.Shape) > 0 })
}

func isLoadedTile(v *tile.Value) bool {
	return v.Def != nil && v.Def.Code == tile.Load && len(v.Shape) > 0
}

// isClamped reports whether no loaded number reaches an address without a choice or a bound on the way.
func (f *flow) isClamped(op *tile.Op) bool {
	return !f.from(op.Args[0], isLoadedTile, func(v *tile.Value) bool {
		return v.Def == nil || v.Def.Code != tile.Where && v.Def.Code != tile.Minimum && v.Def.Code != tile.Maximum
	})
}

// otherMatters reports whether the value of masked lanes can be seen: whether it reaches more than stores under the
// same mask.
func (f *flow) otherMatters(v, mask *tile.Value) bool {
	for _, u := range f.users(v) {
		switch c := u.op.Code; {
		case c == tile.Store && u.arg == 1 && sameTerm(u.op.Args[2], mask):
		case c.IsUnary(), c.IsBinary(), c == tile.Cast, c == tile.Bitcast, c == tile.Where && u.arg > 0:
			if !f.chosen(u, mask) && f.otherMatters(u.op.Results[0], mask) {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// chosen reports whether a use is where(mask, x, …).
func (f *flow) chosen(u user, mask *tile.Value) bool {
	return u.op.Code == tile.Where && u.arg == 1 && sameTerm(u.op.Args[0], mask)
}

// sameTerm reports whether two values are the same, or the same expression of the same values.
func sameTerm(x, y *tile.Value) bool {
	if x == y {
		return true
	}
	if x == nil || y == nil || x.Def == nil || y.Def == nil || !sameType(x, y) || !sameAttributes(x.Def, y.Def) {
		return false
	}
	for i, a := range x.Def.Args {
		if !sameTerm(a, y.Def.Args[i]) {
			return false
		}
	}
	return true
}

func sameAttributes(x, y *tile.Op) bool {
	pure := x.Code < tile.Load
	return pure && x.Code == y.Code && len(x.Args) == len(y.Args) && x.Param == y.Param && x.Int == y.Int &&
		x.Float == y.Float && x.Axis == y.Axis && slices.Equal(x.Perm, y.Perm)
}

// isAddress reports whether a value serves positions and masks alone and is computed from counters, so that a
// compiler that knows blocks of memory keeps no tile for it.
func (f *flow) isAddress(v *tile.Value) bool {
	known, ok := f.addresses[v]
	if !ok {
		known = !f.from(v, isFetched, always) && f.onlyAddresses(v, map[*tile.Value]bool{})
		f.addresses[v] = known
	}
	return known
}

// isFetched reports whether a value is more than arithmetic on counters.
func isFetched(v *tile.Value) bool { return v.Def != nil && v.Def.Code >= tile.Dot }

func always(*tile.Value) bool { return true }

func (f *flow) onlyAddresses(v *tile.Value, seen map[*tile.Value]bool) bool {
	if seen[v] {
		return true
	}
	seen[v] = true
	for _, u := range f.users(v) {
		switch c := u.op.Code; {
		case (c == tile.Load || c == tile.Store) && (u.arg == 0 || u.arg == len(u.op.Args)-1):
		case c < tile.Where && len(u.op.Results) == 1:
			if !f.onlyAddresses(u.op.Results[0], seen) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
