package ops

import (
	"math"

	"flagc/ir"
	"flagc/runtime/formats"
)

// attentionBlock is how many entries share one update of the running maximum: probabilities are rounded
// relative to it, so the block is part of the meaning.
const attentionBlock = 64

// SparseAttention attends to listed rows.
var SparseAttention = define(ir.Op{
	Name: "sparse_attention",
	Doc: "For each head a softmax over the listed rows, which are key and value at once; -1 lists nothing. " +
		"Entries go in blocks of 64 in list order: the running maximum moves block by block, probabilities are " +
		"rounded to bf16 for the weighted sum and not for the denominator, which exp(sink) joins at the end " +
		"without touching the maximum. A token that sees nothing yields zeros.",
	Spec:  "5.6",
	Class: ir.Contraction,
	Sig:   "q[b,s,h,d] keys[b,j,d] entries[b,s,n]:j sink[h] -> out[b,s,h,d]",
	Types: "bf16 bf16 i32 f32 -> bf16",
	Attrs: []ir.AttrDecl{number("scale", "factor of the scores")},
	Whole: "d n j",
	Flops: "4*b*s*h*n*d",
	Eval: func(e *ir.Eval) {
		q, keys, entries, sink, out := e.Args[0], e.Args[1], e.Args[2], e.Args[3], e.Out[0]
		s, h, d, n := q.Dim(1), q.Dim(2), q.Dim(3), entries.Dim(2)
		scale := e.Attrs.Float("scale")
		e.Parallel(q.Dim(0)*s, func(i int) {
			rows := keys.Slice(i / s)
			list := entries.I[i*n : (i+1)*n]
			for head := 0; head < h; head++ {
				at := (i*h + head) * d
				attend(out.F[at:at+d], q.F[at:at+d], rows, list, scale, sink.F[head])
			}
		})
	},
})

// attend computes one head of one token.
func attend(out, q, rows []float64, entries []int32, scale, sink float64) {
	d := len(q)
	m, l := math.Inf(-1), 0.0
	var score [attentionBlock]float64
	for start := 0; start < len(entries); start += attentionBlock {
		block := entries[start:min(len(entries), start+attentionBlock)]
		top := m
		for i, entry := range block {
			if score[i] = math.Inf(-1); entry >= 0 {
				score[i] = dot(q, rows[int(entry)*d:][:d]) * scale
			}
			top = math.Max(top, score[i])
		}
		if math.IsInf(top, -1) {
			continue // nothing listed so far
		}
		rescale := math.Exp(m - top)
		m = top
		l *= rescale
		for i := range out {
			out[i] *= rescale
		}
		for i, entry := range block {
			if entry < 0 {
				continue
			}
			p := math.Exp(score[i] - m)
			l += p
			p = formats.RoundBF16(p)
			for c, v := range rows[int(entry)*d:][:d] {
				out[c] += p * v
			}
		}
	}
	if math.IsInf(m, -1) {
		return
	}
	l += math.Exp(sink - m)
	for i := range out {
		out[i] /= l
	}
}
