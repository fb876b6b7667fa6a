package deepseekv4_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/compare"
	"flagc/internal/golden"
	"flagc/internal/goldens"
	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/passes"
	"flagc/runtime/safetensors"
	"flagc/targets"
)

// TestEvalEqualsTheOfficialCode holds every recorded value of every run against the reference interpreter, by
// equality: bf16 and indices bit for bit, float32 to one unit in the last place.
func TestEvalEqualsTheOfficialCode(t *testing.T) {
	golden.Unrecorded(t)
	for _, name := range goldens.Names {
		t.Run(name, func(t *testing.T) {
			g := goldens.Open(t, name)
			m := g.Module(t, nil)
			w := g.Weights(t, m)
			for _, run := range g.Runs() {
				t.Run(run, func(t *testing.T) { checkRun(t, g, m, w, run) })
			}
		})
	}
}

// TestPoliciesKeepTheMeaning runs every recorded run after lower-precision. Storing experts in another exact
// encoding changes no bit; without activation quantisation the results are those of the official code on
// widened weights.
func TestPoliciesKeepTheMeaning(t *testing.T) {
	golden.Unrecorded(t)
	for _, name := range goldens.Names {
		for _, policy := range targets.Policies() {
			t.Run(name+"/"+string(policy), func(t *testing.T) {
				g := goldens.Open(t, name)
				m := g.Module(t, nil)
				_, err := passes.Run(m, passes.Options{Target: targets.CPU, Precision: policy}, "")
				require.NoError(t, err)
				w := g.Weights(t, m)
				if policy == targets.PolicyBF16 || policy == targets.PolicyW4A16 {
					g = g.BF16(t)
				}
				for _, run := range g.Runs() {
					checkRun(t, g, m, w, run)
				}
			})
		}
	}
}

func checkRun(t *testing.T, g *goldens.Golden, m *ir.Module, w eval.Weights, run string) {
	want := g.Run(run)
	var rec record.Recorder
	_, mtp := want["prefill.mtp.logits"]
	q := eval.Request{Prompt: g.Tokens(t, run+".prompt"), Feed: g.Tokens(t, run+".fed"), MTP: mtp}
	if _, traced := want["prefill.layers.0.attn"]; traced {
		q.Trace = rec.Add
	}
	if run == "greedy" {
		q.MaxNew, q.Feed = len(q.Feed[0]), nil // the tokens themselves must come out
	}
	result, err := eval.Generate(m, w, q)
	require.NoError(t, err)
	got := append(rec.Tensors, record.Logits(result)...)
	shown := 0
	for _, d := range got {
		u, ok := want[d.Name]
		if !ok {
			t.Errorf("%s is computed but not recorded", d.Name)
			continue
		}
		delete(want, d.Name)
		c := compare.Tensors(u, safetensors.Tensor{Name: d.Name, DType: d.DType, Shape: d.Shape, Data: d.Bytes})
		if !c.Equal() && shown < 10 {
			shown++
			t.Errorf("%s.%s: %d of %d differ, first %+v %s (max %d ulp)", run, d.Name, c.Different, c.Elements, c.First,
				c.Mismatch, c.MaxULP)
		}
	}
	for name := range want {
		t.Errorf("%s is recorded but not computed", name)
	}
}
