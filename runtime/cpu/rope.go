package cpu

import "math"

// RopeSpec describes a rotary position embedding as a checkpoint's config does.
type RopeSpec struct {
	Dims               int     // rotated channels, even: the last of each head
	Theta              float64 // base of the frequencies
	Factor             float64 // YaRN's stretch
	Original           int     // YaRN: context length before the stretch; 0 means no YaRN
	BetaFast, BetaSlow float64 // YaRN: rotations over Original that bound the ramp
}

// Rope holds the frequencies of one RopeSpec.
type Rope struct {
	dims  int
	freqs []float32
}

// NewRope computes the frequencies by the float32 steps of the official code (spec §2.5): the power is
// rounded, then its reciprocal, then each YaRN step.
func NewRope(spec RopeSpec) *Rope {
	half := spec.Dims / 2
	r := &Rope{dims: spec.Dims, freqs: make([]float32, half)}
	yarn := spec.Original > 0 // a factor of 1 still takes the steps, and their roundings
	low, high := 0.0, 0.0
	if yarn {
		low, high = spec.correctionRange()
	}
	for i := range r.freqs {
		exponent := float32(2*i) / float32(spec.Dims)
		f := 1 / float32(math.Pow(spec.Theta, float64(exponent)))
		if yarn {
			ramp := (float32(i) - float32(low)) / float32(high-low)
			smooth := 1 - min(max(ramp, 0), 1)
			stretched := f / float32(spec.Factor)
			a := float32(stretched * (1 - smooth)) // conversions keep each product rounded: no fused multiply
			b := float32(f * smooth)
			f = a + b
		}
		r.freqs[i] = f
	}
	return r
}

// correctionRange is the span of channel pairs over which YaRN goes from no stretch to the full one.
func (s RopeSpec) correctionRange() (low, high float64) {
	dim := func(rotations float64) float64 {
		return float64(s.Dims) * math.Log(float64(s.Original)/(rotations*2*math.Pi)) / (2 * math.Log(s.Theta))
	}
	low = max(math.Floor(dim(s.BetaFast)), 0)
	high = min(math.Ceil(dim(s.BetaSlow)), float64(s.Dims-1))
	if low == high {
		high += 0.001 // as the official code does, against a division by zero
	}
	return low, high
}

// Rope rotates the last channels of each head: x is [batch,rows,heads,d], row i has position
// first+i·step, channels 2j and 2j+1 of the rotated part turn by float32(frequency·position), backwards
// if inverse. bf16 result of the rotated part, the rest is copied (spec §2.5). dst may be x.
func (c *Ctx) Rope(dst, x []float32, r *Rope, batch, rows, heads, d, first, step int, inverse bool) {
	need("Rope", "x", len(x), batch*rows*heads*d)
	need("Rope", "dst", len(dst), len(x))
	c.loops.rope = ropeRows{dst, x, r, batch, rows, heads, d, first, step, inverse}
	c.eachRow(rows, batch*heads*d, &c.loops.rope)
}

type ropeRows struct {
	dst, x                             []float32
	r                                  *Rope
	batch, rows, heads, d, first, step int
	inverse                            bool
}

func (l *ropeRows) run(s *scratch, lo, hi int) {
	dst, x, width := l.dst, l.x, l.heads*l.d
	kept := l.d - l.r.dims
	turns := grow(&s.f, l.r.dims)
	for i := lo; i < hi; i++ {
		l.r.turns(turns, l.first+i*l.step, l.inverse)
		for b := range l.batch {
			at := (b*l.rows + i) * width
			for o := at; o < at+width; o += l.d {
				copy(dst[o:o+kept], x[o:o+kept])
				rotate(dst[o+kept:o+l.d], x[o+kept:o+l.d], turns)
			}
		}
	}
}

// turns writes cosine and sine of each frequency's angle at a position.
func (r *Rope) turns(dst []float64, position int, inverse bool) {
	for j, f := range r.freqs {
		sin, cos := math.Sincos(float64(f * float32(position)))
		if inverse {
			sin = -sin
		}
		dst[2*j], dst[2*j+1] = cos, sin
	}
}

func rotate(dst, x []float32, turns []float64) {
	for j := 0; j < len(x); j += 2 {
		re, im := float64(x[j]), float64(x[j+1])
		cos, sin := turns[j], turns[j+1]
		dst[j] = bf16(re*cos - im*sin)
		dst[j+1] = bf16(re*sin + im*cos)
	}
}
