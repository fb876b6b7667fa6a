package passes_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/passes"
	"flagc/targets"
)

// TestProgramsCountLikeLaunches holds that programs are launches where each kernel is one program, and more of them
// by as many as a kernel has tails.
func TestProgramsCountLikeLaunches(t *testing.T) {
	target, _ := targets.Find("h20")
	m, _ := goldens.Builtin(t, "deepseek-v4-nano")
	_, err := passes.Run(m, passes.Options{Target: target, TP: 2}, "")
	require.NoError(t, err)
	one := passes.CountLaunches(m)
	one.CountPrograms(m, func(*ir.Func) int { return 1 })
	tails, calls := passes.CountLaunches(m), passes.KernelCalls(m)
	tails.CountPrograms(m, func(k *ir.Func) int { return 1 + len(k.Tail) })
	for i, e := range one.Entries {
		require.Equal(t, e.Launches, e.Programs, e.Function)
		extra := 0
		for k, n := range calls[e.Function] {
			extra += n * len(k.Tail)
		}
		require.Equal(t, e.Launches+extra, tails.Entries[i].Programs, e.Function)
	}
	for _, f := range one.Functions {
		require.Equal(t, f.Launches, f.Programs, f.Function)
	}
}
