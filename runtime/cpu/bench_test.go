package cpu

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// benchBytes is the amount of weights a benchmark walks through: far more than any cache.
const benchBytes = 512 << 20

// readBandwidth measures how fast the machine reads memory with a number of workers, in GB/s.
func readBandwidth(b *testing.B, p *Pool, data []byte) float64 {
	b.Helper()
	best := time.Duration(math.MaxInt64)
	for range 4 {
		start := time.Now()
		p.each(len(data)/readPiece, 1, readPass{b, data})
		best = min(best, time.Since(start))
	}
	return float64(len(data)) / float64(best.Nanoseconds())
}

// readPiece is how much of the data one share of a pass reads.
const readPiece = 1 << 20

type readPass struct {
	*testing.B
	data []byte
}

func (r readPass) run(_ *scratch, lo, hi int) {
	if bytes.IndexByte(r.data[lo*readPiece:hi*readPiece], 0xFF) >= 0 {
		r.Error("the benchmark's data must not hold 0xFF")
	}
}

// benchData returns random bytes without 0xFF, and with exponents that keep sums finite.
func benchData(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64() & 0x3F7F3F7F3F7F3F7F
		for j := range 8 {
			data[i+j] = byte(v >> (8 * j))
		}
	}
	return data
}

func BenchmarkDecodeLinear(b *testing.B) {
	data := benchData(benchBytes)
	for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
		c := NewCtx(threads)
		for _, shape := range []struct {
			enc  Encoding
			n, k int
		}{
			{BF16, 4096, 4096}, {BF16, 32768, 1024}, {BF16, 1024, 16384}, {FP8, 4096, 4096}, {FP8, 32768, 1024},
			{FP4, 2048, 4096}, {FP4, 4096, 2048}, {F32, 4096, 4096}, {F32, 24, 16384},
		} {
			weights := benchWeights(b, data, shape.enc, shape.n, shape.k)
			for _, rows := range []int{1, 2, 4} {
				name := fmt.Sprintf("%v/%dx%d/rows=%d/threads=%d", shape.enc, shape.n, shape.k, rows, threads)
				b.Run(name, func(b *testing.B) {
					benchImplementations(b, func(b *testing.B) { benchLinear(b, c, weights, rows, data) })
				})
			}
		}
		c.Close()
	}
}

// benchImplementations runs a benchmark with each of the vector implementations, or with the portable one
// if there is no other or FLAGC_CPU asks for it.
func benchImplementations(b *testing.B, f func(b *testing.B)) {
	chosen := active
	defer func() { active = chosen }()
	list := implementations[1:]
	if chosen == &generic {
		list = implementations[:1]
	}
	for _, k := range list {
		active = k
		b.Run(k.name, f)
	}
}

// benchWeights cuts data into as many matrices as it holds.
func benchWeights(b *testing.B, data []byte, enc Encoding, n, k int) []*Matrix {
	probe := Matrix{Enc: enc, N: n, K: k}
	scale := bytes.Repeat([]byte{120}, probe.scaleBytes())
	size := n * probe.pitch()
	var out []*Matrix
	for len(data) >= size {
		m, err := NewMatrix(enc, n, k, data[:size], scale)
		if err != nil {
			b.Fatal(err)
		}
		out, data = append(out, m), data[size:]
	}
	return out
}

func benchLinear(b *testing.B, c *Ctx, weights []*Matrix, rows int, data []byte) {
	bandwidth := readBandwidth(b, c.Pool, data)
	n, k := weights[0].N, weights[0].K
	x, dst := make([]float32, rows*k), make([]float32, rows*n)
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	i := 0
	for b.Loop() {
		c.Linear(dst, x, weights[i%len(weights)], true)
		i++
	}
	bytesPerCall := float64(len(weights[0].Data) + weights[0].scaleBytes())
	gbs := bytesPerCall * float64(b.N) / float64(b.Elapsed().Nanoseconds())
	b.ReportMetric(gbs, "GB/s")
	b.ReportMetric(100*gbs/bandwidth, "%bandwidth")
}

func BenchmarkPrefillLinear(b *testing.B) {
	data := benchData(64 << 20)
	c := NewCtx(0)
	defer c.Close()
	for _, enc := range []Encoding{BF16, FP8, FP4, F32} {
		w := benchWeights(b, data, enc, 2048, 4096)[0]
		for _, rows := range []int{8, 32, 256} {
			b.Run(fmt.Sprintf("%v/rows=%d", enc, rows), func(b *testing.B) {
				benchImplementations(b, func(b *testing.B) { benchPrefill(b, c, w, rows) })
			})
		}
	}
}

func benchPrefill(b *testing.B, c *Ctx, w *Matrix, rows int) {
	x, dst := make([]float32, rows*w.K), make([]float32, rows*w.N)
	for b.Loop() {
		c.Linear(dst, x, w, true)
	}
	flops := 2 * float64(rows) * float64(w.N) * float64(w.K) * float64(b.N)
	b.ReportMetric(flops/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
}

// One decoded token of the routed experts: six of 256 gate and up projections.
func BenchmarkDecodeExperts(b *testing.B) {
	const n, k, slots = 2048, 4096, 6
	data := benchData(benchBytes)
	c, r := NewCtx(0), newRand(4)
	defer c.Close()
	bandwidth := readBandwidth(b, c.Pool, data)
	experts := &Experts{N: n, K: k}
	for _, m := range benchWeights(b, data, FP4, n, k) {
		experts.W = append(experts.W, *m)
	}
	x, dst, ids := randomBF16(r, k), make([]float32, slots*n), make([]int32, slots)
	b.ReportAllocs()
	for b.Loop() {
		for i, id := range r.Perm(len(experts.W))[:slots] {
			ids[i] = int32(id)
		}
		c.ExpertLinear(dst, x, experts, ids, slots, false, true)
	}
	size := slots * (len(experts.W[0].Data) + len(experts.W[0].Scale))
	gbs := float64(size) * float64(b.N) / float64(b.Elapsed().Nanoseconds())
	b.ReportMetric(gbs, "GB/s")
	b.ReportMetric(100*gbs/bandwidth, "%bandwidth")
}
