package passes_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// expert is one of each kind of product: FP8 and FP4 weights behind quantised activations, FP8 weights that
// see plain ones, and weights that no policy touches.
const expert = `module expert from "expert.flag"
dims D=128 E=4 F=128 G=2 k=2

params main {
  weight norm:       bf16[D] from "norm.weight"
  weight wq_a:       fp8<128x128>[F, D] from "wq_a.weight"
  weight wo_a:       fp8<128x128>[G, F, D] from "wo_a.weight"
  weight experts.w1: fp4<1x32>[E, F, D] from "experts.*.w1.weight"
  weight gate:       bf16[E, D] from "gate.weight"
}

func main.prefill(%x: bf16[s, D], %o: bf16[s, G, D], %ids: i32[s, k]) -> (bf16[s, F], bf16[s, G, F], bf16[s, k, F], f32[s, E]) uses main {
  %y      = rms_norm %x, $norm {eps=1e-06}             : bf16[s, D]
  %yq     = act_quant %y {block=128}                   : fp8<1x128>[s, D]
  %q      = linear %yq, $wq_a                          : bf16[s, F]
  %mixed  = grouped_linear %o, $wo_a                   : bf16[s, G, F]
  %h      = expert_linear %yq, %ids, $experts.w1       : bf16[s, k, F]
  %scores = linear %y, $gate {dtype="f32"}             : f32[s, E]
  return %q, %mixed, %h, %scores
}
`

func parse(t *testing.T) *ir.Module {
	m, err := ir.ParseModule(expert, "expert.ir", ops.All)
	require.NoError(t, err)
	return m
}

func TestLowerPrecision(t *testing.T) {
	for _, policy := range targets.Policies() {
		t.Run(string(policy), func(t *testing.T) {
			m := parse(t)
			opts := passes.Options{Target: targets.CPU, Precision: policy}
			stages, err := passes.Run(m, opts, "lower-precision")
			require.NoError(t, err)
			require.Len(t, stages, 2)
			golden.Check(t, "testdata/lower-precision/"+string(policy)+".ir", m.String())

			again, err := passes.Run(m, opts, "lower-precision")
			require.NoError(t, err)
			require.Equal(t, again[0].Text, again[len(again)-1].Text, "a second run changes nothing")

			read, err := ir.ParseModule(m.String(), "again.ir", ops.All)
			require.NoError(t, err)
			require.NoError(t, read.Verify())
			require.Equal(t, m.String(), read.String())
		})
	}
}

func TestRunStopsAfterAStage(t *testing.T) {
	m := parse(t)
	before := m.String()
	stages, err := passes.Run(m, passes.Options{Target: targets.CPU, Precision: targets.PolicyBF16}, passes.Frontend)
	require.NoError(t, err)
	require.Len(t, stages, 1)
	require.Equal(t, before, m.String())
}

func TestTargetsRefusePolicies(t *testing.T) {
	h100, ok := targets.Find("h100")
	require.True(t, ok)
	_, err := passes.Run(parse(t), passes.Options{Target: h100, Precision: targets.PolicyNative}, "")
	require.ErrorContains(t, err, "target h100 cannot compute the policy native")
	_, err = passes.Run(parse(t), passes.Options{Target: targets.CPU, Precision: "w2a2"}, "")
	require.ErrorContains(t, err, `unknown precision policy "w2a2"`)
}

func TestDefaultPolicyIsTheTargets(t *testing.T) {
	h100, ok := targets.Find("h100")
	require.True(t, ok)
	m := parse(t)
	_, err := passes.Run(m, passes.Options{Target: h100}, "")
	require.NoError(t, err)
	require.Contains(t, m.String(), `experts.w1: fp8<128x128>[E, F, D] from "experts.*.w1.weight" in fp4<1x32>`)
}

func TestBrokenModulesAreRefusedFirst(t *testing.T) {
	m, err := ir.ParseModule(strings.Replace(expert, "rms_norm %x, $norm {eps=1e-06} ", "rms_norm %x, $norm ", 1), "x.ir", ops.All)
	require.NoError(t, err)
	_, err = passes.Run(m, passes.Options{Target: targets.CPU}, "")
	require.ErrorContains(t, err, "rms_norm needs the attribute eps")
}

// carried is quantised activations that go further than into a product.
const carried = `module carried from "carried.flag"
dims D=64 G=2
params layer at layers.0 {
  weight w: fp8<128x128>[D, D] from "w"
}
params main {
}
func layer.prefill(%q: fp8<1x32>[b, s, D]) -> (bf16[b, s, D], fp8<1x32>[b, s, D]) uses layer {
  %y = linear %q, $w            : bf16[b, s, D]
  %r = act_quant %y {block=32}  : fp8<1x32>[b, s, D]
  return %y, %r
}
func main.prefill(%x: bf16[b, s, D]) -> (fp8<1x32>[b*s, D], fp8<1x32>[b, s, D]) uses main {
  %q = act_quant %x {block=32}              : fp8<1x32>[b, s, D]
  %v = view %q                              : fp8<1x32>[b*s, D]
  %y, %r = call layer.prefill %q at layers.0 : bf16[b, s, D], fp8<1x32>[b, s, D]
  return %v, %r
}
`

// TestUnquantisedActivationsAreSoEverywhere takes act_quant out where its result is seen under other axes, handed to a
// function, or returned.
func TestUnquantisedActivationsAreSoEverywhere(t *testing.T) {
	for _, policy := range []targets.Policy{targets.PolicyBF16, targets.PolicyW4A16} {
		m, err := ir.ParseModule(carried, "carried.ir", ops.All)
		require.NoError(t, err)
		_, err = passes.Run(m, passes.Options{Target: targets.CPU, Precision: policy}, "")
		require.NoError(t, err)
		require.NotContains(t, m.String(), "fp8<1x32>")
		require.NotContains(t, m.String(), "act_quant")
	}
}

// TestWeightsThatStayInFP4 spares one weight from each policy: it is kept as it is stored, and widened in the product to
// what the others are.
func TestWeightsThatStayInFP4(t *testing.T) {
	for policy, compute := range map[targets.Policy]string{targets.PolicyFP8: "fp8", targets.PolicyBF16: "bf16", targets.PolicyW4A16: "bf16"} {
		m := parse(t)
		opts := passes.Options{Target: targets.CPU, Precision: policy, KeepFP4: []string{"main.experts.w1"}}
		_, err := passes.Run(m, opts, "lower-precision")
		require.NoError(t, err)
		require.Contains(t, m.String(), "weight experts.w1: fp4<1x32>[E, F, D] from \"experts.*.w1.weight\"\n")
		require.Contains(t, m.String(), `$experts.w1 {compute="`+compute+`"}`)
	}
	_, err := passes.Run(parse(t), passes.Options{Target: targets.CPU, KeepFP4: []string{"main.gate"}}, "lower-precision")
	require.ErrorContains(t, err, "main.gate is no weight in FP4; there are main.experts.w1")
}
