package passes

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/targets"
)

// TestDevicesChooseTokens holds which kernels a build offers beside those of the model: with one rank the place is the
// token, with several somebody must pick.
func TestDevicesChooseTokens(t *testing.T) {
	for _, c := range []struct {
		target string
		tp     int
		names  string
	}{
		{"cpu", 2, ""},
		{"h200", 1, "sample_argmax.decode sample_draw.decode"},
		{"h200", 4, "sample_argmax.decode sample_draw.decode sample_pick.decode"},
	} {
		m, _ := goldens.Builtin(t, "deepseek-v4-nano")
		target, ok := targets.Find(c.target)
		require.True(t, ok)
		require.NoError(t, Lower(m, Options{Target: target, TP: c.tp}))
		var offered []string
		for _, k := range m.Kernels {
			if k.Offered {
				offered = append(offered, k.FullName())
			}
		}
		require.Equal(t, c.names, strings.Join(offered, " "))
		if c.tp > 1 && c.names != "" {
			require.Contains(t, m.String(), `
kernel sample_pick.decode(%values: f32[b, ranks=4], %places: i32[b, ranks=4]) -> (i32[b, 1]) anchor %pick offered {
  %pick = pick %values, %places {part=128} : i32[b, 1]`)
		}
	}
}
