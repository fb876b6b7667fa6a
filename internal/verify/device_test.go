package verify

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/codegen/triton"
	"flagc/frontend"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/tile"
	"flagc/models/deepseekv4"
	"flagc/passes"
	"flagc/targets"
)

var (
	deviceOut      = flag.String("device-out", "", "write kernels of Flash with inputs and expected results for a GPU to this folder")
	devicePolicy   = flag.String("device-policy", "fp8", "their precision policy")
	deviceTarget   = flag.String("device-target", "h200", "their target")
	deviceOnly     = flag.String("device-only", "", "only kernels whose names contain this")
	deviceTokens   = flag.Int("device-tokens", 0, "write the kernels of prefill with so many tokens instead of those of decoding")
	deviceExperts  = flag.Int("device-experts", 32, "routed experts of all ranks, of which Flash has 256")
	deviceRank     = flag.Int("device-rank", 0, "the rank; which experts it has decides how much of a kernel's work it does")
	deviceBatch    = flag.Int("device-batch", 1, "sequences of a call")
	devicePlanned  = flag.Int("device-planned", 0, "sequences that kernels are planned for; 0 for those of a call")
	devicePosition = flag.Int("device-position", 4096, "the position of the decoded token")
)

// flashModule is Flash for eight ranks with fewer experts, so that a rank's fit a test; all that a kernel sees of an expert
// has its real size.
func flashModule(t testing.TB, target targets.Target, policy targets.Policy, experts int) *ir.Module {
	config, _ := deepseekv4.Config("deepseek-v4-flash")
	own := fmt.Sprintf(`"n_routed_experts": %d`, experts)
	config = strings.Replace(config, `"n_routed_experts": 256`, own, 1)
	require.Contains(t, config, own)
	name, text := deepseekv4.Source()
	m, err := frontend.Elaborate(frontend.Source{Name: name, Text: text}, frontend.Source{Name: "config.json", Text: config}, ops.All)
	require.NoError(t, err)
	_, err = passes.Run(m, passes.Options{Target: target, TP: 8, Precision: policy}, "")
	require.NoError(t, err)
	return m
}

// TestDeviceCases writes what the script that times kernels on a GPU reads, if a folder is named.
func TestDeviceCases(t *testing.T) {
	if *deviceOut == "" {
		t.Skip("no folder named with -device-out")
	}
	require.NoError(t, os.MkdirAll(*deviceOut, 0o755))
	target, ok := targets.Find(*deviceTarget)
	require.True(t, ok)
	m := flashModule(t, target, targets.Policy(*devicePolicy), *deviceExperts)
	var programs []*tile.Program
	var mutex sync.Mutex
	t.Run("kernels", func(t *testing.T) {
		for _, f := range m.Kernels {
			if (f.Mode == ir.Decode) == (*deviceTokens > 0) || !strings.Contains(f.FullName(), *deviceOnly) {
				continue
			}
			t.Run(f.FullName(), func(t *testing.T) {
				t.Parallel()
				env := ir.Env{"b": *deviceBatch, "s": 1, "p": *devicePosition, "m": 2 * *devicePosition}
				if *deviceTokens > 0 {
					env["s"], env["p"] = *deviceTokens, 0
				}
				plan := Bounds
				if plan.Batch = *devicePlanned; plan.Batch == 0 {
					plan.Batch = *deviceBatch
				}
				k, _, err := Programs(m, f, target, plan)
				require.NoError(t, err)
				l, err := Synthesize(m, f, env, *deviceRank, 4, Random)
				require.NoError(t, err)
				diffs, err := WriteDeviceCases(*deviceOut, DeviceLabel(env), k, l, m.Mesh)
				require.NoError(t, err)
				if err := Verdict(diffs); err != nil {
					t.Error(err)
				}
				mutex.Lock()
				programs = append(programs, k.Programs...)
				mutex.Unlock()
			})
		}
	})
	files, err := triton.Files(target.Name, "3.6.0", programs)
	require.NoError(t, err)
	for name, data := range files {
		require.NoError(t, os.WriteFile(filepath.Join(*deviceOut, name), data, 0o644))
	}
}
