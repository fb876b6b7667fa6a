package verify

import (
	"fmt"
	"math"

	"flagc/ir"
	"flagc/ir/roles"
	"flagc/runtime/formats"
)

// normal is a number of mean 0 and variance 1, never beyond 3.5: a sum of four uniform ones.
func (s *synthesis) normal() float64 {
	u := s.rand.Uint64()
	sum := int(u&0xffff) + int(u>>16&0xffff) + int(u>>32&0xffff) + int(u>>48)
	return (float64(sum) - 2*0xffff) * (math.Sqrt2 * 1.2247448713915890 / 0x10000) // √3 / 2^16
}

// uniform is a number between low and high in steps of 2^-12 of the distance, so that sums of two are exact.
func (s *synthesis) uniform(low, high float64) float64 {
	return low + (high-low)*float64(1+s.rand.IntN(1<<12))/(1<<12)
}

// numbers fills a tensor of numbers, on the grid of its format.
func (s *synthesis) numbers(t *ir.Tensor, a *ir.Value, r roles.Role) error {
	k := 1
	if n := len(t.Shape); n > 0 {
		k = t.Shape[n-1]
	}
	switch r {
	case roles.WeightMatrix:
		s.weights(t, k)
	case roles.Gain:
		s.each(t, func(int) float64 { return 1 + s.normal()/8 })
	case roles.MixScale:
		s.each(t, func(int) float64 { return s.uniform(0.5, 1.5) })
	case roles.MixPost:
		s.each(t, func(int) float64 { return s.uniform(0, 2) })
	case roles.MixComb:
		s.each(t, func(int) float64 { return s.uniform(0, 2) / float64(k) })
	case roles.Bias:
		steps := 1024.0 // sums with scores are exact
		if s.variation == Duplicates {
			steps = 4
		}
		s.each(t, func(int) float64 { return math.Round(s.normal()*steps) / steps })
	case roles.Positive, roles.ExpertScores:
		s.each(t, func(int) float64 { return s.score(s.uniform(0.125, 4.125)) })
		if r == roles.ExpertScores {
			s.favour(t, k)
		}
	case roles.EntryScores:
		s.each(t, func(int) float64 { return s.score(s.normal()) })
	case roles.ScoreState, roles.ValueState:
		return s.window(t, a, r)
	default:
		s.activations(t, k, r)
		if roles.Decides(s.fn, a) {
			s.coarsen(t, r)
		}
	}
	return s.onGrid(t, k)
}

// coarsen leaves of numbers of magnitude 1 multiples of a half up to 6, as the model's own keys are, so that scores are
// sums without roundings: nothing but the numbers decides then which entries are chosen.
func (s *synthesis) coarsen(t *ir.Tensor, r roles.Role) {
	if s.variation == Powers { // few digits as they are
		return
	}
	unit := s.unit(r)
	s.each(t, func(i int) float64 { return formats.RoundE2M1(max(-6, min(6, t.F[i]/unit))) * unit })
}

// score is coarse where ties are wanted.
func (s *synthesis) score(x float64) float64 {
	if s.variation == Duplicates {
		return math.Ceil(x*4) / 4
	}
	return x
}

// favour lets every token choose an expert that the rank has.
func (s *synthesis) favour(t *ir.Tensor, k int) {
	d := roles.ExpertAxis(s.mod)
	local, ok := d.Size.IsConst()
	if !ok || local == 0 {
		return
	}
	first := s.mod.Mesh.Index(s.rank, d.Over) * local
	for row := 0; row+first < len(t.F); row += k {
		t.F[row+first+s.rand.IntN(local)] = 8
	}
}

func (s *synthesis) each(t *ir.Tensor, f func(i int) float64) {
	for i := range t.F {
		t.F[i] = f(i)
	}
}

// scaleBlock is the columns that share a scale where activations are quantised: magnitudes differ from one to the
// next, so that the scale of another block is a wrong one.
const scaleBlock = 32

// activations are random numbers of magnitude 1 or what the variation makes of them.
func (s *synthesis) activations(t *ir.Tensor, k int, r roles.Role) {
	rows := len(t.F) / max(k, 1)
	for row := range rows {
		for from := 0; from < k; from += scaleBlock {
			block := t.F[row*k+from : row*k+min(k, from+scaleBlock)]
			amplitude := s.amplitude(r)
			for i := range block {
				block[i] = s.vary(s.normal()*amplitude, r)
			}
			// Without a neighbour to differ from, all of it is zero.
			if s.variation == Zeros && (row%3 == 0 && rows > 1 || from/scaleBlock%2 == 0) {
				clear(block)
			}
		}
	}
}

// amplitude is how large the numbers of a block are. Those that products make the argument of an exponential
// function stay equal, as norms leave them.
func (s *synthesis) amplitude(r roles.Role) float64 {
	if r != roles.Activation {
		return 1
	}
	return math.Ldexp(1, s.rand.IntN(4)-2)
}

// vary makes a number of magnitude 1 one of the variation.
func (s *synthesis) vary(x float64, r roles.Role) float64 {
	switch s.variation {
	case Subnormal, Large:
		return x * s.unit(r)
	case Powers:
		return math.Copysign(math.Ldexp(1, s.rand.IntN(9)-5), x)
	}
	if r == roles.Activation && s.rand.IntN(16) == 0 { // far below its neighbours: a subnormal code of e4m3
		return math.Ldexp(x, -8-s.rand.IntN(10))
	}
	return x
}

// unit is what a variation makes of the magnitude 1.
func (s *synthesis) unit(r roles.Role) float64 {
	switch {
	case s.variation == Subnormal:
		return 0x1p-130 // bf16's least normal number is 2^-126
	case s.variation == Large && r == roles.Activation:
		return 256
	case s.variation == Large:
		return 4 // the exponent of what it is the logarithm of
	}
	return 1
}

// weights are numbers of variance 1/k whose magnitude differs between neighbouring scale blocks; large ones have scales
// above 1, whose bytes are negative as signed ones.
func (s *synthesis) weights(t *ir.Tensor, k int) {
	deviation := 1 / math.Sqrt(float64(k))
	if s.variation == Large && t.Elem.IsQuantised() {
		deviation = 1 << 10
	}
	width := 128
	if t.Elem.Cols > 0 {
		width = t.Elem.Cols
	}
	height := max(1, t.Elem.Rows)
	across := (k + width - 1) / width
	amplitudes, exponent := make([]float64, across), 0
	for row := range len(t.F) / max(k, 1) {
		if row%height == 0 {
			for j := range amplitudes {
				exponent = (exponent + 1 + s.rand.IntN(2)) % 3
				amplitudes[j] = math.Ldexp(deviation, exponent-1)
			}
		}
		line := t.F[row*k : (row+1)*k]
		for i := range line {
			line[i] = s.normal() * amplitudes[i/width]
		}
	}
}

// onGrid rounds a tensor's numbers to what its format holds.
func (s *synthesis) onGrid(t *ir.Tensor, k int) error {
	switch {
	case t.Elem.IsQuantised():
		s.quantised(t, k)
	case t.Elem.DType == ir.BF16:
		s.each(t, func(i int) float64 { return formats.RoundBF16(t.F[i]) })
	case t.Elem.DType == ir.F32:
		s.each(t, func(i int) float64 { return float64(float32(t.F[i])) })
	default:
		return fmt.Errorf("no inputs of %s", t.Elem)
	}
	return nil
}

// quantised rounds every scale block to codes times a power of two.
func (s *synthesis) quantised(t *ir.Tensor, k int) {
	rows := len(t.F) / max(k, 1)
	scale, round := formats.ActScaleFP8, formats.RoundE4M3
	if t.Elem.DType == ir.FP4 {
		scale, round = formats.ActScaleFP4, formats.RoundE2M1
	}
	for top := 0; top < rows; top += t.Elem.Rows {
		for left := 0; left < k; left += t.Elem.Cols {
			amax := 0.0
			bottom, right := min(rows, top+t.Elem.Rows), min(k, left+t.Elem.Cols)
			for r := top; r < bottom; r++ {
				for _, v := range t.F[r*k+left : r*k+right] {
					amax = math.Max(amax, math.Abs(v))
				}
			}
			by := scale(formats.RoundBF16(amax))
			for r := top; r < bottom; r++ {
				line := t.F[r*k+left : r*k+right]
				for i, v := range line {
					line[i] = round(v/by) * by
				}
			}
		}
	}
}

// window fills a state of compress_pool with what p tokens have left: rows that no token has reached hold 0, and -∞
// as scores.
func (s *synthesis) window(t *ir.Tensor, a *ir.Value, r roles.Role) error {
	pool := roles.UseAs(s.fn, a, r)
	ratio, p, k := pool.Attrs.Int("ratio"), s.env["p"], t.Shape[2]
	for row := range t.Shape[0] * t.Shape[1] {
		place, reached := row%t.Shape[1], false
		switch {
		case pool.Attrs.Bool("overlap") && place < ratio: // the window before
			reached = p >= ratio
		default:
			reached = p >= ratio || place%ratio < p
		}
		for i := row * k; i < (row+1)*k; i++ {
			if reached {
				t.F[i] = float64(float32(s.normal()))
			} else if r == roles.ScoreState {
				t.F[i] = math.Inf(-1)
			}
		}
	}
	return nil
}

// indices fills a tensor of integers.
func (s *synthesis) indices(t *ir.Tensor, a *ir.Value, r roles.Role) error {
	switch r {
	case roles.TokenIDs:
		use := roles.UseAs(s.fn, a, r)
		v, _ := use.Args[1].Type.Dims[0].Whole().Size.IsConst()
		for i := range t.I {
			t.I[i] = int32(s.rand.IntN(v))
		}
		if len(t.I) > 2 {
			t.I[0], t.I[1] = 0, int32(v-1)
		}
	case roles.ExpertIDs, roles.ExpertTable:
		return s.experts(t)
	case roles.Candidates:
		part := roles.UseAs(s.fn, a, r).Attrs.Int("part")
		for i := range t.I {
			t.I[i] = int32(s.rand.IntN(part))
		}
	case roles.EntryList:
		shape, err := roles.UseAs(s.fn, a, r).Args[1].Type.Shape(s.env)
		if err != nil {
			return err
		}
		s.entries(t, shape[1])
	default:
		return fmt.Errorf("nothing says what these integers are")
	}
	return nil
}

// experts chooses distinct ones in every row, of all ranks; with duplicates the first one twice.
func (s *synthesis) experts(t *ir.Tensor) error {
	d := roles.ExpertAxis(s.mod)
	n, _ := d.Whole().Size.IsConst()
	local, _ := d.Size.IsConst()
	k := t.Shape[1]
	if n = max(n, 2*k); local == 0 { // of a module that was shrunk: those beyond are other ranks'
		return fmt.Errorf("the module has no experts")
	}
	if all, ok := roles.Routed(s.fn); ok {
		n = min(n, all)
	}
	first := s.mod.Mesh.Index(s.rank, d.Over) * local
	for row := range t.Shape[0] {
		list := s.rand.Perm(n)[:k]
		if n > local && !containsRange(list, first, local) {
			list[row%k] = first + s.rand.IntN(local) // the rank has something to do
		}
		if s.variation == Duplicates && k > 1 {
			list[1] = list[0]
		}
		for i, id := range list {
			t.I[row*k+i] = int32(id)
		}
	}
	return nil
}

func containsRange(list []int, first, n int) bool {
	for _, x := range list {
		if x >= first && x < first+n {
			return true
		}
	}
	return false
}

// entries lists rows of keys without order, with places that hold none among them and at the end.
func (s *synthesis) entries(t *ir.Tensor, rows int) {
	n := t.Shape[2]
	for token := range t.Shape[0] * t.Shape[1] {
		listed := s.rand.Perm(rows)
		end := n - s.rand.IntN(1+n/16)
		for i := range n {
			entry := int32(-1)
			switch {
			case s.variation == OnlyNone || i >= end || s.rand.IntN(8) == 0:
			case s.variation == Duplicates:
				entry = int32(listed[i%min(3, rows)])
			case i < rows:
				entry = int32(listed[i])
			}
			t.I[token*n+i] = entry
		}
	}
}
