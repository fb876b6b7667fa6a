package deepseekv4_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/compare"
	"flagc/internal/golden"
	"flagc/internal/goldens"
	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/ops"
	"flagc/runtime/formats"
	"flagc/runtime/safetensors"
)

// A fault is a deliberate change of meaning: of the model's text, of one op, or of how weights are read.
type fault struct {
	name    string
	text    []string // pairs of replaced text and replacement, every occurrence
	op      *ir.Op   // replaced by change(op)
	change  func(ir.Op) ir.Op
	weights func(eval.Weights) eval.Weights
}

// TestGoldenCatchesFaults is the test of the golden test: each planted fault must make a recorded value of the
// long run differ, on one of the two checkpoints.
func TestGoldenCatchesFaults(t *testing.T) {
	golden.Unrecorded(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range goldens.Names {
				if where := f.firstDifference(t, name); where != "" {
					t.Logf("%s parts at %s", name, where)
					return
				}
			}
			t.Fatal("no recorded value changed")
		})
	}
}

// parted is thrown out of the interpreter at the first value that differs.
type parted string

// firstDifference runs the faulty model and names the first recorded value that differs, "" if none does.
func (f fault) firstDifference(t *testing.T, name string) (where string) {
	g := goldens.Open(t, name)
	m := g.Module(t, func(text string) string {
		for i := 0; i < len(f.text); i += 2 {
			require.Contains(t, text, f.text[i])
		}
		return strings.NewReplacer(f.text...).Replace(text)
	})
	f.plant(t, m)
	var w eval.Weights = g.Weights(t, m)
	if f.weights != nil {
		w = f.weights(w)
	}
	want := g.Run("long")
	check := func(d safetensors.Data) {
		u, ok := want[d.Name]
		if !ok || !equal(u, d) {
			panic(parted(d.Name))
		}
	}
	defer func() {
		if r := recover(); r != nil {
			p, ok := r.(parted)
			require.True(t, ok, "%v", r)
			where = string(p)
		}
	}()
	result, err := eval.Generate(m, w, eval.Request{
		Prompt: g.Tokens(t, "long.prompt"), Feed: g.Tokens(t, "long.fed"), MTP: true,
		Trace: func(name string, v *ir.Tensor) {
			if v.Len() > 0 {
				check(record.Tensor(name, v))
			}
		},
	})
	require.NoError(t, err)
	for _, d := range record.Logits(result) {
		check(d)
	}
	return ""
}

func equal(u safetensors.Tensor, d safetensors.Data) bool {
	c := compare.Tensors(u, safetensors.Tensor{Name: d.Name, DType: d.DType, Shape: d.Shape, Data: d.Bytes})
	return c.Equal()
}

// plant replaces the op in every instruction.
func (f fault) plant(t *testing.T, m *ir.Module) {
	if f.op == nil {
		return
	}
	var set ir.OpSet
	faulty := set.Define(f.change(*f.op))
	planted := 0
	for _, fn := range m.Funcs {
		for _, in := range fn.Body {
			if in.Op == f.op {
				in.Op = faulty
				planted++
			}
		}
	}
	require.NotZero(t, planted, "the model does not use %s", f.op.Name)
}

// later runs the op as if the call began by the given number of tokens later.
func later(by int) func(ir.Op) ir.Op {
	return func(o ir.Op) ir.Op {
		right := o.Eval
		o.Eval = func(e *ir.Eval) {
			env := ir.Env{}
			for k, v := range e.Env {
				env[k] = v
			}
			env["p"] += by
			shifted := *e
			shifted.Env = env
			right(&shifted)
		}
		return o
	}
}

// before changes operands (on copies), after results.
func before(change func(args []*ir.Tensor)) func(ir.Op) ir.Op {
	return func(o ir.Op) ir.Op {
		right := o.Eval
		o.Eval = func(e *ir.Eval) {
			changed := *e
			changed.Args = append([]*ir.Tensor(nil), e.Args...)
			change(changed.Args)
			right(&changed)
		}
		return o
	}
}

func after(change func(e *ir.Eval)) func(ir.Op) ir.Op {
	return func(o ir.Op) ir.Op {
		right := o.Eval
		o.Eval = func(e *ir.Eval) {
			right(e)
			change(e)
		}
		return o
	}
}

func body(text string) func(ir.Op) ir.Op {
	return func(o ir.Op) ir.Op { o.Body = text; return o }
}

func evaluation(f func(*ir.Eval)) func(ir.Op) ir.Op {
	return func(o ir.Op) ir.Op { o.Eval = f; return o }
}

var faults = []fault{
	// attention
	{name: "no sink", op: ops.SparseAttention, change: before(func(a []*ir.Tensor) {
		a[3] = a[3].Clone()
		for i := range a[3].F {
			a[3].F[i] = math.Inf(-1)
		}
	})},
	{name: "sink inside the maximum", op: ops.SparseAttention, change: evaluation(attention(true, true))},
	{name: "probabilities not rounded", op: ops.SparseAttention, change: evaluation(attention(false, false))},
	{name: "scale of the channels without position", text: []string{"scale: d^-0.5", "scale: (d - rd)^-0.5"}},
	{name: "rotation not undone after attention", text: []string{"inverse: true", "inverse: false"}},
	{name: "rotation of the keys undone at position 0", text: []string{"r, first: p, inverse: true", "r, first: 0, inverse: true"}},
	{name: "window one token short", text: []string{"entries(window: W)", "entries(window: W - 1)"}},
	{name: "ring off by one", op: ops.RingWrite, change: later(1)},
	{name: "ring listed newest first", op: ops.RingEntries, change: after(func(e *ir.Eval) {
		for i, j := 0, len(e.Out[0].I)-1; i < j; i, j = i+1, j-1 {
			e.Out[0].I[i], e.Out[0].I[j] = e.Out[0].I[j], e.Out[0].I[i]
		}
	})},
	{name: "keys not rounded to e4m3", text: []string{"kv = act_quant_sim(kv, keep: rd, block: 64)", "kv = kv"}},
	{name: "rotary channels rounded too", text: []string{"act_quant_sim(kv, keep: rd", "act_quant_sim(kv, keep: 0"}},
	{name: "head norm rounded once", op: ops.HeadNorm, change: evaluation(headNormOnce)},
	{name: "rotation in halves instead of pairs", op: ops.Rope, change: evaluation(ropeHalves)},
	{name: "YaRN on window layers", text: []string{"dims: rd, theta: theta)",
		"dims: rd, theta: theta, factor: yarn_factor, original: yarn_original, beta_fast: yarn_fast, beta_slow: yarn_slow)"}},
	{name: "short base everywhere", text: []string{"theta: theta_c", "theta: theta"}},
	{name: "no YaRN", text: []string{"factor: yarn_factor", "factor: 1.0"}},
	{name: "q not normalised", text: []string{"head_norm(project(qr, wq_b), eps: eps)", "project(qr, wq_b)"}},

	// compressor and indexer
	{name: "entries visible one token late", op: ops.CausalEntries, change: later(-1)},
	{name: "chosen entries visible one token late", op: ops.TopEntries, change: later(-1)},
	{name: "overlap halves swapped", op: ops.CompressPool, change: before(func(a []*ir.Tensor) {
		if a[0].Dim(2)*a[2].Dim(0) != a[3].Dim(1)*a[3].Dim(2) { // overlapping: states hold two windows
			a[0], a[1], a[2] = swapHalves(a[0]), swapHalves(a[1]), swapHalves(a[2])
		}
	})},
	{name: "place in the window ignored", op: ops.CompressPool, change: before(func(a []*ir.Tensor) {
		a[2] = ir.NewTensor(a[2].Elem, a[2].Shape)
	})},
	{name: "entry stands at its last token", text: []string{"first: p/r*r,", "first: p/r*r + r - 1,"}},
	{name: "entries not rounded to e4m3", text: []string{"return act_quant_sim(entries, keep: rd, block: 64)", "return entries"}},
	{name: "Hadamard left out", text: []string{"hadamard(", "("}},
	{name: "Hadamard left out for keys", text: []string{"hadamard(entries)", "entries"}},
	{name: "index keys not rounded to e2m1", text: []string{"fp4_quant_sim(hadamard(entries), block: 32)", "hadamard(entries)"}},
	{name: "index score without relu", op: ops.IndexScore, change: evaluation(scoreWithoutReLU)},

	// quantisation
	{name: "act_quant with floor instead of ceil", op: ops.ActQuant, change: evaluation(actQuantFloor)},
	{name: "act_quant in blocks of 64", text: []string{"act_quant(x, block: 128)", "act_quant(x, block: 64)"}},
	{name: "projections see unquantised inputs", text: []string{"linear(act_quant(x, block: 128), w)", "linear(x, w)"}},
	{name: "fp4 nibbles swapped", weights: func(w eval.Weights) eval.Weights { return nibbles{w} }},

	// experts
	{name: "shared expert unclamped", text: []string{"linear(xq, shared_experts.w3), limit: limit", "linear(xq, shared_experts.w3), limit: 1000000.0"}},
	{name: "gate clamped on both sides", op: ops.SwiGLU, change: body("silu(clamp(gate, -limit, limit)) * clamp(up, -limit, limit)")},
	{name: "gate and up exchanged", op: ops.SwiGLU, change: body("silu(min(up, limit)) * clamp(gate, -limit, limit)")},
	{name: "route weights not normalised", op: ops.RouteWeights, change: evaluation(unnormalised)},
	{name: "bias in the weights", text: []string{"route_weights(scores, chosen", "route_weights(hash ? scores : add(scores, gate.bias), chosen"}},
	{name: "choice without the bias", text: []string{"top_experts(scores, gate.bias", "top_experts(scores, scale(gate.bias, factor: 0.0)"}},
	{name: "sigmoid router", op: ops.SqrtSoftplus, change: body("sigmoid(x)")},
	{name: "route scale left out", text: []string{"scale: route_scale", "scale: 1.0"}},

	// hyper-connections
	{name: "Sinkhorn ends on rows", op: ops.HCPre, change: after(func(e *ir.Eval) {
		c := e.Out[2]
		n := c.Dim(-1)
		for r := 0; r < len(c.F); r += n {
			sum := 0.0
			for _, v := range c.F[r : r+n] {
				sum += v
			}
			for i := range c.F[r : r+n] {
				c.F[r+i] /= sum + e.Attrs.Float("hc_eps")
			}
		}
	})},
	{name: "one Sinkhorn iteration less", text: []string{"iters: iters", "iters: iters - 18"}},
	{name: "comb transposed", op: ops.HCPost, change: before(func(a []*ir.Tensor) {
		a[3] = a[3].Clone()
		n := a[3].Dim(-1)
		for r := 0; r < len(a[3].F); r += n * n {
			m := a[3].F[r : r+n*n]
			for i := 0; i < n; i++ {
				for j := 0; j < i; j++ {
					m[i*n+j], m[j*n+i] = m[j*n+i], m[i*n+j]
				}
			}
		}
	})},
	{name: "post without its factor 2", op: ops.HCPre, change: after(func(e *ir.Eval) {
		for i := range e.Out[1].F {
			e.Out[1].F[i] /= 2
		}
	})},

	// draft
	{name: "MTP norms swapped", text: []string{"e, enorm", "e, hnorm", "X, hnorm", "X, enorm"}},
	{name: "MTP projections swapped", text: []string{"eps), e_proj)", "eps), h_proj)", "eps), h_proj)", "eps), e_proj)"}},
}

// swapHalves exchanges the halves of every vector of the last axis.
func swapHalves(t *ir.Tensor) *ir.Tensor {
	c := t.Clone()
	k := t.Dim(-1)
	for r := 0; r < len(c.F); r += k {
		copy(c.F[r:r+k/2], t.F[r+k/2:r+k])
		copy(c.F[r+k/2:r+k], t.F[r:r+k/2])
	}
	return c
}

// attention is sparse attention with the sink inside the running maximum, or without rounding probabilities.
func attention(sinkInMax, round bool) func(*ir.Eval) {
	return func(e *ir.Eval) {
		q, keys, list, sink := e.Args[0], e.Args[1], e.Args[2], e.Args[3]
		s, h, d, n := q.Dim(1), q.Dim(2), q.Dim(3), list.Dim(2)
		e.Parallel(q.Dim(0)*s*h, func(i int) {
			query, rows := q.F[i*d:(i+1)*d], keys.Slice(i/(s*h))
			m, l := math.Inf(-1), 0.0
			if sinkInMax {
				m, l = sink.F[i%h], 1
			}
			out := e.Out[0].F[i*d : (i+1)*d]
			for start := 0; start < n; start += 64 {
				block := list.I[i/h*n+start : i/h*n+min(n, start+64)]
				scores := make([]float64, len(block))
				top := m
				for j, entry := range block {
					scores[j] = math.Inf(-1)
					if entry >= 0 {
						scores[j] = 0
						for c := range query {
							scores[j] += query[c] * rows[int(entry)*d+c]
						}
						scores[j] *= e.Attrs.Float("scale")
					}
					top = math.Max(top, scores[j])
				}
				for c := range out {
					out[c] *= math.Exp(m - top)
				}
				l *= math.Exp(m - top)
				m = top
				for j, entry := range block {
					if entry < 0 {
						continue
					}
					p := math.Exp(scores[j] - m)
					l += p
					if round {
						p = formats.RoundBF16(p)
					}
					for c := range out {
						out[c] += p * rows[int(entry)*d+c]
					}
				}
			}
			if !sinkInMax {
				l += math.Exp(sink.F[i%h] - m)
			}
			for c := range out {
				out[c] /= l
			}
		})
	}
}

func headNormOnce(e *ir.Eval) {
	x, k := e.Args[0].F, e.Args[0].Dim(-1)
	for r := 0; r < len(x); r += k {
		sum := 0.0
		for _, v := range x[r : r+k] {
			sum += v * v
		}
		for i, v := range x[r : r+k] {
			e.Out[0].F[r+i] = v / math.Sqrt(sum/float64(k)+e.Attrs.Float("eps"))
		}
	}
}

// ropeHalves pairs channel i with channel i + dims/2.
func ropeHalves(e *ir.Eval) {
	x, y := e.Args[0], e.Out[0]
	copy(y.F, x.F)
	n, k, dims := x.Dim(1), x.Dim(-1), e.Attrs.Int("dims")
	per := len(x.F) / (x.Dim(0) * n)
	for i := 0; i < x.Dim(0)*n; i++ {
		position := float32(e.Size("first") + i%n*e.Attrs.Int("step"))
		for v := i * per; v < (i+1)*per; v += k {
			for j, f := range ops.Frequencies(e.Attrs) {
				sin, cos := math.Sincos(float64(position * f))
				if e.Attrs.Bool("inverse") {
					sin = -sin
				}
				a, b := v+k-dims+j, v+k-dims/2+j
				y.F[a], y.F[b] = x.F[a]*cos-x.F[b]*sin, x.F[a]*sin+x.F[b]*cos
			}
		}
	}
}

func scoreWithoutReLU(e *ir.Eval) {
	q, keys, w, y := e.Args[0], e.Args[1], e.Args[2], e.Out[0]
	s, h, d, t := q.Dim(1), q.Dim(2), q.Dim(3), keys.Dim(1)
	for i := 0; i < q.Dim(0)*s; i++ {
		for j := 0; j < t; j++ {
			for n := 0; n < h; n++ {
				sum := 0.0
				for c := 0; c < d; c++ {
					sum += q.F[(i*h+n)*d+c] * keys.F[(i/s*t+j)*d+c]
				}
				y.F[i*t+j] += formats.RoundBF16(formats.RoundBF16(sum) * w.F[i*h+n])
			}
		}
	}
}

func actQuantFloor(e *ir.Eval) {
	x, y, block := e.Args[0].F, e.Out[0].F, e.Attrs.Int("block")
	for r := 0; r < len(x); r += block {
		a := 1e-4
		for _, v := range x[r : r+block] {
			a = math.Max(a, math.Abs(v))
		}
		s := math.Exp2(math.Floor(math.Log2(a / 448)))
		for i, v := range x[r : r+block] {
			y[r+i] = formats.RoundE4M3(math.Max(-448, math.Min(448, v/s))) * s
		}
	}
}

func unnormalised(e *ir.Eval) {
	n, k := e.Args[0].Dim(1), e.Out[0].Dim(1)
	for i, id := range e.Args[1].I {
		e.Out[0].F[i] = e.Args[0].F[i/k*n+int(id)] * e.Attrs.Float("scale")
	}
}

// nibbles reads fp4 weights with even and odd elements exchanged.
type nibbles struct{ eval.Weights }

func (s nibbles) Tensor(instance string, w *ir.Weight) (*ir.Tensor, error) {
	t, err := s.Weights.Tensor(instance, w)
	if err != nil || w.Value.Type.Elem.DType != ir.FP4 {
		return t, err
	}
	swapped := *t
	swapped.F = nil
	swapped.Lazy = func(i int) []float64 {
		row := append([]float64(nil), t.Slice(i)...)
		for j := 0; j+1 < len(row); j += 2 {
			row[j], row[j+1] = row[j+1], row[j]
		}
		return row
	}
	return &swapped, nil
}

// TestFaultsAreMany holds the number of planted faults and that their names differ.
func TestFaultsAreMany(t *testing.T) {
	golden.Unrecorded(t)
	names := map[string]bool{}
	for _, f := range faults {
		require.False(t, names[f.name], "%s", f.name)
		names[f.name] = true
	}
	require.GreaterOrEqual(t, len(faults), 40, fmt.Sprint(len(faults)))
}
