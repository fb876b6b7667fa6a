package passes

import "flagc/ir"

// CountPrograms adds what a device starts where kernels are made of programs: a kernel of two programs is two starts.
// programs says how many a kernel of m is made of.
func (l *Launches) CountPrograms(m *ir.Module, programs func(*ir.Func) int) {
	for i, f := range m.Funcs {
		for _, in := range f.Body {
			if in.Kernel != nil {
				l.Functions[i].Programs += programs(in.Kernel)
			}
		}
	}
	for i := range l.Entries {
		for kernel, n := range kernelCalls(m, l.Entries[i].Function) {
			l.Entries[i].Programs += n * programs(kernel)
		}
	}
}

// KernelCalls says how often one call of each entry launches each kernel, by the entry's name.
func KernelCalls(m *ir.Module) map[string]map[*ir.Func]int {
	out := map[string]map[*ir.Func]int{}
	for _, f := range m.Funcs {
		if f.Params.HasInstance("") {
			out[f.FullName()] = kernelCalls(m, f.FullName())
		}
	}
	return out
}

func kernelCalls(m *ir.Module, entry string) map[*ir.Func]int {
	n := map[*ir.Func]int{}
	var count func(f *ir.Func)
	count = func(f *ir.Func) {
		for _, in := range f.Body {
			switch {
			case in.Callee != nil:
				count(in.Callee)
			case in.Kernel != nil:
				n[in.Kernel]++
			}
		}
	}
	for _, f := range m.Funcs {
		if f.FullName() == entry {
			count(f)
		}
	}
	return n
}
