package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"flagc/runtime/collective"
	"flagc/runtime/cpu"
)

// checkRanks checks the flags about ranks against their number.
func (o *options) checkRanks(ranks int, given map[string]bool) error {
	switch {
	case o.ranks != inGoroutines && o.ranks != inProcesses:
		return fmt.Errorf("--ranks %s: expected %s or %s", o.ranks, inGoroutines, inProcesses)
	case given["rank"] != given["socket"]:
		return errors.New("--rank and --socket belong together: which rank to be, and where the ranks meet")
	case given["rank"] && ranks < 2:
		return errors.New("this program has one rank: --rank and --socket are for programs built with --tp above 1")
	case given["rank"] && (o.rank < 0 || o.rank >= ranks):
		return fmt.Errorf("--rank %d: this program has %d ranks, 0 to %d", o.rank, ranks, ranks-1)
	case o.timeout <= 0:
		return errors.New("--rank-timeout must be above 0")
	}
	return nil
}

// rankHelp says how the ranks of a program run; nothing for a program on one.
func rankHelp(p Program) string {
	n := p.Mesh.Ranks()
	if n < 2 {
		return ""
	}
	return fmt.Sprintf("It runs on %d ranks (%s), each of which reads its part of the weights: as goroutines of one process, with\n"+
		"--ranks processes as %d processes, or started one by one, with the same flags and --rank 0 to --rank %d, to meet at\n"+
		"the same --socket. Rank 0 prints the tokens and writes the files.\n\n", n, p.Mesh, n, n-1)
}

// job is one run of a program: what all its ranks compute.
type job struct {
	*options
	program   Program
	request   Request
	store     *store
	abandoned bool   // a rank computes on although nobody waits for it
	met       func() // called when all ranks are there, unless nil
}

// run runs the program's ranks in the way that the flags say. The result is nil for another rank than 0.
func (o *options) run(p Program, q Request) (*Result, error) {
	store, err := openStore(p, o.weights, o.here(p.Mesh.Ranks()))
	if err != nil {
		return nil, err
	}
	j := &job{options: o, program: p, request: q, store: store}
	defer func() {
		if !j.abandoned { // else the process ends, and its files with it
			store.Close()
		}
	}()
	switch {
	case p.Mesh.Ranks() < 2:
		return j.compute(nil)
	case o.rank >= 0:
		return j.alone()
	case o.ranks == inProcesses:
		return j.processes()
	}
	return j.goroutines()
}

// here are the ranks that run in this process.
func (o *options) here(ranks int) []int {
	switch {
	case o.rank >= 0:
		return []int{o.rank}
	case o.ranks == inProcesses:
		return []int{0}
	}
	all := make([]int, ranks)
	for i := range all {
		all[i] = i
	}
	return all
}

// compute is one rank's part of the job. Only rank 0 shows what it computes.
func (j *job) compute(r *collective.Rank) (*Result, error) {
	q := j.request
	q.Rank = r
	if r != nil && r.Number() > 0 {
		q.KeepLogits, q.Trace, q.Chosen = false, nil, nil
	}
	binder := j.store.binder(j.program, r)
	model := j.program.Load(binder, j.share())
	defer model.Close()
	if err := binder.Err(); err != nil {
		return nil, err
	}
	if r != nil {
		if err := r.Meet(); err != nil { // when all have read their weights
			return nil, err
		}
	}
	if j.met != nil {
		j.met()
	}
	return Run(model, j.program.Vocab, q)
}

// share is how many threads a rank has.
func (j *job) share() int {
	ranks := j.program.Mesh.Ranks()
	if ranks < 2 {
		return j.threads
	}
	total := j.threads
	if total < 1 {
		total = runtime.GOMAXPROCS(0)
	}
	return max(1, total/ranks)
}

// goroutines runs all ranks in this process.
func (j *job) goroutines() (*Result, error) {
	ranks := collective.Local(j.program.Mesh, j.timeout)
	var others sync.WaitGroup
	for _, r := range ranks[1:] {
		others.Go(func() {
			_, err := j.compute(r)
			r.Leave(err)
		})
	}
	result, err := j.compute(ranks[0])
	ranks[0].Leave(err)
	others.Wait()
	if err == nil {
		err = ranks[0].Err()
	}
	return result, err
}

// alone is one rank that meets the others, which the user starts, at the given socket.
func (j *job) alone() (*Result, error) {
	o := collective.Options{Timeout: j.timeout, Facts: j.facts()}
	if j.rank == 0 {
		r, err := collective.Listen(j.socket, j.program.Mesh, o)
		if err != nil {
			return nil, err
		}
		return j.attend(r)
	}
	r, err := collective.Dial(j.socket, j.program.Mesh, j.rank, o)
	if err != nil {
		return nil, err
	}
	return j.attend(r)
}

// errInterrupted ends a run that the user has stopped.
var errInterrupted = errors.New("interrupted")

// attend runs a rank of several processes and takes leave of the others. It does not wait for the computation if the
// run fails elsewhere, or the user stops it.
func (j *job) attend(r *collective.Rank) (*Result, error) {
	type outcome struct {
		result *Result
		err    error
	}
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	done := make(chan outcome, 1)
	go func() {
		result, err := j.compute(r)
		done <- outcome{result, err}
	}()
	var err error
	select {
	case o := <-done:
		if left := r.Leave(o.err); o.err == nil {
			o.err = left
		}
		return o.result, o.err
	case <-r.Failed():
	case <-stopped.Done():
		err = errInterrupted
	}
	j.abandoned = true
	if left := r.Leave(err); err == nil {
		err = left
	}
	return nil, err
}

// facts are what ranks in different processes must agree in.
func (j *job) facts() []string {
	p, q := j.program, j.request
	return []string{
		fmt.Sprintf("program %s from %s for %s", p.Name, p.Source, p.Target),
		"kernels " + cpu.Implementation(),
		fmt.Sprintf("prompt %d×%d %s", len(q.Prompt), len(q.Prompt[0]), digest(q.Prompt)),
		"feed " + digest(q.Feed),
		fmt.Sprintf("max-new %d", q.MaxNew),
		fmt.Sprintf("max-seq %d", q.MaxSeq),
		fmt.Sprintf("mtp %t", q.MTP),
		fmt.Sprintf("temperature %g", q.Temperature),
		fmt.Sprintf("top-p %g", q.TopP),
		fmt.Sprintf("seed %d", q.Seed),
	}
}

// digest names tokens shortly.
func digest(rows [][]int32) string {
	if rows == nil {
		return "none"
	}
	sum := sha256.Sum256(int32Bytes(flatten(rows, nil)))
	return fmt.Sprintf("%x", sum[:6])
}
