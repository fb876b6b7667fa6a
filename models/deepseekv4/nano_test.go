package deepseekv4_test

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/internal/goldens"
	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/runtime/safetensors"
	"flagc/weights"
)

// nano makes the random checkpoint of the built-in small model.
func nano(t testing.TB) (*ir.Module, *weights.Source) {
	m, config := goldens.Builtin(t, "deepseek-v4-nano")
	dir := filepath.Join(t.TempDir(), "nano")
	require.NoError(t, weights.Make(m, []byte(config), dir, weights.MakeOptions{}))
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return m, weights.NewSource(m, c)
}

// sequence is a prompt of n tokens that a reader can compute.
func sequence(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*i*7 + i*3 + 1) % vocab)
	}
	return ids
}

// TestNanoIsUnchanged holds every bf16 value and every choice of a run of the built-in small model against
// what was recorded when the interpreter equalled the official results. It needs nothing beside the repository.
func TestNanoIsUnchanged(t *testing.T) {
	m, w := nano(t)
	var lines strings.Builder
	result, err := eval.Generate(m, w, eval.Request{
		Prompt: [][]int32{sequence(126, 512), sequence(126, 400)}, MaxNew: 5, MTP: true,
		Trace: func(name string, v *ir.Tensor) {
			if d := record.Tensor(name, v); d.DType != "F32" && v.Len() > 0 {
				fmt.Fprintf(&lines, "%x %s %s %v\n", sha256.Sum256(d.Bytes), d.Name, d.DType, d.Shape)
			}
		},
	})
	require.NoError(t, err)
	fmt.Fprintln(&lines, "tokens", result.Fed)
	golden.Check(t, "testdata/nano.sha256", lines.String())
}

// TestThreadsDoNotChangeValues runs on one goroutine and on many.
func TestThreadsDoNotChangeValues(t *testing.T) {
	m, w := nano(t)
	q := eval.Request{Prompt: [][]int32{sequence(40, 512)}, MaxNew: 2, MTP: true, Threads: 1}
	one, err := eval.Generate(m, w, q)
	require.NoError(t, err)
	q.Threads = 7
	many, err := eval.Generate(m, w, q)
	require.NoError(t, err)
	require.Equal(t, record.Logits(one), record.Logits(many))
}

// TestPrefillAndDecodeAgreeOnChoices feeds the same tokens in one call and one by one. Values differ where the
// official lists differ in width, hence in rounding; what a token sees does not.
func TestPrefillAndDecodeAgreeOnChoices(t *testing.T) {
	m, w := nano(t)
	ids := sequence(30, 512)
	whole, err := eval.Generate(m, w, eval.Request{Prompt: [][]int32{ids}})
	require.NoError(t, err)
	steps, err := eval.Generate(m, w, eval.Request{Prompt: [][]int32{ids[:1]}, Feed: [][]int32{ids[1:]}})
	require.NoError(t, err)
	last := steps.Decode[len(steps.Decode)-1]
	require.Equal(t, eval.Argmax(whole.Prefill.F), eval.Argmax(last.F))
}

func BenchmarkElaborateFlash(b *testing.B) {
	for b.Loop() {
		goldens.Builtin(b, "deepseek-v4-flash")
	}
}

// BenchmarkEval reports tokens per second of the reference interpreter on the built-in small model.
func BenchmarkEval(b *testing.B) {
	m, w := nano(b)
	q := eval.Request{Prompt: [][]int32{sequence(250, 512)}, MaxNew: 14, MTP: true}
	for b.Loop() {
		_, err := eval.Generate(m, w, q)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(264*b.N)/b.Elapsed().Seconds(), "tokens/s")
}
