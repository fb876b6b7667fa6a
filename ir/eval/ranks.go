package eval

import "flagc/ir"

// cut returns the part of a weight that a rank has: along each split axis of its type one of the equal parts, in
// the order of ranks. A weight of whole axes is shared.
func (m *Machine) cut(at part, whole *ir.Tensor) *ir.Tensor {
	if have := m.parts[at]; have != nil {
		return have
	}
	t := whole
	for axis, d := range at.weight.Value.Type.Dims {
		if d.Split > 0 {
			t = Cut(t, axis, m.mod.Mesh.Index(at.rank, d.Over), d.Split)
		}
	}
	if t != whole {
		m.parts[at] = t
	}
	return t
}

// Cut returns part r of n of a tensor along one axis. Of a lazy tensor only the first axis can be cut.
func Cut(t *ir.Tensor, axis, r, n int) *ir.Tensor {
	out := &ir.Tensor{Elem: t.Elem, Shape: append([]int(nil), t.Shape...)}
	out.Shape[axis] /= n
	if t.Lazy != nil {
		first := r * out.Shape[0]
		out.Lazy = func(i int) []float64 { return t.Lazy(first + i) }
		return out
	}
	inner := 1
	for _, k := range out.Shape[axis:] {
		inner *= k
	}
	for o := r * inner; o < t.Len(); o += n * inner {
		if t.I != nil {
			out.I = append(out.I, t.I[o:o+inner]...)
		} else {
			out.F = append(out.F, t.F[o:o+inner]...)
		}
	}
	return out
}

// shifted is a tensor of indices as a rank sees them whose part begins at first: what lies before is negative.
func shifted(t *ir.Tensor, first int) *ir.Tensor {
	out := t.Clone()
	for i := range out.I {
		out.I[i] -= int32(first)
	}
	return out
}
