// Package roles says what the values of a kernel are to its ops: which numbers and indices its arguments hold, on which
// grid its results lie, and how large a launch shows what it does. Tests make inputs and judge outputs by it.
package roles

import (
	"slices"

	"flagc/ir"
	"flagc/ir/ops"
)

// Role is what an argument of a kernel is to the ops that read it.
type Role int

const (
	Activation     Role = iota
	Query               // of attention: its products are what softmax sees
	PoolScore           // what a softmax over a window sees
	WeightMatrix        // of a product
	Gain                // of a norm
	MixScale            // factors of hyper-connections' logits
	MixPost             // how much of a sublayer each stream gets
	MixComb             // how streams mix
	Bias                // an offset of moderate size
	Positive            // of a router: greater than zero
	ExpertScores        // what experts are chosen by
	EntryScores         // what entries are chosen by
	KeyRows             // rows of keys
	ValueState          // values of the unfinished window
	ScoreState          // its scores, -∞ where there are none yet
	TokenIDs            // indices into the vocabulary
	ExpertIDs           // distinct experts for each token
	ExpertTable         // experts for each token of the vocabulary
	EntryList           // rows of keys, -1 for none
	Candidates          // the best tokens of parts of the vocabulary
	UnknownIndices      // other integers
)

// IsActivation reports whether the variations of magnitude apply.
func (r Role) IsActivation() bool {
	return r == Activation || r == Query || r == PoolScore || r == KeyRows
}

// operands lists, for ops that give an operand a special meaning, what it is.
var operands = map[*ir.Op]map[int]Role{
	ops.Embedding:       {0: TokenIDs, 1: WeightMatrix},
	ops.HashExperts:     {0: TokenIDs, 1: ExpertTable},
	ops.TopExperts:      {0: ExpertScores, 1: Bias},
	ops.RouteWeights:    {0: Positive, 1: ExpertIDs},
	ops.ExpertLinear:    {1: ExpertIDs, 2: WeightMatrix},
	ops.Linear:          {1: WeightMatrix},
	ops.GroupedLinear:   {1: WeightMatrix},
	ops.RMSNorm:         {1: Gain},
	ops.HCPre:           {1: WeightMatrix, 2: MixScale, 3: Bias},
	ops.HCHead:          {1: WeightMatrix, 2: MixScale, 3: Bias},
	ops.HCPost:          {2: MixPost, 3: MixComb},
	ops.SparseAttention: {0: Query, 1: KeyRows, 2: EntryList, 3: Bias},
	ops.IndexScore:      {1: KeyRows},
	ops.TopEntries:      {0: EntryScores},
	ops.CompressPool:    {1: PoolScore, 2: Bias, 3: ValueState, 4: ScoreState},
	ops.RingWrite:       {0: KeyRows},
	ops.CacheWrite:      {0: KeyRows},
	ops.Perturb:         {0: EntryScores, 1: Positive, 2: Positive},
	ops.Argmax:          {0: EntryScores},
	ops.Pick:            {0: EntryScores, 1: Candidates},
}

// Of finds the most special meaning that the ops of a kernel give an argument, seen through views.
func Of(k *ir.Func, a *ir.Value) Role {
	found := Activation
	if a.Type.Elem.DType.IsInt() {
		found = UnknownIndices
	}
	eachUse(k, a, func(in *ir.Instr, operand int) {
		r, ok := operands[in.Op][operand]
		switch {
		case !ok:
		case found == Positive && r == ExpertScores: // scores that are weights as well are positive
		case found == ExpertScores && r == Positive:
			found = Positive
		case found == Activation || found == UnknownIndices:
			found = r
		}
	})
	if found == Activation && reads(k, a, ops.Mul, 1) && a.Type.Elem.DType == ir.F32 {
		return Positive
	}
	return found
}

func reads(k *ir.Func, a *ir.Value, op *ir.Op, operand int) bool {
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

// UseAs returns the first instruction that reads a value, or a view of it, as an operand with the role.
func UseAs(k *ir.Func, a *ir.Value, r Role) *ir.Instr {
	var found *ir.Instr
	eachUse(k, a, func(in *ir.Instr, i int) {
		if got, ok := operands[in.Op][i]; ok && got == r && found == nil {
			found = in
		}
	})
	return found
}

// Streams are the streams that hyper-connections mix by a value, nil for other values: its logits are sums of all numbers of
// a token, of which one that is rounded to its neighbour moves a logit by 2^-7 at most where there are 256 or more.
func Streams(v *ir.Value) *ir.Value {
	if v.Def == nil || v.Def.Op != ops.HCPre || v.Type.Elem.DType != ir.F32 {
		return nil
	}
	return v.Def.Args[0]
}

// Decides reports whether a kernel chooses entries by scores that it computes of an argument: what sums are rounded to then
// decides which entries these are.
func Decides(k *ir.Func, a *ir.Value) bool {
	found := false
	eachUse(k, a, func(in *ir.Instr, _ int) {
		if in.Op == ops.IndexScore {
			eachUse(k, in.Results[0], func(use *ir.Instr, _ int) { found = found || use.Op == ops.TopEntries })
		}
	})
	return found
}

// Uses reports whether a kernel has an op.
func Uses(k *ir.Func, op *ir.Op) bool {
	for _, in := range k.Body {
		if in.Op == op {
			return true
		}
	}
	return false
}

// ExpertAxis is the axis of a module's experts, with its part on one rank; of size 0 without experts.
func ExpertAxis(m *ir.Module) ir.Dim {
	for _, k := range m.Kernels {
		for _, in := range k.Body {
			if in.Op == ops.ExpertLinear {
				return in.Args[len(in.Args)-1].Type.Dims[0]
			}
		}
	}
	return ir.Dim{}
}

// Routed is how many experts a kernel has scores of, if it has any.
func Routed(k *ir.Func) (int, bool) {
	for _, in := range k.Body {
		if in.Op == ops.RouteWeights || in.Op == ops.TopExperts {
			dims := in.Args[0].Type.Dims
			return dims[len(dims)-1].Size.IsConst()
		}
	}
	return 0, false
}

// Tokens is how many tokens of a prompt show what a kernel does, at the price of as few as possible: more than a window
// where they share one, else a block of rows and one more.
func Tokens(k *ir.Func) int {
	switch {
	case Uses(k, ops.CompressPool), Uses(k, ops.RingWrite), Uses(k, ops.SparseAttention):
		return 131
	}
	return 33
}

// FewTokens are those that Triton's interpreter, which is slow, is bothered with: a whole window where one is pooled.
func FewTokens(k *ir.Func) int {
	if Uses(k, ops.CompressPool) {
		return Tokens(k)
	}
	return min(Tokens(k), 5)
}

// Attends reports whether a value is what attention yields, possibly rotated.
func Attends(v *ir.Value) bool {
	for v.Def != nil && (v.Def.Op == ops.Rope || v.Def.Op == ops.ViewAs) {
		v = v.Def.Args[0]
	}
	return v.Def != nil && v.Def.Op == ops.SparseAttention
}

// Digits is how many bits of the grid that a rounded value lies on are significant, the leading one included.
func Digits(v *ir.Value) int {
	for v.Def != nil && v.Def.Op == ops.ViewAs {
		v = v.Def.Args[0]
	}
	switch {
	case v.Def != nil && (v.Def.Op.Stores || v.Def.Op == ops.Concat): // holds what is put into it
		return min(Digits(v.Def.Args[0]), Digits(v.Def.Args[1]))
	case v.Def != nil && v.Def.Op == ops.FP4QuantSim:
		return 2
	case v.Def != nil && v.Def.Op == ops.ActQuantSim, v.Type.Elem.IsQuantised():
		return 4
	}
	return 8
}

// Flip is what moves a result when one number on the way to it is rounded to its other neighbour.
type Flip int

const (
	Cancelling Flip = iota // a unit of a large term, where sums cancel
	Attended               // a probability of a row of attention
	Gated                  // a gate
	OfTerms                // a unit of one of a few terms, of a rotation too
	Mixed                  // a number of a stream that the launch computes, of the streams' mix
)

// FlipOf is what moves a value most.
func FlipOf(v *ir.Value) Flip {
	if Attends(v) {
		return Attended
	}
	for v.Def != nil && (v.Def.Op == ops.ViewAs || v.Def.Op == ops.Cast) {
		v = v.Def.Args[0]
	}
	switch {
	case v.Def != nil && v.Def.Op == ops.SwiGLU:
		return Gated
	case v.Def != nil && slices.Contains([]*ir.Op{ops.Add, ops.SumSlots, ops.HCPost, ops.Rope}, v.Def.Op):
		return OfTerms
	case v.Def != nil && v.Def.Op == ops.HCPre && v != v.Def.Results[0] && v.Def.Args[0].Def != nil:
		return Mixed
	}
	return Cancelling
}
