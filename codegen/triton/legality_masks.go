package triton

import (
	"fmt"

	"flagc/ir/tile"
)

// maskedOther asks that what masked lanes hold is chosen by the program where loads do not.
func (c *checker) maskedOther() {
	if !c.t.Loads.OtherIgnored.Is(true) {
		return
	}
	c.each(func(op *tile.Op) {
		if c.needsChoice(op) {
			c.breaks(c.t.Loads.OtherIgnored.Source(), "masked lanes hold garbage", "choose by the mask after the load (MaskedWhere)",
				"%s", c.text(op))
		}
	}, tile.Load)
}

// needsChoice reports whether garbage in masked lanes of a load could be seen.
func (f *flow) needsChoice(load *tile.Op) bool {
	return load.Args[1] != nil && f.otherMatters(load.Results[0], load.Args[1])
}

// maskedAddress asks that masked lanes form no address out of range where it must be in range: addresses that are
// loaded, and counted ones that are known to begin below zero. Other counted positions are blocks of memory to a
// compiler that has this rule, and end where the mask does.
func (c *checker) maskedAddress() {
	if !c.t.Loads.LiveMasked.Is(true) {
		return
	}
	c.each(func(op *tile.Op) {
		if c.needsClamp(op) {
			c.breaks(c.t.Loads.LiveMasked.Source(), "addresses of masked lanes must be in range",
				"send them to element 0 (LiveMasked)", "%s", c.text(op))
		}
	}, tile.Load, tile.Store)
}

// needsClamp reports whether masked lanes of a load or store may have any address, or one below zero.
func (f *flow) needsClamp(op *tile.Op) bool {
	return op.Args[len(op.Args)-1] != nil && (!f.isClamped(op) || least(op.Args[0]) < 0)
}

// least is the smallest value of positions as far as it is known; arguments, ids and counters are not negative, and
// neither is a difference of two of them.
func least(v *tile.Value) int64 {
	if v.Def == nil {
		return 0
	}
	op := v.Def
	switch c := op.Code; {
	case c == tile.ConstInt:
		return op.Int
	case c == tile.Add:
		return least(op.Args[0]) + least(op.Args[1])
	case c == tile.Sub && isConst(op.Args[1]):
		return least(op.Args[0]) - op.Args[1].Def.Int
	case c == tile.Mul && isConst(op.Args[1]):
		return min(least(op.Args[0])*op.Args[1].Def.Int, 0)
	case c >= tile.Full && c <= tile.Transpose, c == tile.Cast:
		return least(op.Args[0])
	}
	return 0 // bounded or chosen by the author, or none of the above
}

// repeatedAddresses asks that a load reads what is the same along an axis once.
func (c *checker) repeatedAddresses() {
	if !c.t.Loads.Repeats.Is(false) {
		return
	}
	c.each(func(op *tile.Op) {
		if len(repeatedAxes(op)) > 0 {
			c.breaks(c.t.Loads.Repeats.Source(), "no two lanes of an axis at one address",
				"load once and choose by the mask afterwards (ReadOnce)", "%s", c.text(op))
		}
	}, tile.Load)
}

// repeatedAxes are the axes along which all lanes of a load have one address.
func repeatedAxes(load *tile.Op) (axes []int) {
	at := distinct(load.Args[0])
	for i, d := range at.Shape {
		if d.Size == 1 && load.Results[0].Shape[i].Size > 1 {
			axes = append(axes, i)
		}
	}
	return axes
}

// distinct is what a value repeats.
func distinct(v *tile.Value) *tile.Value {
	for v.Def != nil && v.Def.Code == tile.Broadcast {
		v = v.Def.Args[0]
	}
	return v
}

func (c *checker) maskedRows() {
	most, ok := c.t.Loads.MaxMasked.Get()
	if !ok {
		return
	}
	c.each(func(op *tile.Op) {
		if coversRows(op, most) {
			c.breaks(c.t.Loads.MaxMasked.Source(), fmt.Sprintf("at most %d rows under a mask", most),
				"take fewer rows, or choose by the mask after the load (UnmaskRows)", "%d rows, %s", op.Results[0].Shape[0].Size, c.text(op))
		}
	}, tile.Load)
}

// masksInLoops warns of masks beside dots where they cost as much.
func (c *checker) masksInLoops() {
	if !c.t.Loads.MasksCostly.Is(true) {
		return
	}
	withDot := map[*tile.Op]bool{}
	c.each(func(op *tile.Op) { withDot[c.loop(op)] = true }, tile.Dot)
	c.each(func(op *tile.Op) {
		if loop := c.loop(op); op.Args[1] != nil && loop != nil && withDot[loop] {
			c.warns(c.t.Loads.MasksCostly.Source(), "masks in loops of dots are costly", "pad, and load without a mask",
				"%s", c.text(op))
		}
	}, tile.Load)
}

// fp8 asks for pointers to e4m3; where they are not known to be accepted the format is left out altogether.
func (c *checker) fp8() {
	known := c.t.Loads.FP8
	if known.Or(false) {
		return
	}
	for _, p := range c.p.Params {
		if p.DType == tile.E4M3 {
			c.breaks(known.Source(), "no pointers to e4m3", "read and write bytes (BytesForFP8)", "parameter %s", p.Name)
		}
	}
	c.each(func(op *tile.Op) {
		if op.Results[0].DType == tile.E4M3 {
			c.breaks(known.Source(), "no e4m3", "round by arithmetic on bits (BytesForFP8)", "%s", c.text(op))
		}
	}, tile.Cast)
}

// emptyStores asks that no store runs whose mask is false everywhere.
func (c *checker) emptyStores() {
	if !c.t.Stores.EmptyDropsAll.Is(true) {
		return
	}
	c.each(func(op *tile.Op) {
		if op.Args[2] != nil && !c.isGuarded(op) {
			c.breaks(c.t.Stores.EmptyDropsAll.Source(), "a store without lanes drops the program's others",
				"store only if a lane is left (GuardStores)", "%s", c.text(op))
		}
	}, tile.Store)
}

// isGuarded reports whether a store stands in a branch that is taken only if its mask holds somewhere.
func (f *flow) isGuarded(store *tile.Op) bool {
	mask := store.Args[2]
	for b := f.plan.sites[store].block; ; {
		holder := f.plan.holders[b]
		if holder == nil {
			return false
		}
		if holder.Code == tile.If && b == holder.Body && anyOf(holder.Args[0], mask) {
			return true
		}
		b = f.plan.sites[holder].block
	}
}

// anyOf reports whether a condition is max(mask) > 0, over all axes, or the mask itself if that is a scalar.
func anyOf(cond, mask *tile.Value) bool {
	if len(mask.Shape) == 0 {
		return sameTerm(cond, mask)
	}
	if cond.Def == nil || cond.Def.Code != tile.Gt || !isConst(cond.Def.Args[1]) || cond.Def.Args[1].Def.Int != 0 {
		return false
	}
	v := cond.Def.Args[0]
	for v.Def != nil && v.Def.Code == tile.Max {
		v = v.Def.Args[0]
	}
	return v.Def != nil && v.Def.Code == tile.Cast && sameTerm(v.Def.Args[0], mask)
}
