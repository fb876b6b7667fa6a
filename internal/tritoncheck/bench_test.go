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

// TestColdCopiesGoByWhatMoves holds that so many copies take turns that what they are read of exceeds the cache: a launch
// reads little of large buffers of experts.
func TestColdCopiesGoByWhatMoves(t *testing.T) {
	python, err := tritonEnv.interpreter(t.Context())
	need(t, err)
	dir, err := scriptDir()
	require.NoError(t, err)
	out, err := exec.Command(python, "-c", `
import sys
sys.path.insert(0, sys.argv[1])
import bench
case = next(bench.read_cases(sys.argv[2], None))
print(case.copies(1 << 20))  # all of its 256 KiB
case.bytes = 1 << 16
print(case.copies(1 << 20))
case.bytes = 1
print(case.copies(50 << 20))  # no more than there are
`, dir, kernelDir).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "13\n49\n1024\n", string(out))
}
