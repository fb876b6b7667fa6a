package verify

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/passes"
	"flagc/targets"
)

// lowered is a built-in model after all passes for a target.
func lowered(t testing.TB, name, target string, tp int, policy targets.Policy) (*ir.Module, targets.Target) {
	t.Helper()
	machine, ok := targets.Find(target)
	require.True(t, ok, target)
	m := builtin(t, name)
	_, err := passes.Run(m, passes.Options{Target: machine, TP: tp, Precision: policy}, "")
	require.NoError(t, err)
	return m, machine
}

// TestSyntheticInputsAreMeaningful holds that every kernel of the small model gets inputs, equal ones for equal
// seeds, and results without NaN.
func TestSyntheticInputsAreMeaningful(t *testing.T) {
	m, _ := lowered(t, "deepseek-v4-nano", "h200", 2, "")
	for _, k := range m.Kernels {
		env := ir.Env{"b": 2, "m": 300, "p": 0, "s": 5}
		if k.Mode == ir.Decode {
			env = ir.Env{"b": 2, "m": 300, "p": 127, "s": 1}
		}
		for _, variation := range Variations {
			l, err := Synthesize(m, k, env, 1, 7, variation)
			require.NoError(t, err)
			again, err := Synthesize(m, k, env, 1, 7, variation)
			require.NoError(t, err)
			require.Equal(t, l.Args, again.Args)
			for i, r := range l.Results {
				for _, v := range r.F {
					require.Equal(t, v, v, "%s with %s: %s is no number", k.FullName(), variation, k.Return[i].Ref())
				}
			}
		}
	}
}

func TestSynthesizeRefusesUnknownVariations(t *testing.T) {
	m, _ := lowered(t, "deepseek-v4-nano", "h200", 1, "")
	_, err := Synthesize(m, m.Kernels[0], nil, 0, 1, "odd")
	require.ErrorContains(t, err, `unknown variation "odd"`)
}
