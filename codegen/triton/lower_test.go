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
	return through(t, m, passes.Options{Target: target, TP: tp, Precision: policy})
}

// through takes a module through all passes.
func through(t testing.TB, m *ir.Module, opts passes.Options) *ir.Module {
	_, err := passes.Run(m, opts, "")
	require.NoError(t, err)
	return m
}
