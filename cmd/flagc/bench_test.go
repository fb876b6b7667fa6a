//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
)

// BenchmarkCompilePro runs the whole process as a user does: Pro for 16 ranks through every pass, in seconds and
// peak memory. With -benchtime 10x it is what the README quotes. Beside it: other numbers of ranks, ten times as many
// layers of the same kinds, and a whole build, generated program and plan of weights included.
func BenchmarkCompilePro(b *testing.B) {
	dir := b.TempDir()
	tool, deep := filepath.Join(dir, "flagc"), filepath.Join(dir, "config.json")
	out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput()
	require.NoError(b, err, string(out))
	require.NoError(b, os.WriteFile(deep, []byte(goldens.Deeper(b, "deepseek-v4-pro", 10)), 0o666))
	for _, c := range []struct {
		name string
		args []string
	}{
		{"ranks=16", []string{"ir", "deepseek-v4-pro", "--target", "h20", "--tp", "16"}},
		{"ranks=1", []string{"ir", "deepseek-v4-pro", "--target", "h20", "--tp", "1"}},
		{"ranks=64", []string{"ir", "deepseek-v4-pro", "--target", "h20", "--tp", "64"}},
		{"ranks=16,layers=610", []string{"ir", "deepseek-v4", "--config", deep, "--target", "h20", "--tp", "16"}},
		{"ranks=16,build", []string{"build", "deepseek-v4-pro", "--tp", "16", "-o", filepath.Join(dir, "build")}},
	} {
		b.Run(c.name, func(b *testing.B) {
			peak := 0.0
			for b.Loop() {
				cmd := exec.Command(tool, c.args...)
				out, err := cmd.Output()
				require.NoError(b, err, string(out))
				if use, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
					peak = max(peak, float64(use.Maxrss)/1024) // kibibytes on Linux
				}
			}
			b.ReportMetric(peak, "MiB-peak")
		})
	}
}
