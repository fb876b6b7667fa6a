package triton

import (
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
)

// rateByEntries is rate for machines that only reduce a tile's last axis: entries go down and heads across, so that the
// sum over heads is one of rows. Entries that are not live are rated like the first and not stored; heads beyond the last
// repeat it with weight 0. So neither tile needs a mask.
func (g *gen) rateByEntries(in *ir.Instr, token, entry, live *tile.Value) *tile.Value {
	b := g.b
	q, w := in.Args[0], in.Args[2]
	heads, d := g.fixed(q.Type.Dims[2].Size, "the heads"), g.columns(q)
	across := tile.D(max(g.plan.dotN, min(pow2(heads), 64)))
	cache, seq, stride := g.indexKeys(in, token)
	rows := b.Col(b.Add(b.Mul(seq, stride), b.Where(live, entry, b.Int(0))))
	channel := b.Range(tile.D(pow2(d)))
	var down, along *tile.Value
	if pow2(d) > d {
		down, along = b.Col(b.LtI(channel, d)), b.Row(b.LtI(channel, d))
	}
	keys := b.Load(g.elements(cache, tile.In), b.Add(b.MulI(rows, d), b.Row(channel)), along, 0).Named("keys")
	sum := b.Zeros(entry.Shape...).Named("sum")
	return g.loop("first_head", b.Int(0), b.Int(heads), across.Size, []*tile.Value{sum}, func(i *tile.Value, c []*tile.Value) []*tile.Value {
		head := b.Row(b.Add(i, b.Range(across)))
		row := b.Add(b.MulI(token, heads), b.Minimum(head, b.Int(heads-1)))
		queries := b.Load(g.elements(q, tile.In), b.Add(b.MulI(row, d), b.Col(channel)), down, 0)
		dot := b.Round(b.Dot(keys, queries, b.Zeros(entry.Shape[0], across)), tile.BF16)
		weight := b.LoadF32(g.elements(w, tile.In), row, b.LtI(head, heads), 0)
		term := b.Round(b.Mul(b.MaxF(dot, 0), weight), tile.BF16)
		return []*tile.Value{b.Add(c[0], b.Sum(term, 1))}
	})[0]
}

// indexKeys are the keys that a token's entries are rated by, the number of the token's sequence, and how many rows of
// keys a sequence has.
func (g *gen) indexKeys(in *ir.Instr, token *tile.Value) (cache *ir.Value, seq, stride *tile.Value) {
	keys := in.Args[1]
	seq = g.b.Div(token, g.size(in.Args[0].Type.Dims[1].Size))
	cache, stride = keys, g.size(keys.Type.Dims[1].Size)
	if !g.inMemory(keys) && keys.Def.Op == ops.Take {
		cache = keys.Def.Args[0]
		stride = g.size(cache.Type.Dims[1].Size)
	}
	return cache, seq, stride
}
