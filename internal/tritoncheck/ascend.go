package tritoncheck

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Lowered is a kernel as the public front end for Ascend hands it to the closed compiler, or its reason why not.
type Lowered struct {
	Kernel string `json:"kernel"`
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"`

	MixMode  string     `json:"mix_mode"` // aiv: vector cores, aic: cube cores, mix: both
	Discrete []Discrete `json:"discrete"`
	Hazards  []Hazard   `json:"hazards"`
	Bytes    int        `json:"bytes"`
	Seconds  float64    `json:"seconds"` // that lowering took when it was done

	Linalg string `json:"-"`
}

// Discrete is an access that is no block of memory there: a loop that moves Elements in each of Times turns, slow
// above all where Elements is 1. Of a strided access the last axis is not contiguous.
type Discrete struct {
	Kind     string `json:"kind"` // load, store, atomic or strided
	Times    int    `json:"times"`
	Elements int    `json:"elements"`
	Line     int    `json:"line"` // in the kernel's file
}

func (d Discrete) String() string {
	if d.Kind == "strided" {
		return fmt.Sprintf("line %d: strided access to %d elements", d.Line, d.Elements)
	}
	return fmt.Sprintf("line %d: %s of %d × %d", d.Line, d.Kind, d.Times, d.Elements)
}

// Hazard is something that lowers without complaint and may not mean what the kernel says.
type Hazard struct {
	Line int    `json:"line"` // in the kernel's file
	What string `json:"what"`
}

func (h Hazard) String() string { return fmt.Sprintf("line %d: %s", h.Line, h.What) }

// Scalars counts the single elements that the kernel's loops move one by one, a measure of how slow it will be.
func (l *Lowered) Scalars() (n int) {
	for _, d := range l.Discrete {
		if d.Elements == 1 && d.Kind != "strided" {
			n += d.Times
		}
	}
	return n
}

// Cell is the result as a place in a table. Where values are known to be wrong the kernel failed; other hazards and
// discrete accesses are told.
func (l *Lowered) Cell() Cell {
	if !l.OK {
		return Cell{State: Failed, Why: l.Error}
	}
	for _, h := range l.Hazards {
		if strings.HasSuffix(h.What, "wrong values") {
			return Cell{State: Failed, Why: h.String()}
		}
	}
	detail := map[string]any{"mix_mode": l.MixMode, "discrete": len(l.Discrete), "scalars": l.Scalars()}
	if len(l.Hazards) > 0 {
		var list []string
		for _, h := range l.Hazards {
			list = append(list, h.String())
		}
		detail["hazards"] = list
	}
	return Pass(detail)
}

// Lowerer lowers kernels for Ascend and remembers by content.
type Lowerer struct {
	pool  *pool
	store store
}

// NewLowerer starts nothing yet. It fails with Unavailable where the front end cannot be had.
func NewLowerer(ctx context.Context) (*Lowerer, error) {
	s, err := newStore("ascend")
	if err != nil {
		return nil, err
	}
	p, err := newPool(ctx, &ascendEnv, "ascend.py")
	if err != nil {
		return nil, err
	}
	return &Lowerer{p, s}, nil
}

// Close ends the processes once their kernels are done.
func (l *Lowerer) Close() { l.pool.close() }

// Lower lowers one kernel of m. An error is one of this machine; a kernel that is refused is a result without OK.
func (l *Lowerer) Lower(ctx context.Context, m *Manifest, k *Kernel) (*Lowered, error) {
	request := k.request()
	request.Warps, request.Stages, request.Registers, request.Dependent = 0, 0, 0, false // without effect there
	r := &Lowered{}
	text, err := cached(ctx, l.pool, l.store, m, k, request, r, func() int { return r.Bytes })
	if err := crashIsAnswer(err, &r.OK, &r.Error); err != nil {
		return nil, err
	}
	r.Kernel, r.Linalg = k.Name, string(text)
	return r, nil
}

// LowerAll lowers every kernel of m, in order; done, which may be nil, hears of each from several goroutines.
func (l *Lowerer) LowerAll(ctx context.Context, m *Manifest, done func(*Lowered)) ([]*Lowered, error) {
	results := make([]*Lowered, len(m.Kernels))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * workers)
	for i := range results {
		group.Go(func() (err error) {
			results[i], err = l.Lower(ctx, m, &m.Kernels[i])
			if err == nil && done != nil {
				done(results[i])
			}
			return err
		})
	}
	return results, group.Wait()
}
