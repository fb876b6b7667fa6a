package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"flagc/weights"
)

// events shows a conversion: one line rewritten in place on a terminal, plain lines now and then elsewhere, or JSON
// events on standard output.
type events struct {
	a     *app
	json  bool
	live  bool
	every time.Duration
	start time.Time // of the phase
	first int64     // what was done already when it began
	last  time.Time
	phase string
	shown bool
}

func (a *app) newEvents(asJSON bool) *events {
	e := &events{a: a, json: asJSON, live: isTerminal(a.err) && !asJSON, every: 10 * time.Second}
	switch {
	case e.live:
		e.every = 100 * time.Millisecond
	case asJSON:
		e.every = time.Second
	}
	return e
}

// progressEvent is one event for scripts.
type progressEvent struct {
	Event string `json:"event"` // "progress"
	weights.Progress
	Rate int64   `json:"bytes_per_second"`
	Left float64 `json:"seconds_left"`
}

// progress shows how far the work is, unless that was just shown. Every phase ends with an event.
func (e *events) progress(p weights.Progress) {
	now := time.Now()
	if p.Phase != e.phase {
		e.phase, e.start, e.last, e.first = p.Phase, now, now, p.Done
	}
	if now.Sub(e.last) < e.every && (!e.json || p.Done < p.Total) {
		return
	}
	e.last = now
	took := max(now.Sub(e.start).Seconds(), 1e-3)
	rate := float64(p.Done-e.first) / took
	left := float64(p.Total-p.Done) / max(rate, 1)
	if e.json {
		_ = json.NewEncoder(e.a.out).Encode(progressEvent{"progress", p, int64(rate), left}) // the result tells of a lost output
		return
	}
	line := fmt.Sprintf("%s: %d of %d bytes, %.1f MB/s, %s left, %s", p.Phase, p.Done, p.Total, rate/1e6,
		time.Duration(left*float64(time.Second)).Round(time.Second), cmp.Or(p.Where, "whole model"))
	if p.All > 0 {
		line += fmt.Sprintf(", %d of %d tensors", p.Tensors, p.All)
	}
	if !e.live {
		fmt.Fprintln(e.a.err, line)
		return
	}
	e.shown = true
	fmt.Fprintf(e.a.err, "\r\x1b[K%s", line)
}

// clear removes the live line.
func (e *events) clear() {
	if e.shown {
		fmt.Fprint(e.a.err, "\r\x1b[K")
	}
}
