package deepseekv4_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/compare"
	"flagc/internal/goldens"
	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/runtime/safetensors"
)

// TestEvalEqualsTheOfficialCode holds every recorded value of every run against the reference interpreter, by
// equality: bf16 and indices bit for bit, float32 to one unit in the last place.
func TestEvalEqualsTheOfficialCode(t *testing.T) {
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

func checkRun(t *testing.T, g *goldens.Golden, m *ir.Module, w eval.Weights, run string) {
	want := g.Run(run)
	var rec record.Recorder
	_, mtp := want["prefill.mtp.logits"]
	q := eval.Request{Prompt: g.Tokens(t, run+".prompt"), Feed: g.Tokens(t, run+".fed"), MTP: mtp}
	if run == "long" {
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
			t.Errorf("%s: %d of %d differ, first %+v %s (max %d ulp)", d.Name, c.Different, c.Elements, c.First,
				c.Mismatch, c.MaxULP)
		}
	}
	for name := range want {
		t.Errorf("%s is recorded but not computed", name)
	}
}
