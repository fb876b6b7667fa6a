package cpu

import (
	"runtime"
	"sync/atomic"
)

// spinRounds is how often an idle worker looks for work before it sleeps: a few tens of microseconds, the
// usual gap between two kernels of one token.
const spinRounds = 20000

// Pool runs loops on a fixed set of workers. The calling goroutine is worker 0. Loops must not be nested
// and come from one goroutine at a time.
type Pool struct {
	workers []*worker
	own     scratch // of the calling goroutine

	// The current loop.
	n, grain int
	loop     loop
	next     atomic.Int64
	running  atomic.Int64
}

// loop is work that can be divided: run does the shares lo..hi-1 of it, with the scratch memory of a worker.
type loop interface {
	run(s *scratch, lo, hi int)
}

// worker is one helper goroutine. Sleeping is announced in parked; whoever clears it owes a wake or has
// found the work itself.
type worker struct {
	turn   atomic.Uint64
	parked atomic.Bool
	wake   chan struct{}
	memory scratch
	_      [64]byte // keeps two workers' flags off one cache line
}

// stopTurn tells a worker to end.
const stopTurn = ^uint64(0)

// NewPool starts a pool of threads workers, the caller included; below 1 means one for each processor that
// the program may use.
func NewPool(threads int) *Pool {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{}
	for range threads - 1 {
		w := &worker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		go p.serve(w)
	}
	return p
}

// each runs a loop for ranges that cover 0..n-1, each of at most grain shares, and returns when all are
// done. Which worker gets which range is not determined; a range never depends on the number of workers.
func (p *Pool) each(n, grain int, l loop) {
	grain = max(grain, 1)
	if len(p.workers) == 0 || n <= grain {
		for lo := 0; lo < n; lo += grain {
			l.run(&p.own, lo, min(lo+grain, n))
		}
		return
	}
	p.n, p.grain, p.loop = n, grain, l
	p.next.Store(0)
	helpers := p.workers[:min(len(p.workers), ceilDiv(n, grain)-1)]
	p.running.Store(int64(len(helpers)))
	for _, w := range helpers {
		w.start(w.turn.Load() + 1)
	}
	p.drain(&p.own)
	for i := 1; p.running.Load() > 0; i++ {
		if i%256 == 0 {
			runtime.Gosched()
		}
	}
	p.loop = nil
}

// Close ends the workers. The pool must not be used afterwards.
func (p *Pool) Close() {
	for _, w := range p.workers {
		w.start(stopTurn)
	}
	p.workers = nil
}

// drain takes ranges of the current loop until none is left.
func (p *Pool) drain(s *scratch) {
	for {
		lo := int(p.next.Add(int64(p.grain))) - p.grain
		if lo >= p.n {
			return
		}
		p.loop.run(s, lo, min(lo+p.grain, p.n))
	}
}

func (p *Pool) serve(w *worker) {
	for seen := uint64(0); ; {
		seen = w.await(seen)
		if seen == stopTurn {
			return
		}
		p.drain(&w.memory)
		p.running.Add(-1)
	}
}

func (w *worker) start(turn uint64) {
	w.turn.Store(turn)
	if w.parked.CompareAndSwap(true, false) {
		w.wake <- struct{}{}
	}
}

// await returns the first turn that differs from seen.
func (w *worker) await(seen uint64) uint64 {
	for i := 1; i < spinRounds; i++ {
		if t := w.turn.Load(); t != seen {
			return t
		}
		if i%512 == 0 {
			runtime.Gosched()
		}
	}
	w.parked.Store(true)
	if w.turn.Load() == seen || !w.parked.CompareAndSwap(true, false) {
		<-w.wake
	}
	return w.turn.Load()
}
