package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/internal/tritoncheck"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/roles"
	"flagc/passes"
	"flagc/targets"
)

// edges are modules of the small model, which together have 16, 8, 4 heads and one head on a rank, and groups of heads that
// are no whole scale blocks; of tokens that choose one expert.
type edges struct {
	name, target string
	policy       targets.Policy
	tp           int
	config       map[string]any // what is otherwise than in the model's
	every        bool           // all variations and sizes, else a few
	batch        int            // sequences that it is planned for; 0 for one
}

var edgeModules = []edges{
	{"16 heads", "h200", targets.PolicyFP8, 1, nil, true, 0},
	{"4 heads", "h200", targets.PolicyFP8, 4, nil, false, 0},
	{"1 head", "h200", targets.PolicyFP8, 4, map[string]any{"num_attention_heads": 4}, false, 0},
	{"groups of 192 columns", "h200", targets.PolicyFP8, 1, map[string]any{"num_attention_heads": 4, "head_dim": 192}, false, 0},
	{"one expert", "h200", targets.PolicyW4A8, 4, map[string]any{"num_experts_per_tok": 1}, false, 0},
	{"native", "b200", targets.PolicyNative, 2, nil, false, 0},
	{"bf16", "ascend-910b-64g", targets.PolicyBF16, 2, nil, true, 0},
	{"w4a16", "ascend-910b-32g", targets.PolicyW4A16, 2, nil, false, 0},
	{"bw1000", "bw1000", "", 2, nil, false, 0},
	{"s5000", "s5000", "", 2, nil, false, 0},
	{"masked lanes hold garbage", "p800", "", 2, nil, false, 0},
	{"no pointers to bytes", "p800", targets.PolicyW4A16, 2, nil, false, 0},
	{"batches", "h200", targets.PolicyFP8, 2, nil, true, 20},
	{"batches in bf16", "ascend-910b-64g", targets.PolicyBF16, 2, nil, false, 5},
	{"batches where vectors are long", "p800", "", 2, nil, false, 5},
	{"experts of several warps", "h200", targets.PolicyW4A8, 2, map[string]any{"n_routed_experts": 70}, false, 0},
}

// TestEdgeCases checks every kernel of the small model on the edges of what it may meet.
func TestEdgeCases(t *testing.T) {
	for _, e := range edgeModules {
		t.Run(e.name, func(t *testing.T) {
			m, target := e.module(t)
			launches, worst := new(atomic.Int64), new(atomic.Int64)
			t.Run("kernels", func(t *testing.T) {
				for _, f := range m.Kernels {
					t.Run(f.FullName(), func(t *testing.T) {
						t.Parallel()
						cases := e.cases(m, f)
						launches.Add(int64(len(cases)))
						cell := subject(t, m, f, target, cases).CheckTiles(t.Context())
						require.Equal(t, tritoncheck.Passed, cell.State, cell.Why)
						atLeast(worst, int64(1e6*cell.Detail["unequal"].(float64)))
					})
				}
			})
			t.Logf("%d launches of %d kernels; at most %.2f %% of a result differ", launches.Load(), len(m.Kernels), float64(worst.Load())/1e4)
		})
	}
}

func atLeast(x *atomic.Int64, v int64) {
	for old := x.Load(); old < v && !x.CompareAndSwap(old, v); old = x.Load() {
	}
}

func subject(t testing.TB, m *ir.Module, f *ir.Func, target targets.Target, cases []Case) *Subject {
	k, _, err := Programs(m, f, target, plan(m))
	require.NoError(t, err)
	return &Subject{Module: m, Target: target, Kernel: k, Cases: cases}
}

func (e edges) module(t testing.TB) (*ir.Module, targets.Target) {
	target, ok := targets.Find(e.target)
	require.True(t, ok, e.target)
	m := goldens.Elaborate(t, goldens.Edited(t, "deepseek-v4-nano", func(keys map[string]any) { maps.Copy(keys, e.config) }), nil)
	_, err := passes.Run(m, passes.Options{Target: target, TP: e.tp, Precision: e.policy, Batch: e.batch}, "")
	require.NoError(t, err)
	return m, target
}

// cases are every variation at one size, and random inputs at every size.
func (e edges) cases(m *ir.Module, f *ir.Func) []Case {
	rank := m.Mesh.Ranks() - 1
	var out []Case
	add := func(b, p, s int, variation string) {
		env := ir.Env{"b": b, "m": 260, "p": p, "s": s}
		if p >= 260 {
			env["m"] = p + 1
		}
		out = append(out, Case{env, rank, int64(1 + len(out)), variation})
	}
	variations := Variations
	if !e.every {
		variations = []string{Random, OnlyNone, Duplicates, Zeros}
	}
	for _, v := range variations {
		if Concerns(f, v) && f.Mode == ir.Decode {
			add(2, 127, 1, v)
		} else if Concerns(f, v) {
			add(2, 0, 4, v)
		}
	}
	if f.Mode == ir.Prefill {
		add(1, 0, 1, Random)
		add(1, 0, 33, Random)
		if e.every && roles.Tokens(f) > 100 {
			add(1, 0, 131, Random)
			add(1, 0, 257, Random)
		}
		return out
	}
	positions := []int{1, 255, 256}
	if e.every {
		positions = []int{1, 3, 126, 128, 254, 255, 256}
	}
	for _, p := range positions {
		if dependsOnPosition(f) {
			add(1, p, 1, Random)
		}
	}
	add(max(3, e.batch), 255, 1, Random)
	if e.tpIsOne() && dependsOnPosition(f) {
		add(1, 65535, 1, Random)
	}
	return out
}

func (e edges) tpIsOne() bool { return e.every && e.tp == 1 }

// dependsOnPosition reports whether a kernel of decoding differs from position to position.
func dependsOnPosition(f *ir.Func) bool {
	return slices.ContainsFunc(f.Body, func(in *ir.Instr) bool {
		switch in.Op {
		case ops.Rope, ops.RingWrite, ops.CacheWrite, ops.CompressPool, ops.RingEntries, ops.CausalEntries, ops.TopEntries, ops.IndexScore, ops.SparseAttention:
			return true
		}
		return false
	})
}

// realKernels are checked at the sizes of Flash and Pro: cheap ones of each kind.
var realKernels = []string{"hc_attn_fn.decode", "hc_attn_fn.1.decode", "sparse_attention.1.decode", "sparse_attention.2.decode", "index_score.decode",
	"shared_experts_w2_gate.prefill", "wq_b.decode", "embed.decode", "head.decode", "gate_shared_experts.decode"}

// TestRealSizes checks kernels of Flash on 8 ranks and of Pro on 16 at their real sizes.
func TestRealSizes(t *testing.T) {
	for _, b := range []build{{"h200", targets.PolicyFP8, 8}, {"ascend-910b-64g", targets.PolicyBF16, 16}, {"p800", targets.PolicyBF16, 8}} {
		name := map[int]string{8: "deepseek-v4-flash", 16: "deepseek-v4-pro"}[b.tp]
		t.Run(name+" on "+b.target, func(t *testing.T) {
			m := builtin(t, name)
			target := b.compile(t, m)
			small := Shrink(m, 1, 64)
			for _, f := range small.Kernels {
				if !slices.Contains(realKernels, f.FullName()) {
					continue
				}
				t.Run(f.FullName(), func(t *testing.T) {
					t.Parallel()
					cases := StandardCases(small, f)[:1]
					if f.Mode == ir.Prefill {
						cases[0].Env["s"] = 3
					}
					cell := subject(t, small, f, target, cases).CheckTiles(t.Context())
					require.Equal(t, tritoncheck.Passed, cell.State, cell.Why)
				})
			}
		})
	}
}

// TestEveryVariationConcernsSomething holds that no variation is idle.
func TestEveryVariationConcernsSomething(t *testing.T) {
	m, _ := lowered(t, "deepseek-v4-nano", "h200", 1, "")
	found := map[string]bool{}
	for _, f := range m.Kernels {
		for _, v := range Variations {
			found[v] = found[v] || Concerns(f, v)
		}
	}
	require.Len(t, found, len(Variations), strings.Join(Variations, ", "))
	for v, some := range found {
		require.True(t, some, fmt.Sprintf("%s concerns no kernel", v))
	}
}
