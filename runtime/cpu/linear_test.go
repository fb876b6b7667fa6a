package cpu

import (
	"fmt"
	"math"
	"testing"

	"flagc/runtime/formats"

	"github.com/stretchr/testify/require"
)

var encodings = []Encoding{F32, BF16, FP8, FP4}

func TestNewMatrixChecksLengths(t *testing.T) {
	for _, c := range []struct {
		enc               Encoding
		n, k, data, scale int
		message           string
	}{
		{BF16, 0, 4, 0, 0, "at least 1"},
		{BF16, 2, 4, 15, 0, "data is 15 bytes, expected 16"},
		{BF16, 2, 4, 16, 1, "scale is 1 bytes, expected 0"},
		{FP8, 129, 129, 129 * 129, 3, "scale is 3 bytes, expected 4"},
		{FP4, 2, 48, 48, 3, "multiple of 32"},
		{Encoding(9), 1, 1, 1, 1, "unknown matrix encoding(9)"},
	} {
		_, err := NewMatrix(c.enc, c.n, c.k, make([]byte, c.data), make([]byte, c.scale))
		require.ErrorContains(t, err, c.message)
	}
}

func TestRowIsExact(t *testing.T) {
	r := newRand(1)
	for _, enc := range encodings {
		m := randomMatrix(t, r, enc, 130, 160)
		row := make([]float32, m.K)
		for _, n := range []int{0, 127, 128, 129} {
			m.Row(row, n)
			for k, v := range row {
				require.Equal(t, element(m, n, k), float64(v))
			}
		}
	}
}

func TestLinear(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(2)
		for _, enc := range encodings {
			for _, shape := range [][3]int{
				{1, 1, 32}, {1, 5, 96}, {2, 131, 128}, {3, 33, 416}, {4, 64, 1152}, {5, 37, 64},
				{33, 130, 192}, {4, 1001, 128}, {2, 600, 288}, {6, 7, 1056},
			} {
				rows, n, k := shape[0], shape[1], shape[2]
				w, x := randomMatrix(t, r, enc, n, k), randomBF16(r, rows*k)
				for _, round := range []bool{false, true} {
					dst := make([]float32, rows*n)
					c.Linear(dst, x, w, round)
					for i, v := range dst {
						requireProduct(t, v, x[i/n*k:(i/n+1)*k], w, i%n, round)
					}
				}
			}
		}
	})
}

// Columns need not fill a vector.
func TestLinearOddColumns(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(3)
		for _, enc := range []Encoding{F32, BF16, FP8} {
			for _, k := range []int{1, 15, 17, 31, 129, 150, 1025} {
				for _, rows := range []int{1, 7} {
					w, x := randomMatrix(t, r, enc, 6, k), randomBF16(r, rows*k)
					dst := make([]float32, rows*6)
					c.Linear(dst, x, w, false)
					for i, v := range dst {
						requireProduct(t, v, x[i/6*k:(i/6+1)*k], w, i%6, false)
					}
				}
			}
		}
	})
}

// Every finite code of the small formats, subnormals and both zeros included, with the smallest, a large
// and the NaN scale.
func TestLinearEveryCode(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		for _, enc := range []Encoding{FP8, FP4} {
			for _, scale := range []byte{0, 1, 60, 127, 160, 255} {
				m := Matrix{Enc: enc, N: 256, K: 128}
				data, scales := make([]byte, m.N*m.pitch()), make([]byte, m.scaleBytes())
				for n := range m.N {
					data[n*m.pitch()+n%m.pitch()] = byte(n)
				}
				for i := range scales {
					scales[i] = scale
				}
				data[127*m.pitch()+127%m.pitch()], data[255*m.pitch()+255%m.pitch()] = 0, 0
				w, err := NewMatrix(enc, m.N, m.K, data, scales)
				require.NoError(t, err)
				for _, rows := range []int{1, 5} {
					x, dst := make([]float32, rows*m.K), make([]float32, rows*m.N)
					for i := range x {
						x[i] = 1
					}
					c.Linear(dst, x, w, false)
					for i, v := range dst {
						var want float64
						for k := range m.K {
							want += element(w, i%m.N, k)
						}
						require.Equal(t, math.IsNaN(want), v != v)
						if v == v {
							require.Equal(t, float32(want), v, "code %#x scale %d", i%m.N, scale)
						}
					}
				}
			}
		}
	})
}

// unroundedError bounds the root mean square of the errors of float32 results from unquantised weights,
// relative to the norm of the products. A rounding is off by some 2^-25 of its result; in a run of eight
// products these add up to about twice that, and the result's own comes on top. Sums of 4096 products in
// float32 exceed the bound.
const unroundedError = 0x1p-23

func TestUnroundedLinearIsAccurate(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		const n, k = 64, 4096
		r := newRand(8)
		for _, enc := range []Encoding{F32, BF16} {
			for _, rows := range []int{1, 3, 7} {
				w, x := randomMatrix(t, r, enc, n, k), random32(r, rows*k)
				dst := make([]float32, rows*n)
				c.Linear(dst, x, w, false)
				var errors, products float64
				for i, v := range dst {
					var want float64
					for j, xj := range x[i/n*k : (i/n+1)*k] {
						p := float64(xj) * element(w, i%n, j)
						want, products = want+p, products+p*p
					}
					errors += (float64(v) - want) * (float64(v) - want)
				}
				require.Less(t, math.Sqrt(errors/products), unroundedError, "%v, %d rows", enc, rows)
			}
		}
	})
}

func TestGroupedLinear(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(4)
		for _, enc := range encodings {
			for _, rows := range []int{1, 3, 9} {
				const groups, each, k = 3, 50, 160
				w, x := randomMatrix(t, r, enc, groups*each, k), randomBF16(r, rows*groups*k)
				dst := make([]float32, rows*groups*each)
				c.GroupedLinear(dst, x, w, groups, true)
				for i, v := range dst {
					part := i / each
					requireProduct(t, v, x[part*k:(part+1)*k], w, part%groups*each+i%each, true)
				}
			}
		}
	})
}

func TestExpertLinear(t *testing.T) {
	eachImplementation(t, func(t *testing.T, c *Ctx) {
		r := newRand(5)
		for _, tokens := range []int{1, 4, 33} {
			for _, perSlot := range []bool{false, true} {
				const experts, slots, n, k = 4, 3, 20, 160
				w := &Experts{N: n, K: k}
				for range experts {
					w.W = append(w.W, *randomMatrix(t, r, FP4, n, k))
				}
				ids := make([]int32, tokens*slots)
				for i := range ids {
					ids[i] = int32(r.IntN(experts+2)) - 1 // duplicates, holes, an expert that is not here
				}
				sources := tokens
				if perSlot {
					sources *= slots
				}
				x, dst := randomBF16(r, sources*k), random32(r, len(ids)*n)
				c.ExpertLinear(dst, x, w, ids, slots, perSlot, true)
				for i, id := range ids {
					src := i
					if !perSlot {
						src /= slots
					}
					for j, v := range dst[i*n : (i+1)*n] {
						if id < 0 || id == experts {
							require.Zero(t, v)
							continue
						}
						requireProduct(t, v, x[src*k:(src+1)*k], &w.W[id], j, true)
					}
				}
			}
		}
	})
}

// The bits of a result are the same for any number of workers.
func TestThreadsDoNotChangeResults(t *testing.T) {
	first := map[string][]float32{} // by implementation and product
	for _, threads := range []int{1, 2, 5} {
		eachImplementation(t, func(t *testing.T, _ *Ctx) {
			r := newRand(6)
			c := NewCtx(threads)
			defer c.Close()
			for _, enc := range encodings {
				for _, rows := range []int{1, 3, 20} {
					w, x := randomMatrix(t, r, enc, 300, 544), random32(r, rows*544)
					dst := make([]float32, rows*w.N)
					c.Linear(dst, x, w, false)
					key := fmt.Sprint(active.name, enc, rows)
					if first[key] == nil {
						first[key] = dst
					}
					require.Equal(t, first[key], dst)
				}
			}
		})
	}
}

func TestShapeMistakesPanic(t *testing.T) {
	c := NewCtx(1)
	defer c.Close()
	w := randomMatrix(t, newRand(7), BF16, 4, 8)
	require.PanicsWithValue(t, "cpu: Linear: dst has 3 elements, expected 4", func() {
		c.Linear(make([]float32, 3), make([]float32, 8), w, false)
	})
}

func TestMix(t *testing.T) {
	eachImplementation(t, func(t *testing.T, _ *Ctx) {
		r := newRand(8)
		for _, rows := range []int{1, 3, 4, 9} {
			for _, d := range []int{1, 31, 32, 100, 192} {
				const entries = 5
				p, v, acc := random64(r, rows*entries), random32(r, entries*d), random64(r, rows*d)
				want := make([]float64, len(acc))
				for i := range want {
					want[i] = acc[i]
					for e := range entries {
						want[i] += p[i/d*entries+e] * float64(v[e*d+i%d])
					}
				}
				active.mix(acc, d, p, entries, rows, v, entries, d)
				for i, w := range want {
					require.InDelta(t, w, acc[i], 100*float64Sum)
				}
			}
		}
	})
}

// hits counts how often a pool hands out each share.
type hits struct {
	grain int
	count []int32
}

func (h *hits) run(s *scratch, lo, hi int) {
	if s == nil || hi-lo > h.grain {
		panic("a range is too long, or has no memory")
	}
	for i := lo; i < hi; i++ {
		h.count[i]++
	}
}

func TestPoolCoversEveryIndexOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 8} {
		p := NewPool(threads)
		for round := range 300 {
			h := hits{grain: 1 + round%5, count: make([]int32, round%37)}
			p.each(len(h.count), h.grain, &h)
			for _, n := range h.count {
				require.EqualValues(t, 1, n)
			}
		}
		p.Close()
	}
}

func TestBF16OutputsAreRounded(t *testing.T) {
	c := NewCtx(1)
	defer c.Close()
	x := []float32{1, 1 + 0x1p-8, 1 + 3*0x1p-8, 0x1p-133, 0x1p-134}
	dst := make([]float32, len(x))
	c.RoundBF16(dst, x)
	for i, v := range x {
		require.Equal(t, formats.RoundBF16x32(v), dst[i])
	}
}
