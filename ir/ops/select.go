package ops

import (
	"math"
	"sort"

	"flagc/ir"
	"flagc/runtime/formats"
)

// entriesOf declares result axes b and s, which no operand binds, and n of the given size.
func entriesOf(f *ir.Inference, n ir.Dim) {
	f.SetDim("b", ir.Dim{Name: "b", Size: ir.Sym("b")})
	f.SetDim("s", ir.Dim{Name: "s", Size: ir.Sym("s")})
	f.SetDim("n", n)
}

// WindowEntries lists the call's own tokens that each token sees.
var WindowEntries = define(ir.Op{
	Name: "window_entries",
	Doc: "For token i of the call the rows max(0, i-window+1) … i, oldest first, then -1: what it sees of the " +
		"call's own keys.",
	Spec:  "5.3",
	Class: ir.Selection,
	Sig:   "-> entries[b,s,n]",
	Types: "-> i32",
	Attrs: []ir.AttrDecl{integer("window", "tokens that a token sees, itself included")},
	Flops: "0",
	Rule: func(f *ir.Inference) error {
		n := ir.Sym("s").Min(ir.Const(f.Attrs.Int("window")))
		entriesOf(f, ir.Dim{Name: n.String(), Size: n})
		return nil
	},
	Eval: func(e *ir.Eval) {
		s, n, w := e.Out[0].Dim(1), e.Out[0].Dim(2), e.Attrs.Int("window")
		for x := range e.Out[0].I {
			i := x / n % s
			entry := max(0, i-w+1) + x%n
			if entry > i {
				entry = -1
			}
			e.Out[0].I[x] = int32(entry)
		}
	},
})

// RingEntries lists the ring's rows that the decoded token sees.
var RingEntries = define(ir.Op{
	Name:  "ring_entries",
	Doc:   "The ring's rows of the last window tokens up to position p, oldest first, then -1.",
	Spec:  "5.3",
	Class: ir.Selection,
	Sig:   "-> entries[b,s,n]",
	Types: "-> i32",
	Attrs: []ir.AttrDecl{integer("window", "rows of the ring")},
	Flops: "0",
	Rule: func(f *ir.Inference) error {
		n := ir.Const(f.Attrs.Int("window"))
		entriesOf(f, ir.Dim{Name: n.String(), Size: n})
		return nil
	},
	Eval: func(e *ir.Eval) {
		w := e.Attrs.Int("window")
		oldest := max(0, e.P()-w+1)
		for x := range e.Out[0].I {
			t := oldest + x%w
			e.Out[0].I[x] = -1
			if t <= e.P() {
				e.Out[0].I[x] = int32(t % w)
			}
		}
	},
})

// CausalEntries lists all compressed entries that exist for each token.
var CausalEntries = define(ir.Op{
	Name:  "causal_entries",
	Doc:   "For token i of the call the compressed entries that are complete by then, j < (p+i+1)/ratio, else -1.",
	Spec:  "5.3",
	Class: ir.Selection,
	Sig:   "-> entries[b,s,n]",
	Types: "-> i32",
	Attrs: []ir.AttrDecl{size("n", "entries listed"), integer("ratio", "tokens of an entry"),
		size("first", "row of entry 0 among the keys")},
	Flops: "0",
	Rule: func(f *ir.Inference) error {
		entriesOf(f, f.Dim("n"))
		return nil
	},
	Eval: func(e *ir.Eval) {
		s, n := e.Out[0].Dim(1), e.Out[0].Dim(2)
		ratio, first := e.Attrs.Int("ratio"), e.Size("first")
		for x := range e.Out[0].I {
			e.Out[0].I[x] = -1
			if j := x % n; j < (e.P()+x/n%s+1)/ratio {
				e.Out[0].I[x] = int32(first + j)
			}
		}
	},
})

// IndexScore rates compressed entries for the indexer.
var IndexScore = define(ir.Op{
	Name: "index_score",
	Doc: "How much entry t matters to query s: Σ over heads of w · relu(q·k), with the dot product and each " +
		"weighted term rounded to bf16. The relu sits inside the sum over d, so d cannot be split.",
	Spec:  "5.5",
	Class: ir.Contraction,
	Sig:   "q[b,s,h,d] keys[b,t,d] w[b,s,h] -> score[b,s,t]",
	Types: "bf16 bf16 bf16 -> bf16",
	Sum:   "h",
	Whole: "d",
	Flops: "2*b*s*h*d*t",
	Eval: func(e *ir.Eval) {
		q, keys, w, y := e.Args[0], e.Args[1], e.Args[2], e.Out[0]
		s, h, d, t := q.Dim(1), q.Dim(2), q.Dim(3), keys.Dim(1)
		e.Parallel(q.Dim(0)*s, func(i int) {
			for j := 0; j < t; j++ {
				key := keys.F[(i/s*t+j)*d:][:d]
				sum := 0.0
				for n := 0; n < h; n++ {
					dp := formats.RoundBF16(dot(q.F[(i*h+n)*d:][:d], key))
					sum += formats.RoundBF16(math.Max(dp, 0) * w.F[i*h+n])
				}
				y.F[i*t+j] = sum
			}
		})
	},
})

// TopEntries chooses the best visible entries.
var TopEntries = define(ir.Op{
	Name: "top_entries",
	Doc: "The k entries of highest score among those complete for each token (j < (p+i+1)/ratio), best first, " +
		"equal scores by lower index, as rows among the keys; -1 where fewer are visible.",
	Spec:  "5.5",
	Class: ir.Selection,
	Sig:   "score[b,s,t] -> entries[b,s,k]",
	Types: "bf16 -> i32",
	Attrs: []ir.AttrDecl{size("k", "entries to choose"), integer("ratio", "tokens of an entry"),
		size("first", "row of entry 0 among the keys")},
	Whole: "s t",
	Flops: "0",
	Eval: func(e *ir.Eval) {
		x, y := e.Args[0], e.Out[0]
		s, t, k := x.Dim(1), x.Dim(2), y.Dim(2)
		ratio, first := e.Attrs.Int("ratio"), e.Size("first")
		e.Parallel(x.Dim(0)*s, func(i int) {
			visible := min(t, (e.P()+i%s+1)/ratio)
			order := ranked(x.F[i*t : i*t+visible])
			for j := 0; j < k; j++ {
				y.I[i*k+j] = -1
				if j < visible {
					y.I[i*k+j] = int32(first + order[j])
				}
			}
		})
	},
})

// ranked returns the indices of x by descending value, equal values by ascending index.
func ranked(x []float64) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return x[order[a]] > x[order[b]] })
	return order
}
