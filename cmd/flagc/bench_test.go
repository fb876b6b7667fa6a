//go:build unix

package main

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkCompilePro runs the whole process as a user does: Pro for 16 ranks through every pass, in seconds and
// peak memory. With -benchtime 10x it is what the README quotes.
func BenchmarkCompilePro(b *testing.B) {
	tool := filepath.Join(b.TempDir(), "flagc")
	out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput()
	require.NoError(b, err, string(out))
	peak := 0.0
	for b.Loop() {
		cmd := exec.Command(tool, "ir", "deepseek-v4-pro", "--target", "h20", "--tp", "16")
		require.NoError(b, cmd.Run())
		if use, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			peak = max(peak, float64(use.Maxrss)/1024) // kibibytes on Linux
		}
	}
	b.ReportMetric(peak, "MiB-peak")
}
