// Package fit answers whether a model fits a number of cards: for every precision policy and every legal degree of
// tensor parallelism what a rank holds, what is left of the device, how long a context could be, and what would have
// to change where the answer is no. Bytes are those of plan-memory, times those of the cost model.
//
// The package knows neither code generation nor the command line.
package fit

import (
	"fmt"

	"flagc/ir"
	"flagc/passes"
	"flagc/targets"
)

// Question is what is asked. The model is elaborated and has seen no pass; it stays as it is.
type Question struct {
	Model *ir.Module
	// Options names the target, and what memory is planned for. A precision, and a choice of layout, restricts the
	// answer; the degree TP is not read.
	Options    passes.Options
	Cards      int // 0 for every legal degree up to MaxCards
	MaxContext int // longest sequence that the model's configuration allows; 0 if it does not say
}

// MaxCards is the largest degree that is looked at.
const MaxCards = 64

// deviceReserve is what is left to driver, runtime, kernel code and collective library of a device whose usable memory
// is unknown: 0.5 to 1 GiB each for the first two and the last, in what users report. It makes every verdict on such
// a device an estimate.
const deviceReserve = 2 * targets.GiB

// Answer is the outcome for every policy and degree that was asked for.
type Answer struct {
	Model      string `json:"model"`
	Target     string `json:"target"`
	Batch      int    `json:"batch"`
	Context    int    `json:"context"`
	Chunk      int    `json:"chunk"`
	MaxContext int    `json:"max_context,omitempty"`
	Device     Device `json:"device"`
	Legal      []int  `json:"legal_degrees"` // with any of the policies
	Rows       []Row  `json:"rows"`
	// Best is the index in Rows of what to build: the fewest cards that fit, of their policies the quickest that computes
	// what the official code does, if there is one. -1 if nothing fits.
	Best int `json:"best"`
	// Fewest is the smallest legal number of cards that fits with any of the policies, whether it was asked for or
	// not; 0 if there is none, or the device is unknown.
	Fewest int `json:"fewest_cards"`
}

// Device is the memory of one card.
type Device struct {
	Known  bool   `json:"known"`
	Bytes  int    `json:"bytes,omitempty"`
	Usable int    `json:"usable,omitempty"` // what a rank may fill
	Basis  string `json:"basis"`            // how far Usable is to be trusted
}

// Row is one policy at one degree.
type Row struct {
	Policy  targets.Policy `json:"policy"`
	Cards   int            `json:"cards"`
	Mesh    string         `json:"mesh,omitempty"` // how the ranks stand
	Memory  passes.Report  `json:"memory"`
	Verdict Verdict        `json:"verdict"`
	Free    int            `json:"free"`    // bytes left, negative where it does not fit; 0 where the device is unknown
	Longest int            `json:"longest"` // longest context that fits at this batch; 0 if none does
	Cost    passes.Cost    `json:"decode"`
	Seconds float64        `json:"decode_seconds"` // that bytes and meetings allow, per token of every sequence
	Changes []string       `json:"changes"`        // where it does not fit: what would make it
}

// Verdict is yes, no, or unknown where the device's memory is.
type Verdict string

// The verdicts.
const (
	Fits    Verdict = "yes"
	TooMuch Verdict = "no"
	Unknown Verdict = "unknown"
)

// Ask answers a question. Errors are the user's: a policy that the target cannot compute, a degree that is not legal.
func Ask(q Question) (*Answer, error) {
	policies, err := q.policies()
	if err != nil {
		return nil, err
	}
	a, err := q.start()
	if err != nil {
		return nil, err
	}
	all, err := q.variants(a, policies) // by policy and degree
	if err != nil {
		return nil, err
	}
	for _, list := range all {
		for _, v := range list {
			if q.Cards > 0 && v.row.Cards != q.Cards {
				continue
			}
			if err := v.finish(q, a, all); err != nil {
				return nil, err
			}
			a.Rows = append(a.Rows, v.row)
		}
	}
	a.choose()
	return a, nil
}

// start is the answer without its rows.
func (q Question) start() (a *Answer, err error) {
	target := q.Options.Target
	a = &Answer{Model: q.Model.Name, Target: target.Name, MaxContext: q.MaxContext, Device: device(target), Best: -1}
	if a.Batch, a.Context, a.Chunk, err = q.Options.MemorySizes(); err != nil {
		return nil, err
	}
	if q.MaxContext > 0 && a.Context > q.MaxContext {
		return nil, fmt.Errorf("context %d: the model's configuration allows at most %d positions", a.Context, q.MaxContext)
	}
	return a, nil
}

// policies are those to look at, in the order of targets.Policies.
func (q Question) policies() ([]targets.Policy, error) {
	target := q.Options.Target
	if p := q.Options.Precision; p != "" {
		return []targets.Policy{p}, target.Allows(p)
	}
	var out []targets.Policy
	for _, p := range targets.Policies() {
		if target.Allows(p) == nil {
			out = append(out, p)
		}
	}
	if out == nil {
		return nil, fmt.Errorf("target %s is not known to compute any precision policy", target.Name)
	}
	return out, nil
}

// options are what passes are asked for.
func (q Question) options(policy targets.Policy, cards int) passes.Options {
	opts := q.Options
	opts.Precision, opts.TP = policy, cards
	return opts
}

// device is the memory that a rank may fill.
func device(t targets.Target) Device {
	if usable, ok := t.Memory.Usable.Get(); ok {
		return Device{Known: true, Bytes: int(t.Memory.Bytes.Or(usable)), Usable: int(usable),
			Basis: fmt.Sprintf("what programs can get (%s)", t.Memory.Usable.Evidence())}
	}
	if bytes, ok := t.Memory.Bytes.Get(); ok {
		return Device{Known: true, Bytes: int(bytes), Usable: int(bytes - deviceReserve),
			Basis: fmt.Sprintf("its memory (%s) less %s for driver and runtime (estimated)", t.Memory.Bytes.Evidence(), deviceReserve)}
	}
	return Device{Basis: "the memory of target " + t.Name + " is not known"}
}

// choose finds the row to build. Without a device that is known it is the first.
func (a *Answer) choose() {
	for i, r := range a.Rows {
		if r.Verdict != TooMuch && (a.Best < 0 || r.better(a.Rows[a.Best])) {
			a.Best = i
		}
	}
}

// better goes by cards, then by whether the numbers stay those of the official code, then by time.
func (r Row) better(o Row) bool {
	switch {
	case r.Cards != o.Cards:
		return r.Cards < o.Cards
	case r.Policy.QuantisesActivations() != o.Policy.QuantisesActivations():
		return r.Policy.QuantisesActivations()
	}
	return r.Seconds < o.Seconds
}
