//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/runtime/safetensors"
)

// failing runs flagc, which must fail, and returns what it said.
func failing(t *testing.T, args ...string) string {
	t.Helper()
	text, err := flagcProcess(t, args...).CombinedOutput()
	require.Error(t, err, string(text))
	return string(text)
}

func saying(t *testing.T, args ...string) string {
	t.Helper()
	text, err := flagcProcess(t, args...).CombinedOutput()
	require.NoError(t, err, string(text))
	return string(text)
}

// TestWhatIsInexactStaysInFP4 spreads the scales of one tile beyond what FP8 holds. The conversion is refused, or, if
// asked for, keeps that weight in FP4; the result is verified, evaluated and run like any other, to the same values.
func TestWhatIsInexactStaysInFP4(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	runFlagc(t, "weights", "make", "deepseek-v4-nano", "-o", at("w"))
	spread(t, at("w"), "layers.4.ffn.experts.11.w1")
	said := failing(t, "weights", "convert", at("w"), "-o", at("no"), "--precision", "fp8")
	require.Contains(t, said, "layers.4.ffn.experts.11.w1.weight: tile 0,0: scale exponents spread over 2")
	require.NoDirExists(t, at("no"))

	const kept = "block_csa.ffn.experts.w1"
	prompt := []string{"--prompt", "1,2,3,5,8", "--max-new", "4"}
	flags := []string{"--precision", "fp8", "--tp", "2", "--keep-fp4", kept}
	chosen := saying(t, append([]string{"eval", "deepseek-v4-nano", "--weights", at("w"), "--logits", at("want")}, prompt...)...)
	runFlagc(t, append([]string{"build", "deepseek-v4-nano", "-o", at("b")}, flags...)...)
	for _, layout := range []string{"release", "ranks"} {
		convert := []string{"weights", "convert", at("w"), "-o", at(layout), "--layout", layout, "--inexact", "keep-fp4", "--precision", "fp8", "--tp", "2"}
		require.Contains(t, saying(t, convert...), kept+" stays in FP4: tensor layers.4.ffn.experts.11.w1.weight, tile 0,0: scale exponents spread")
		runFlagc(t, "weights", "verify", at(layout), "--against", at("w"))
		runFlagc(t, append(append([]string{"eval", "deepseek-v4", "--weights", at(layout), "--logits", at("got")}, prompt...), flags...)...)
		require.Contains(t, saying(t, "compare", at("want"), at("got")), " 0 different")
		tokens := saying(t, append([]string{"run", at("b"), "--weights", at(layout)}, prompt...)...)
		require.Contains(t, chosen, "chosen: "+strings.SplitN(tokens, "\n", 2)[0])
		config, err := os.ReadFile(filepath.Join(at(layout), "config.json"))
		require.NoError(t, err)
		require.Contains(t, string(config), `"expert_dtype": "fp4"`)
	}
	require.Contains(t, failing(t, "build", "deepseek-v4-nano", "-o", at("c"), "--precision", "fp8", "--keep-fp4", "block_csa.w1"),
		"block_csa.w1 is no weight in FP4; there are block_csa.ffn.experts.w1")
}

// spread makes the first scale of a weight 2^-20 of the next, and its codes such that this matters.
func spread(t *testing.T, dir, weight string) {
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	defer c.Close()
	codes, ok := c.Tensor(weight + ".weight")
	require.True(t, ok)
	scales, ok := c.Tensor(weight + ".scale")
	require.True(t, ok)
	f, err := os.OpenFile(codes.File, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte{0x11}, codes.Offset)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{scales.Data[1] - 20}, scales.Offset)
	require.NoError(t, err)
}
