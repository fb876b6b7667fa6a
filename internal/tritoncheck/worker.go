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
	"slices"
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

// workers is the size of a pool: kernels are checked on machines with few cores.
const workers = 2

// pool is a number of workers with the same script, each started when first needed.
type pool struct {
	env    *environment
	script string
	idle   chan *worker // nil stands for a process not yet started
}

func newPool(ctx context.Context, env *environment, script string) (*pool, error) {
	if _, err := env.interpreter(ctx); err != nil {
		return nil, err
	}
	p := &pool{env: env, script: script, idle: make(chan *worker, workers)}
	for range workers {
		p.idle <- nil
	}
	return p, nil
}

// ask has one of the workers answer, see worker.ask. A worker that fails is replaced by the next question.
func (p *pool) ask(ctx context.Context, request any, inputs [][]byte, answer any, outputs func() [][]byte) error {
	var w *worker
	select {
	case w = <-p.idle:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { p.idle <- w }()
	if w == nil {
		python, err := p.env.interpreter(ctx)
		if err != nil {
			return err
		}
		if w, err = startWorker(python, p.script); err != nil {
			return err
		}
	}
	err := w.ask(ctx, request, inputs, answer, outputs)
	if err != nil {
		w.kill()
		w = nil
		if ctx.Err() != nil {
			return fmt.Errorf("stopped: %w", context.Cause(ctx))
		}
	}
	return err
}

// close lets the workers end once they are idle.
func (p *pool) close() {
	for range workers {
		if w := <-p.idle; w != nil {
			w.close()
		}
	}
}

// startWorker runs an embedded script.
func startWorker(python, script string) (*worker, error) {
	dir, err := scriptDir()
	if err != nil {
		return nil, err
	}
	w := &worker{cmd: exec.Command(python, filepath.Join(dir, script))}
	w.cmd.Env = plainEnv()
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

// plainEnv is the environment without what a user has set for Triton or for another Python, which must not change
// results. No byte code is written beside scripts, whose folder may be in use.
func plainEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "TRITON_") || strings.HasPrefix(s, "PYTHON") || strings.HasPrefix(s, "PYTEST")
	})
	return append(env, "PYTHONDONTWRITEBYTECODE=1")
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

// crash is the end of a Python process amid an answer.
type crash struct{ why string }

func (c *crash) Error() string { return "the Python process ended: " + c.why }

func (w *worker) died(err error) error {
	w.kill()
	if said := w.said.String(); said != "" {
		return &crash{tail(said, 2)}
	}
	return &crash{err.Error()}
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
