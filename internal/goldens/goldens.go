// Package goldens reads, for tests, the recorded results of the official implementation on two small
// checkpoints. The data is not part of this repository: it stands beside it in ../shared/golden. Tests that
// need it skip with a sentence where it is absent.
package goldens

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/frontend"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/models/deepseekv4"
	"flagc/runtime/safetensors"
	"flagc/weights"
)

// Names are the checkpoints with recorded results.
var Names = []string{"nano-flash", "nano-pro"}

// Golden is one checkpoint with what the official code computes on it.
type Golden struct {
	Name       string
	Checkpoint string // folder
	Config     string // text of config.json
	Exact      *safetensors.File
}

// BF16 is the same checkpoint with the results of the official code on weights widened to bf16, in which
// projections see activations unquantised. Logits and tokens only.
func (g *Golden) BF16(t testing.TB) *Golden {
	exact, err := safetensors.Open(filepath.Join(filepath.Dir(g.Checkpoint), "exact-bf16.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { exact.Close() })
	return &Golden{g.Name, g.Checkpoint, g.Config, exact}
}

// Dir returns the folder of the recorded results, or skips the test.
func Dir(t testing.TB) string {
	dir, err := os.Getwd()
	require.NoError(t, err)
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	golden := filepath.Join(filepath.Dir(dir), "shared", "golden")
	if _, err := os.Stat(filepath.Join(golden, "noise.json")); err != nil {
		t.Skip("needs the recorded results of the official code in ../shared/golden, which are not there")
	}
	return golden
}

// Open reads the recorded results of one checkpoint, or skips the test.
func Open(t testing.TB, name string) *Golden {
	dir := filepath.Join(Dir(t), name)
	g := &Golden{Name: name, Checkpoint: filepath.Join(dir, "checkpoint")}
	text, err := os.ReadFile(filepath.Join(g.Checkpoint, "config.json"))
	require.NoError(t, err)
	g.Config = string(text)
	g.Exact, err = safetensors.Open(filepath.Join(dir, "exact.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { g.Exact.Close() })
	return g
}

// Elaborate expands the model for the text of a config.json, with the .flag source as edited by edit (nil: as
// it is).
func Elaborate(t testing.TB, config string, edit func(string) string) *ir.Module {
	name, text := deepseekv4.Source()
	if edit != nil {
		text = edit(text)
	}
	m, err := frontend.Elaborate(frontend.Source{Name: name, Text: text},
		frontend.Source{Name: "config.json", Text: config}, ops.All)
	require.NoError(t, err)
	return m
}

// Builtin elaborates a built-in model and returns its configuration with it.
func Builtin(t testing.TB, name string) (*ir.Module, string) {
	config, ok := deepseekv4.Config(name)
	require.True(t, ok, "%s is not built in", name)
	return Elaborate(t, config, nil), config
}

// Edited is a built-in configuration with its keys as edit leaves them.
func Edited(t testing.TB, model string, edit func(keys map[string]any)) string {
	text, ok := deepseekv4.Config(model)
	require.True(t, ok, "%s is not built in", model)
	var keys map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &keys))
	edit(keys)
	out, err := json.Marshal(keys)
	require.NoError(t, err)
	return string(out)
}

// Deeper is a built-in configuration with its layers repeated.
func Deeper(t testing.TB, model string, times int) string {
	return Edited(t, model, func(keys map[string]any) {
		layers := int(keys["num_hidden_layers"].(float64))
		ratios := keys["compress_ratios"].([]any)
		var all []any
		for range times {
			all = append(all, ratios[:layers]...)
		}
		keys["compress_ratios"], keys["num_hidden_layers"] = append(all, ratios[layers:]...), layers*times
	})
}

// Module elaborates the model for the checkpoint, see Elaborate.
func (g *Golden) Module(t testing.TB, edit func(string) string) *ir.Module {
	return Elaborate(t, g.Config, edit)
}

// Weights opens the checkpoint's tensors for the interpreter.
func (g *Golden) Weights(t testing.TB, m *ir.Module) *weights.Source {
	c, err := safetensors.OpenCheckpoint(g.Checkpoint)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return weights.NewSource(m, c)
}

// Runs lists the recorded runs in a fixed order, the traced one last.
func (g *Golden) Runs() []string {
	return []string{"short1", "short2", "short3", "short5", "batch", "greedy", "long"}
}

// Tokens reads the rows of an i32 tensor [b,n], such as "long.prompt".
func (g *Golden) Tokens(t testing.TB, name string) [][]int32 {
	tensor, ok := g.Exact.Tensor(name)
	require.True(t, ok, "%s is missing", name)
	ids, err := tensor.Int32s()
	require.NoError(t, err)
	rows := make([][]int32, tensor.Shape[0])
	for i := range rows {
		n := tensor.Shape[1]
		rows[i] = ids[i*n : (i+1)*n]
	}
	return rows
}

// Run returns the recorded tensors of a run, without the run's name, except its tokens.
func (g *Golden) Run(run string) map[string]safetensors.Tensor {
	out := map[string]safetensors.Tensor{}
	for _, tensor := range g.Exact.Tensors() {
		if name, ok := strings.CutPrefix(tensor.Name, run+"."); ok && name != "prompt" {
			tensor.Name = name
			out[name] = tensor
		}
	}
	return out
}

// Noise is how far the official code drifts when only its accumulation changes: relative L2 per row, median
// and worst, by the tensor's name in the run ("long.decode.logits").
func (g *Golden) Noise(t testing.TB) map[string][2]float64 {
	text, err := os.ReadFile(filepath.Join(Dir(t), "noise.json"))
	require.NoError(t, err)
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &all))
	var mine struct {
		RelativeL2 map[string][2]float64 `json:"relative_l2"`
	}
	require.NoError(t, json.Unmarshal(all[g.Name], &mine))
	return mine.RelativeL2
}
