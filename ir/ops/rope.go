package ops

import (
	"math"

	"flagc/ir"
)

// Rope rotates pairs of channels by angles that grow with the position.
var Rope = define(ir.Op{
	Name: "rope",
	Doc: "The last dims channels, as complex pairs (2i, 2i+1), times e^{jθ}, or e^{-jθ} when inverse; row i " +
		"stands at position first + i·step. With an original length low frequencies are stretched as YaRN does.",
	Spec:  "2.5",
	Class: ir.Injective,
	Sig:   "x[b,n,*h,k] -> y[b,n,*h,k]",
	Types: "bf16 -> bf16",
	Attrs: []ir.AttrDecl{
		size("first", "position of row 0"),
		optional(integer("step", "positions from row to row"), 1),
		optional(ir.AttrDecl{Name: "inverse", Kind: ir.BoolAttr, Doc: "rotate back"}, false),
		integer("dims", "channels that rotate"),
		number("theta", "base of the frequencies"),
		optional(number("factor", "YaRN: how far the context is stretched"), 1.0),
		optional(integer("original", "YaRN: positions seen before stretching; 0 for no YaRN"), 0),
		optional(number("beta_fast", "YaRN: rotations above which a frequency stays"), 0.0),
		optional(number("beta_slow", "YaRN: rotations below which it is divided by factor"), 0.0),
	},
	Whole: "k n",
	Flops: "6*b*n*h*k",
	Rule: func(f *ir.Inference) error {
		dims := f.Attrs.Int("dims")
		k, ok := f.Dim("k").Size.IsConst()
		if dims < 2 || dims%2 != 0 || ok && dims > k {
			return f.Errorf(0, "rope: %d channels of axis %s = %d cannot rotate in pairs", dims, f.Dim("k").Name, k)
		}
		return nil
	},
	Eval: func(e *ir.Eval) {
		x, y := e.Args[0], e.Out[0]
		b, n, k, dims := x.Dim(0), x.Dim(1), x.Dim(-1), e.Attrs.Int("dims")
		if len(x.F) == 0 {
			return
		}
		heads := len(x.F) / (b * n * k)
		freqs := Frequencies(e.Attrs)
		first, step := e.Size("first"), e.Attrs.Int("step")
		sign := 1.0
		if e.Attrs.Bool("inverse") {
			sign = -1
		}
		copy(y.F, x.F)
		e.Parallel(b*n, func(i int) {
			position := float32(first + i%n*step)
			cos, sin := make([]float64, dims/2), make([]float64, dims/2)
			for j, f := range freqs {
				angle := float64(position * f)
				cos[j], sin[j] = math.Cos(angle), sign*math.Sin(angle)
			}
			for h := 0; h < heads; h++ {
				v := y.F[((i*heads)+h)*k+k-dims:][:dims]
				for j := range cos {
					re, im := v[2*j], v[2*j+1]
					v[2*j], v[2*j+1] = re*cos[j]-im*sin[j], re*sin[j]+im*cos[j]
				}
			}
		})
	},
})

// Frequencies are the rotary frequencies of a Rope instruction's attributes in the official float32 steps:
// the exponent 2i/dims, the power and its reciprocal are rounded each; YaRN blends f/factor and f along a ramp between the channels
// that turn beta_fast and beta_slow times within the original length.
func Frequencies(a ir.Attrs) []float32 {
	dims, theta, factor := a.Int("dims"), a.Float("theta"), a.Float("factor")
	freqs := make([]float32, dims/2)
	for i := range freqs {
		freqs[i] = 1 / float32(math.Pow(theta, float64(float32(2*i)/float32(dims))))
	}
	if a.Int("original") == 0 {
		return freqs
	}
	channel := func(rotations float64) float64 {
		return float64(dims) * math.Log(float64(a.Int("original"))/(rotations*2*math.Pi)) / (2 * math.Log(theta))
	}
	low := math.Max(math.Floor(channel(a.Float("beta_fast"))), 0)
	high := math.Min(math.Ceil(channel(a.Float("beta_slow"))), float64(dims-1))
	if low == high {
		high += 0.001
	}
	for i := range freqs {
		ramp := (float32(i) - float32(low)) / float32(high-low)
		smooth := 1 - min(max(ramp, 0), 1)
		// The conversions keep a processor with fused multiply-add from skipping a rounding.
		freqs[i] = float32(freqs[i]/float32(factor)*(1-smooth)) + float32(freqs[i]*smooth)
	}
	return freqs
}
