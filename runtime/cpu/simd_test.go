package cpu

import (
	"math"
	"testing"

	"flagc/runtime/formats"

	"github.com/stretchr/testify/require"
)

func TestChoose(t *testing.T) {
	for _, k := range implementations {
		require.Same(t, k, choose(k.name))
	}
	fastest := implementations[len(implementations)-1]
	require.Same(t, fastest, choose(""))
	require.Same(t, fastest, choose("abacus"))
	require.Same(t, &generic, implementations[0])
	require.Contains(t, []string{"generic", "avx2", "avx512"}, Implementation())
}

// Widened weights stand in the order of arranged activations, with their exact values.
func TestWidenMatchesArrange(t *testing.T) {
	eachImplementation(t, func(t *testing.T, _ *Ctx) {
		r := newRand(40)
		for _, enc := range encodings {
			m := randomMatrix(t, r, enc, 131, 416)
			for _, n := range []int{0, 127, 128, 130} {
				row, want, got := make([]float32, m.K), make([]float32, m.K), make([]float32, m.K)
				m.Row(row, n)
				active.arrange(want, row, enc)
				for i := range want {
					want[i] *= active.gain(enc)
				}
				active.widen(got[:256], m, n, 0, 256)
				active.widen(got[256:], m, n, 256, m.K)
				require.Equal(t, want, got, "%v row %d", enc, n)
			}
		}
	})
}

// All numbers of rows and vectors give what single products give, up to the order of sums.
func TestRowsCounts(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(41)
		for _, enc := range encodings {
			for _, k := range []int{32, 128, 160, 544, 1024} {
				m := randomMatrix(t, r, enc, 7, k)
				x, arranged := randomBF16(r, 4*k), make([]float32, 4*k)
				for i := range 4 {
					active.arrange(arranged[i*k:(i+1)*k], x[i*k:(i+1)*k], enc)
				}
				for _, count := range []int{1, 4} {
					for vectors := 1; vectors <= 4; vectors++ {
						var out [16]float32
						c.Pool.own.scales.w = nil
						at := []int{3 * k, 0, k, 2 * k}[:vectors]
						active.rows(&out, m, 2, count, arranged, at, &c.Pool.own)
						for i, o := range at {
							for j := range count {
								requireProduct(t, out[4*i+j], x[o:o+k], m, 2+j, false)
							}
						}
					}
				}
			}
		}
	})
}

func TestTile(t *testing.T) {
	eachImplementation(t, func(t *testing.T, _ *Ctx) {
		r := newRand(42)
		for _, k := range []int{0, 1, 15, 16, 31, 32, 100, 512} {
			a, b := random32(r, 5*k), random32(r, 4*k)
			at, bt := [4]int{0, 2 * k, k, 4 * k}, [4]int{3 * k, k, 0, 0}
			var out [16]float32
			var wide [16]float64
			active.tile(&out, a, &at, b, &bt, k)
			active.dtile(&wide, a, &at, b, &bt, k)
			for i, got := range out {
				var want, size float64
				for j := range k {
					p := float64(a[at[i/4]+j]) * float64(b[bt[i%4]+j])
					want, size = want+p, size+math.Abs(p)
				}
				require.InDelta(t, want, float64(got), size*float32Sum)
				require.InDelta(t, want, wide[i], size*float64Sum)
			}
		}
	})
}

// Every step of rate is rounded, so implementations agree bit for bit.
func TestRate(t *testing.T) {
	eachImplementation(t, func(t *testing.T, _ *Ctx) {
		r := newRand(43)
		for _, n := range []int{1, 8, 15, 16, 33, 64} {
			dots, sums := random32(r, n), random32(r, n)
			weight := formats.RoundBF16x32(float32(r.NormFloat64()))
			dots[0] = 1 + 0x1p-8 // halfway between two bf16 numbers
			want := append([]float32(nil), sums...)
			rateGeneric(want, dots, weight)
			active.rate(sums, dots, weight)
			require.Equal(t, want, sums)
		}
	})
}

func TestHalf(t *testing.T) {
	eachImplementation(t, func(t *testing.T, _ *Ctx) {
		src := make([]uint16, 1<<16+3)
		for i := range src {
			src[i] = uint16(i)
		}
		for _, n := range []int{0, 1, 15, 16, 17, len(src)} {
			dst := make([]float32, n+1)
			dst[n] = 1
			active.half(dst[:n], src[:n])
			for i, v := range dst[:n] {
				require.Equal(t, uint32(src[i])<<16, math.Float32bits(v))
			}
			require.EqualValues(t, 1, dst[n])
		}
	})
}

// weighError bounds the relative error of weigh's exponentials: the polynomial's 2^-36, rounded up.
const weighError = 0x1p-35

// One exponential at a time, from the tiniest arguments to those whose weight is no normal bf16 number.
func TestWeighAccuracy(t *testing.T) {
	const stride = 499 // bit patterns from one argument to the next
	eachImplementation(t, func(t *testing.T, _ *Ctx) {
		var x [2 * scoreStep]float64
		worst := 0.0
		for bits := math.Float32bits(0x1p-30); bits < math.Float32bits(700); bits += stride {
			for i := range x {
				x[i] = math.Inf(-1)
			}
			place := int(bits % uint32(len(x)))
			v := -float64(math.Float32frombits(bits))
			x[place] = v
			want := math.Exp(v)
			got := active.weigh(x[:], 1, 0)
			if v > -600 { // what holes weigh does not count against this
				worst = max(worst, math.Abs(got-want)/want)
			}
			rounded := formats.RoundBF16(got)
			wrong := math.Abs(x[place]-rounded) > 0x1p-134 || v > -87 && x[place] != rounded
			if wrong || x[(place+1)%len(x)] > 0x1p-1000 {
				require.Failf(t, "wrong weight", "exp(%v) = %v gives %v", v, got, x)
			}
		}
		require.Less(t, worst, weighError)
	})
}

func TestWeighAndPeak(t *testing.T) {
	eachImplementation(t, func(t *testing.T, _ *Ctx) {
		r := newRand(44)
		for _, n := range []int{8, 16, 40, 64} {
			x := random64(r, n)
			x[r.IntN(n-1)] = 9
			x[n-1] = math.Inf(-1)
			require.EqualValues(t, 9, active.peak(x))
			const scale, top = 0.5, 4.5
			var want float64
			weights := make([]float64, n)
			for i, v := range x {
				weights[i] = math.Exp(v*scale - top)
				want += weights[i]
			}
			require.InEpsilon(t, want, active.weigh(x, scale, top), weighError)
			for i, w := range weights {
				require.InDelta(t, w, x[i], w*oneBF16+0x1p-1000)
			}
			x[3] = math.NaN()
			require.True(t, math.IsNaN(active.weigh(x, scale, top)))
		}
	})
}
