package main

import (
	"fmt"
	"sync"
	"time"
)

// progress shows how far long work is: one line rewritten in place on a terminal, otherwise a plain line now and
// then. Work that ends at once shows nothing.
type progress struct {
	a           *app
	what, units string
	start, last time.Time
	every       time.Duration
	live        bool
	mu          sync.Mutex
}

// progress starts showing work named what, counted in units.
func (a *app) progress(what, units string) *progress {
	p := &progress{a: a, what: what, units: units, start: time.Now(), live: isTerminal(a.err), every: 10 * time.Second}
	if p.live {
		p.every = 100 * time.Millisecond
	}
	p.last = p.start
	return p
}

// Set says how much of the work is done.
func (p *progress) Set(done, total int) { p.Set64(int64(done), int64(total)) }

// Set64 is Set for large amounts, such as bytes.
func (p *progress) Set64(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.last) < p.every || total == 0 {
		return
	}
	p.last = now
	took := now.Sub(p.start)
	left := time.Duration(float64(took) * float64(total-done) / float64(max(done, 1)))
	line := fmt.Sprintf("%s: %d of %d %s, %s left", p.what, done, total, p.units, left.Round(time.Second))
	if p.live {
		fmt.Fprintf(p.a.err, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.a.err, line)
	}
}

// Done removes the live line.
func (p *progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live && p.last != p.start {
		fmt.Fprint(p.a.err, "\r\x1b[K")
	}
}
