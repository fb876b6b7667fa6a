package passes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/passes"
	"flagc/targets"
)

// TestWorkGrowsWithKindsOfLayers holds that what passes work on depends on the kinds of layers alone: ten times as many
// layers are ten times as many calls, and 64 ranks are the program of one.
func TestWorkGrowsWithKindsOfLayers(t *testing.T) {
	lower := func(config string, tp int) *ir.Module {
		m := goldens.Elaborate(t, config, nil)
		_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: tp}, "")
		require.NoError(t, err)
		return m
	}
	pro, deep := lower(goldens.Deeper(t, "deepseek-v4-pro", 1), 16), lower(goldens.Deeper(t, "deepseek-v4-pro", 10), 16)
	require.Equal(t, shape(pro), shape(deep))
	lines := func(m *ir.Module) int { return strings.Count(m.String(), "\n") }
	require.Equal(t, 2*9*61, lines(deep)-lines(pro), "a line for each call more, in prefill and in decode")

	one, most := lower(goldens.Deeper(t, "deepseek-v4-pro", 1), 1), lower(goldens.Deeper(t, "deepseek-v4-pro", 1), 64)
	require.InEpsilon(t, lines(one), lines(most), 0.1, "collectives, and kernels between them")
}

// shape says what a module has but for calls: its functions and kernels with their instructions.
func shape(m *ir.Module) []string {
	var out []string
	for _, f := range append(append([]*ir.Func(nil), m.Funcs...), m.Kernels...) {
		n := 0
		for _, in := range f.Body {
			if in.Callee == nil {
				n++
			}
		}
		out = append(out, fmt.Sprint(f.FullName(), n))
	}
	return out
}
