package frontend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/models/deepseekv4"
	"flagc/runtime/strictjson"
)

// elaborateMember elaborates the DeepSeek-V4 source for a configuration.
func elaborateMember(t testing.TB, name, config string) *ir.Module {
	t.Helper()
	file, text := deepseekv4.Source()
	m, err := Elaborate(Source{file, text}, Source{name, config}, ops.All)
	require.NoError(t, err)
	return m
}

// tensors counts what the module reads from a checkpoint, scales included, by name and stored shape.
func tensors(m *ir.Module) map[string][]int {
	found := map[string][]int{}
	for _, p := range m.Params {
		for _, prefix := range p.Instances {
			for _, w := range p.Weights {
				for i := 0; i < w.Count(); i++ {
					name := strings.ReplaceAll(ir.Join(prefix, w.Tensor), "*", constant(i).text)
					found[name] = w.Stored()
					if e := w.Value.Type.Elem; e.IsQuantised() {
						rows, cols := w.Stored()[0], w.Stored()[1]
						found[strings.TrimSuffix(name, "weight")+"scale"] = []int{
							(rows + e.Rows - 1) / e.Rows, (cols + e.Cols - 1) / e.Cols}
					}
				}
			}
		}
	}
	return found
}

// TestMembers elaborates every built-in model. The numbers of tensors are those of the published checkpoints'
// indexes.
func TestMembers(t *testing.T) {
	for _, x := range []struct {
		name    string
		tensors int
		kinds   []string
	}{
		{"deepseek-v4-flash", 69187, []string{"block_swa_hash", "block_csa_hash", "block_hca", "block_csa", "mtp_swa", "main"}},
		{"deepseek-v4-pro", 145116, []string{"block_hca_hash", "block_csa_hash", "block_hca", "block_csa", "mtp_swa", "main"}},
		{"deepseek-v4-nano", 921, []string{"block_swa_hash", "block_csa_hash", "block_hca", "block_csa", "mtp_swa", "main"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			config, ok := deepseekv4.Config(x.name)
			require.True(t, ok)
			m := elaborateMember(t, deepseekv4.ConfigName(x.name), config)
			var kinds []string
			for _, p := range m.Params {
				kinds = append(kinds, p.Name)
			}
			require.Equal(t, x.kinds, kinds)
			require.Equal(t, x.tensors, len(tensors(m)))
			require.Len(t, m.Funcs, 2*(len(kinds)-1)+4, "each kind and both entries, for prefill and decode")
			requireRoundTrip(t, m)
			if x.name == "deepseek-v4-nano" {
				golden.Check(t, "testdata/nano.ir", m.String())
			}
		})
	}
}

// TestGoldenCheckpoints compares tensor names and shapes with checkpoints in the official format, where those
// lie beside the repository.
func TestGoldenCheckpoints(t *testing.T) {
	for _, name := range []string{"nano-flash", "nano-pro"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("..", "..", "shared", "golden", name, "checkpoint")
			config, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil {
				t.Skip("needs the golden checkpoints beside the repository; TestMembers covers the built-in models")
			}
			m := elaborateMember(t, "config.json", string(config))
			requireRoundTrip(t, m)
			want := map[string]bool{}
			index, err := os.ReadFile(filepath.Join(dir, "model.safetensors.index.json"))
			require.NoError(t, err)
			doc, err := strictjson.Parse(index, strictjson.Limits{})
			require.NoError(t, err)
			for key := range doc.Field("weight_map").Fields() {
				want[key] = true
			}
			got := map[string]bool{}
			for key := range tensors(m) {
				got[key] = true
			}
			require.Equal(t, want, got)
		})
	}
}

// TestWithoutDraft leaves out multi-token prediction: neither its block nor the entry that uses it remain.
func TestWithoutDraft(t *testing.T) {
	config, _ := deepseekv4.Config("deepseek-v4-nano")
	config = strings.Replace(config, `"num_nextn_predict_layers": 1,`, "", 1)
	config = strings.Replace(config, "[0, 0, 4, 128, 4, 128, 0]", "[0, 0, 4, 128, 4, 128]", 1)
	m := elaborateMember(t, "config.json", config)
	require.NotNil(t, m.Func("main.decode"))
	require.Nil(t, m.Func("draft.decode"))
	for _, p := range m.Params {
		require.NotContains(t, p.Name, "mtp")
	}
}

// TestSpans holds that every instruction points at a line of the source, which names what it does.
func TestSpans(t *testing.T) {
	config, _ := deepseekv4.Config("deepseek-v4-nano")
	m := elaborateMember(t, "nano.json", config)
	_, text := deepseekv4.Source()
	lines := strings.Split(text, "\n")
	for _, f := range m.Funcs {
		require.NotEmpty(t, f.Doc, f.FullName())
		for _, in := range f.Body {
			require.True(t, in.Span.Known(), "%s", in)
			line := lines[in.Span.Line-1]
			require.Greater(t, len(line), in.Span.Col-1, "%s", in)
			require.LessOrEqual(t, in.Span.EndCol, len(line)+1, "%s", in)
		}
	}
}

// TestStepsSuffice keeps the bound on work well above what the largest model takes.
func TestStepsSuffice(t *testing.T) {
	file, text := deepseekv4.Source()
	config, _ := deepseekv4.Config("deepseek-v4-pro")
	e, err := elaborate(Source{file, text}, Source{"pro.json", config}, ops.All)
	require.NoError(t, err)
	require.Less(t, e.steps*4, maxSteps)
}
