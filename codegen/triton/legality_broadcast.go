package triton

import (
	"flagc/ir/tile"
	"flagc/targets"
)

// broadcastExps asks that a program broadcasts no vector of exponentials that it has computed into a tile.
func (c *checker) broadcastExps() {
	if !c.t.Ops.BroadcastExp.Is(targets.Forbidden) {
		return
	}
	c.p.Body.Walk(func(op *tile.Op) {
		if !c.plan.sites[op].keep || op.Code != tile.Broadcast && !isElementwise(op.Code) {
			return
		}
		for _, v := range op.Args {
			if n := v.Len(); n > 1 && n < op.Results[0].Len() && c.from(v, isExp, sameElements) {
				c.breaks(c.t.Ops.BroadcastExp.Source(), "no vector of exponentials becomes a tile where it is computed",
					"compute it in a program before and load it", "%s", c.text(op))
			}
		}
	})
}

func isExp(v *tile.Value) bool { return v.Def != nil && v.Def.Code == tile.Exp && v.Len() > 1 }

// sameElements reports whether a value has the elements of its operands, each computed from those in its place.
func sameElements(v *tile.Value) bool {
	return sameLanes(v) || v.Def.Code == tile.Expand || v.Def.Code == tile.Reshape
}
