package triton

import (
	"math"

	"flagc/ir/tile"
)

// stretch is some of a row of experts: their numbers, and which of them there are, nil for all.
type stretch struct{ lane, live *tile.Value }

// stretches are n experts in vectors no longer than a warp, where a machine has such: every warp then holds all of them and finds
// the best without asking the others.
func (g *gen) stretches(n int) []stretch {
	b, width := g.b, min(g.lanes(n), g.plan.warpLanes)
	var out []stretch
	for at := 0; at < n; at += width {
		s := stretch{lane: b.AddI(b.Range(tile.D(width)), at)}
		if at+width > n {
			s.live = b.LtI(s.lane, n)
		}
		out = append(out, s)
	}
	return out
}

// joined makes one vector of those that f yields for each stretch.
func joined(over []stretch, join func(a, b *tile.Value) *tile.Value, f func(k int, s stretch) *tile.Value) *tile.Value {
	var all []*tile.Value
	for k, s := range over {
		all = append(all, f(k, s))
	}
	return joinedAll(all, join)
}

// joinedAll makes one vector of all, as a tree.
func joinedAll(all []*tile.Value, join func(a, b *tile.Value) *tile.Value) *tile.Value {
	for len(all) > 1 {
		var half []*tile.Value
		for k := 0; k+1 < len(all); k += 2 {
			half = append(half, join(all[k], all[k+1]))
		}
		if len(all)%2 == 1 {
			half = append(half, all[len(all)-1])
		}
		all = half
	}
	return all[0]
}

// bestExpert is the largest of the ratings and the expert that has it, of equal ones the first. If none equals it, as among
// NaN, it is the number none.
func (g *gen) bestExpert(rated []*tile.Value, over []stretch, none int) (most, id *tile.Value) {
	b := g.b
	most = b.Max(joinedAll(rated, b.Maximum), 0).Named("most")
	id = b.Reduce(tile.Min, joined(over, b.Minimum, func(k int, s stretch) *tile.Value {
		return b.Where(b.Eq(rated[k], most), s.lane, b.Int(none))
	}), 0)
	return most, id
}

// without are the ratings with -∞ for an expert.
func (g *gen) without(rated []*tile.Value, over []stretch, id *tile.Value) []*tile.Value {
	out := make([]*tile.Value, len(rated))
	for k, s := range over {
		out[k] = g.b.Where(g.b.Eq(s.lane, id), g.b.Float(math.Inf(-1)), rated[k]).Named("rated")
	}
	return out
}
