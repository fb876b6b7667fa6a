package deepseekv4_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
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

// layoutsOf is the list for a policy. Where FP8 is widened, no part can end within a block of it.
func layoutsOf(name string, policy targets.Policy) []layout {
	list := slices.Clone(layouts[name])
	if name == "nano-flash" && !policy.QuantisesActivations() {
		list = append(list, layout{16, passes.Reduce})
	}
	return list
}

// TestRanksEqualTheOfficialCode runs the longest recorded run on simulated ranks that meet in collectives. Partial
// sums are rounded once, after they were added up, so that every value is the same bits at every degree, by every
// strategy, whatever may stay whole.
func TestRanksEqualTheOfficialCode(t *testing.T) {
	golden.Unrecorded(t)
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

// everyRun makes TestEveryPassKeepsEveryBit hold the whole product, which takes a core the better part of an hour.
// Without it one short run stands for the seven.
var everyRun = flag.Bool("every-run", false, "hold every recorded run after every pass, and what else can be split")

// TestEveryPassKeepsEveryBit runs recorded runs after each pass, for every policy, every legal degree and every
// strategy. Policies that compute in bf16 are held against what the official code computes on bf16 weights.
func TestEveryPassKeepsEveryBit(t *testing.T) {
	golden.Unrecorded(t)
	for _, c := range choices() {
		for _, name := range goldens.Names {
			for _, policy := range targets.Policies() {
				t.Run(fmt.Sprintf("%s/%s/%s", c.name, name, policy), func(t *testing.T) {
					t.Parallel()
					checkEveryPass(t, name, policy, c)
				})
			}
		}
	}
}

// choice is what users may say of parts that can be split or stay whole, and the runs that hold it.
type choice struct {
	name     string
	scores   passes.Choice
	official bool
	runs     []string // nil for all
}

func choices() []choice {
	short := []string{"short5"}
	if !*everyRun {
		return []choice{{"cheaper", passes.Auto, false, short}}
	}
	return []choice{{"cheaper", passes.Auto, false, nil}, {"split", passes.Split, false, short}, {"whole", passes.Whole, false, short},
		{"official", passes.Auto, true, short}}
}

func checkEveryPass(t *testing.T, name string, policy targets.Policy, c choice) {
	g := goldens.Open(t, name)
	if !policy.QuantisesActivations() {
		g = g.BF16(t)
	}
	runs := c.runs
	if runs == nil {
		runs = g.Runs()
	}
	checked := 0
	check := func(m *ir.Module, runs []string) {
		w := g.Weights(t, m)
		for _, run := range runs {
			checkRun(t, g, m, w, run)
			checked++
		}
	}
	lowered := g.Module(t, nil)
	opts := passes.Options{Target: targets.CPU, Precision: policy, Scores: c.scores, Official: c.official}
	_, err := passes.Run(lowered, opts, passes.Pipeline[0].Name)
	require.NoError(t, err)
	check(lowered, runs)
	for _, l := range append(layoutsOf(name, policy), layout{1, ""}) {
		m := lowered.Clone()
		opts.TP, opts.OGroups = l.tp, l.groups
		for _, p := range passes.Pipeline[1:] {
			before := m.String()
			_, err := passes.Apply(m, opts, []passes.Pass{p})
			require.NoError(t, err)
			switch {
			case m.String() == before:
			case withoutPlan(m) == before: // the interpreter sees the same module
				if *everyRun {
					check(m, []string{"short5"})
				}
			default:
				check(m, runs)
			}
		}
	}
	t.Logf("%d runs equal the official code", checked)
}

// withoutPlan is a module's text without places in memory.
func withoutPlan(m *ir.Module) string {
	c := m.Clone()
	c.DropMemory()
	return c.String()
}

// TestLegalDegrees holds the table above against what the pass says is legal.
func TestLegalDegrees(t *testing.T) {
	golden.Unrecorded(t)
	for _, name := range goldens.Names {
		for _, policy := range targets.Policies() {
			m := goldens.Open(t, name).Module(t, nil)
			opts := passes.Options{Target: targets.CPU, Precision: policy}
			_, err := passes.Run(m, opts, passes.Pipeline[0].Name)
			require.NoError(t, err)
			var legal []layout
			for _, d := range passes.Degrees(m, opts, 64)[1:] {
				for _, s := range d.Strategies() {
					legal = append(legal, layout{d.TP, s})
				}
			}
			require.ElementsMatch(t, layoutsOf(name, policy), legal, "%s, %s", name, policy)
		}
	}
}

// TestSharedExpertsSplit runs a model whose shared expert is wide enough to be split. Its partial sums meet in the
// same collective as the routed experts', are rounded after it, and leave every bit as it was.
func TestSharedExpertsSplit(t *testing.T) {
	golden.Unrecorded(t)
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
		all := append(rec.Tensors, record.Logits(result)...)
		slices.SortFunc(all, func(a, b safetensors.Data) int { return strings.Compare(a.Name, b.Name) }) // kernels may run in another order
		return all
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
