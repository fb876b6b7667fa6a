package verify

import (
	"flagc/ir"
	"flagc/ir/ops"
)

// role is what an argument of a kernel is to the ops that read it.
type role int

const (
	activation     role = iota
	query               // of attention: its products are what softmax sees
	poolScore           // what a softmax over a window sees
	weightMatrix        // of a product
	gain                // of a norm
	mixScale            // factors of hyper-connections' logits
	mixPost             // how much of a sublayer each stream gets
	mixComb             // how streams mix
	bias                // an offset of moderate size
	positive            // of a router: greater than zero
	expertScores        // what experts are chosen by
	entryScores         // what entries are chosen by
	keyRows             // rows of keys
	valueState          // values of the unfinished window
	scoreState          // its scores, -∞ where there are none yet
	tokenIDs            // indices into the vocabulary
	expertIDs           // distinct experts for each token
	expertTable         // experts for each token of the vocabulary
	entryList           // rows of keys, -1 for none
	unknownIndices      // other integers
)

// isActivation reports whether the variations of magnitude apply.
func (r role) isActivation() bool {
	return r == activation || r == query || r == poolScore || r == keyRows
}

// roles lists, for ops that give an operand a special meaning, what it is.
var roles = map[*ir.Op]map[int]role{
	ops.Embedding:       {0: tokenIDs, 1: weightMatrix},
	ops.HashExperts:     {0: tokenIDs, 1: expertTable},
	ops.TopExperts:      {0: expertScores, 1: bias},
	ops.RouteWeights:    {0: positive, 1: expertIDs},
	ops.ExpertLinear:    {1: expertIDs, 2: weightMatrix},
	ops.Linear:          {1: weightMatrix},
	ops.GroupedLinear:   {1: weightMatrix},
	ops.RMSNorm:         {1: gain},
	ops.HCPre:           {1: weightMatrix, 2: mixScale, 3: bias},
	ops.HCHead:          {1: weightMatrix, 2: mixScale, 3: bias},
	ops.HCPost:          {2: mixPost, 3: mixComb},
	ops.SparseAttention: {0: query, 1: keyRows, 2: entryList, 3: bias},
	ops.IndexScore:      {1: keyRows},
	ops.TopEntries:      {0: entryScores},
	ops.CompressPool:    {1: poolScore, 2: bias, 3: valueState, 4: scoreState},
	ops.RingWrite:       {0: keyRows},
	ops.CacheWrite:      {0: keyRows},
}

// roleOf finds the most special meaning that the ops of a kernel give an argument, seen through views.
func roleOf(k *ir.Func, a *ir.Value) role {
	found := activation
	if a.Type.Elem.DType.IsInt() {
		found = unknownIndices
	}
	eachUse(k, a, func(in *ir.Instr, operand int) {
		r, ok := roles[in.Op][operand]
		switch {
		case !ok:
		case found == positive && r == expertScores: // scores that are weights as well are positive
		case found == expertScores && r == positive:
			found = positive
		case found == activation || found == unknownIndices:
			found = r
		}
	})
	if found == activation && in(k, a, ops.Mul, 1) && a.Type.Elem.DType == ir.F32 {
		return positive
	}
	return found
}

func in(k *ir.Func, a *ir.Value, op *ir.Op, operand int) bool {
	found := false
	eachUse(k, a, func(in *ir.Instr, i int) { found = found || in.Op == op && i == operand })
	return found
}

// eachUse visits the instructions that read a value or a view of it.
func eachUse(k *ir.Func, v *ir.Value, f func(in *ir.Instr, operand int)) {
	for _, in := range k.Body {
		for i, a := range in.Args {
			if a != v {
				continue
			}
			if in.Op == ops.ViewAs || in.Op == ops.Take {
				eachUse(k, in.Results[0], f)
				continue
			}
			f(in, i)
		}
	}
}

// useAs returns the first instruction that reads a value, or a view of it, as an operand with the role.
func useAs(k *ir.Func, a *ir.Value, r role) *ir.Instr {
	var found *ir.Instr
	eachUse(k, a, func(in *ir.Instr, i int) {
		if got, ok := roles[in.Op][i]; ok && got == r && found == nil {
			found = in
		}
	})
	return found
}
