package tritoncheck

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Pytest runs the tests that a build's folder of kernels has, under Triton's interpreter, and returns what pytest said.
// Options are pytest's own. It fails with Unavailable where PyTorch cannot be had.
func Pytest(ctx context.Context, dir string, options ...string) (string, error) {
	python, err := torchEnv.interpreter(ctx)
	if err != nil {
		return "", err
	}
	args := append([]string{"-m", "pytest", "-q", "-p", "no:cacheprovider"}, options...)
	cmd := exec.CommandContext(ctx, python, append(args, dir)...)
	// Tests are many and tensors small: threads would wait for each other.
	cmd.Env = append(plainEnv(), "TRITON_INTERPRET=1", "OMP_NUM_THREADS=1")
	said, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
	return strings.TrimSpace(string(said)), err
}
