package tritoncheck

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// worker is a Python process that answers lines of JSON, each with bytes behind it in both directions.
type worker struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	said   tailWriter // standard error
}

// startWorker runs an embedded script. env adds to the environment of this process.
func startWorker(python, script string, env []string) (*worker, error) {
	dir, err := scriptDir()
	if err != nil {
		return nil, err
	}
	w := &worker{cmd: exec.Command(python, filepath.Join(dir, script))}
	// No byte code beside the scripts, whose folder others may be writing; no help from an outer Python.
	w.cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=", "PYTHONHOME=")
	w.cmd.Env = append(w.cmd.Env, env...)
	w.cmd.Stderr = &w.said
	w.cmd.WaitDelay = time.Second
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.stdout = bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	return w, nil
}

// ask sends a request with bytes and reads the answer; outputs, called then, says which bytes follow it. After an
// error, which includes the end of ctx, the process is of no further use.
func (w *worker) ask(ctx context.Context, request any, inputs [][]byte, answer any, outputs func() [][]byte) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.cmd.Process.Kill() })
	defer stop()
	for _, part := range append([][]byte{line, {'\n'}}, inputs...) {
		if _, err := w.stdin.Write(part); err != nil {
			return w.died(err)
		}
	}
	reply, err := w.stdout.ReadBytes('\n')
	if err != nil {
		return w.died(err)
	}
	if err := json.Unmarshal(reply, answer); err != nil {
		return fmt.Errorf("answer %q: %w", reply, err)
	}
	for _, part := range outputs() {
		if _, err := io.ReadFull(w.stdout, part); err != nil {
			return w.died(err)
		}
	}
	return nil
}

func (w *worker) died(err error) error {
	w.kill()
	if said := w.said.String(); said != "" {
		return fmt.Errorf("the Python process ended: %s", tail(said, 2))
	}
	return fmt.Errorf("the Python process ended: %w", err)
}

// close lets the process end by itself.
func (w *worker) close() {
	_ = w.stdin.Close()
	_ = w.cmd.Wait()
}

func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

// tailWriter keeps the end of what is written to it.
type tailWriter struct {
	mu   sync.Mutex
	text string
}

const tailBytes = 16 << 10

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text += string(p)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

func (t *tailWriter) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.text)
}
