//go:build unix

package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// flagcProcess starts this test binary as the tool itself, as the scripts do.
func flagcProcess(t *testing.T, args ...string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	link := filepath.Join(dir, "flagc")
	require.NoError(t, os.Symlink(self, link))
	return exec.Command(link, args...)
}

func runFlagc(t *testing.T, args ...string) {
	t.Helper()
	text, err := flagcProcess(t, args...).CombinedOutput()
	require.NoError(t, err, string(text))
}

var killsFlag = flag.Int("kills", 10, "how many conversions TestKilledConversionsResume kills")

// TestKilledConversionsResume kills converters at random moments with SIGKILL, some of them several times in a row, and
// resumes: the bytes are always those of a conversion that nobody disturbed, and no incomplete folder ever has the
// final name. With -kills 100 it does so for longer.
func TestKilledConversionsResume(t *testing.T) {
	kills := *killsFlag
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	runFlagc(t, "weights", "make", "deepseek-v4-nano", "-o", src)
	layouts := [][]string{
		{"--precision", "fp8", "--tp", "2", "--layout", "ranks"},
		{"--precision", "bf16"},
	}
	// The moments are random but the same in every run.
	random := rand.New(rand.NewPCG(7, uint64(kills)))
	killed := 0
	for i, layout := range layouts {
		base := append([]string{"weights", "convert", src, "--limit", "200M"}, layout...)
		want := filepath.Join(dir, fmt.Sprintf("want%d", i))
		start := time.Now()
		runFlagc(t, append(base, "-o", want)...)
		whole := time.Since(start)
		files := tree(t, want)
		for killed < kills*(i+1)/len(layouts) {
			dst := filepath.Join(dir, fmt.Sprintf("out%d", killed))
			run := append(base, "-o", dst, "--resume")
			for killedAt(t, time.Duration(random.Float64()*1.2*float64(whole)), run) {
				killed++
				if _, err := os.Stat(dst); err == nil {
					requireTree(t, files, dst) // killed after the rename
				}
			}
			requireTree(t, files, dst)
			require.NoDirExists(t, filepath.Join(dir, "."+filepath.Base(dst)+".flagc"))
			require.NoError(t, os.RemoveAll(dst))
		}
	}
	t.Logf("%d kills", killed)
}

// killedAt runs flagc and kills it after a time; false if it ended well before that.
func killedAt(t *testing.T, after time.Duration, args []string) bool {
	cmd := flagcProcess(t, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	if err == nil {
		return false
	}
	require.Equal(t, -1, cmd.ProcessState.ExitCode(), "killed, not failed: %s", &out)
	return true
}

func tree(t *testing.T, dir string) map[string][]byte {
	out := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil {
			out[rel], err = os.ReadFile(path)
		}
		return err
	}))
	return out
}

func names(files map[string][]byte) []string {
	out := make([]string, 0, len(files))
	for name := range files {
		out = append(out, name)
	}
	return out
}

func requireTree(t *testing.T, want map[string][]byte, dir string) {
	t.Helper()
	got := tree(t, dir)
	for name, text := range want {
		require.True(t, bytes.Equal(text, got[name]), "%s differs in %s", name, dir)
	}
	for name := range got {
		require.Contains(t, names(want), name)
	}
}
