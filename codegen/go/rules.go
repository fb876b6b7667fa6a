package gohost

import (
	"github.com/dave/jennifer/jen"

	"flagc/ir"
	"flagc/ir/ops"
)

// role is how a kernel wants a weight.
type role uint8

// A weight is bound as a matrix in its stored encoding, one matrix for each expert, a widened slice, or indices.
const (
	asFloats role = iota
	asMatrix
	asExperts
	asIndices
)

// rule says how an op becomes Go.
type rule struct {
	// weights tells for operand i how a weight there is bound; operands that are not listed are floats.
	weights map[int]role
	over    []int  // operands that the first result may overwrite
	suffix  string // of the operand's name, for a result that nobody named
	// canRound says that the kernel can round to bf16 what the op yields as float32.
	canRound bool
	// parts says that a kernel with "64" behind its name leaves a part of a sum unrounded.
	parts bool
	// indices says that the kernel takes indices of a whole axis of which its weight is a part.
	indices bool
	// alias reports whether the result is the first operand's memory, so that nothing is emitted.
	alias func(p *plan, in *ir.Instr) bool
	emit  func(e *emitter, in *ir.Instr)
}

var always = func(*plan, *ir.Instr) bool { return true }

// rules is the table of operators. Pointwise ops need no entry: their bodies become loops.
var rules = map[*ir.Op]*rule{
	ops.Linear: {weights: map[int]role{1: asMatrix}, parts: true, emit: func(e *emitter, in *ir.Instr) {
		e.product64("Linear", e.out(0), e.arg(0), e.arg(1))
	}},
	ops.GroupedLinear: {weights: map[int]role{1: asMatrix}, parts: true, emit: func(e *emitter, in *ir.Instr) {
		e.product64("GroupedLinear", e.out(0), e.arg(0), e.arg(1), e.axis(1, 0))
	}},
	ops.ExpertLinear: {weights: map[int]role{2: asExperts}, indices: true, emit: func(e *emitter, in *ir.Instr) {
		perSlot := jen.Lit(len(in.Args[0].Type.Dims) == 3)
		e.kernel("ExpertLinear", e.out(0), e.arg(0), e.arg(2), e.arg(1), e.axis(1, 1), perSlot, e.rounds(0))
	}},
	ops.Embedding: {weights: map[int]role{1: asMatrix}, indices: true, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("Embed", e.out(0), e.arg(1), e.arg(0))
	}},

	ops.RMSNorm: {over: []int{0}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("RMSNorm", e.out(0), e.arg(0), e.arg(1), e.attr("eps"))
	}},
	ops.HeadNorm: {over: []int{0}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("HeadNorm", e.out(0), e.arg(0), e.axis(0, -1), e.attr("eps"))
	}},
	ops.Rope: {over: []int{0}, emit: func(e *emitter, in *ir.Instr) {
		dims := in.Args[0].Type.Dims
		heads := e.product(dims[2 : len(dims)-1])
		e.kernel("Rope", e.out(0), e.arg(0), selector("m."+e.g.rope(in.Attrs)),
			e.axis(0, 0), e.axis(0, 1), heads, e.axis(0, -1), e.size("first"),
			jen.Lit(in.Attrs.Int("step")), jen.Lit(in.Attrs.Bool("inverse")))
	}},
	ops.Hadamard: {over: []int{0}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("Hadamard", e.out(0), e.arg(0), e.axis(0, -1))
	}},

	ops.ActQuant: {over: []int{0}, suffix: "fp8", emit: func(e *emitter, in *ir.Instr) {
		e.kernel("ActQuant", e.out(0), e.arg(0), e.axis(0, -1), e.attr("block"))
	}},
	ops.ActQuantSim: {over: []int{0}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("ActQuantSim", e.out(0), e.arg(0), e.axis(0, -1), e.attr("keep"), e.attr("block"))
	}},
	ops.FP4QuantSim: {over: []int{0}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("FP4QuantSim", e.out(0), e.arg(0), e.attr("block"))
	}},

	ops.HCPre: {weights: map[int]role{1: asMatrix}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("HCPre"+e.wide(in.Results[1]), e.out(0), e.out(1), e.out(2), e.arg(0), e.arg(1), e.arg(2), e.arg(3),
			e.axis(0, -2), e.axis(0, -1), e.attr("iters"), e.attr("norm_eps"), e.attr("hc_eps"))
	}},
	ops.HCPost: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("HCPost"+e.wide(in.Args[2]), e.out(0), e.arg(0), e.arg(1), e.arg(2), e.arg(3), e.axis(1, -2), e.axis(1, -1))
	}},
	ops.HCHead: {weights: map[int]role{1: asMatrix}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("HCHead", e.out(0), e.arg(0), e.arg(1), e.arg(2), e.arg(3),
			e.axis(0, -2), e.axis(0, -1), e.attr("norm_eps"), e.attr("hc_eps"))
	}},

	ops.TopExperts: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("SelectExperts", e.out(0), e.arg(0), e.arg(1), e.axis(0, 1), e.size("k"))
	}},
	ops.HashExperts: {weights: map[int]role{1: asIndices}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("HashExperts", e.out(0), e.arg(0), e.arg(1), e.axis(1, 1))
	}},
	ops.RouteWeights: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("RouteWeights", e.out(0), e.arg(0), e.arg(1), e.axis(0, 1), e.axis(1, 1), e.attr("scale"))
	}},
	ops.SumSlots: {parts: true, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("SumSlots"+e.part(), e.out(0), e.arg(0), e.axis(0, 1), e.axis(0, 2))
	}},

	ops.RingWrite: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("RingWrite", e.cache(0), e.arg(1), e.axis(1, 0), e.axis(0, 1), e.axis(1, 2), e.axis(1, 1),
			e.sym("p"), e.attr("window"))
	}},
	ops.CacheWrite: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("CacheWrite", e.cache(0), e.arg(1), e.axis(1, 0), e.axis(0, 1), e.axis(1, 2), e.axis(1, 1),
			e.size("at"))
	}},
	ops.CompressPool: {emit: func(e *emitter, in *ir.Instr) {
		d := in.Results[0].Type.Dims[2]
		e.kernel("CompressPool", e.out(0), e.arg(3), e.arg(4), e.arg(0), e.arg(1), e.arg(2),
			e.axis(0, 0), e.axis(0, 1), e.sym("p"), e.attr("ratio"), e.note(e.g.sizes.dim(d)),
			jen.Lit(in.Attrs.Bool("overlap")), jen.True())
	}},

	ops.WindowEntries: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("WindowEntries", e.out(0), e.sym("b"), e.sym("s"), e.attr("window"))
	}},
	ops.RingEntries: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("RingEntries", e.out(0), e.product(in.Results[0].Type.Dims[:2]), e.sym("p"), e.attr("window"))
	}},
	ops.CausalEntries: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("CausalEntries", e.out(0), e.sym("b"), e.sym("s"), e.sym("p"), e.size("n"), e.attr("ratio"),
			e.size("first"))
	}},
	ops.IndexScore: {parts: true, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("IndexScore"+e.part(), e.out(0), e.arg(0), e.cache(1), e.arg(2),
			e.axis(0, 0), e.axis(0, 1), e.axis(0, 2), e.axis(0, 3), e.axis(1, 1), e.rows(1))
	}},
	ops.TopEntries: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("TopEntries", e.out(0), e.arg(0), e.axis(0, 0), e.axis(0, 1), e.sym("p"), e.axis(0, 2), e.size("k"),
			e.attr("ratio"), e.size("first"))
	}},
	ops.SparseAttention: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("SparseAttention", e.out(0), e.arg(0), e.kv(1), e.arg(2), e.arg(3),
			e.axis(0, 0), e.axis(0, 1), e.axis(0, 2), e.axis(0, 3), e.axis(2, 2), e.attr("scale"))
	}},

	ops.Argmax: {emit: func(e *emitter, in *ir.Instr) {
		e.function("ArgmaxRows", e.out(0), e.out(1), e.arg(0), e.axis(0, 1))
	}},
	ops.Pick: {emit: func(e *emitter, in *ir.Instr) {
		e.function("Pick", e.out(0), e.arg(0), e.arg(1), e.axis(0, 1), e.attr("part"))
	}},

	ops.AllReduce: {over: []int{0}, emit: func(e *emitter, in *ir.Instr) {
		if in.Args[0].Type.Partial == ir.PartialOne {
			e.meet("AllReduceOne", e.out(0), e.arg(0))
			return
		}
		e.meet("AllReduce", e.out(0), e.arg(0), e.rounds(0))
	}},
	ops.ReduceScatter: {emit: func(e *emitter, in *ir.Instr) {
		run := e.product(in.Results[0].Type.Dims[in.Attrs.Int("axis"):])
		if in.Args[0].Type.Partial == ir.PartialOne {
			e.meet("ReduceScatterOne", e.out(0), e.arg(0), run)
			return
		}
		e.meet("ReduceScatter", e.out(0), e.arg(0), run, e.rounds(0))
	}},
	ops.AllGather: {emit: func(e *emitter, in *ir.Instr) {
		run := e.product(in.Args[0].Type.Dims[in.Attrs.Int("axis"):])
		if reprOf(in.Results[0]) == ints {
			e.meet("AllGatherInts", e.out(0), e.arg(0), run)
			return
		}
		e.meet("AllGather", e.out(0), e.arg(0), run)
	}},

	ops.ViewAs: {alias: always},
	ops.Repeat: {emit: func(e *emitter, in *ir.Instr) {
		e.kernel("Repeat", e.out(0), e.arg(0), e.axis(0, -1), e.size("hc"))
	}},
	ops.Last: {emit: func(e *emitter, in *ir.Instr) {
		e.function("Last", e.out(0), e.arg(0), e.axis(0, 0), e.axis(0, 1), e.product(in.Args[0].Type.Dims[2:]))
	}},
	ops.Take: {
		alias: func(p *plan, in *ir.Instr) bool { return p.root[in.Args[0]].Kind == ir.StateValue },
		emit: func(e *emitter, in *ir.Instr) {
			e.function("Take", e.out(0), e.arg(0), e.axis(0, 0), e.axis(0, 1), e.size("n"), e.axis(0, 2))
		},
	},
	ops.Concat: {emit: func(e *emitter, in *ir.Instr) {
		axis := in.Attrs.Int("axis")
		a, b := in.Args[0].Type.Dims, in.Args[1].Type.Dims
		e.function("Concat", e.out(0), e.arg(0), e.arg(1),
			e.product(a[:axis]), e.product(a[axis:]), e.product(b[axis:]))
	}},

	ops.Add: {over: []int{0, 1}, canRound: true, emit: func(e *emitter, in *ir.Instr) {
		a, b := in.Args[0].Type.Dims, in.Args[1].Type.Dims
		switch n := len(a); {
		case sameAxes(a, b):
			e.kernel("Add", e.out(0), e.arg(0), e.arg(1), e.rounds(0))
		case n > 1 && len(b) == n-1 && sameAxes(a[:n-2], b[:n-2]) && sameAxes(a[n-1:], b[n-2:]) &&
			!sameAxes(a[n-2:n-1], a[n-1:]): // of two equal axes, b has the first
			e.kernel("AddRows", e.out(0), e.arg(0), e.arg(1), e.axis(0, -1), e.axis(0, -2), e.rounds(0))
		default:
			e.loop()
		}
	}},
	ops.Mul: {over: []int{0}, canRound: true, emit: func(e *emitter, in *ir.Instr) {
		a, b := in.Args[0].Type.Dims, in.Args[1].Type.Dims
		switch n := len(a); {
		case sameAxes(a, b):
			e.kernel("Mul", e.out(0), e.arg(0), e.arg(1), e.rounds(0))
		case n > 0 && sameAxes(a[:n-1], b):
			e.kernel("MulRows", e.out(0), e.arg(0), e.arg(1), e.axis(0, -1), e.rounds(0))
		default:
			e.loop()
		}
	}},
	ops.Scale: {over: []int{0}, canRound: true, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("Scale", e.out(0), e.arg(0), e.attr("factor"), e.rounds(0))
	}},
	ops.Cast: {
		over: []int{0},
		alias: func(p *plan, in *ir.Instr) bool {
			to, from := in.Results[0].Type.Elem, in.Args[0].Type.Elem
			return in.Args[0].Kind != ir.WeightValue &&
				(to == from || to == ir.Plain(ir.F32) || p.rounded[in.Args[0]])
		},
		emit: func(e *emitter, in *ir.Instr) {
			if in.Results[0].Type.Elem == ir.Plain(ir.F32) {
				e.statement(jen.Copy(e.out(0), e.arg(0)), "")
				return
			}
			e.kernel("RoundBF16", e.out(0), e.arg(0))
		},
	},
	ops.SqrtSoftplus: {over: []int{0}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("SqrtSoftplus", e.out(0), e.arg(0))
	}},
	ops.SwiGLU: {over: []int{0, 1}, emit: func(e *emitter, in *ir.Instr) {
		e.kernel("SwiGLU", e.out(0), e.arg(0), e.arg(1), e.attr("limit"))
	}},
}

// sameAxes reports whether two lists of axes are equal in name and size.
func sameAxes(a, b []ir.Dim) bool { return ir.Type{Dims: a}.Equal(ir.Type{Dims: b}) }
