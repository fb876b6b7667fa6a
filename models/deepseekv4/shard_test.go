package deepseekv4_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/passes"
	"flagc/targets"
)

// degrees are the tensor-parallel degrees up to the model's o-groups, for each checkpoint.
var degrees = map[string][]int{"nano-flash": {2, 4}, "nano-pro": {2, 4}}

// TestRanksEqualTheOfficialCode runs the recorded runs on simulated ranks that meet in collectives. Partial sums
// are rounded once, after they were added up, so that every value is the same bits at every degree.
func TestRanksEqualTheOfficialCode(t *testing.T) {
	for _, name := range goldens.Names {
		for _, tp := range degrees[name] {
			t.Run(fmt.Sprintf("%s/tp%d", name, tp), func(t *testing.T) {
				g := goldens.Open(t, name)
				m := g.Module(t, nil)
				_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: tp}, "")
				require.NoError(t, err)
				w := g.Weights(t, m)
				for _, run := range []string{"short3", "batch", "long"} {
					checkRun(t, g, m, w, run)
				}
			})
		}
	}
}
