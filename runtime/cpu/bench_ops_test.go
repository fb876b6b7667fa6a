package cpu

import (
	"testing"
)

// Shapes of V4-Flash: one decoded token, or queries of a prefill where the name says so.

func BenchmarkSparseAttention(b *testing.B) {
	const heads, d = 64, 512
	for _, shape := range []struct {
		name string
		s, n int
	}{{"decode/n=640", 1, 640}, {"prefill/s=32/n=640", 32, 640}} {
		b.Run(shape.name, func(b *testing.B) {
			c, r := NewCtx(0), newRand(1)
			defer c.Close()
			q, dst := randomBF16(r, shape.s*heads*d), make([]float32, shape.s*heads*d)
			kv := KV{H: make([]uint16, 4096*d), Rows: 4096}
			entries := make([]int32, shape.s*shape.n)
			for i := range entries {
				entries[i] = int32(r.IntN(4096))
			}
			sink := make([]float32, heads)
			b.ReportAllocs()
			for b.Loop() {
				c.SparseAttention(dst, q, kv, entries, sink, 1, shape.s, heads, d, shape.n, 0.044)
			}
			flops := 4 * float64(shape.s*shape.n*heads*d) * float64(b.N)
			b.ReportMetric(flops/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}

func BenchmarkIndexer(b *testing.B) {
	const heads, d, n, k = 64, 128, 16384, 512
	c, r := NewCtx(0), newRand(2)
	defer c.Close()
	q, w := randomBF16(r, heads*d), randomBF16(r, heads)
	keys := make([]uint16, n*d)
	narrow(keys, randomBF16(r, n*d))
	scores, ids := make([]float32, n), make([]int32, k)
	b.Run("score", func(b *testing.B) {
		for b.Loop() {
			c.IndexScore(scores, q, keys, w, 1, 1, heads, d, n, n)
		}
	})
	b.Run("top", func(b *testing.B) {
		for b.Loop() {
			c.TopEntries(ids, scores, 1, 1, 4*n, n, k, 4, 128)
		}
	})
}

func BenchmarkTokenPointwise(b *testing.B) {
	const hc, width = 4, 4096
	c, r := NewCtx(0), newRand(3)
	defer c.Close()
	x, out, y := randomBF16(r, hc*width), make([]float32, hc*width), randomBF16(r, width)
	post, comb := random32(r, hc), random32(r, hc*hc)
	for _, op := range []struct {
		name string
		run  func()
	}{
		{"HCPost", func() { c.HCPost(out, y, x, post, comb, hc, width) }},
		{"RMSNorm", func() { c.RMSNorm(out[:width], y, x[:width], 1e-6) }},
		{"HeadNorm", func() { c.HeadNorm(out, x, 512, 1e-6) }},
		{"ActQuant", func() { c.ActQuant(out, x, width, 128) }},
		{"SwiGLU", func() { c.SwiGLU(out, x, x, 10) }},
		{"AddRound", func() { c.Add(out, x, x, true) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				op.run()
			}
		})
	}
}
