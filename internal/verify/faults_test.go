package verify

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/tile"
	"flagc/targets"
)

// fault is a mistake planted in a kernel's programs.
type fault struct {
	planted   string // a sentence: what is wrong
	kernel    string
	env       ir.Env // nil: two sequences of 255 tokens and one more, or of five
	variation string // "" for random
	scoring   string // of entries that are chosen, see scorings; "" for what the variation has
	program   int    // which of the kernel's
	policy    targets.Policy
	target    string // "" for the one in planters
	text      bool   // look for it with Triton's interpreter too
	plant     func(e *edit)
}

// unmask lets a load or store take all lanes: the mask is the last operand.
func unmask(op *tile.Op) { op.Args[len(op.Args)-1] = nil }

// faultsOf are the tables of all kinds of kernels.
var faultsOf = map[string][]fault{"attention": attentionFaults, "choice": choiceFaults, "quantisation": quantFaults,
	"products": productFaults, "dispatch": dispatchFaults, "routing": routingFaults, "vectors": vectorFaults, "state": stateFaults, "streams": streamFaults,
	"launch": launchFaults, "tokens": sampleFaults}

// planters are the targets that faults are planted for, by policy.
var planters = map[targets.Policy]string{targets.PolicyFP8: "h200", targets.PolicyW4A16: "ascend-910b-32g", targets.PolicyBF16: "p800"}

// TestPlantedFaultsAreFound plants one mistake after the other in programs that pass, and holds that each is found.
func TestPlantedFaultsAreFound(t *testing.T) {
	modules := map[build]*planted{}
	count := 0
	for name, list := range faultsOf {
		count += len(list)
		t.Run(name, func(t *testing.T) {
			for _, f := range list {
				if f.policy == "" {
					f.policy = targets.PolicyFP8
				}
				if f.target == "" {
					f.target = planters[f.policy]
				}
				b := build{f.target, f.policy, 2}
				if modules[b] == nil {
					m, target := lowered(t, "deepseek-v4-nano", b.target, b.tp, b.policy)
					modules[b] = &planted{m: m, target: target}
				}
				t.Run(strings.ReplaceAll(f.planted, " ", "_"), func(t *testing.T) { modules[b].look(t, f) })
			}
		})
	}
	require.GreaterOrEqual(t, count, 25)
}

// planted is a module whose kernels get faults.
type planted struct {
	m      *ir.Module
	target targets.Target
}

func (x *planted) look(t *testing.T, f fault) {
	k, l := x.launch(t, f)
	require.NoError(t, x.judge(k, l, Interpreted(tile.Options{Races: true, Seed: 3})), "without the fault")
	p := k.Programs[f.program]
	before := p.String()
	f.plant(&edit{t, p})
	require.NotEqual(t, before, p.String(), "nothing was planted")
	require.NoError(t, tile.Verify(p), "what was planted is no program:\n%s", p)
	err := x.judge(k, l, Interpreted(tile.Options{Races: true, Seed: 3}))
	require.Error(t, err, "not found: %s", f.planted)
	t.Log(err)
	if f.text {
		x.lookInText(t, f, k, l)
	}
}

func (x *planted) launch(t *testing.T, f fault) (*triton.Lowered, eval.Launch) {
	for _, k := range x.m.Kernels {
		if k.FullName() != f.kernel {
			continue
		}
		if f.env == nil && k.Mode == ir.Decode {
			f.env = ir.Env{"b": 2, "m": 300, "p": 255, "s": 1}
		} else if f.env == nil {
			f.env = ir.Env{"b": 2, "m": 300, "p": 0, "s": 5}
		}
		if f.variation == "" {
			f.variation = Random
		}
		l, err := Synthesize(x.m, k, f.env, 1, 11, f.variation)
		require.NoError(t, err)
		if f.scoring != "" {
			l = scored(t, x.m, l, scorings[f.scoring])
		}
		low, _, err := Programs(x.m, k, x.target, Bounds)
		require.NoError(t, err)
		return low, l
	}
	require.Fail(t, "no kernel "+f.kernel)
	return nil, eval.Launch{}
}

func (x *planted) judge(k *triton.Lowered, l eval.Launch, run Run) error {
	diffs, err := Replay(k, l, x.m.Mesh, run)
	if err != nil {
		return err
	}
	return Verdict(diffs)
}

// lookInText looks for the fault in the printed kernel under Triton's interpreter, where the kernel without it passes.
func (x *planted) lookInText(t *testing.T, f fault, k *triton.Lowered, l eval.Launch) {
	t.Run("text", func(t *testing.T) {
		in := tritonInterpreter(t)
		right, _, err := Programs(x.m, k.Func, x.target, Bounds)
		require.NoError(t, err)
		s := &Subject{Module: x.m, Target: x.target, Kernel: k}
		require.NoError(t, x.judge(right, l, s.printed(t.Context(), in, t.TempDir(), false)), "without the fault")
		require.Error(t, x.judge(k, l, s.printed(t.Context(), in, t.TempDir(), false)), "not found: %s", f.planted)
	})
}
