package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"flagc/runtime/collective"
)

// processes runs the ranks above 0 as processes of this program, which meet this one, rank 0, at a socket in a
// folder that nobody else can enter.
func (j *job) processes() (*Result, error) {
	dir, err := privateFolder()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	j.met = func() { os.RemoveAll(dir) } // already, since nobody can tidy up after a process that is killed
	path := filepath.Join(dir, socketName)
	r, err := collective.Listen(path, j.program.Mesh, collective.Options{Timeout: j.timeout, Facts: j.facts()})
	if err != nil {
		return nil, err
	}
	children, err := j.start(r, path)
	defer children.end()
	if err != nil {
		r.Leave(err)
		return nil, err
	}
	result, err := j.attend(r)
	return result, children.explain(err)
}

const socketName = "ranks"

// longestAddress is how long the path of a socket can be: systems have room for 104 bytes and more.
const longestAddress = 100

// privateFolder makes a folder for a socket, whose path must be short.
func privateFolder() (string, error) {
	var last error
	for _, base := range []string{os.TempDir(), "/tmp"} {
		dir, err := os.MkdirTemp(base, "flagc-ranks-")
		if err != nil {
			last = fmt.Errorf("cannot make a folder for the socket where ranks meet: %w", err)
			continue
		}
		if len(filepath.Join(dir, socketName)) <= longestAddress {
			return dir, nil
		}
		os.RemoveAll(dir)
		last = fmt.Errorf("the path of temporary files, %s, is too long for a socket: set TMPDIR to a shorter one", base)
	}
	return "", last
}

// child is the process of a rank.
type child struct {
	rank   int
	cmd    *exec.Cmd
	stderr tail
	done   chan struct{} // closed when the process has ended
	err    error         // how, once done is closed
}

// children are the processes that this one has started, by rank from 1.
type children []*child

// start starts the other ranks. One that ends badly ends the run of r.
func (j *job) start(r *collective.Rank, path string) (children, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find the program to start its other ranks: %w", err)
	}
	var all children
	for rank := 1; rank < j.program.Mesh.Ranks(); rank++ {
		c := &child{rank: rank, done: make(chan struct{})}
		c.cmd = exec.Command(self, append([]string{"--rank", strconv.Itoa(rank), "--socket", path}, j.args...)...)
		c.cmd.Stderr = &c.stderr
		if err := c.cmd.Start(); err != nil {
			return all, fmt.Errorf("cannot start rank %d: %w", rank, err)
		}
		all = append(all, c)
		go func() {
			c.err = c.cmd.Wait()
			close(c.done)
			if c.err != nil {
				r.Fail(&collective.LostError{Rank: c.rank, Reason: io.EOF})
			}
		}()
	}
	return all, nil
}

// patience is how long the end of a process is waited for that has no more to do.
const patience = 5 * time.Second

// end waits for the processes to end by themselves, as they do after the run, or when they are told that it failed,
// and kills those that do not.
func (all children) end() {
	limit := time.After(patience)
	for _, c := range all {
		select {
		case <-c.done:
		case <-limit:
			for _, late := range all {
				late.cmd.Process.Kill()
			}
			limit = nil
			<-c.done
		}
	}
}

// explain adds to an error about a lost rank how its process ended.
func (all children) explain(err error) error {
	var lost *collective.LostError
	if !errors.As(err, &lost) || lost.Rank < 1 || lost.Rank > len(all) {
		return err
	}
	c := all[lost.Rank-1]
	select {
	case <-c.done:
	case <-time.After(patience):
		return err
	}
	if said := c.stderr.last(); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	if c.err != nil {
		return fmt.Errorf("%w: %w", err, c.err)
	}
	return err
}

// tail keeps the end of what a process says.
type tail struct{ text []byte }

const tailSize = 4096

// Write keeps the last bytes.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(p), nil
}

// last is the last line.
func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return lines[len(lines)-1]
}
