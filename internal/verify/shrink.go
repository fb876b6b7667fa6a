package verify

import (
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/roles"
)

// Shrink copies a module's kernels with at most so many experts and words on one rank, so that weights of real models
// stay small while all other sizes are as they are. Routers keep all their experts: those beyond a rank's are other
// ranks'. The copy holds kernels alone.
func Shrink(m *ir.Module, experts, words int) *ir.Module {
	c := m.Clone()
	c.Params, c.Funcs, c.Memory = nil, nil, nil
	for _, k := range c.Kernels {
		if roles.Uses(k, ops.HashExperts) && !roles.Uses(k, ops.ExpertLinear) {
			continue
		}
		for _, in := range k.Body {
			w := in.Args[len(in.Args)-min(1, len(in.Args)):]
			switch {
			case len(w) == 0 || w[0] == nil || w[0].Kind != ir.WeightValue:
			case in.Op == ops.ExpertLinear:
				limit(&w[0].Type.Dims[0], experts)
			case in.Op == ops.Embedding:
				limit(&w[0].Type.Dims[0], words)
			case in.Op == ops.Linear && isVocabulary(m, w[0].Type.Dims[0]):
				limit(&w[0].Type.Dims[0], words)
				r := in.Results[0].Type.Dims
				limit(&r[len(r)-1], words)
			}
		}
	}
	return c
}

// limit shortens an axis, which then has a name of its own beside the whole one.
func limit(d *ir.Dim, n int) {
	if k, ok := d.Size.IsConst(); ok && k > n {
		d.Name, d.Size = d.Name+"_few", ir.Const(n)
	}
}

// isVocabulary reports whether an axis is the one that embeddings look up.
func isVocabulary(m *ir.Module, d ir.Dim) bool {
	for _, k := range m.Kernels {
		for _, in := range k.Body {
			if in.Op == ops.Embedding && in.Args[1].Type.Dims[0].Name == d.Name {
				return true
			}
		}
	}
	return false
}
