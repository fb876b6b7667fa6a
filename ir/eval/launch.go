package eval

import (
	"fmt"
	"runtime"

	"flagc/ir"
)

// Launch is one executed launch of a kernel on one rank: its arguments, states as they were before, and its results.
type Launch struct {
	Kernel   *ir.Func
	Instance string
	Rank     int
	Env      ir.Env
	Args     []*ir.Tensor
	Results  []*ir.Tensor
}

// launch runs a kernel on all ranks: its ops in order, on the tensors of the launch's operands.
func (fr *frame) launch(in *ir.Instr, args [][]*ir.Tensor) ([][]*ir.Tensor, error) {
	before := fr.before(in, args)
	compute := fr.ops
	if fr.m.opts.Execute != nil {
		compute = fr.execute
	}
	results, err := compute(in.Kernel, args)
	if err != nil {
		return nil, err
	}
	for r, a := range before {
		out := make([]*ir.Tensor, len(results))
		for i := range out {
			out[i] = results[i][r]
		}
		fr.m.opts.Launched(Launch{in.Kernel, fr.instance, r, fr.env, a, out})
	}
	return results, nil
}

// ops runs a kernel's ops in order on all ranks.
func (fr *frame) ops(k *ir.Func, args [][]*ir.Tensor) ([][]*ir.Tensor, error) {
	inner := &frame{fr.m, k, fr.instance, fr.env, map[*ir.Value][]*ir.Tensor{}}
	for i, a := range k.Args {
		inner.values[a] = args[i]
	}
	for _, op := range k.Body {
		if err := inner.instr(op); err != nil {
			return nil, err
		}
	}
	results := make([][]*ir.Tensor, len(k.Return))
	for i, v := range k.Return {
		results[i] = inner.values[v]
	}
	return results, nil
}

// execute lets the option compute a kernel's results, rank by rank.
func (fr *frame) execute(k *ir.Func, args [][]*ir.Tensor) ([][]*ir.Tensor, error) {
	results := make([][]*ir.Tensor, len(k.Return))
	for r := range fr.m.ranks {
		mine := make([]*ir.Tensor, len(args))
		for i, a := range args {
			mine[i] = a[r]
		}
		out, err := fr.m.opts.Execute(Launch{Kernel: k, Instance: fr.instance, Rank: r, Env: fr.env, Args: mine})
		if err != nil {
			return nil, err
		}
		if len(out) != len(results) {
			return nil, fmt.Errorf("BUG: kernel %s has %d results, Execute gave %d", k.FullName(), len(results), len(out))
		}
		for i, t := range out {
			results[i] = append(results[i], t)
		}
	}
	return results, nil
}

// Kernel runs a kernel of m alone, as a rank does that finds args. States among them are changed in place.
func Kernel(m *ir.Module, k *ir.Func, env ir.Env, rank int, args []*ir.Tensor) ([]*ir.Tensor, error) {
	alone := &Machine{mod: m, ranks: 1, first: rank, opts: Options{Threads: runtime.GOMAXPROCS(0)}}
	fr := &frame{m: alone, env: env}
	ranked := make([][]*ir.Tensor, len(args))
	for i, a := range args {
		ranked[i] = []*ir.Tensor{a}
	}
	all, err := fr.ops(k, ranked)
	if err != nil {
		return nil, err
	}
	results := make([]*ir.Tensor, len(all))
	for i, r := range all {
		results[i] = r[0]
	}
	return results, nil
}

// before are the arguments of a launch on each rank, states copied, if anybody wants to see launches.
func (fr *frame) before(in *ir.Instr, args [][]*ir.Tensor) [][]*ir.Tensor {
	if fr.m.opts.Launched == nil {
		return nil
	}
	ranks := make([][]*ir.Tensor, fr.m.ranks)
	for r := range ranks {
		for i, a := range in.Kernel.Args {
			t := args[i][r]
			if a.Kind == ir.StateValue {
				t = t.Clone()
			}
			ranks[r] = append(ranks[r], t)
		}
	}
	return ranks
}

// trace hands on the recorded results of an instruction.
func (fr *frame) trace(in *ir.Instr, results [][]*ir.Tensor) {
	if fr.m.opts.Trace == nil {
		return
	}
	for _, t := range in.Traced() {
		fr.m.opts.Trace(ir.Join(fr.instance, t.Name), results[t.Result][0])
	}
}
