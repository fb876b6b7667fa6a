package gohost

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"flagc/passes"
)

// soon is how long what must happen at once may take on a busy machine.
const soon = 20 * time.Second

// running is a program on several processes that has chosen its first tokens and has many more to choose.
type running struct {
	cmd      *exec.Cmd
	stderr   bytes.Buffer
	children []int
	folder   string // of temporary files
}

// run starts a program on four ranks.
func run(t *testing.T, program, checkpoint string) *running {
	t.Helper()
	folder, err := os.MkdirTemp("", "ranks") // short enough for the path of a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	r := &running{folder: folder}
	r.cmd = exec.Command(program, "--weights", checkpoint, "--prompt", "1,2,3", "--max-new", "50000", "--ranks", "processes")
	r.cmd.Env = append(os.Environ(), "TMPDIR="+folder)
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() { r.cmd.Process.Kill() })
	_, err = bufio.NewReader(out).ReadString(',')
	require.NoError(t, err, "no token came")
	pid := r.cmd.Process.Pid
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(t, err)
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		require.NoError(t, err)
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			require.NoError(t, err)
			r.children = append(r.children, child)
		}
	}
	require.Len(t, r.children, 3)
	return r
}

// gone waits for the program and all its processes to end, and looks for what it has left behind.
func (r *running) gone(t *testing.T, code int) string {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- r.cmd.Wait() }()
	select {
	case <-done:
		require.Equal(t, code, r.cmd.ProcessState.ExitCode(), "%s", &r.stderr)
	case <-time.After(soon):
		require.Fail(t, "the program does not end")
	}
	for _, child := range r.children {
		require.Eventually(t, func() bool { return ended(child) }, soon, 10*time.Millisecond, "process %d lives on", child)
	}
	left, err := os.ReadDir(r.folder)
	require.NoError(t, err)
	require.Empty(t, left)
	return r.stderr.String()
}

// ended reports whether a process is gone, or is a zombie that only its parent's end keeps in the list.
func ended(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

// TestNoProcessIsLeftBehind ends a run on several processes in every way but its own.
func TestNoProcessIsLeftBehind(t *testing.T) {
	m, checkpoint := nano(t)
	program := build(t, shard(t, m, grid{tp: 4, scores: passes.Auto}), nil)
	t.Run("a rank is killed", func(t *testing.T) {
		r := run(t, program, checkpoint)
		require.NoError(t, syscall.Kill(r.children[1], syscall.SIGKILL))
		said := r.gone(t, 1)
		require.Regexp(t, `^deepseek_v4: rank [123] ended before the run was over: signal: killed\n$`, said)
	})
	t.Run("interrupt", func(t *testing.T) {
		r := run(t, program, checkpoint)
		require.NoError(t, r.cmd.Process.Signal(os.Interrupt))
		require.Equal(t, "deepseek_v4: interrupted\n", r.gone(t, 1))
	})
	t.Run("the first process is killed", func(t *testing.T) {
		r := run(t, program, checkpoint)
		require.NoError(t, r.cmd.Process.Kill())
		r.gone(t, -1)
	})
}
