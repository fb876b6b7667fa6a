package passes

import "flagc/ir"

// decodeTime is a stand-in
func decodeTime(m *ir.Module, opts Options) float64 {
	bytes, meetings := 0.0, 0.0
	for _, set := range m.Params {
		for _, w := range set.Weights {
			n := float64(w.Value.Type.Elem.DType.Bits()) / 8 * float64(len(set.Instances))
			for _, d := range w.Value.Type.Dims {
				k, _ := d.Size.IsConst()
				n *= float64(k)
			}
			bytes += n
		}
	}
	for _, f := range m.Funcs {
		if f.Mode != ir.Decode {
			continue
		}
		var before *ir.Instr
		for _, in := range f.Body {
			if in.Op != nil && in.Op.Collective != nil && (before == nil || before.Op == nil || before.Op.Collective == nil) {
				meetings += float64(len(f.Params.Instances))
			}
			before = in
		}
	}
	return bytes/2e12 + meetings*10e-6
}
