package verify

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/codegen/triton"
	"flagc/codegen/triton/py"
	"flagc/internal/tritoncheck"
	"flagc/targets"
)

// TestTorchFormulas runs the tests that builds have beside their kernels: every launch, prefill and decode, MTP too,
// against formulas in torch.
func TestTorchFormulas(t *testing.T) {
	for _, c := range []struct {
		target string
		policy targets.Policy
	}{{"h100", targets.PolicyFP8}, {"h200", targets.PolicyW4A8}, {"ascend-910b-32g", targets.PolicyW4A16}, {"p800", targets.PolicyW4A16}} {
		t.Run(c.target, func(t *testing.T) {
			t.Parallel()
			dir, launches := kernelFolder(t, c.target, c.policy)
			said, err := pytest(t, dir)
			require.NoError(t, err, said)
			require.Regexp(t, regexp.MustCompile(`(?m)^`+launches+` passed in `), said)
		})
	}
}

// TestTorchFormulasSeeMistakes holds that these tests can fail: with a wrong formula, and with kernels that say nothing.
func TestTorchFormulasSeeMistakes(t *testing.T) {
	dir, _ := kernelFolder(t, "h100", targets.PolicyFP8)
	edit := func(name, old, new string) {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(text), old)
		require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(new), 1), 0o644))
	}
	edit("torch_reference.py", "return post[..., None] * y", "return 1.05 * post[..., None] * y")
	edit("embed_decode.py", "tl.store(", "(lambda *args, **options: None)(")
	said, err := pytest(t, dir, "-k", "hc_ffn_fn_decode or embed_decode or repeat_decode")
	require.Error(t, err)
	require.Regexp(t, `X_1: \d+ of \d+ differ; too far off; at \[`, said)
	require.Regexp(t, `embedding: 256 of 256 differ; too far off; at \[0, 0, 0\] nan, expected `, said)
	require.Contains(t, said, "2 failed, 1 passed")
}

// TestTorchJudgesAlike holds that what is near enough for a launch is so for its test in torch.
func TestTorchJudgesAlike(t *testing.T) {
	text, err := py.Files.ReadFile("torch_cases.py")
	require.NoError(t, err)
	for name, want := range map[string]float64{"AT_MOST": AtMost, "FEW": few, "PLACES": places, "FLOAT32": float32Steps,
		"FLIPPED": flipped, "PROBABILITY": probability, "GATED": gated} {
		found := regexp.MustCompile(`(?m)^` + name + ` = (1 / )?([0-9.e-]+)$`).FindSubmatch(text)
		require.NotNil(t, found, name)
		value, err := strconv.ParseFloat(string(found[2]), 64)
		require.NoError(t, err)
		if len(found[1]) > 0 {
			value = 1 / value
		}
		require.Equal(t, want, value, name)
	}
}

// kernelFolder writes the kernels of the small model and says how many launches they are.
func kernelFolder(t *testing.T, target string, policy targets.Policy) (dir, launches string) {
	m, on := lowered(t, "deepseek-v4-nano", target, 2, policy)
	b, err := triton.NewBuild(m, on)
	require.NoError(t, err)
	files, err := b.Files()
	require.NoError(t, err)
	dir = t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	return dir, strconv.Itoa(len(m.Kernels))
}

// pytest runs the tests of a folder of kernels. Where PyTorch is missing it skips the test and says so; in CI it must be
// there.
func pytest(t *testing.T, dir string, options ...string) (string, error) {
	t.Helper()
	said, err := tritoncheck.Pytest(context.Background(), dir, options...)
	var missing *tritoncheck.Unavailable
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		t.Skipf("not checked: %s", missing)
	}
	return said, err
}
