package deepseekv4_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/models/deepseekv4"
	"flagc/passes"
	"flagc/runtime/safetensors"
	"flagc/targets"
	"flagc/weights"
)

type layout struct {
	tp     int
	groups passes.Groups
}

// layouts lists, for each checkpoint, every legal degree with every o-group strategy that it allows.
var layouts = map[string][]layout{
	"nano-flash": {{2, ""}, {4, ""}, {8, passes.Gather}, {8, passes.Reduce}, {16, passes.Gather}},
	"nano-pro":   {{2, ""}, {4, ""}},
}

// TestRanksEqualTheOfficialCode runs the longest recorded run on simulated ranks that meet in collectives. Partial
// sums are rounded once, after they were added up, so that every value is the same bits at every degree, by every
// strategy, whatever may stay whole.
func TestRanksEqualTheOfficialCode(t *testing.T) {
	for _, name := range goldens.Names {
		for _, l := range layouts[name] {
			t.Run(fmt.Sprintf("%s/tp%d%s", name, l.tp, l.groups), func(t *testing.T) {
				t.Parallel()
				g := goldens.Open(t, name)
				m := g.Module(t, nil)
				opts := passes.Options{Target: targets.CPU, TP: l.tp, OGroups: l.groups, Scores: passes.Split}
				_, err := passes.Run(m, opts, "")
				require.NoError(t, err)
				require.Equal(t, l.tp, m.Mesh.Ranks())
				checkRun(t, g, m, g.Weights(t, m), "long")
			})
		}
	}
}

// TestEveryPassKeepsEveryBit runs a recorded run after each pass, for every policy, every legal degree and every
// strategy. Policies that compute in bf16 are held against what the official code computes on bf16 weights.
func TestEveryPassKeepsEveryBit(t *testing.T) {
	for _, name := range goldens.Names {
		for _, policy := range targets.Policies() {
			t.Run(fmt.Sprintf("%s/%s", name, policy), func(t *testing.T) {
				t.Parallel()
				g := goldens.Open(t, name)
				if policy == targets.PolicyBF16 || policy == targets.PolicyW4A16 {
					g = g.BF16(t)
				}
				lowered := g.Module(t, nil)
				opts := passes.Options{Target: targets.CPU, Precision: policy}
				_, err := passes.Run(lowered, opts, passes.Pipeline[0].Name)
				require.NoError(t, err)
				checkRun(t, g, lowered, g.Weights(t, lowered), "short5")
				for _, l := range append(layouts[name], layout{1, ""}) {
					m := lowered.Clone()
					opts.TP, opts.OGroups = l.tp, l.groups
					for _, p := range passes.Pipeline[1:] {
						before := m.String()
						_, err := passes.Apply(m, opts, []passes.Pass{p})
						require.NoError(t, err)
						if m.String() != before {
							checkRun(t, g, m, g.Weights(t, m), "short5")
						}
					}
				}
			})
		}
	}
}

// TestLegalDegrees holds the table above against what the pass says is legal.
func TestLegalDegrees(t *testing.T) {
	for _, name := range goldens.Names {
		g := goldens.Open(t, name)
		var legal []string
		for _, d := range passes.Degrees(g.Module(t, nil), passes.Options{Target: targets.CPU}, 64)[1:] {
			for _, s := range d.Strategies() {
				legal = append(legal, fmt.Sprint(d.TP, s))
			}
		}
		var want []string
		for _, l := range layouts[name] {
			want = append(want, fmt.Sprint(l.tp, l.groups))
		}
		require.ElementsMatch(t, want, legal, name)
	}
}

// TestSharedExpertsSplit runs a model whose shared expert is wide enough to be split. Its partial sums meet in the
// same collective as the routed experts', are rounded after it, and leave every bit as it was.
func TestSharedExpertsSplit(t *testing.T) {
	config, ok := deepseekv4.Config("deepseek-v4-nano")
	require.True(t, ok)
	wide := strings.Replace(config, `"moe_intermediate_size": 128`, `"moe_intermediate_size": 512`, 1)
	require.NotEqual(t, config, wide)
	m := goldens.Elaborate(t, wide, nil)
	dir := filepath.Join(t.TempDir(), "wide")
	require.NoError(t, weights.Make(m, []byte(wide), dir, weights.MakeOptions{}))
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	defer c.Close()
	run := func(m *ir.Module) []safetensors.Data {
		var rec record.Recorder
		q := eval.Request{Prompt: [][]int32{sequence(9, 512), sequence(9, 100)}, MaxNew: 2, MTP: true, Trace: rec.Add}
		result, err := eval.Generate(m, weights.NewSource(m, c), q)
		require.NoError(t, err)
		return append(rec.Tensors, record.Logits(result)...)
	}
	want := run(m)
	for _, tp := range []int{2, 4} {
		split := m.Clone()
		_, err := passes.Run(split, passes.Options{Target: targets.CPU, TP: tp}, "")
		require.NoError(t, err)
		require.Contains(t, split.String(), fmt.Sprintf("fp8<128x128>[F|%d, D] from \"ffn.shared_experts.w1.weight\"", tp),
			"splitting is cheaper")
		require.Equal(t, want, run(split))
	}
}
