package weights

import (
	"fmt"
	"math"
	"strings"
	"sync"

	"flagc/ir"
)

// recipe says how large the elements of a made weight are. A weight that multiplies has fan set: sigma is
// then in units of 1/√(columns), which keeps the size of what passes through it.
type recipe struct {
	suffix      string // of the tensor's name relative to its instance
	mean, sigma float64
	fan         bool
}

// recipes give a model of random weights the health of a trained one: streams that neither die nor explode,
// routing that spreads, a SwiGLU that now and then reaches its clamp, and logits that differ. The first match
// counts; plain vectors that none matches are norms.
var recipes = []recipe{
	{"embed.weight", 0, 1, false},
	{"head.weight", 0, 2, true},
	{"norm.weight", 1, 0.1, false},
	{"attn_sink", 0, 1, false},
	{".ape", 0, 0.5, false},
	{"gate.weight", 0, 2, true},
	{"wgate.weight", 0, 1, true},
	{"gate.bias", 0, 0.2, false},
	{"_fn", 0, 1, true},
	{"_base", 0, 0.7, false},
	{"_scale", 0.6, 0.07, false},
	{".experts.*.w1.weight", 0, 4, true},
	{".experts.*.w3.weight", 0, 4, true},
	// Inner activations are products of two large factors; the way back makes up for it.
	{".experts.*.w2.weight", 0, 1.0 / 32, true},
	{".shared_experts.w1.weight", 0, 2, true},
	{".shared_experts.w3.weight", 0, 2, true},
	{".shared_experts.w2.weight", 0, 1.0 / 64, true},
}

// recipeOf chooses by name, then by rank: other matrices multiply, other vectors scale.
func recipeOf(t Tensor) recipe {
	for _, r := range recipes {
		if strings.HasSuffix(t.Weight.Tensor, r.suffix) {
			return r
		}
	}
	if len(t.Weight.Stored()) > 1 {
		return recipe{sigma: 1, fan: true}
	}
	return recipe{mean: 1, sigma: 0.1}
}

// spread is the standard deviation that the recipe asks of a stored matrix.
func (r recipe) spread(stored []int) float64 {
	if !r.fan || len(stored) == 0 {
		return r.sigma
	}
	return r.sigma / math.Sqrt(float64(stored[len(stored)-1]))
}

const (
	// fp8Sigma is the standard deviation of made E4M3 codes: the largest bell, 3.45 sigma, is 256.
	fp8Sigma = 74
	// fp4Sigma is that of made E2M1 codes: the root of Σ counts·magnitude² / 256 over fp4Counts.
	fp4Sigma = 1.93
)

// fp4Counts says how many of 256 codes are 0, 0.5, 1, 1.5, 2, 3, 4, 6, and their negatives: a normal
// distribution of standard deviation 2, as blocks scaled to a largest element of 4 to 6 have it.
var fp4Counts = []int{13, 25, 23, 19, 22, 17, 8, 1, 13, 25, 23, 19, 22, 17, 8, 1}

// fp4Pairs is the table by which all FP4 tensors are made.
var fp4Pairs = sync.OnceValue(func() *[1 << 16]byte {
	return pairTable(frequencies(fp4Counts, func(code int) byte { return byte(code) }))
})

// scaleSpread is how made scale exponents vary about their centre: counts of 256 from lowest on, and the
// root mean square of the factors 2^offset.
type scaleSpread struct {
	lowest int
	counts []int
	rms    float64
}

var (
	fp8Spread = scaleSpread{-1, []int{86, 84, 86}, 1.325}
	fp4Spread = scaleSpread{-3, []int{4, 12, 80, 96, 64}, 1.207}
)

// newFiller chooses how the content of a tensor is made.
func newFiller(t Tensor, seed uint64) (filler, error) {
	s := newStream(seed, t.Name)
	elem := t.Weight.Encoding()
	r := recipeOf(t)
	spread := r.spread(t.Weight.Stored())
	switch {
	case t.Role == Scales && elem.Scale != ir.UE8M0, elem.DType == ir.FP8 && !elem.IsQuantised():
		return nil, fmt.Errorf("tensor %s: making weights stored as %s is not supported; "+
			"only the official formats are: bf16, f32, i64, fp8 and fp4 with ue8m0 scales", t.Name, elem)
	case t.Role == Scales && elem.DType == ir.FP4:
		return newScales(s, spread/fp4Sigma, fp4Spread), nil
	case t.Role == Scales:
		return newScales(s, spread/fp8Sigma, fp8Spread), nil
	case elem.DType == ir.FP4:
		return &pairs{stream: s, table: fp4Pairs()}, nil
	case elem.DType == ir.FP8:
		return newFloats(s, t.DType, 0, fp8Sigma), nil
	case elem.DType.IsInt():
		return newChoices(s, t)
	}
	return newFloats(s, t.DType, r.mean, spread), nil
}

// newScales makes ue8m0 scales about the power of two whose spread has the given root mean square.
func newScales(s stream, rms float64, spread scaleSpread) filler {
	fraction, exponent := math.Frexp(rms / spread.rms)
	if fraction < math.Sqrt2/2 {
		exponent-- // the nearest power of two is the lower one
	}
	return newOctets(s, spread.counts, func(i int) byte {
		return byte(min(max(exponent+spread.lowest+i+127, 1), 254))
	})
}

// newChoices makes the table of experts by token id.
func newChoices(s stream, t Tensor) (filler, error) {
	n, shape := expertsOf(t.Set), t.Weight.Stored()
	if !strings.HasSuffix(t.Name, hashTable) || len(shape) != 2 {
		return nil, fmt.Errorf("tensor %s holds indices, but is no table of experts (%s): its values are unknown",
			t.Name, hashTable)
	}
	if n < shape[1] {
		return nil, fmt.Errorf("tensor %s: %d experts cannot give %d different ones to a token",
			t.Name, n, shape[1])
	}
	width := 8
	if t.DType == "I32" {
		width = 4
	}
	return &choices{stream: s, n: n, perRow: shape[1], width: width}, nil
}

// expertsOf is the number of routed experts in a layer of the set: the length of the axis along which it has
// many tensors; 0 without any.
func expertsOf(set *ir.Params) int {
	for _, w := range set.Weights {
		if w.IsMany() {
			return w.Count()
		}
	}
	return 0
}
