package passes_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// fused elaborates a model and takes it through the whole pipeline.
func fused(t *testing.T, name string, opts passes.Options) *ir.Module {
	m := elaborate(t, name)
	_, err := passes.Run(m, opts, "fuse")
	require.NoError(t, err)
	return m
}

// TestFuse holds the launches of one kind of layer and their kernels, on one rank and on eight.
func TestFuse(t *testing.T) {
	for name, tp := range map[string]int{"one": 1, "eight": 8} {
		m := fused(t, "deepseek-v4-flash", passes.Options{Target: targets.CPU, TP: tp, Scores: passes.Whole})
		f := m.Func("block_csa.decode")
		text := f.Print(m)
		var shown []*ir.Func
		for _, in := range f.Body {
			if in.Kernel != nil && !slices.Contains(shown, in.Kernel) {
				shown = append(shown, in.Kernel)
				text += "\n" + in.Kernel.Print(m)
			}
		}
		golden.Check(t, "testdata/fuse/block_csa.decode."+name+".ir", text)
	}
}

// TestFusedTextReadsBack holds that the text of fused models is complete, and that nothing is left to fuse.
func TestFusedTextReadsBack(t *testing.T) {
	for _, name := range []string{"deepseek-v4-flash", "deepseek-v4-pro"} {
		opts := passes.Options{Target: targets.CPU, TP: 8}
		m := fused(t, name, opts)
		read, err := ir.ParseModule(m.String(), "again.ir", ops.All)
		require.NoError(t, err)
		require.NoError(t, read.Verify())
		require.Equal(t, m.String(), read.String())
		require.Equal(t, m.String(), m.Clone().String())
		again, err := passes.Run(read, opts, "fuse")
		require.NoError(t, err)
		require.Equal(t, again[0].Text, again[len(again)-1].Text)
	}
}

// TestInlineGivesTheOpsBack holds that a fused module without its kernels has every instruction that it had before:
// the same ops, types, lines and traces, in an order that verifies.
func TestInlineGivesTheOpsBack(t *testing.T) {
	m := elaborate(t, "deepseek-v4-pro")
	before := signatures(m)
	_, err := passes.Run(m, passes.Options{Target: targets.CPU}, "")
	require.NoError(t, err)
	inlined := m.Inline()
	require.NoError(t, inlined.Verify())
	require.Equal(t, before, signatures(inlined))
	require.Same(t, inlined, inlined.Inline())
}

// signatures are the instructions of each function without the names of values, sorted.
func signatures(m *ir.Module) map[string][]string {
	out := map[string][]string{}
	for _, f := range m.Funcs {
		for _, in := range f.Body {
			var b strings.Builder
			b.WriteString(in.Name() + " " + in.At + " !" + in.Trace + in.Span.String())
			for _, v := range append(append([]*ir.Value(nil), in.Args...), in.Results...) {
				if v != nil {
					b.WriteString(" " + v.Type.Describe())
				}
			}
			out[f.FullName()] = append(out[f.FullName()], b.String())
		}
		slices.Sort(out[f.FullName()])
	}
	return out
}

// TestLaunchesPerLayer holds the number of launches and meetings of a decoded token.
func TestLaunchesPerLayer(t *testing.T) {
	for _, c := range []struct {
		tp                   int
		launches, meetings   map[string]int
		token, tokenMeetings int
	}{
		{1, map[string]int{"block_swa_hash": 9, "block_hca": 10, "block_csa": 12, "block_csa_hash": 11, "main": 3}, nil, 472, 0},
		// hc_post follows the sum over the ranks: it is in the first launch of the next layer.
		{8, map[string]int{"block_swa_hash": 9, "block_swa_hash_first": 9, "block_hca": 10, "block_csa": 12, "block_csa_hash": 11,
			"main": 4}, map[string]int{"block_swa_hash": 2, "block_hca": 2, "block_csa": 2, "block_csa_hash": 2, "main": 2}, 473, 88},
	} {
		m := fused(t, "deepseek-v4-flash", passes.Options{Target: targets.CPU, TP: c.tp, Scores: passes.Whole})
		counts := passes.CountLaunches(m)
		for _, f := range counts.Functions {
			kind := strings.TrimSuffix(f.Function, ".decode")
			if want, ok := c.launches[kind]; ok {
				require.Equal(t, want, f.Launches, f.Function)
			}
			if want, ok := c.meetings[kind]; ok {
				require.Equal(t, want, f.Collectives, f.Function)
			}
		}
		for _, e := range counts.Entries {
			if e.Function == "main.decode" {
				require.Equal(t, c.token, e.Launches)
				require.Equal(t, c.tokenMeetings, e.Collectives)
				require.Equal(t, 43, e.Layers)
				require.InDelta(t, float64(c.token-c.launches["main"])/43, e.PerLayer, 1e-12)
				require.InDelta(t, float64(c.tokenMeetings-c.meetings["main"])/43, e.MetPerLayer, 1e-12)
			}
		}
	}
}

// TestTail holds that a selection rides with the scores that it needs all of where the target's atomics are known to
// work, and nowhere else.
func TestTail(t *testing.T) {
	can := targets.CPU
	h100, ok := targets.Find("h100")
	require.True(t, ok)
	can.Ops.Atomics = h100.Ops.FP64 // any fact that says: works
	require.True(t, can.Ops.Atomics.Is(targets.Works))
	for _, target := range []targets.Target{targets.CPU, can} {
		m := fused(t, "deepseek-v4-flash", passes.Options{Target: target})
		tails := 0
		for _, k := range m.Kernels {
			if k.Tail != nil {
				tails++
				require.Equal(t, "index_score", k.Name)
				require.Equal(t, ir.Decode, k.Mode)
			}
		}
		if target.Ops.Atomics.Is(targets.Works) {
			require.Equal(t, 1, tails)
		} else {
			require.Zero(t, tails)
		}
		read, err := ir.ParseModule(m.String(), "again.ir", ops.All)
		require.NoError(t, err)
		require.Equal(t, m.String(), read.String())
	}
}

// TestReadersWeighChosenExperts holds which launch weighs what chosen experts yield: the one that chooses, or where a launch may
// begin while the one before works, the one that reads it. The choice stays where it is with the weights that go with it.
func TestReadersWeighChosenExperts(t *testing.T) {
	for name, read := range map[string]bool{"cpu": false, "a100": false, "ascend-910b-64g": false, "h200": true, "b200": true} {
		target, ok := targets.Find(name)
		require.True(t, ok, name)
		m := fused(t, "deepseek-v4-flash", passes.Options{Target: target, TP: 8})
		has := func(kernel string, op *ir.Op) (found bool) {
			for _, k := range m.Kernels {
				found = found || k.Mode == ir.Decode && k.Name == kernel && slices.ContainsFunc(k.Body, func(in *ir.Instr) bool { return in.Op == op })
			}
			return found
		}
		require.Equal(t, !read, has("experts_w1_w3", ops.Mul), name)
		require.True(t, has("experts_w1_w3", ops.TopExperts), name)
		require.True(t, has("experts_w1_w3", ops.RouteWeights), name)
		require.True(t, has("experts_w2_shared_experts", ops.Mul), "%s: layers that choose by a token's number", name)
		require.Equal(t, read, has("experts_w2_shared_experts.1", ops.Mul), name)
	}
}

// narrow is a product whose result is quantised for what reads it: WIDE columns of a token, READER, and what it YIELDS.
const narrow = `module m from "m.flag"
dims D=128 E=4 F=WIDE k=2

params main {
  weight up:      fp8<128x128>[F, D] from "up"
  weight down:    fp8<128x128>[D, F] from "down"
  weight experts: fp4<1x32>[E, D, F] from "experts"
}

func main.MODE(%x: bf16[s, D], %ids: i32[s, k]) -> (YIELDS) uses main {
  %inner = linear %x, $up : bf16[s, F]
  %codes = act_quant %inner {block=128} : fp8<1x128>[s, F] !"codes"
  READER
}
`

// TestReadersQuantise holds which launch quantises the short row of a product: the next one, whose programs do so each for
// itself, where all that reads it are products with weights that are the same for all rows. It costs no launch.
func TestReadersQuantise(t *testing.T) {
	const (
		down  = "%y = linear %codes, $down : bf16[s, D]; return %y"
		one   = "bf16[s, D]"
		chose = "%y = expert_linear %codes, %ids, $experts : bf16[s, k, D]; return %y"
		codes = "%y = linear %codes, $down : bf16[s, D]; return %y, %codes"
	)
	for why, c := range map[string]struct {
		mode, wide, reader, yields string
		anew                       bool
	}{
		"a product reads it":         {"decode", "1024", down, one, true},
		"a long row":                 {"decode", "4096", down, one, false},
		"many rows":                  {"prefill", "1024", down, one, false},
		"chosen experts":             {"decode", "1024", chose, "bf16[s, k, D]", false},
		"the function yields it too": {"decode", "1024", codes, "bf16[s, D], fp8<1x128>[s, F]", false},
	} {
		text := strings.NewReplacer("MODE", c.mode, "WIDE", c.wide, "YIELDS", c.yields, "READER", strings.ReplaceAll(c.reader, "; ", "\n  ")).Replace(narrow)
		m, err := ir.ParseModule(text, "m.ir", ops.All)
		require.NoError(t, err, why)
		require.NoError(t, m.Verify(), why)
		_, err = passes.Run(m, passes.Options{Target: targets.CPU, Scores: passes.Whole}, "fuse")
		require.NoError(t, err, why)
		require.NoError(t, m.Verify(), why)
		launches := m.Funcs[0].Body
		require.Len(t, launches, 2, why)
		for i, in := range launches {
			quantises := slices.ContainsFunc(in.Kernel.Body, func(in *ir.Instr) bool { return in.Op == ops.ActQuant })
			records := slices.ContainsFunc(in.Traced(), func(r ir.Trace) bool { return r.Name == "codes" })
			require.Equal(t, c.anew == (i == 1), quantises, why)
			require.Equal(t, quantises, records, why)
		}
	}
}

// TestNothingIsReadWhereItIsWritten holds what makes a launch possible: no op of a kernel reads a state that the
// kernel changes, and no product needs another's result.
func TestNothingIsReadWhereItIsWritten(t *testing.T) {
	for _, tp := range []int{1, 8} {
		m := fused(t, "deepseek-v4-flash", passes.Options{Target: targets.CPU, TP: tp, Scores: passes.Whole})
		for _, k := range m.Kernels {
			behind, written := map[*ir.Value]bool{}, map[*ir.Value]bool{}
			for _, in := range k.Body {
				after := slices.Contains(k.Anchors, in) && in.Op.Class == ir.Contraction
				for _, a := range in.Args {
					require.False(t, after && behind[a], "%s: %s needs another product's result", k.FullName(), in)
					require.False(t, written[a] && !in.Op.Stores, "%s: %s reads what the launch writes", k.FullName(), in)
				}
				for i, r := range in.Results {
					_, state := in.Op.Updates[i]
					written[r] = state
					behind[r] = after || slices.ContainsFunc(in.Args, func(a *ir.Value) bool { return behind[a] })
				}
			}
		}
	}
}

// BenchmarkFuse fuses a model of 61 layers: builds stay interactive.
func BenchmarkFuse(b *testing.B) {
	m, _ := goldens.Builtin(b, "deepseek-v4-pro")
	pass, ok := passes.Find("fuse")
	require.True(b, ok)
	for b.Loop() {
		require.NoError(b, pass.Run(m.Clone(), passes.Options{Target: targets.CPU}))
	}
}

func TestPassesBeforeFuseRefuseKernels(t *testing.T) {
	m := fused(t, "deepseek-v4-flash", passes.Options{Target: targets.CPU})
	before := m.String()
	for _, opts := range []passes.Options{{Target: targets.CPU, TP: 2}, {Target: targets.CPU, Precision: targets.PolicyBF16}} {
		_, err := passes.Run(m, opts, "")
		require.ErrorIs(t, err, passes.ErrFused)
		require.Equal(t, before, m.String())
	}
}
