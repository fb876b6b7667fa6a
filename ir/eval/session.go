package eval

import (
	"fmt"
	"math"

	"flagc/ir"
)

// The entry points that a model offers: Main yields logits and the streams that Draft continues from.
const (
	Main  = "main"
	Draft = "draft"
)

// Request is one run of a model: a prompt for each sequence, then tokens one by one.
type Request struct {
	Prompt [][]int32 // equal lengths, at least one token each
	Feed   [][]int32 // the tokens after the prompt, per sequence; nil to choose them by argmax
	MaxNew int       // how many tokens to choose when Feed is nil
	MTP    bool      // run the draft as well
	MaxSeq int       // longest sequence that the caches hold; 0 means as long as needed
	// Trace receives the traced values, named "prefill.layers.0.out", "decode.3.mtp.0.attn", ….
	Trace func(name string, t *ir.Tensor)
	// Step is told how many of all tokens are done; may be nil.
	Step    func(done, total int)
	Threads int
	Record  func(fn *ir.Func, in *ir.Instr, e *ir.Eval)
	// Launched is Options.Launched, Execute Options.Execute.
	Launched func(Launch)
	Execute  func(Launch) ([]*ir.Tensor, error)
}

// Result holds the logits of a run, row-major in the order of their shapes.
type Result struct {
	Fed        [][]int32    // [b][k]
	Prefill    *ir.Tensor   // [b, V]
	Decode     []*ir.Tensor // k × [b, V]
	PrefillMTP *ir.Tensor   // [b, V], nil without MTP
	DecodeMTP  []*ir.Tensor // k-1 × [b, V]
}

// Generate runs a model from clean states.
func Generate(m *ir.Module, w Weights, q Request) (*Result, error) {
	r := &run{q: q, prefix: "prefill"}
	steps := q.MaxNew
	if q.Feed != nil {
		steps = len(q.Feed[0])
	}
	if len(q.Prompt) == 0 || len(q.Prompt[0]) == 0 {
		return nil, fmt.Errorf("the prompt is empty: at least one token is needed")
	}
	if q.MTP && m.Func(Draft+".prefill") == nil {
		return nil, fmt.Errorf("model %s has no MTP block in this configuration (num_nextn_predict_layers is 0)", m.Name)
	}
	if r.q.MaxSeq == 0 {
		r.q.MaxSeq = len(q.Prompt[0]) + steps
	}
	opts := Options{Batch: len(q.Prompt), MaxSeq: r.q.MaxSeq, Threads: q.Threads, Record: q.Record, Launched: q.Launched, Execute: q.Execute}
	if q.Trace != nil {
		opts.Trace = func(name string, t *ir.Tensor) { q.Trace(r.prefix+"."+name, t) }
	}
	var err error
	if r.machine, err = New(m, w, opts); err != nil {
		return nil, err
	}
	return r.all(steps)
}

// run is the state of one Generate.
type run struct {
	machine *Machine
	q       Request
	prefix  string
}

// all runs the prefill and every step. The draft of a position needs the token that follows it, so it trails
// the main model by one token and has none for the last.
func (r *run) all(steps int) (*Result, error) {
	n := len(r.q.Prompt[0])
	out := &Result{Fed: make([][]int32, len(r.q.Prompt))}
	total := n + steps
	logits, streams, err := r.main("prefill", 0, r.q.Prompt)
	if err != nil {
		return nil, err
	}
	out.Prefill = logits
	r.done(n, total)
	for i := 0; i < steps; i++ {
		next := r.next(i, logits)
		for b := range next {
			out.Fed[b] = append(out.Fed[b], next[b]...)
		}
		if r.q.MTP {
			if err := r.draft(out, i, n, streams, next); err != nil {
				return nil, err
			}
		}
		r.prefix = fmt.Sprintf("decode.%d", i)
		if logits, streams, err = r.main("decode", n+i, next); err != nil {
			return nil, err
		}
		out.Decode = append(out.Decode, logits)
		r.done(n+i+1, total)
	}
	return out, nil
}

func (r *run) done(n, total int) {
	if r.q.Step != nil {
		r.q.Step(n, total)
	}
}

// next is the token that step i feeds to each sequence.
func (r *run) next(i int, logits *ir.Tensor) [][]int32 {
	next := make([][]int32, len(r.q.Prompt))
	for b := range next {
		if r.q.Feed != nil {
			next[b] = []int32{r.q.Feed[b][i]}
		} else {
			next[b] = []int32{int32(Argmax(logits.Slice(b)))}
		}
	}
	return next
}

// Argmax is the index of the largest value, the lowest of equals.
func Argmax(x []float64) int {
	best, top := 0, math.Inf(-1)
	for i, v := range x {
		if v > top {
			best, top = i, v
		}
	}
	return best
}

func (r *run) main(mode string, p int, ids [][]int32) (logits, streams *ir.Tensor, err error) {
	out, err := r.machine.Run(Main+"."+mode, p, len(ids[0]), tokens(ids))
	if err != nil {
		return nil, nil, err
	}
	return out[0], out[1], nil
}

// draft runs the MTP block on the streams of the call before step i: after the prefill its ids are the prompt
// from the second token on and the token of step 0, after a decode step the one token that follows.
func (r *run) draft(out *Result, i, n int, streams *ir.Tensor, next [][]int32) error {
	mode, p, ids := "decode", n+i-1, next
	if i == 0 {
		mode, p = "prefill", 0
		ids = make([][]int32, len(next))
		for b := range ids {
			ids[b] = append(append([]int32{}, r.q.Prompt[b][1:]...), next[b]...)
		}
	}
	res, err := r.machine.Run(Draft+"."+mode, p, len(ids[0]), streams, tokens(ids))
	if err != nil {
		return err
	}
	if i == 0 {
		out.PrefillMTP = res[0]
	} else {
		out.DecodeMTP = append(out.DecodeMTP, res[0])
	}
	return nil
}

// tokens packs ids [b][s] into a tensor.
func tokens(ids [][]int32) *ir.Tensor {
	t := ir.NewTensor(ir.Plain(ir.I32), []int{len(ids), len(ids[0])})
	for b, row := range ids {
		copy(t.I[b*len(row):], row)
	}
	return t
}
