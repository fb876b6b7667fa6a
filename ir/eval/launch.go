package eval

import "flagc/ir"

// launch runs a kernel on all ranks: its ops in order, on the tensors of the launch's operands.
func (fr *frame) launch(in *ir.Instr, args [][]*ir.Tensor) ([][]*ir.Tensor, error) {
	inner := &frame{fr.m, in.Kernel, fr.instance, fr.env, map[*ir.Value][]*ir.Tensor{}}
	for i, a := range in.Kernel.Args {
		inner.values[a] = args[i]
	}
	for _, op := range in.Kernel.Body {
		if err := inner.instr(op); err != nil {
			return nil, err
		}
	}
	results := make([][]*ir.Tensor, len(in.Kernel.Return))
	for i, v := range in.Kernel.Return {
		results[i] = inner.values[v]
	}
	return results, nil
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
