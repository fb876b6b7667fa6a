package triton

import (
	"fmt"
	"slices"

	"flagc/ir/tile"
)

// lanes asks for vectors that are long enough. Numbers of the rows of a tile are not meant: where few rows are allowed
// there are few of them, and the backend that has both rules reduces tiles of at most 16 rows to such vectors itself.
func (c *checker) lanes() {
	least, ok := c.t.Loads.MinLanes.Get()
	if !ok {
		return
	}
	c.p.Body.Walk(func(op *tile.Op) {
		if !c.plan.sites[op].keep {
			return
		}
		for _, v := range op.Results {
			if n := v.Len(); n > 1 && n < least && !c.isAddress(v) && !c.isOfRows(v) {
				c.breaks(c.t.Loads.MinLanes.Source(), fmt.Sprintf("vectors of at least %d lanes", least),
					"pad the vector and mask what is beyond", "%d lanes, %s", n, c.text(op))
			}
		}
	})
}

// isOfRows reports whether a value has one number for each row of a tile: a column, what a reduction of rows yields,
// what is computed from that, and what serves columns alone.
func (f *flow) isOfRows(v *tile.Value) bool {
	return isColumn(v) || f.from(v, isReducedRows, sameLanes) || f.servesColumns(v, map[*tile.Value]bool{})
}

func isColumn(v *tile.Value) bool { return len(v.Shape) > 1 && v.Shape[len(v.Shape)-1].Size == 1 }

// isReducedRows reports whether a value is what a tile's last axis reduces to.
func isReducedRows(v *tile.Value) bool {
	return v.Def != nil && v.Def.Code.IsReduction() && len(v.Shape) > 0 && v.Def.Axis == len(v.Shape)
}

// sameLanes reports whether each lane of a value comes from the same lane of its operands.
func sameLanes(v *tile.Value) bool {
	if v.Def == nil {
		return true // a loop carries it
	}
	c := v.Def.Code
	return isElementwise(c) || c == tile.Loop
}

func isElementwise(c tile.Code) bool {
	return c.IsUnary() || c.IsBinary() || c == tile.Where || c == tile.Cast || c == tile.Bitcast
}

// servesColumns reports whether all that becomes of a value are columns, lane by lane.
func (f *flow) servesColumns(v *tile.Value, seen map[*tile.Value]bool) bool {
	if seen[v] || isColumn(v) {
		return true
	}
	seen[v] = true
	uses := f.users(v)
	return len(uses) > 0 && !slices.ContainsFunc(uses, func(u user) bool {
		switch {
		case u.isInit():
			return !f.servesColumns(u.op.Body.Args[u.arg-1], seen) || !f.servesColumns(u.op.Results[u.arg-2], seen)
		case u.back:
			return !f.servesColumns(u.op.Results[u.arg], seen)
		case isElementwise(u.op.Code), u.op.Code == tile.Load, u.op.Code == tile.Expand, u.op.Code == tile.Reshape:
			return !f.servesColumns(u.op.Results[0], seen)
		}
		return true
	})
}
