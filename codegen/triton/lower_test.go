package triton

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
)

// lowered is a built-in model after all passes for a target.
func lowered(t testing.TB, model string, target targets.Target, tp int, policy targets.Policy) *ir.Module {
	m, _ := goldens.Builtin(t, model)
	_, err := passes.Run(m, passes.Options{Target: target, TP: tp, Precision: policy}, "")
	require.NoError(t, err)
	return m
}

// TestEveryKernelIsLowered makes programs of every kernel of Flash and Pro at their real sizes for every target.
func TestEveryKernelIsLowered(t *testing.T) {
	for _, target := range targets.All() {
		if target.Host.Executes {
			continue
		}
		for model, tp := range map[string]int{"deepseek-v4-flash": 8, "deepseek-v4-pro": 16} {
			t.Run(fmt.Sprintf("%s/%s", target.Name, model), func(t *testing.T) {
				t.Parallel()
				m := lowered(t, model, target, tp, "")
				for _, k := range m.Kernels {
					kernel, err := Lower(m, k, target)
					if err != nil {
						t.Error(err)
						continue
					}
					for _, p := range kernel.Programs {
						if err := tile.Verify(p); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
}
