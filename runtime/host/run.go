package host

import (
	"fmt"
	"math/rand/v2"
	"time"

	"flagc/runtime/collective"
	"flagc/runtime/cpu"
	"flagc/runtime/safetensors"
)

// Request is one run of a model: a prompt for each sequence, then tokens one by one.
type Request struct {
	Prompt [][]int32 // equal lengths, at least one token each
	Feed   [][]int32 // the tokens after the prompt, per sequence; nil to choose them
	MaxNew int       // how many tokens to choose when Feed is nil
	MTP    bool      // run the draft as well
	MaxSeq int       // tokens that the caches hold

	Temperature, TopP float64 // 0 chooses the likeliest token
	Seed              uint64

	KeepLogits bool
	Trace      *Recorder // nil for none
	// Rank is the model's way to other ranks, whose failure ends the run; nil for a model on one rank.
	Rank *collective.Rank
	// Chosen is told the tokens of each step, one for each sequence; may be nil. The slice is reused.
	Chosen func(ids []int32)
}

// Result is what a run yields. Logits are kept only where the request asks for them, and copied.
type Result struct {
	Fed            [][]int32     // [b][k]
	Prefill        []float32     // [b,V]
	Decode         [][]float32   // k × [b,V]
	PrefillMTP     []float32     // [b,V]
	DecodeMTP      [][]float32   // (k-1) × [b,V]
	PrefillTime    time.Duration // until the first logits
	DecodeTime     time.Duration // of all steps together
	Drafts         int           // tokens that the MTP block foretold and that were then fed
	DraftsRight    int           // those of them that it foretold rightly
	batch, columns int
	before, after  []Launched // kernels before and after the last step
}

// Run runs a model from clean states. The draft of a position needs the token that follows it, so it trails the
// main model by one token and has none for the last.
func Run(m Model, vocab int, q Request) (*Result, error) {
	draft, ok := m.(Drafter)
	if q.MTP && !ok {
		return nil, fmt.Errorf("this model has no MTP block")
	}
	r := &runner{model: m, draft: draft, q: q, vocab: vocab, out: &Result{batch: len(q.Prompt), columns: vocab}}
	r.rng = rand.New(rand.NewPCG(q.Seed, q.Seed^0x9e3779b97f4a7c15))
	r.sampler = cpu.NewCtx(1)
	defer r.sampler.Close()
	m.Record(q.Trace)
	defer m.Record(nil)
	m.Reset(len(q.Prompt), q.MaxSeq)
	if err := r.run(); err != nil {
		return nil, err
	}
	return r.out, nil
}

// runner is the state of one Run.
type runner struct {
	model   Model
	draft   Drafter
	q       Request
	vocab   int
	rng     *rand.Rand
	sampler *cpu.Ctx
	out     *Result
	guess   []int32 // what the draft expects for the next step, one for each sequence; nil before the first
}

func (r *runner) run() error {
	n, steps := len(r.q.Prompt[0]), r.q.MaxNew
	if r.q.Feed != nil {
		steps = len(r.q.Feed[0])
	}
	out := r.out
	out.Fed = make([][]int32, len(r.q.Prompt))
	for b := range out.Fed {
		out.Fed[b] = make([]int32, 0, steps)
	}
	r.enter("prefill", -1)
	start := time.Now()
	logits := r.model.Prefill(flatten(r.q.Prompt, nil))
	out.PrefillTime = time.Since(start)
	out.Prefill = r.keep(logits)
	start = time.Now()
	next := make([]int32, len(r.q.Prompt))
	for i := range steps {
		if err := r.sound(logits, i); err != nil {
			return err
		}
		r.choose(next, i, logits)
		r.judge(next)
		for b, id := range next {
			out.Fed[b] = append(out.Fed[b], id)
		}
		if r.q.Chosen != nil {
			r.q.Chosen(next)
		}
		if r.q.MTP {
			r.trail(i, n, next)
		}
		r.enter("decode", i)
		last := i+1 == steps
		if last {
			out.before = launched(r.model)
		}
		logits = r.model.Decode(next, n+i)
		if last {
			out.after = launched(r.model)
		}
		if kept := r.keep(logits); kept != nil {
			out.Decode = append(out.Decode, kept)
		}
	}
	out.DecodeTime = time.Since(start)
	return r.sound(logits, steps)
}

// sound is an error if ranks have failed, or a logit is no number: step i would go on from there.
func (r *runner) sound(logits []float32, i int) error {
	if r.q.Rank != nil {
		if err := r.q.Rank.Err(); err != nil {
			return err
		}
	}
	return finite(logits, i)
}

// finite is an error if a logit is no number.
func finite(logits []float32, i int) error {
	for _, v := range logits {
		if v-v != 0 { // NaN and both infinities
			return fmt.Errorf("the logits before step %d are not finite: the checkpoint holds damaged or extreme values "+
				"(flagc weights inspect --full finds them)", i)
		}
	}
	return nil
}

// judge counts how many drafts foretold the tokens that were fed.
func (r *runner) judge(next []int32) {
	for b, id := range r.guess {
		r.out.Drafts++
		if id == next[b] {
			r.out.DraftsRight++
		}
	}
}

// foretell notes what the draft expects.
func (r *runner) foretell(logits []float32) []float32 {
	if r.guess == nil {
		r.guess = make([]int32, len(r.q.Prompt))
	}
	for b := range r.guess {
		r.guess[b] = cpu.Argmax(logits[b*r.vocab : (b+1)*r.vocab])
	}
	return r.keep(logits)
}

// enter names the call whose values are traced from now on; step is below 0 for a call that comes once.
func (r *runner) enter(call string, step int) {
	if r.q.Trace == nil {
		return
	}
	if step >= 0 {
		call = fmt.Sprintf("%s.%d", call, step)
	}
	r.q.Trace.prefix = call
}

// choose sets the token that step i feeds to each sequence.
func (r *runner) choose(next []int32, i int, logits []float32) {
	for b := range next {
		if r.q.Feed != nil {
			next[b] = r.q.Feed[b][i]
			continue
		}
		next[b] = r.sampler.Sample(logits[b*r.vocab:(b+1)*r.vocab], r.q.Temperature, r.q.TopP, r.rng)
	}
}

// trail runs the draft on what the call before step i left: after the prefill its ids are the prompt from the
// second token on and the token of step 0, after a decode step the one token that follows.
func (r *runner) trail(i, n int, next []int32) {
	if i > 0 {
		if kept := r.foretell(r.draft.DraftDecode(next, n+i-1)); kept != nil {
			r.out.DecodeMTP = append(r.out.DecodeMTP, kept)
		}
		return
	}
	rest := make([][]int32, len(next))
	for b, row := range r.q.Prompt {
		rest[b] = row[1:]
	}
	r.out.PrefillMTP = r.foretell(r.draft.DraftPrefill(flatten(rest, next)))
}

// keep copies logits that the caller asked for.
func (r *runner) keep(logits []float32) []float32 {
	if !r.q.KeepLogits {
		return nil
	}
	return append([]float32(nil), logits...)
}

// flatten joins rows, each followed by its element of last unless that is nil.
func flatten(rows [][]int32, last []int32) []int32 {
	var out []int32
	for b, row := range rows {
		out = append(out, row...)
		if last != nil {
			out = append(out, last[b])
		}
	}
	return out
}

// Tensors lays the logits out as a logits file does: prefill.logits [b,V], decode.logits [b,k,V], fed [b,k],
// and with MTP prefill.mtp.logits [b,V] and decode.mtp.logits [b,k-1,V].
func (r *Result) Tensors() []safetensors.Data {
	b, v, k := r.batch, r.columns, len(r.Decode)
	out := []safetensors.Data{newData("prefill.logits", "F32", float32Bytes(r.Prefill), b, v)}
	if k > 0 {
		out = append(out, newData("decode.logits", "F32", float32Bytes(r.stack(r.Decode)), b, k, v))
	}
	out = append(out, newData("fed", "I32", int32Bytes(flatten(r.Fed, nil)), b, len(r.Fed[0])))
	if r.PrefillMTP != nil {
		out = append(out, newData("prefill.mtp.logits", "F32", float32Bytes(r.PrefillMTP), b, v))
	}
	if n := len(r.DecodeMTP); n > 0 {
		out = append(out, newData("decode.mtp.logits", "F32", float32Bytes(r.stack(r.DecodeMTP)), b, n, v))
	}
	return out
}

// stack joins k steps of [b,V] into [b,k,V].
func (r *Result) stack(steps [][]float32) []float32 {
	out := make([]float32, 0, len(steps)*len(steps[0]))
	for b := range r.batch {
		for _, s := range steps {
			out = append(out, s[b*r.columns:(b+1)*r.columns]...)
		}
	}
	return out
}
