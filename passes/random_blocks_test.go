package passes_test

import (
	"fmt"
	"math"
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
)

// input is a value of each token that the larger moves begin with.
func (b *body) input() *ir.Value {
	return b.pick(func(v *ir.Value) bool { return b.factor(v) && begins(v, "b", "s") && len(v.Type.Dims) == 3 })
}

// expertPair is two projections with pointwise work between them and a third behind: quantised, or not.
func (b *body) expertPair() {
	x := b.pick(b.factor)
	y := b.activate(b.project(x, "bf16", "F"), b.project(x, "bf16", "F"))
	b.project(b.maybe(y), "bf16", "D")
}

// attention is heads over a window, over compressed entries where it has some, and a projection of the groups.
func (b *body) attention() {
	x := b.input()
	q := b.project(x, "bf16", "H", "d")
	kv := b.project(x, "bf16", "d")
	if b.Intn(2) == 0 {
		q, kv = b.rotated(b.op(ops.HeadNorm, ir.Attrs{eps("eps")}, q), false), b.rotated(b.normed(kv), false)
	}
	keys, seen := b.window(kv, x)
	sink := b.weight(f32, b.axis("H"))
	out := b.op(ops.SparseAttention, ir.Attrs{{Name: "scale", Value: 0.25}}, q, keys, seen, sink)
	if b.Intn(2) == 0 {
		out = b.rotated(out, true)
	}
	if out == nil || b.Intn(6) == 0 {
		return
	}
	switch b.Intn(3) {
	case 0: // without groups
		b.project(b.maybe(b.join(out, 2)), "bf16", "D")
	case 1:
		groups := b.viewed(out, b.axes("b", "s", "G", "P*d"))
		b.project(b.maybe(b.join(b.project2(groups, "R"), 2)), "bf16", "D")
	default: // groups of another kind
		groups := b.viewed(b.join(out, 2), append(b.axes("b", "s"), b.halves()...))
		b.project(b.join(b.project2(groups, "R"), 2), "f32", "D")
	}
}

// halves is all heads' channels as groups without a name.
func (b *body) halves() []ir.Dim {
	names := b.m.Names()
	n := oneOf(b.grower, 2, 1)
	k := names["H"] * names["d"] / n
	return []ir.Dim{{Name: text(n), Size: ir.Const(n)}, {Name: text(k), Size: ir.Const(k)}}
}

// window is what tokens attend to: rows, and lists of them.
func (b *body) window(kv, x *ir.Value) (keys, seen *ir.Value) {
	names := b.m.Names()
	window := ir.Attrs{{Name: "window", Value: names["W"]}}
	ratio := oneOf(b.grower, 0, 2, 4)
	rows := "W"
	if ratio > 0 {
		rows = fmt.Sprintf("W+m/%d", ratio)
	}
	cache := b.state(bf16, 0, b.axes("b", rows, "d")...)
	if kv == nil {
		return nil, nil
	}
	written := b.update(cache, b.op(ops.RingWrite, window, b.now(cache), kv))
	keys, seen = kv, b.op(ops.WindowEntries, window)
	if b.f.Mode == ir.Decode {
		keys, seen = written, b.op(ops.RingEntries, window)
	}
	if ratio == 0 {
		return keys, seen
	}
	pooled := b.pool2(x, ratio, "d")
	if pooled == nil {
		return keys, seen
	}
	at := ir.Attrs{{Name: "at", Value: b.axis(fmt.Sprintf("W+p/%d", ratio))}}
	written = b.update(cache, b.op(ops.CacheWrite, at, written, pooled))
	place := "W"
	if keys = written; b.f.Mode == ir.Prefill {
		keys, place = b.op(ops.Concat, ir.Attrs{{Name: "axis", Value: 1}}, kv, pooled), "s"
	}
	return keys, b.op(ops.Concat, ir.Attrs{{Name: "axis", Value: 2}}, seen, b.entries(x, ratio, place))
}

// entries lists compressed entries: all of them, or those that heads of an index rate highest.
func (b *body) entries(x *ir.Value, ratio int, place string) *ir.Value {
	count := fmt.Sprintf("(p+s)/%d", ratio)
	lists := ir.Attrs{{Name: "ratio", Value: ratio}, {Name: "first", Value: b.axis(place)}}
	if b.Intn(3) == 0 {
		return b.op(ops.CausalEntries, append(lists, ir.Attr{Name: "n", Value: b.axis(count)}))
	}
	q := b.project(x, "bf16", "I", "c")
	cache := b.state(bf16, 0, b.axes("b", fmt.Sprintf("m/%d", ratio), "c")...)
	pooled := b.pool2(x, ratio, "c")
	at := ir.Attrs{{Name: "at", Value: b.axis(fmt.Sprintf("p/%d", ratio))}}
	written := b.update(cache, b.op(ops.CacheWrite, at, b.now(cache), pooled))
	keys := b.op(ops.Take, ir.Attrs{{Name: "n", Value: b.axis(count)}}, written)
	w := b.op(ops.Scale, ir.Attrs{{Name: "factor", Value: 0.5}}, b.project(x, "bf16", "I"))
	score := b.op(ops.IndexScore, nil, q, keys, w)
	k := b.axis("min(K," + count + ")")
	return b.op(ops.TopEntries, append(lists, ir.Attr{Name: "k", Value: k}), score)
}

// pool2 pools windows of tokens into entries of the given width.
func (b *body) pool2(x *ir.Value, ratio int, width string) *ir.Value {
	overlap := b.Intn(2) == 0
	channels, rows := width, text(ratio)
	if overlap {
		channels, rows = "2*"+width, text(2*ratio)
	}
	values, scores := b.project(x, "f32", channels), b.project(x, "f32", channels)
	ape := b.weight(f32, b.axes(text(ratio), channels)...)
	kv := b.state(f32, 0, b.axes("b", rows, channels)...)
	score := b.state(f32, math.Inf(-1), b.axes("b", rows, channels)...)
	out := b.results(ops.CompressPool, ir.Attrs{{Name: "ratio", Value: ratio}, {Name: "overlap", Value: overlap}}, nil,
		values, scores, ape, b.now(kv), b.now(score))
	if out == nil {
		return nil
	}
	b.update(kv, out[1])
	b.update(score, out[2])
	if b.Intn(2) == 0 {
		return b.normed(out[0])
	}
	return out[0]
}

// ring keeps some value of the last tokens and reads the ring back.
func (b *body) ring() {
	x := b.pick(func(v *ir.Value) bool {
		return isBF16(v) && begins(v, "b", "s") && len(v.Type.Dims) == 3 && width(v) > 0
	})
	if x == nil {
		return
	}
	cache := b.state(bf16, 0, b.axis("b"), b.axis("W"), lastAxis(x))
	now := b.update(cache, b.op(ops.RingWrite, ir.Attrs{{Name: "window", Value: b.m.Names()["W"]}}, b.now(cache), x))
	b.op(ops.Take, ir.Attrs{{Name: "n", Value: b.axis(oneOf(b.grower, "W", "1"))}}, now)
}

// compress pools a value and nothing attends to it.
func (b *body) compress() { b.pool2(b.input(), oneOf(b.grower, 1, 2, 4), "c") }

// experts routes each token through some of the experts.
func (b *body) experts() {
	x := b.pick(func(v *ir.Value) bool {
		return b.factor(v) && isBF16(v) && (begins(v, "b", "s") && len(v.Type.Dims) == 3 || begins(v, "b*s") && len(v.Type.Dims) == 2)
	})
	if x == nil {
		return
	}
	flat := x
	if len(x.Type.Dims) == 3 {
		flat = b.join(x, 0)
	}
	scores := b.op(ops.SqrtSoftplus, nil, b.project(flat, "f32", "E"))
	chosen := b.chosen(scores)
	xq := b.maybe(flat)
	inner := b.op(ops.Cast, ir.Attrs{{Name: "dtype", Value: "bf16"}}, b.slots(xq, chosen))
	if b.Intn(4) > 0 {
		weights := b.op(ops.RouteWeights, ir.Attrs{{Name: "scale", Value: 1.5}}, scores, chosen)
		inner = b.op(ops.Cast, ir.Attrs{{Name: "dtype", Value: "bf16"}}, b.op(ops.Mul, nil, inner, weights))
	}
	inner = b.maybe(inner)
	if inner == nil || chosen == nil {
		return
	}
	w2 := b.bank(inner, "D")
	sum := b.op(ops.SumSlots, nil, b.op(ops.ExpertLinear, nil, inner, chosen, w2))
	if b.Intn(2) == 0 { // a shared expert beside them
		y := b.maybe(b.activate(b.project(xq, "bf16", "F"), b.project(xq, "bf16", "F")))
		sum = b.op(ops.Add, nil, sum, b.project(y, "bf16", "D"))
	}
	sum = b.op(ops.Cast, ir.Attrs{{Name: "dtype", Value: "bf16"}}, sum)
	if len(x.Type.Dims) == 3 {
		b.viewed(sum, b.axes("b", "s", "D"))
	}
}

// chosen are experts by score, or by a table.
func (b *body) chosen(scores *ir.Value) *ir.Value {
	ids := b.pick(func(v *ir.Value) bool {
		return b.below[v] == b.m.Names()["V"] && begins(v, "b", "s") && len(v.Type.Dims) == 2
	})
	if ids == nil || b.Intn(2) == 0 {
		chosen := b.op(ops.TopExperts, ir.Attrs{{Name: "k", Value: b.axis("A")}}, scores, b.weight(f32, b.axis("E")))
		b.bound(chosen)
		return chosen
	}
	table := b.tensor(fmt.Sprintf("%%d.below%d", b.m.Names()["E"]), oneOf(b.grower, ir.Plain(ir.I64), ir.Plain(ir.I32)), b.axes("V", "A")...)
	chosen := b.op(ops.HashExperts, nil, b.join(ids, 0), table)
	b.bound(chosen)
	return chosen
}

// bound notes that a value's elements name experts.
func (b *body) bound(v *ir.Value) {
	if v != nil {
		b.below[v] = b.m.Names()["E"]
	}
}

// slots is what the chosen experts make of each token: one projection, or a gated pair.
func (b *body) slots(x, chosen *ir.Value) *ir.Value {
	if x == nil || chosen == nil {
		return nil
	}
	gate := b.op(ops.ExpertLinear, nil, x, chosen, b.bank(x, "F"))
	if b.Intn(4) == 0 {
		return gate
	}
	return b.activate(gate, b.op(ops.ExpertLinear, nil, x, chosen, b.bank(x, "F")))
}

// bank is the weights of all experts.
func (b *body) bank(x *ir.Value, out string) *ir.Value {
	return b.tensor("t%d.*", oneOf(b.grower, fp4, b.matrix(lastAxis(x))), b.axis("E"), b.axis(out), lastAxis(x))
}

// hyper reads a vector from streams, does something to it, and writes it back.
func (b *body) hyper() {
	X := b.pick(func(v *ir.Value) bool {
		return isBF16(v) && len(v.Type.Dims) > 2 && slices.Contains(b.streams(v), true)
	})
	if X == nil {
		x := b.pick(func(v *ir.Value) bool { return isBF16(v) && width(v) > 0 })
		X = b.op(ops.Repeat, ir.Attrs{{Name: "hc", Value: b.axis("hc")}}, x)
	}
	if X == nil {
		return
	}
	n, _ := lastAxis(X).Size.IsConst()
	flat := b.axis(text(n * b.m.Names()["hc"]))
	out := b.results(ops.HCPre, ir.Attrs{{Name: "iters", Value: 1 + b.Intn(4)}, eps("norm_eps"), eps("hc_eps")}, nil, X,
		b.weight(f32, b.axis("M"), flat), b.weight(f32, b.axis("3")), b.weight(f32, b.axis("M")))
	if out == nil {
		return
	}
	y := out[0]
	if b.Intn(2) == 0 {
		b.some(1)
	}
	if z := b.pick(func(v *ir.Value) bool { return v.Type.Equal(y.Type) }); z != nil {
		y = z
	}
	b.op(ops.HCPost, nil, y, X, out[1], out[2])
}

// streams says for the axis before the last whether it counts streams.
func (b *body) streams(v *ir.Value) []bool {
	return []bool{v.Type.Dims[len(v.Type.Dims)-2].Equal(b.axis("hc")) && width(v) > 0}
}

func (b *body) hyperHead() {
	X := b.pick(func(v *ir.Value) bool { return isBF16(v) && len(v.Type.Dims) > 2 && b.streams(v)[0] })
	if X == nil {
		return
	}
	flat := b.axis(text(width(X) * b.m.Names()["hc"]))
	b.op(ops.HCHead, ir.Attrs{eps("norm_eps"), eps("hc_eps")}, X, b.weight(f32, b.axis("hc"), flat), b.weight(f32, b.axis("1")),
		b.weight(f32, b.axis("hc")))
}

// residual ends a layer as models do: what a block makes of a stream, or of several, goes back to it by an op that reads
// no weights, which the function yields.
func (b *body) residual() {
	x := b.f.Args[len(b.f.Args)-1]
	switch {
	case len(x.Type.Dims) == 4:
		n, _ := lastAxis(x).Size.IsConst()
		flat := b.axis(text(n * b.m.Names()["hc"]))
		pre := b.results(ops.HCPre, ir.Attrs{{Name: "iters", Value: 2}, eps("norm_eps"), eps("hc_eps")}, nil, x,
			b.weight(f32, b.axis("M"), flat), b.weight(f32, b.axis("3")), b.weight(f32, b.axis("M")))
		if pre != nil {
			b.yields(b.op(ops.HCPost, nil, b.block(pre[0]), x, pre[1], pre[2]))
		}
	case isBF16(x):
		b.yields(b.op(ops.Cast, ir.Attrs{{Name: "dtype", Value: "bf16"}}, b.op(ops.Add, nil, b.block(x), x)))
	}
}

// block is experts, which ranks share, or two projections of a value, which they may share.
func (b *body) block(x *ir.Value) *ir.Value {
	if b.Intn(3) > 0 {
		n := len(b.pool)
		b.experts()
		for _, v := range slices.Backward(b.pool[n:]) {
			if v.Type.Equal(x.Type) {
				return v
			}
		}
	}
	inner := b.project(b.maybe(b.normed(x)), "bf16", oneOf(b.grower, "F", "Q"))
	if inner == nil {
		return nil
	}
	return b.project(b.maybe(inner), "bf16", "D")
}

func (b *body) yields(v *ir.Value) {
	if v != nil {
		b.f.Return = append(b.f.Return, v)
	}
}
