package verify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/ops"
	"flagc/ir/roles"
	"flagc/ir/tile"
	"flagc/runtime/formats"
	"flagc/targets"
)

// scorings are scores that make a choice of entries hard: number i of n, of a row, with a number at random in [0, 1).
var scorings = map[string]func(i, n, row int, random float64) float64{
	"random":            func(_, _, _ int, x float64) float64 { return x },
	"equal":             func(int, int, int, float64) float64 { return 0.5 },
	"nothing but -∞":    func(int, int, int, float64) float64 { return math.Inf(-1) },
	"half of them -∞":   func(i, _, _ int, x float64) float64 { return choose(i%2 == 0, math.Inf(-1), x) },
	"few finite":        func(i, _, _ int, x float64) float64 { return choose(i%50 == 7, x, math.Inf(-1)) },
	"two values":        func(_, _, _ int, x float64) float64 { return math.Round(x) },
	"signed zeros":      func(i, _, _ int, _ float64) float64 { return choose(i%3 == 0, 0, math.Copysign(0, -1)) },
	"rising":            func(i, _, _ int, _ float64) float64 { return float64(i / 4) },
	"falling":           func(i, n, _ int, _ float64) float64 { return float64((n - i) / 4) },
	"neighbours alike":  func(i, _, _ int, _ float64) float64 { return math.Sin(float64(i) / 17) },
	"best in one group": func(i, _, row int, x float64) float64 { return x + 2*choose(i%32 == row%32, 1, 0) },
	"good in a few":     func(i, _, _ int, x float64) float64 { return x + 2*choose(i%32 < 15, 1, 0) },
}

func choose(c bool, a, b float64) float64 {
	if c {
		return a
	}
	return b
}

// TestChoiceIsRightForAnyScores holds both ways to choose entries against the op, around the number of entries at which
// the long one begins and far behind it, in decoding and for the many lengths that prompts see.
func TestChoiceIsRightForAnyScores(t *testing.T) {
	for _, name := range []string{"h200", "ascend-910b-64g"} {
		policy := map[string]targets.Policy{"h200": targets.PolicyFP8, "ascend-910b-64g": targets.PolicyBF16}[name]
		m, target := lowered(t, "deepseek-v4-nano", name, 1, policy)
		for _, mode := range []ir.Mode{ir.Prefill, ir.Decode} {
			f := chooser(m, mode)
			if f == nil {
				continue // the scores are computed in the same kernel
			}
			tokens, ok := triton.LongChoice(f)
			require.True(t, ok)
			var envs []ir.Env
			for _, n := range []int{tokens - 1, tokens, tokens + 4, 3*tokens + 2} {
				env := ir.Env{"b": 2, "m": n, "p": n - 1, "s": 1}
				if mode == ir.Prefill {
					env["b"], env["p"], env["s"] = 1, 0, n
				}
				envs = append(envs, env)
			}
			if mode == ir.Prefill {
				envs = []ir.Env{envs[0], envs[2]}
			}
			for scoring, score := range scorings {
				t.Run(fmt.Sprintf("%s/%s/%s", name, mode, scoring), func(t *testing.T) {
					t.Parallel()
					for i, env := range envs {
						l, err := Synthesize(m, f, env, 0, int64(i+1), Random)
						require.NoError(t, err)
						requireChosen(t, m, target, scored(t, m, l, score), int64(i+1))
					}
				})
			}
		}
	}
}

// chooser is the kernel that chooses entries by scores that it is given, nil for none.
func chooser(m *ir.Module, mode ir.Mode) *ir.Func {
	for _, f := range m.Kernels {
		if f.Mode == mode && roles.Uses(f, ops.TopEntries) && !roles.Uses(f, ops.IndexScore) {
			return f
		}
	}
	return nil
}

// scored is a launch with other scores.
func scored(t testing.TB, m *ir.Module, l eval.Launch, score func(i, n, row int, random float64) float64) eval.Launch {
	rand := rand.New(rand.NewPCG(uint64(l.Env["m"]), 1))
	for i, a := range l.Kernel.Args {
		if roles.Of(l.Kernel, a) != roles.EntryScores {
			continue
		}
		n := l.Args[i].Dim(-1)
		for j := range l.Args[i].F {
			l.Args[i].F[j] = formats.RoundBF16(score(j%n, n, j/n, rand.Float64()))
		}
	}
	var err error
	l.Results, err = eval.Kernel(m, l.Kernel, l.Env, l.Rank, l.Args)
	require.NoError(t, err)
	return l
}

// requireChosen runs the programs of a choice, their instances in random order, and holds the lists against the op's.
func requireChosen(t testing.TB, m *ir.Module, target targets.Target, l eval.Launch, seed int64) {
	k, _, err := Programs(m, l.Kernel, target, Bounds)
	require.NoError(t, err)
	options := tile.Options{Seed: seed, Races: true, PoisonMasked: target.Loads.OtherIgnored.Is(true), LiveGathers: target.Loads.LiveMasked.Is(true)}
	diffs, err := Replay(k, l, m.Mesh, Interpreted(options))
	require.NoError(t, err)
	require.NoError(t, Verdict(diffs), "%v", l.Env)
}

// TestManyEntriesAreChosenRight runs the long way at the real size of a list.
func TestManyEntriesAreChosenRight(t *testing.T) {
	m, target := lowered(t, "deepseek-v4-flash", "ascend-910b-64g", 8, targets.PolicyBF16)
	f := chooser(m, ir.Decode)
	for _, p := range []int{16387, 65535} {
		for _, scoring := range []string{"random", "two values", "neighbours alike"} {
			l, err := Synthesize(m, f, ir.Env{"b": 1, "m": p + 1, "p": p, "s": 1}, 0, 1, Random)
			require.NoError(t, err)
			requireChosen(t, m, target, scored(t, m, l, scorings[scoring]), 3)
		}
	}
}
