// Package eval is the reference interpreter: it runs graph IR in exact arithmetic, which is float64 with the
// storage roundings of the types and no others. Its results depend neither on the order of a sum nor on a
// math library's last bit, and are compared with those of the official code by equality.
//
// The package knows no operator by name: each op carries its own evaluation function or pointwise body.
package eval

import (
	"fmt"
	"runtime"
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
	// Threads bounds the goroutines; 0 means one for each processor.
	Threads int
}

// Machine holds the states of all layers and runs functions over them.
type Machine struct {
	mod     *ir.Module
	weights Weights
	opts    Options
	states  map[string]*ir.Tensor // by instance and state name
}

// New returns a machine with clean states.
func New(m *ir.Module, w Weights, opts Options) (*Machine, error) {
	if opts.Batch < 1 || opts.MaxSeq < 1 {
		return nil, fmt.Errorf("batch %d and longest sequence %d must be at least 1", opts.Batch, opts.MaxSeq)
	}
	if opts.Threads == 0 {
		opts.Threads = runtime.GOMAXPROCS(0)
	}
	machine := &Machine{mod: m, weights: w, opts: opts, states: map[string]*ir.Tensor{}}
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
				t := ir.NewTensor(s.Value.Type.Elem, shape)
				for i := range t.F {
					t.F[i] = s.Init
				}
				m.states[ir.Join(instance, s.Value.Name)] = t
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
	return m.function(f, "", env, args)
}

// frame is one activation of a function.
type frame struct {
	m        *Machine
	fn       *ir.Func
	instance string
	env      ir.Env
	values   map[*ir.Value]*ir.Tensor
}

func (m *Machine) function(f *ir.Func, instance string, env ir.Env, args []*ir.Tensor) ([]*ir.Tensor, error) {
	fr := &frame{m, f, instance, env, map[*ir.Value]*ir.Tensor{}}
	for i, a := range f.Args {
		shape, err := a.Type.Shape(env)
		if err != nil {
			return nil, err
		}
		if fmt.Sprint(shape) != fmt.Sprint(args[i].Shape) {
			return nil, fmt.Errorf("%s: %s has shape %v, needs %v", f.FullName(), a.Ref(), args[i].Shape, shape)
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
	results := make([]*ir.Tensor, len(f.Return))
	for i, v := range f.Return {
		var err error
		if results[i], err = fr.value(v); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// value returns a value's tensor; weights are fetched on first use.
func (fr *frame) value(v *ir.Value) (*ir.Tensor, error) {
	if t := fr.values[v]; t != nil {
		return t, nil
	}
	if v.Kind != ir.WeightValue {
		return nil, fmt.Errorf("BUG: %s: %s has no value", fr.fn.FullName(), v.Ref())
	}
	t, err := fr.m.weights.Tensor(fr.instance, fr.fn.Params.Weight(v.Name))
	fr.values[v] = t
	return t, err
}

func (fr *frame) instr(in *ir.Instr) (err error) {
	args := make([]*ir.Tensor, len(in.Args))
	for i, a := range in.Args {
		if a != nil {
			if args[i], err = fr.value(a); err != nil {
				return err
			}
		}
	}
	var results []*ir.Tensor
	if in.Callee != nil {
		results, err = fr.m.function(in.Callee, ir.Join(fr.instance, in.At), fr.env, args)
	} else {
		results, err = fr.op(in, args)
	}
	if err != nil {
		return err
	}
	for i, v := range in.Results {
		fr.values[v] = results[i]
	}
	if in.Trace != "" && fr.m.opts.Trace != nil {
		fr.m.opts.Trace(ir.Join(fr.instance, in.Trace), results[0])
	}
	return nil
}

// op evaluates one op and rounds its results to their types.
func (fr *frame) op(in *ir.Instr, args []*ir.Tensor) (out []*ir.Tensor, err error) {
	defer func() {
		// A panic here means that an op declaration and its evaluation disagree, or hostile IR text.
		if r := recover(); r != nil {
			err = fmt.Errorf("BUG: %s: \"%s\" (line %d): %v", fr.fn.FullName(), in, in.Span.Line, r)
		}
	}()
	recorded := args
	if fr.m.opts.Record != nil {
		recorded = snapshot(in, args)
	}
	out = make([]*ir.Tensor, len(in.Results))
	for i, v := range in.Results {
		if operand, ok := in.Op.Updates[i]; ok {
			out[i] = args[operand] // a state is linear, so its elements may be changed in place
			continue
		}
		shape, err := v.Type.Shape(fr.env)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", fr.fn.FullName(), v.Ref(), err)
		}
		out[i] = ir.NewTensor(v.Type.Elem, shape)
	}
	e := &ir.Eval{Args: args, Attrs: in.Attrs, Env: fr.env, Out: out, Parallel: fr.m.parallel}
	if body := in.Op.PointwiseBody(); body != nil {
		if err := pointwise(in, body, e); err != nil {
			return nil, err
		}
	} else {
		in.Op.Eval(e)
	}
	for i := range out {
		if _, state := in.Op.Updates[i]; !state {
			fr.m.round(out[i])
		}
	}
	if fr.m.opts.Record != nil {
		fr.m.opts.Record(fr.fn, in, &ir.Eval{Args: recorded, Attrs: in.Attrs, Env: fr.env, Out: out})
	}
	return out, nil
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
