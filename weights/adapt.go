package weights

import (
	"slices"

	"flagc/ir"
)

// Adapt lets a module that passes have given encodings read a checkpoint that was converted already: where a weight is
// stored otherwise than officially, and the module can still take it exactly, that becomes the encoding that is
// read. What fits nothing stays as it is, for Check to tell. Rank files hold what their module says.
func Adapt(m *ir.Module, c Store) {
	_, ranks := c.(*RankFiles)
	for _, set := range m.Params {
		if len(set.Instances) == 0 {
			continue
		}
		for _, w := range set.Weights {
			if ranks {
				w.From = ir.Elem{}
				continue
			}
			official, kept := w.Encoding(), w.Value.Type.Elem
			if !official.IsQuantised() || stores(c, set, w, official) {
				continue
			}
			for _, elem := range []ir.Elem{kept, ir.Quantised(ir.FP8, tile, tile), ir.Plain(ir.BF16)} {
				if _, err := conversionOf(elem, kept); err != nil || !stores(c, set, w, elem) {
					continue
				}
				w.From = elem
				if elem == kept {
					w.From = ir.Elem{}
				}
				break
			}
		}
	}
}

// stores reports whether a checkpoint holds the first tensor of a weight in an encoding.
func stores(c Store, set *ir.Params, w *ir.Weight, elem ir.Elem) bool {
	for _, p := range parts(layoutOf(w, elem, w.Stored()), set.Instances[0]) {
		t, ok := c.Tensor(p.named(0))
		if !ok || t.DType != p.DType || !slices.Equal(t.Shape, p.Shape) {
			return false
		}
	}
	return true
}
