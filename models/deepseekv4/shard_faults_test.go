package deepseekv4_test

import (
	"fmt"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/internal/goldens"
	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/passes"
	"flagc/targets"
)

// TestVerifierCatchesWrongCollectives drops, doubles and misdirects every collective of a rank's program, one at a
// time: none of the programs verifies, so none can hang or add up what is no sum.
func TestVerifierCatchesWrongCollectives(t *testing.T) {
	golden.Unrecorded(t)
	for _, opts := range []passes.Options{
		{TP: 4, Scores: passes.Split}, {TP: 8, OGroups: passes.Gather}, {TP: 8, OGroups: passes.Reduce, Scores: passes.Split},
	} {
		m, _ := goldens.Builtin(t, "deepseek-v4-nano")
		opts.Target = targets.CPU
		_, err := passes.Run(m, opts, "shard")
		require.NoError(t, err)
		tried := 0
		for f, fn := range m.Funcs {
			for i, in := range fn.Body {
				if in.Op == nil || in.Op.Collective == nil {
					continue
				}
				for what, break_ := range collectiveFaults(m.Mesh) {
					broken := m.Clone()
					if !break_(broken.Funcs[f], i) {
						continue
					}
					tried++
					require.Error(t, broken.Verify(), "%s: %s: %s", what, fn.FullName(), in)
				}
			}
		}
		require.Greater(t, tried, 50)
	}
}

// collectiveFaults change instruction i of a function; false where the change would be none.
func collectiveFaults(mesh ir.Mesh) map[string]func(f *ir.Func, i int) bool {
	faults := map[string]func(f *ir.Func, i int) bool{
		"dropped": func(f *ir.Func, i int) bool {
			in := f.Body[i]
			f.Body = append(f.Body[:i:i], f.Body[i+1:]...)
			redirect(f, i, in.Results[0], in.Args[0])
			return true
		},
		"doubled": func(f *ir.Func, i int) bool {
			first := f.Body[i]
			second := *first
			v := *first.Results[0]
			v.Name += ".twice"
			second.Args, second.Results = []*ir.Value{first.Results[0]}, []*ir.Value{&v}
			v.Def = &second
			f.Body = append(f.Body[:i+1:i+1], append([]*ir.Instr{&second}, f.Body[i+1:]...)...)
			redirect(f, i+2, first.Results[0], &v)
			return true
		},
		"another axis": func(f *ir.Func, i int) bool {
			if f.Body[i].Op.Attr("axis") == nil {
				return false
			}
			f.Body[i].Attrs.Set("axis", f.Body[i].Attrs.Int("axis")-1)
			return true
		},
	}
	for _, over := range append([]string{""}, axisNames(mesh)...) {
		faults["over "+over] = func(f *ir.Func, i int) bool {
			if f.Body[i].Attrs.Str("over") == over {
				return false
			}
			f.Body[i].Attrs.Set("over", over)
			return true
		}
	}
	return faults
}

func axisNames(mesh ir.Mesh) []string {
	var names []string
	for _, a := range mesh {
		names = append(names, a.Name)
	}
	return names
}

// redirect lets instructions from the given one on, and what leaves the function, see w instead of v.
func redirect(f *ir.Func, from int, v, w *ir.Value) {
	swap := func(list []*ir.Value) {
		for i, x := range list {
			if x == v {
				list[i] = w
			}
		}
	}
	for _, in := range f.Body[from:] {
		swap(in.Args)
	}
	swap(f.Return)
}

// rolled serves one weight with its elements moved by one along its split axis, as if every rank's part began one
// row, column, head or expert too early.
type rolled struct {
	eval.Weights
	weight string
}

func (r rolled) Tensor(instance string, w *ir.Weight) (*ir.Tensor, error) {
	t, err := r.Weights.Tensor(instance, w)
	if err != nil || w.Value.Name != r.weight {
		return t, err
	}
	for axis, d := range w.Value.Type.Dims {
		if d.Split > 0 {
			return roll(t, axis), nil
		}
	}
	return t, nil
}

func roll(t *ir.Tensor, axis int) *ir.Tensor {
	n := t.Shape[axis]
	out := &ir.Tensor{Elem: t.Elem, Shape: t.Shape}
	if t.Lazy != nil {
		out.Lazy = func(i int) []float64 { return t.Lazy((i + n - 1) % n) }
		return out
	}
	inner := 1
	for _, k := range t.Shape[axis+1:] {
		inner *= k
	}
	out.F = make([]float64, len(t.F))
	for i := range t.F {
		at := i / inner % n
		out.F[i] = t.F[i+((at+n-1)%n-at)*inner]
	}
	return out
}

// TestEvalCatchesWrongSlices moves the parts of each split weight by one: the logits must differ.
func TestEvalCatchesWrongSlices(t *testing.T) {
	golden.Unrecorded(t)
	m, w := nano(t)
	opts := passes.Options{Target: targets.CPU, TP: 8, OGroups: passes.Reduce, Scores: passes.Split}
	_, err := passes.Run(m, opts, "shard")
	require.NoError(t, err)
	q := eval.Request{Prompt: [][]int32{sequence(72, 512)}} // enough entries that the indexer leaves some out
	right, err := eval.Generate(m, w, q)
	require.NoError(t, err)
	names := map[string]bool{}
	for _, set := range m.Params {
		for _, weight := range set.Weights {
			if weight.Value.Type.IsSplit() {
				names[weight.Value.Name] = true
			}
		}
	}
	require.Len(t, names, 11, fmt.Sprint(names))
	for _, name := range sorted(names) {
		wrong, err := eval.Generate(m, rolled{w, name}, q)
		require.NoError(t, err)
		require.NotEqual(t, record.Logits(right), record.Logits(wrong), name)
	}
}

func sorted(set map[string]bool) []string {
	var out []string
	for name := range set {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
