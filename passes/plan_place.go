package passes

import (
	"slices"

	"flagc/ir"
)

// region places a function's buffers of one region and says where the calls' room begins and where all ends. What
// lives through a call comes first, as low as it can, so that all calls have their room at one place.
func (fp *funcPlan) region(region ir.Region, calls []int, callee int) (base, end int) {
	var through, others []*buffer
	for _, b := range fp.buffers {
		switch {
		case b.fixed || b.place.Region != region:
		case slices.ContainsFunc(calls, func(i int) bool { return b.first <= i && i <= b.last }):
			through = append(through, b)
		default:
			others = append(others, b)
		}
	}
	var placed []*buffer
	placed = placeAll(placed, through)
	for _, b := range placed {
		base = max(base, ir.Align(b.place.Offset+b.bytes))
	}
	if callee == 0 {
		base = 0
	} else {
		for _, i := range calls {
			placed = append(placed, &buffer{first: i, last: i, bytes: callee, place: ir.Place{Region: region, Offset: base}})
		}
	}
	for _, b := range placeAll(placed, others) {
		end = max(end, b.place.Offset+b.bytes)
	}
	return base, ir.Align(end)
}

// placeAll adds buffers to those that are placed, the largest first: small ones then fill the gaps.
func placeAll(placed, list []*buffer) []*buffer {
	slices.SortStableFunc(list, func(a, b *buffer) int { return b.bytes - a.bytes })
	for _, b := range list {
		b.place.Offset = bestFit(placed, b)
		b.fixed = true
		placed = append(placed, b)
	}
	return placed
}

// bestFit is the offset of the smallest gap between the buffers that are needed at the same time as b, or behind
// them all.
func bestFit(placed []*buffer, b *buffer) int {
	var busy []*buffer
	for _, o := range placed {
		if o.first <= b.last && b.first <= o.last && o.bytes > 0 {
			busy = append(busy, o)
		}
	}
	slices.SortStableFunc(busy, func(a, c *buffer) int { return a.place.Offset - c.place.Offset })
	best, least, end := -1, 0, 0
	for _, o := range busy {
		if gap := o.place.Offset - end; gap >= b.bytes && (best < 0 || gap < least) {
			best, least = end, gap
		}
		end = max(end, ir.Align(o.place.Offset+o.bytes))
	}
	if best < 0 {
		return end
	}
	return best
}
