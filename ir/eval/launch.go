package eval

import "flagc/ir"

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
	inner := &frame{fr.m, in.Kernel, fr.instance, fr.env, map[*ir.Value][]*ir.Tensor{}}
	for i, a := range in.Kernel.Args {
		inner.values[a] = args[i]
	}
	before := fr.before(in, args)
	for _, op := range in.Kernel.Body {
		if err := inner.instr(op); err != nil {
			return nil, err
		}
	}
	results := make([][]*ir.Tensor, len(in.Kernel.Return))
	for i, v := range in.Kernel.Return {
		results[i] = inner.values[v]
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
