package triton

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
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
