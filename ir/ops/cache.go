package ops

import (
	"math"

	"flagc/ir"
)

// RingWrite stores the call's keys in the ring of the sliding window.
var RingWrite = define(ir.Op{
	Name: "ring_write",
	Doc: "The cache with the call's rows in its first window rows, the row of token t at t mod window; of more " +
		"rows than the window holds, the last.",
	Spec:    "5.2",
	Class:   ir.StateUpdate,
	Sig:     "cache[b,j,d] x[b,s,d] -> new[b,j,d]",
	Types:   "bf16 bf16 -> bf16",
	Attrs:   []ir.AttrDecl{integer("window", "rows of the ring")},
	Updates: map[int]int{0: 0},
	Stores:  true,
	Whole:   "s j",
	Flops:   "0",
	Eval: func(e *ir.Eval) {
		x, cache, w := e.Args[1], e.Out[0], e.Attrs.Int("window")
		s, d := x.Dim(1), x.Dim(2)
		for b := 0; b < x.Dim(0); b++ {
			for i := max(0, s-w); i < s; i++ {
				copy(cache.Slice(b)[(e.P()+i)%w*d:][:d], x.Slice(b)[i*d:])
			}
		}
	},
})

// CacheWrite stores rows from a given one on.
var CacheWrite = define(ir.Op{
	Name:    "cache_write",
	Doc:     "The cache with the given rows stored from row at on; there may be none.",
	Spec:    "5.2",
	Class:   ir.StateUpdate,
	Sig:     "cache[b,j,d] x[b,n,d] -> new[b,j,d]",
	Types:   "bf16 bf16 -> bf16",
	Attrs:   []ir.AttrDecl{size("at", "row of the first")},
	Updates: map[int]int{0: 0},
	Stores:  true,
	Whole:   "n j",
	Flops:   "0",
	Eval: func(e *ir.Eval) {
		x, cache, at := e.Args[1], e.Out[0], e.Size("at")
		n, d := x.Dim(1), x.Dim(2)
		for b := 0; b < x.Dim(0); b++ {
			copy(cache.Slice(b)[at*d:][:n*d], x.F[b*n*d:])
		}
	},
})

// CompressPool pools finished windows of tokens into entries.
var CompressPool = define(ir.Op{
	Name: "compress_pool",
	Doc: "One entry for each window of ratio tokens that this call completes: per channel a softmax over the " +
		"window's scores (plus ape, by place in the window) weighs its values. With overlap an entry pools two " +
		"windows, the earlier through the first half of the channels, its own through the second; before the " +
		"first window stand values 0 with scores -inf. The states hold the unfinished window, and with overlap " +
		"the one before it.",
	Spec:  "5.4",
	Class: ir.StateUpdate,
	Sig:   "values[b,s,k] scores[b,s,k] ape[r,k] kv_state[b,j,k] score_state[b,j,k] -> pooled[b,n,d] kv[b,j,k] score[b,j,k]",
	Types: "f32 f32 f32 f32 f32 -> bf16 f32 f32",
	Attrs: []ir.AttrDecl{integer("ratio", "tokens of a window"),
		{Name: "overlap", Kind: ir.BoolAttr, Doc: "pool the window before as well"}},
	Updates: map[int]int{1: 3, 2: 4},
	Whole:   "s k r j",
	Flops:   "8*b*s*k",
	Rule:    compressRule,
	Eval:    compressPool,
})

// compressRule names the entries' axes: as many as windows end in the call, half as wide with overlap.
func compressRule(f *ir.Inference) error {
	ratio, overlap := f.Attrs.Int("ratio"), f.Attrs.Bool("overlap")
	if ratio < 1 {
		return f.Errorf(-1, "compress_pool: ratio must be at least 1, not %d", ratio)
	}
	if err := needSize(f, "r", ratio); err != nil {
		return err
	}
	windows, k := 1, f.Dim("k")
	if overlap {
		windows = 2
		size, _ := k.Size.IsConst()
		if len(k.Name) < 3 || k.Name[:2] != "2*" || size%2 != 0 {
			return f.Errorf(0, "compress_pool: with overlap the channels must be 2*d, not %s", k.Name)
		}
		k = ir.Dim{Name: k.Name[2:], Size: ir.Const(size / 2)}
	}
	if err := needSize(f, "j", windows*ratio); err != nil {
		return err
	}
	f.SetDim("d", k)
	p, r := ir.Sym("p"), ir.Const(ratio)
	n := p.Add(ir.Sym("s")).Div(r).Sub(p.Div(r))
	f.SetDim("n", ir.Dim{Name: n.String(), Size: n})
	return nil
}

func compressPool(e *ir.Eval) {
	values, scores, ape := e.Args[0], e.Args[1], e.Args[2]
	s, k, ratio := values.Dim(1), values.Dim(2), e.Attrs.Int("ratio")
	offset := 0 // of the current window's rows in the state
	if e.Attrs.Bool("overlap") {
		offset = ratio
	}
	e.Parallel(values.Dim(0), func(b int) {
		kv, score := e.Out[1].Slice(b), e.Out[2].Slice(b)
		emitted := 0
		for i := 0; i < s; i++ {
			t := e.P() + i
			row := (offset + t%ratio) * k
			copy(kv[row:row+k], values.Slice(b)[i*k:])
			for c := 0; c < k; c++ {
				score[row+c] = scores.Slice(b)[i*k+c] + ape.F[t%ratio*k+c]
			}
			if (t+1)%ratio != 0 {
				continue
			}
			d, n := e.Out[0].Dim(2), e.Out[0].Dim(1)
			poolWindow(e.Out[0].F[(b*n+emitted)*d:][:d], kv, score, k, ratio, offset > 0)
			emitted++
			if offset > 0 {
				copy(kv[:offset*k], kv[offset*k:])
				copy(score[:offset*k], score[offset*k:])
			}
		}
	})
}

// poolWindow sets out to the softmax-weighted sum over the rows of the states, channel by channel. With overlap
// the first ratio rows take part with their first half of channels, the others with their second.
func poolWindow(out, kv, score []float64, k, ratio int, overlap bool) {
	entries := ratio
	if overlap {
		entries = 2 * ratio
	}
	for c := range out {
		at := func(i int) int {
			if i >= ratio {
				return i*k + len(out) + c
			}
			return i*k + c
		}
		top := math.Inf(-1)
		for i := 0; i < entries; i++ {
			top = math.Max(top, score[at(i)])
		}
		sum, acc := 0.0, 0.0
		for i := 0; i < entries; i++ {
			w := math.Exp(score[at(i)] - top)
			sum += w
			acc += w * kv[at(i)]
		}
		out[c] = acc / sum
	}
}
