package cpu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// requirePart compares an unrounded result with its rounded counterpart: the same sum but for the order, which
// float64 shows in bits that rounding to bf16 drops, except beside a tie.
func requirePart(t *testing.T, rounded []float32, parts []float64) {
	t.Helper()
	requireBF16(t, parts, rounded)
}

// TestPartsAreTheUnroundedResults holds the kernels that leave parts of sums against those that round.
func TestPartsAreTheUnroundedResults(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(41)
		for _, enc := range encodings {
			for _, rows := range []int{1, 3, 9} {
				const groups, each, k = 3, 50, 160
				w, x := randomMatrix(t, r, enc, groups*each, k), randomBF16(r, rows*groups*k)
				dst, wide := make([]float32, rows*groups*each), make([]float64, rows*groups*each)
				c.GroupedLinear(dst, x, w, groups, true)
				c.GroupedLinear64(wide, x, w, groups)
				requirePart(t, dst, wide)
				dst, wide = make([]float32, rows*w.N), make([]float64, rows*w.N)
				c.Linear(dst, x[:rows*k], w, true)
				c.Linear64(wide, x[:rows*k], w)
				requirePart(t, dst, wide)
			}
		}
	})
}

// TestIndexScoresOfHeadsAddUp rates with all heads, and with each half of them.
func TestIndexScoresOfHeadsAddUp(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		const batch, s, heads, d, n, rows = 2, 3, 8, 32, 70, 72
		r := newRand(42)
		q, w := randomBF16(r, batch*s*heads*d), randomBF16(r, batch*s*heads)
		keys := make([]uint16, batch*rows*d)
		narrow(keys, randomBF16(r, len(keys)))
		whole := make([]float64, batch*s*n)
		c.IndexScore64(whole, q, keys, w, batch, s, heads, d, n, rows)
		sum := make([]float64, len(whole))
		for half := range 2 {
			var qh, wh []float32
			for i := range batch * s {
				h := i*heads + half*heads/2
				qh = append(qh, q[h*d:(h+heads/2)*d]...)
				wh = append(wh, w[h:h+heads/2]...)
			}
			part := make([]float64, len(whole))
			c.IndexScore64(part, qh, keys, wh, batch, s, heads/2, d, n, rows)
			for i, v := range part {
				sum[i] += v
			}
		}
		require.Equal(t, whole, sum, "terms are bf16 numbers, so their float64 sums are exact")
		rounded := make([]float32, len(whole))
		c.IndexScore(rounded, q, keys, w, batch, s, heads, d, n, rows)
		requirePart(t, rounded, whole)
	})
}

// TestPartsOfTablesTakeTheirOwnIndices cuts a table and a row of experts in two: each result comes from one part and
// is zero in the other.
func TestPartsOfTablesTakeTheirOwnIndices(t *testing.T) {
	c := context(t)
	r := newRand(43)
	table := randomMatrix(t, r, BF16, 6, 4)
	upper := &Matrix{Enc: BF16, N: 3, K: 4, First: 3, Data: table.Data[3*8:]}
	lower := &Matrix{Enc: BF16, N: 3, K: 4, Data: table.Data[:3*8]}
	ids := []int32{5, 0, 3, -1, 2, 6}
	whole, a, b := make([]float32, 24), make([]float32, 24), make([]float32, 24)
	c.Embed(whole, table, ids)
	c.Embed(a, lower, ids)
	c.Embed(b, upper, ids)
	requireDisjointSum(t, whole, a, b)
	require.NotZero(t, b[0], "the last row is in the upper part")

	const n, k = 5, 64
	experts := &Experts{N: n, K: k}
	for range 4 {
		experts.W = append(experts.W, *randomMatrix(t, r, FP4, n, k))
	}
	first := &Experts{N: n, K: k, W: experts.W[:2]}
	second := &Experts{N: n, K: k, First: 2, W: experts.W[2:]}
	chosen := []int32{3, 0, 1, 2, -1, 4}
	x := randomBF16(r, 3*k)
	whole, a, b = make([]float32, 6*n), make([]float32, 6*n), make([]float32, 6*n)
	c.ExpertLinear(whole, x, experts, chosen, 2, false, true)
	c.ExpertLinear(a, x, first, chosen, 2, false, true)
	c.ExpertLinear(b, x, second, chosen, 2, false, true)
	requireDisjointSum(t, whole, a, b)
	require.NotZero(t, b[0], "expert 3 is in the second part")

	wide := make([]float64, 3*n)
	c.SumSlots64(wide, whole, 2, n)
	for i, v := range wide {
		require.Equal(t, float64(whole[i/n*2*n+i%n])+float64(whole[i/n*2*n+n+i%n]), v)
	}
}

// requireDisjointSum wants each element of whole in a or in b, and zero in the other.
func requireDisjointSum(t *testing.T, whole, a, b []float32) {
	t.Helper()
	for i, v := range whole {
		require.True(t, a[i] == v && b[i] == 0 || a[i] == 0 && b[i] == v, "element %d: %v is %v and %v", i, v, a[i], b[i])
	}
}
