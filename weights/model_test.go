package weights_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/models/deepseekv4"
	"flagc/runtime/safetensors"
	"flagc/weights"
)

// TestModelTotals: the model's source, expanded for the published configurations, has the tensors, bytes and
// parameters of the published checkpoints (spec §1).
func TestModelTotals(t *testing.T) {
	for name, want := range map[string]weights.Totals{
		"deepseek-v4-flash": {
			Amount: weights.Amount{Tensors: 69_187, Bytes: 159_609_485_896},
			MTP:    weights.Amount{Tensors: 1_575, Bytes: 3_593_787_756},
			Main:   284_332_240_471, All: 290_942_289_362, Elements: 158_069_433_298,
		},
		"deepseek-v4-pro": {
			Amount: weights.Amount{Tensors: 145_116, Bytes: 864_704_792_696},
			MTP:    weights.Amount{Tensors: 2_343, Bytes: 13_956_587_692},
			Main:   1_572_997_201_763, All: 1_598_837_347_742, Elements: 861_608_274_846,
		},
	} {
		config, ok := deepseekv4.Config(name)
		require.True(t, ok)
		got := weights.Summary(goldens.Elaborate(t, config, nil))
		require.Len(t, got.ByDType, 6)
		got.ByDType = nil
		require.Equal(t, want, got, name)
	}
}

// TestModelCheckpoint makes a checkpoint of the built-in small model, checks it, reads every weight, and
// checks the golden ones, which this package did not write.
func TestModelCheckpoint(t *testing.T) {
	config, ok := deepseekv4.Config("deepseek-v4-nano")
	require.True(t, ok)
	made := filepath.Join(t.TempDir(), "nano")
	require.NoError(t, weights.Make(goldens.Elaborate(t, config, nil), []byte(config), made, weights.MakeOptions{Seed: 1}))
	dirs := []string{made}
	for _, name := range []string{"nano-flash", "nano-pro"} {
		dir := filepath.Join("../../shared/golden", name, "checkpoint")
		if _, err := os.Stat(dir); err != nil {
			t.Logf("the golden checkpoint %s is not beside the repository", name)
			continue
		}
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		m := goldens.Elaborate(t, string(text), nil)
		c, err := safetensors.OpenCheckpoint(dir)
		require.NoError(t, err)
		require.NoError(t, weights.Check(m, c, weights.CheckOptions{Values: true}))
		readAll(t, m, weights.NewSource(m, c))
		require.NoError(t, c.Close())
	}
}

func readAll(t *testing.T, m *ir.Module, s *weights.Source) {
	for _, set := range m.Params {
		for _, instance := range set.Instances {
			for _, w := range set.Weights {
				x, err := s.Tensor(instance, w)
				require.NoError(t, err)
				if x.Lazy == nil {
					require.Equal(t, x.Len(), len(x.F)+len(x.I))
				} else {
					require.Len(t, x.Slice(w.Count()-1), x.Len()/w.Count())
				}
			}
			s.Release(instance)
		}
	}
}

// TestModelReport inspects the built-in small model.
func TestModelReport(t *testing.T) {
	config, _ := deepseekv4.Config("deepseek-v4-nano")
	m := goldens.Elaborate(t, config, nil)
	dir := filepath.Join(t.TempDir(), "nano")
	require.NoError(t, weights.Make(m, []byte(config), dir, weights.MakeOptions{}))
	r, err := weights.Inspect(m, dir, weights.InspectOptions{Full: true})
	require.NoError(t, err)
	require.Empty(t, r.Problems)
	require.Equal(t, r.Totals.Amount, r.Found)
	require.False(t, slices.ContainsFunc(r.Classes, func(c weights.ClassReport) bool {
		return c.Class == weights.Unclassified
	}))
}

// TestMadeModelIsHealthy runs the built-in small model on made weights: what layers add to the streams
// neither dies nor explodes, the router spreads tokens over experts, and logits tell tokens apart. The bounds
// are a factor of three beyond what comes out; a wrong power of two anywhere would show.
func TestMadeModelIsHealthy(t *testing.T) {
	config, _ := deepseekv4.Config("deepseek-v4-nano")
	m := goldens.Elaborate(t, config, nil)
	dir := filepath.Join(t.TempDir(), "nano")
	require.NoError(t, weights.Make(m, []byte(config), dir, weights.MakeOptions{Seed: 5}))
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	defer c.Close()
	prompt := make([]int32, 40)
	for i := range prompt {
		prompt[i] = int32(i * 37 % 256)
	}
	traced := 0
	r, err := eval.Generate(m, weights.NewSource(m, c), eval.Request{
		Prompt: [][]int32{prompt}, MaxNew: 3, MTP: true,
		Trace: func(name string, x *ir.Tensor) {
			traced++
			switch {
			case strings.HasSuffix(name, ".attn"), strings.HasSuffix(name, ".ffn"):
				requireWithin(t, 0.05, 1.5, rms(x.F), name)
			case strings.HasSuffix(name, ".out"):
				requireWithin(t, 0.3, 5, rms(x.F), name)
			case strings.HasPrefix(name, "prefill") && strings.HasSuffix(name, ".gate.experts"):
				chosen := map[int32]bool{}
				for _, e := range x.I {
					chosen[e] = true
				}
				require.Greater(t, len(chosen), 10, "%s: of 16 experts", name)
			}
		},
	})
	require.NoError(t, err)
	require.Greater(t, traced, 100)
	all := append([]*ir.Tensor{r.Prefill, r.PrefillMTP}, r.Decode...)
	for i, logits := range all {
		requireWithin(t, 0.5, 8, rms(logits.F), "logits")
		require.NotEqual(t, all[(i+1)%len(all)].F, logits.F)
	}
}

func requireWithin(t *testing.T, low, high, got float64, name string) {
	t.Helper()
	require.GreaterOrEqual(t, got, low, name)
	require.LessOrEqual(t, got, high, name)
}

// rms is the root of the mean square.
func rms(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(x)))
}
