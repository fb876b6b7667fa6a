// Package eval is the reference interpreter: it runs graph IR in exact arithmetic, which is float64 with the
// storage roundings of the types and no others. Its results depend neither on the order of a sum nor on a
// math library's last bit, and are compared with those of the official code by equality.
//
// The package knows no operator by name: each op carries its own evaluation function or pointwise body.
package eval

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"flagc/ir"
	"flagc/runtime/formats"
)

// Weights yields the tensors of a checkpoint, widened exactly. Instances are prefixes such as "layers.2".
type Weights interface {
	Tensor(instance string, w *ir.Weight) (*ir.Tensor, error)
}

// Options of a Machine.
type Options struct {
	Batch  int // sequences; at least 1
	MaxSeq int // tokens that the caches hold; at least 1
	// Trace receives every traced value with the name that the model gives it, instance included. The tensor
	// must not be changed or kept beyond the call.
	Trace func(name string, t *ir.Tensor)
	// Record receives every executed instruction, operands and results; states among the operands are copies
	// from before the instruction. It is slow and for tests.
	Record func(fn *ir.Func, in *ir.Instr, e *ir.Eval)
	// Launched receives every launch of a kernel on every rank. It is slow and for tests of generated kernels.
	Launched func(Launch)
	// Execute computes what launches of kernels leave in place of the kernels' ops: its results, on one rank, are
	// those of the launch. It must not change the arguments. nil for the ops.
	Execute func(Launch) ([]*ir.Tensor, error)
	// Threads bounds the goroutines; 0 means one for each processor.
	Threads int
}

// Machine holds the states of all layers and runs functions over them, on every rank of the module's mesh. Weights
// and states of split axes are cut, rank by rank, as their types say.
type Machine struct {
	mod     *ir.Module
	weights Weights
	opts    Options
	ranks   int                     // simulated, as the module's mesh says; they meet in collectives
	first   int                     // number of the first of them: 0 but where one rank runs alone
	states  map[string][]*ir.Tensor // by instance and state name, of each rank
	parts   map[part]*ir.Tensor     // weights cut for a rank
}

// part names the part of a weight that a rank has.
type part struct {
	instance string
	weight   *ir.Weight
	rank     int
}

// New returns a machine with clean states.
func New(m *ir.Module, w Weights, opts Options) (*Machine, error) {
	if opts.Batch < 1 || opts.MaxSeq < 1 {
		return nil, fmt.Errorf("batch %d and longest sequence %d must be at least 1", opts.Batch, opts.MaxSeq)
	}
	if opts.Threads == 0 {
		opts.Threads = runtime.GOMAXPROCS(0)
	}
	machine := &Machine{mod: m, ranks: m.Mesh.Ranks(), weights: w, opts: opts, states: map[string][]*ir.Tensor{}, parts: map[part]*ir.Tensor{}}
	return machine, machine.Reset()
}

// Reset gives every state its initial value.
func (m *Machine) Reset() error {
	env := ir.Env{"b": m.opts.Batch, "m": m.opts.MaxSeq}
	for _, set := range m.mod.Params {
		for _, s := range set.States {
			shape, err := s.Value.Type.Shape(env)
			if err != nil {
				return fmt.Errorf("state %s: %w", s.Value.Name, err)
			}
			for _, instance := range set.Instances {
				ranks := make([]*ir.Tensor, m.ranks)
				for r := range ranks {
					ranks[r] = ir.NewTensor(s.Value.Type.Elem, shape)
					for i := range ranks[r].F {
						ranks[r].F[i] = s.Init
					}
				}
				m.states[ir.Join(instance, s.Value.Name)] = ranks
			}
		}
	}
	return nil
}

// Run executes the named function on args, for tokens p … p+s-1 of each sequence.
func (m *Machine) Run(name string, p, s int, args ...*ir.Tensor) (results []*ir.Tensor, err error) {
	f := m.mod.Func(name)
	if f == nil {
		return nil, fmt.Errorf("module %s has no function %s", m.mod.Name, name)
	}
	if len(args) != len(f.Args) {
		return nil, fmt.Errorf("%s takes %d values, %d given", name, len(f.Args), len(args))
	}
	if p+s > m.opts.MaxSeq {
		return nil, fmt.Errorf("position %d is beyond the longest sequence of %d tokens", p+s-1, m.opts.MaxSeq)
	}
	env := ir.Env{"b": m.opts.Batch, "m": m.opts.MaxSeq, "p": p, "s": s}
	ranked := make([][]*ir.Tensor, len(args))
	for i, a := range args {
		ranked[i] = slices.Repeat([]*ir.Tensor{a}, m.ranks) // what enters and leaves is whole on every rank
	}
	all, err := m.function(f, "", env, ranked)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		results = append(results, r[0])
	}
	return results, nil
}

// frame is one activation of a function. Values are held for each rank.
type frame struct {
	m        *Machine
	fn       *ir.Func
	instance string
	env      ir.Env
	values   map[*ir.Value][]*ir.Tensor
}

func (m *Machine) function(f *ir.Func, instance string, env ir.Env, args [][]*ir.Tensor) ([][]*ir.Tensor, error) {
	fr := &frame{m, f, instance, env, map[*ir.Value][]*ir.Tensor{}}
	for i, a := range f.Args {
		shape, err := a.Type.Shape(env)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(shape, args[i][0].Shape) {
			return nil, fmt.Errorf("%s: %s has shape %v, needs %v", f.FullName(), a.Ref(), args[i][0].Shape, shape)
		}
		fr.values[a] = args[i]
	}
	for _, s := range f.Params.States {
		fr.values[s.Value] = m.states[ir.Join(instance, s.Value.Name)]
	}
	for _, in := range f.Body {
		if err := fr.instr(in); err != nil {
			return nil, err
		}
	}
	for _, u := range f.Updates {
		m.states[ir.Join(instance, u.State.Value.Name)] = fr.values[u.Value]
	}
	results := make([][]*ir.Tensor, len(f.Return))
	for i, v := range f.Return {
		var err error
		if results[i], err = fr.value(v); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// value returns a value's tensors; weights are fetched on first use and cut for each rank.
func (fr *frame) value(v *ir.Value) ([]*ir.Tensor, error) {
	if t := fr.values[v]; t != nil {
		return t, nil
	}
	if v.Kind != ir.WeightValue || fr.fn.IsKernel() {
		return nil, fmt.Errorf("BUG: %s: %s has no value", fr.fn.FullName(), v.Ref())
	}
	w := fr.fn.Params.Weight(v.Name)
	whole, err := fr.m.weights.Tensor(fr.instance, w)
	if err != nil {
		return nil, err
	}
	ranks := make([]*ir.Tensor, fr.m.ranks)
	for r := range ranks {
		ranks[r] = fr.m.cut(part{fr.instance, w, r}, whole)
	}
	fr.values[v] = ranks
	return ranks, nil
}

func (fr *frame) instr(in *ir.Instr) (err error) {
	args := make([][]*ir.Tensor, len(in.Args))
	for i, a := range in.Args {
		args[i] = make([]*ir.Tensor, fr.m.ranks)
		if a != nil {
			if args[i], err = fr.value(a); err != nil {
				return err
			}
		}
	}
	var results [][]*ir.Tensor
	switch {
	case in.Callee != nil:
		results, err = fr.m.function(in.Callee, ir.Join(fr.instance, in.At), fr.env, args)
	case in.Kernel != nil:
		results, err = fr.launch(in, args)
	default:
		results, err = fr.op(in, args)
	}
	if err != nil {
		return err
	}
	for i, v := range in.Results {
		fr.values[v] = results[i]
	}
	fr.trace(in, results)
	return nil
}

// op evaluates one op on every rank and rounds its results to their types.
func (fr *frame) op(in *ir.Instr, args [][]*ir.Tensor) (out [][]*ir.Tensor, err error) {
	defer func() {
		// A panic here means that an op declaration and its evaluation disagree, or hostile IR text.
		if r := recover(); r != nil {
			err = fmt.Errorf("BUG: %s: \"%s\" (line %d): %v", fr.fn.FullName(), in, in.Span.Line, r)
		}
	}()
	out = make([][]*ir.Tensor, len(in.Results))
	ranks := make([]*ir.Eval, fr.m.ranks)
	for r := range ranks {
		if ranks[r], err = fr.prepare(in, args, r); err != nil {
			return nil, err
		}
		for i := range out {
			out[i] = append(out[i], ranks[r].Out[i])
		}
	}
	recorded := ranks[0].Args
	if fr.m.opts.Record != nil {
		recorded = snapshot(in, ranks[0].Args)
	}
	if err := fr.m.evaluate(in, ranks); err != nil {
		return nil, err
	}
	for i, v := range in.Results {
		if _, state := in.Op.Updates[i]; !state && v.Type.Partial != ir.PartialSum {
			for _, t := range out[i] {
				fr.m.round(t)
			}
		}
	}
	if fr.m.opts.Record != nil {
		fr.m.opts.Record(fr.fn, in, &ir.Eval{Args: recorded, Attrs: in.Attrs, Env: fr.env, Out: ranks[0].Out})
	}
	return out, nil
}

// prepare gathers what rank r's evaluation sees.
func (fr *frame) prepare(in *ir.Instr, args [][]*ir.Tensor, r int) (*ir.Eval, error) {
	e := &ir.Eval{Attrs: in.Attrs, Env: fr.env, Parallel: fr.m.parallel}
	for _, a := range args {
		e.Args = append(e.Args, a[r])
	}
	for i, d := range in.LocalIndices() {
		length, _ := d.Size.IsConst()
		e.Args[i] = shifted(e.Args[i], fr.m.mod.Mesh.Index(fr.m.first+r, d.Over)*length)
	}
	for i, v := range in.Results {
		if operand, ok := in.Op.Updates[i]; ok {
			e.Out = append(e.Out, e.Args[operand]) // a state is linear, so its elements may be changed in place
			continue
		}
		shape, err := v.Type.Shape(fr.env)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", fr.fn.FullName(), v.Ref(), err)
		}
		e.Out = append(e.Out, ir.NewTensor(v.Type.Elem, shape))
	}
	return e, nil
}

// evaluate fills the results of all ranks. In a collective the ranks of each communicator meet.
func (m *Machine) evaluate(in *ir.Instr, ranks []*ir.Eval) error {
	if in.Op.Collective != nil {
		for _, members := range m.mod.Mesh.Communicators(in.Attrs.Str("over")) {
			meeting := make([]*ir.Eval, len(members))
			for i, r := range members {
				meeting[i] = ranks[r]
			}
			in.Op.Collective(meeting)
		}
		return nil
	}
	for _, e := range ranks {
		if err := Evaluate(in, e); err != nil {
			return err
		}
	}
	return nil
}

// Evaluate fills the results of an instruction that is no collective, unrounded, on one rank.
func Evaluate(in *ir.Instr, e *ir.Eval) error {
	if body := in.Op.PointwiseBody(); body != nil {
		return pointwise(in, body, e)
	}
	in.Op.Eval(e)
	return nil
}

// snapshot copies the operands that the instruction will change.
func snapshot(in *ir.Instr, args []*ir.Tensor) []*ir.Tensor {
	copied := append([]*ir.Tensor(nil), args...)
	for _, operand := range in.Op.Updates {
		copied[operand] = args[operand].Clone()
	}
	return copied
}

// round stores a result: bf16 is rounded to nearest even, once, directly from float64; float32 stays exact.
// Quantised results hold values of their grid already.
func (m *Machine) round(t *ir.Tensor) {
	if t.Elem != ir.Plain(ir.BF16) {
		return
	}
	const chunk = 1 << 13
	m.parallel((len(t.F)+chunk-1)/chunk, func(i int) {
		part := t.F[i*chunk : min(len(t.F), (i+1)*chunk)]
		for j, v := range part {
			part[j] = formats.RoundBF16(v)
		}
	})
}

// parallel calls f(i) for all i below n on up to Threads goroutines.
func (m *Machine) parallel(n int, f func(i int)) {
	workers := min(m.opts.Threads, n)
	if workers <= 1 {
		for i := 0; i < n; i++ {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Value
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() {
				if r := recover(); r != nil {
					failed.Store(fmt.Sprint(r))
				}
			}()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		}()
	}
	wg.Wait()
	if r := failed.Load(); r != nil {
		panic(r)
	}
}
