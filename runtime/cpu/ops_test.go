package cpu

import (
	"math"
	"testing"

	"flagc/runtime/formats"

	"github.com/stretchr/testify/require"
)

func round64(x float64) float64 { return formats.RoundBF16(x) }

func context(t *testing.T) *Ctx {
	c := NewCtx(2)
	t.Cleanup(c.Close)
	return c
}

// The known answers of spec §17, with amax 448 so that the scale is 1.
func TestActQuantKnownAnswers(t *testing.T) {
	c := context(t)
	x := make([]float32, 128)
	copy(x, []float32{3, -0.7109375, 0.01171875, 100.5, -448, 0.00099945068})
	c.ActQuant(x, x, 128, 128)
	require.Equal(t, []float32{3, -0.6875, 0.01171875, 104, -448, 0.001953125, 0}, x[:7])
}

func TestActQuantMatchesDefinition(t *testing.T) {
	c, r := context(t), newRand(10)
	for _, width := range []int{64, 128, 200, 448} {
		x := randomBF16(r, 3*width)
		clear(x[:width]) // a block of zeros
		x[width] = 0x1p-133
		x[2*width] = 3e38
		dst := make([]float32, len(x))
		c.ActQuant(dst, x, width, 64)
		for row := range 3 {
			for o := 0; o < width; o += 64 {
				lo, hi := row*width+o, row*width+min(o+64, width)
				var amax float64
				for _, v := range x[lo:hi] {
					amax = max(amax, math.Abs(float64(v)))
				}
				s := formats.ActScaleFP8(amax)
				for i := lo; i < hi; i++ {
					require.Equal(t, float32(formats.RoundE4M3(float64(x[i])/s)*s), dst[i])
				}
			}
		}
	}
}

func TestActQuantSimKeepsTail(t *testing.T) {
	c, r := context(t), newRand(11)
	const width, keep, block = 192, 64, 64
	x := randomBF16(r, 5*width)
	dst, quantised := make([]float32, len(x)), make([]float32, len(x))
	c.ActQuant(quantised, x, width, block)
	c.ActQuantSim(dst, x, width, keep, block)
	for i := range x {
		want := quantised[i]
		if i%width >= width-keep {
			want = x[i]
		}
		require.Equal(t, want, dst[i])
	}
}

func TestFP4QuantSimKnownAnswers(t *testing.T) {
	c := context(t)
	x := make([]float32, 96)
	copy(x, []float32{0.30078125, -1.296875, 2, 7, 0.050048828})
	x[64] = 0x1p-130
	c.FP4QuantSim(x, x, 32)
	require.Equal(t, []float32{0, -1, 2, 8, 0}, x[:5])
	require.Equal(t, make([]float32, 59), x[5:64])
	require.Zero(t, x[64], "the smallest scale is 2^-126, whose smallest step is 2^-127")
}

func TestRMSNorm(t *testing.T) {
	c, r := context(t), newRand(12)
	const d = 67
	x, w := randomBF16(r, 33*d), randomBF16(r, d)
	clear(x[:d])
	dst, want := make([]float32, len(x)), make([]float64, len(x))
	for o := 0; o < len(x); o += d {
		var sum float64
		for _, v := range x[o : o+d] {
			sum += float64(v) * float64(v)
		}
		for i := range d {
			want[o+i] = float64(w[i]) * float64(x[o+i]) / math.Sqrt(sum/d+float64(float32(1e-6)))
		}
	}
	c.RMSNorm(dst, x, w, 1e-6)
	requireBF16(t, want, dst)
}

func TestHeadNorm(t *testing.T) {
	c, r := context(t), newRand(13)
	const d = 64
	x := randomBF16(r, 16*d)
	clear(x[:d])
	dst, want := make([]float32, len(x)), make([]float64, len(x))
	for o := 0; o < len(x); o += d {
		var sum float64
		for _, v := range x[o : o+d] {
			sum += round64(float64(v) * float64(v))
		}
		g := round64(1 / math.Sqrt(round64(round64(sum/d)+float64(float32(1e-6)))))
		for i := range d {
			want[o+i] = float64(x[o+i]) * g
		}
	}
	c.HeadNorm(dst, x, d, 1e-6)
	requireBF16(t, want, dst)
}

// Sylvester's matrix has the sign (-1)^popcount(i&j).
func TestHadamard(t *testing.T) {
	c, r := context(t), newRand(14)
	for _, d := range []int{1, 2, 64, 128} {
		x := randomBF16(r, 3*d)
		dst, want := make([]float32, len(x)), make([]float64, len(x))
		for i := range want {
			for j := range d {
				sign := 1.0
				for bits := i % d & j; bits != 0; bits &= bits - 1 {
					sign = -sign
				}
				want[i] += sign * float64(x[i/d*d+j]) / math.Sqrt(float64(d))
			}
		}
		c.Hadamard(dst, x, d)
		requireBF16(t, want, dst)
	}
}

// Reference values of spec §2.5 in double precision; float32 steps stay within a few last places.
func TestRopeFrequencies(t *testing.T) {
	r := NewRope(RopeSpec{Dims: 64, Theta: 160000, Factor: 16, Original: 65536, BetaFast: 32, BetaSlow: 1})
	for i, want := range map[int]float64{
		0: 1, 15: 0.00363553858, 16: 0.002265625, 20: 0.000296977778, 25: 5.37231267e-06, 31: 5.68052904e-07,
	} {
		require.InEpsilon(t, want, float64(r.freqs[i]), 1e-6)
	}
	plain := NewRope(RopeSpec{Dims: 64, Theta: 10000, Factor: 1})
	for i, f := range plain.freqs {
		require.Equal(t, 1/float32(math.Pow(10000, float64(i)/32)), f)
	}
}

func TestRope(t *testing.T) {
	c, r := context(t), newRand(15)
	rope := NewRope(RopeSpec{Dims: 8, Theta: 10000, Factor: 1})
	const batch, rows, heads, d, first, step = 2, 5, 4, 12, 126, 4
	x := randomBF16(r, batch*rows*heads*d)
	for _, inverse := range []bool{false, true} {
		dst, want := make([]float32, len(x)), make([]float64, len(x))
		for i := range x {
			ch := i % d
			want[i] = float64(x[i])
			if ch < d-8 {
				continue
			}
			pair := (ch - (d - 8)) / 2
			position := first + i/d/heads%rows*step
			angle := float64(float32(float64(rope.freqs[pair]) * float64(position)))
			if inverse {
				angle = -angle
			}
			if ch%2 == 0 {
				want[i] = float64(x[i])*math.Cos(angle) - float64(x[i+1])*math.Sin(angle)
			} else {
				want[i] = float64(x[i-1])*math.Sin(angle) + float64(x[i])*math.Cos(angle)
			}
		}
		c.Rope(dst, x, rope, batch, rows, heads, d, first, step, inverse)
		requireBF16(t, want, dst)
	}
}

func TestSqrtSoftplusKnownAnswers(t *testing.T) {
	dst := make([]float32, 4)
	context(t).SqrtSoftplus(dst, []float32{-3, 0, 2.5, 25})
	for i, want := range []float64{0.2204254, 0.8325546, 1.6058922, 5} {
		require.InDelta(t, want, float64(dst[i]), 1e-7)
	}
}

func TestSwiGLU(t *testing.T) {
	c, r := context(t), newRand(16)
	gate, up := randomBF16(r, 200), randomBF16(r, 200)
	gate[0], up[0], up[1] = 30, 30, -30
	dst := make([]float32, len(gate))
	for _, limit := range []float64{0, 1.5, 10} {
		c.SwiGLU(dst, gate, up, float32(limit))
		for i := range gate {
			g, u := float64(gate[i]), float64(up[i])
			if limit > 0 {
				g, u = math.Min(g, limit), math.Max(-limit, math.Min(u, limit))
			}
			require.InDelta(t, g/(1+math.Exp(-g))*u, float64(dst[i]), 1e-6*math.Abs(g*u))
		}
	}
}

func TestSinkhornKnownAnswers(t *testing.T) {
	m := make([]float64, 16)
	for i := range m {
		m[i] = float64(i%5)/2 - 1
	}
	sinkhorn(m, 4, 20, 1e-6)
	for i, want := range []float64{
		0.077644, 0.145057, 0.271002, 0.506296,
		0.506297, 0.077644, 0.145057, 0.271001,
	} {
		require.InDelta(t, want, m[i], 1e-6)
	}
}

// All of hc_pre, hc_post and hc_head, from the formulas of spec §4 written out for matrices.
func TestHyperConnections(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(17)
		for _, hc := range []int{1, 2, 4} {
			const rows, width, iters, eps = 3, 40, 20, 1e-6
			n := (2 + hc) * hc
			x, sub := randomBF16(r, rows*hc*width), randomBF16(r, rows*width)
			fn := randomMatrix(t, r, F32, n, hc*width)
			scale, base := random32(r, 3), random32(r, n)
			y, post := make([]float32, rows*width), make([]float32, rows*hc)
			comb, out := make([]float32, rows*hc*hc), make([]float32, len(x))
			c.HCPre(y, post, comb, x, fn, scale, base, hc, width, iters, eps, eps)
			c.HCPost(out, sub, x, post, comb, hc, width)
			for row := range rows {
				streams := x[row*hc*width : (row+1)*hc*width]
				m := naiveMixes(streams, fn)
				square := make([]float64, hc*hc)
				want := make([]float64, width)
				for j := range hc {
					weight := 1/(1+math.Exp(-m[j]*float64(scale[0])-float64(base[j]))) + eps
					for i := range want {
						want[i] += weight * float64(streams[j*width+i])
					}
					p := 2 / (1 + math.Exp(-m[hc+j]*float64(scale[1])-float64(base[hc+j])))
					require.InDelta(t, p, float64(post[row*hc+j]), 1e-4)
				}
				for i := range square {
					square[i] = m[2*hc+i]*float64(scale[2]) + float64(base[2*hc+i])
				}
				sinkhorn(square, hc, iters, eps)
				for i, v := range square {
					require.InDelta(t, v, float64(comb[row*hc*hc+i]), 1e-4)
				}
				for i, v := range want {
					require.InDelta(t, v, float64(y[row*width+i]), 1e-3+math.Abs(v)*oneBF16)
				}
				for k := range hc {
					for i := range width {
						v := float64(post[row*hc+k]) * float64(sub[row*width+i])
						for j := range hc {
							v += float64(comb[row*hc*hc+j*hc+k]) * float64(streams[j*width+i])
						}
						require.Equal(t, float32(round64(v)), out[(row*hc+k)*width+i])
					}
				}
			}
			head := make([]float32, rows*width)
			c.HCHead(head, x, randomHead(t, fn, hc), scale[:1], base[:hc], hc, width, eps, eps)
			require.Equal(t, y, head, "with the same weights, hc_head is the first part of hc_pre")
		}
	})
}

// randomHead is the part of fn that makes hc_pre's stream weights.
func randomHead(t *testing.T, fn *Matrix, hc int) *Matrix {
	m, err := NewMatrix(F32, hc, fn.K, fn.Data[:hc*fn.K*4], nil)
	require.NoError(t, err)
	return m
}

func naiveMixes(x []float32, fn *Matrix) []float64 {
	m := make([]float64, fn.N)
	var squares float64
	for k, v := range x {
		squares += float64(v) * float64(v)
		for n := range m {
			m[n] += element(fn, n, k) * float64(v)
		}
	}
	for n := range m {
		m[n] /= math.Sqrt(squares/float64(len(x)) + 1e-6)
	}
	return m
}

func TestPointwise(t *testing.T) {
	c, r := context(t), newRand(18)
	const rows, width, times = 4, 5, 2
	a, b, w := random32(r, rows*width), random32(r, rows*width), random32(r, rows)
	row := random32(r, rows/times*width)
	for _, round := range []bool{false, true} {
		results := [5][]float32{}
		for i := range results {
			results[i] = make([]float32, len(a))
		}
		c.Add(results[0], a, b, round)
		c.Mul(results[1], a, b, round)
		c.Scale(results[2], a, w[0], round)
		c.MulRows(results[3], a, w, width, round)
		c.AddRows(results[4], a, row, width, times, round)
		for i := range a {
			for j, want := range []float32{
				a[i] + b[i], a[i] * b[i], a[i] * w[0], a[i] * w[i/width], a[i] + row[i/width/times*width+i%width],
			} {
				if round {
					want = formats.RoundBF16x32(want)
				}
				require.Equal(t, want, results[j][i], "operation %d", j)
			}
		}
	}
}

func TestEmbedAndRepeat(t *testing.T) {
	c := context(t)
	table := randomMatrix(t, newRand(19), BF16, 6, 3)
	dst, twice := make([]float32, 12), make([]float32, 24)
	c.Embed(dst, table, []int32{5, -1, 0, 6})
	c.Repeat(twice, dst, 3, 2)
	for i := range twice {
		want := 0.0
		switch i / 6 {
		case 0:
			want = element(table, 5, i%3)
		case 2:
			want = element(table, 0, i%3)
		}
		require.Equal(t, float32(want), twice[i])
	}
}

func TestRouting(t *testing.T) {
	c := context(t)
	scores := []float32{1, 3, 3, 2, 0.5, 4, 4, 4}
	bias := []float32{0, 0, 0, 2}
	ids := make([]int32, 4)
	c.SelectExperts(ids, scores, bias, 4, 2)
	require.Equal(t, []int32{3, 1, 3, 1}, ids)
	c.SelectExperts(ids, scores, nil, 4, 2)
	require.Equal(t, []int32{1, 2, 1, 2}, ids)
	weights := make([]float32, 4)
	c.RouteWeights(weights, scores, []int32{3, 1, 0, 4}, 4, 2, 1.5)
	require.Equal(t, []float32{0.6, 0.9, 1.5, 0}, weights)
	c.HashExperts(ids, []int32{2, 3}, []int32{9, 8, 7, 6, 5, 4}, 2)
	require.Equal(t, []int32{5, 4, -1, -1}, ids)
	sum := make([]float32, 4)
	c.SumSlots(sum, []float32{1, 2, 3, 4, 5, 6, 7, 8}, 2, 2)
	require.Equal(t, []float32{4, 6, 12, 14}, sum)
}

func TestSample(t *testing.T) {
	c, r := context(t), newRand(20)
	logits := []float32{1, 3, 2, 3, float32(math.Inf(-1))}
	require.EqualValues(t, 1, c.Sample(logits, 0, 1, r))
	require.EqualValues(t, -1, Argmax(nil))
	values, places, tokens := make([]float32, 2), make([]int32, 2), make([]int32, 1)
	ArgmaxRows(values, places, []float32{1, 4, 4, 0, -2, 4}, 3)
	require.Equal(t, []float32{4, 4}, values)
	require.Equal(t, []int32{1, 2}, places)
	Pick(tokens, values, places, 2, 3)
	require.EqualValues(t, 1, tokens[0], "of equals the first")
	const draws = 20000
	var all, top [5]int
	for range draws {
		all[c.Sample(logits, 1, 1, r)]++
		top[c.Sample(logits, 1, 0.5, r)]++
	}
	total := math.E + 2*math.Exp(3) + math.Exp(2)
	for i, v := range logits {
		// Six standard deviations of a binomial count are below 3·sqrt(draws).
		require.InDelta(t, draws*math.Exp(float64(v))/total, all[i], 3*math.Sqrt(draws))
	}
	require.Equal(t, draws, top[1]+top[3], "two tokens hold more than half of the probability")
}

// Sums and products are rounded to bf16 once: by way of float32 each of these would land on the tie at
// 1+2^-8, and from there go down to 1, the even neighbour.
func TestRoundingHappensOnce(t *testing.T) {
	const tie, above = 1 + 0x1p-8, 1 + 0x1p-7
	c, dst := context(t), make([]float32, 1)
	c.Add(dst, []float32{tie}, []float32{0x1p-30}, true)
	require.EqualValues(t, above, dst[0])
	c.AddRows(dst, []float32{tie}, []float32{0x1p-30}, 1, 1, true)
	require.EqualValues(t, above, dst[0])
	found := 0
	for k := range 64 {
		x := 1 + float32(k)*0x1p-12
		y := tie / x
		if x*y != tie || float64(x)*float64(y) <= tie {
			continue
		}
		found++
		c.Mul(dst, []float32{x}, []float32{y}, true)
		require.EqualValues(t, above, dst[0])
		c.MulRows(dst, []float32{x}, []float32{y}, 1, true)
		require.EqualValues(t, above, dst[0])
		c.Scale(dst, []float32{x}, y, true)
		require.EqualValues(t, above, dst[0])
	}
	require.NotZero(t, found)
	c.SumSlots(dst, []float32{1, 0x1p-24, 0x1p-24}, 3, 1)
	require.EqualValues(t, 1+0x1p-23, dst[0])
}
