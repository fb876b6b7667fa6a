package tritoncheck

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBenchmarkPlans reads the cases as a machine with a GPU will.
func TestBenchmarkPlans(t *testing.T) {
	python, err := tritonEnv.interpreter(t.Context())
	need(t, err)
	dir, err := scriptDir()
	require.NoError(t, err)
	out, err := exec.Command(python, filepath.Join(dir, "bench.py"), kernelDir, "--plan").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, `fp8_gemv, 1024 x 256: grid 64, 262144 bytes, 262144 of them cold, floor 2.26 us
fp8_gemv, counted: grid 1, 4300000 bytes, nothing cold, floor 3.20 us
`, string(out))
}
