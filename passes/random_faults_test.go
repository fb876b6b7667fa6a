package passes_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// eachInstr is a pass that does something to every instruction.
func eachInstr(do func(f *ir.Func, in *ir.Instr)) func(*ir.Module, passes.Options) error {
	return func(m *ir.Module, _ passes.Options) error {
		for _, f := range m.Funcs {
			for _, in := range f.Body {
				do(f, in)
			}
		}
		return nil
	}
}

// faults are wrong passes, by what is said of them.
var faults = map[string]func(*ir.Module, passes.Options) error{
	"differs": eachInstr(func(_ *ir.Func, in *ir.Instr) {
		if in.Op == ops.Scale {
			in.Attrs.Set("factor", 0.25)
		}
	}),
	"is missing": eachInstr(func(_ *ir.Func, in *ir.Instr) { in.Trace = "" }),
	"changed by a second run": eachInstr(func(_ *ir.Func, in *ir.Instr) {
		if in.Op == ops.Scale {
			in.Attrs.Set("factor", 2*in.Attrs.Float("factor"))
		}
	}),
	"does not verify": eachInstr(func(f *ir.Func, in *ir.Instr) {
		if len(f.Body) > 1 && in == f.Body[0] {
			f.Body[0], f.Body[1] = f.Body[1], in
		}
	}),
	"refused without a reason": func(*ir.Module, passes.Options) error { return errors.New("no") },
	"a refusal changed the module": func(m *ir.Module, _ passes.Options) error {
		m.Name += "x"
		return errors.New("no")
	},
	"panic: oops": func(*ir.Module, passes.Options) error { panic("oops") },
}

// TestRandomGraphsCatchFaults gives random modules to wrong passes: each is caught within a few modules, and the module
// that is reported is small.
func TestRandomGraphsCatchFaults(t *testing.T) {
	for text, run := range faults {
		t.Run(text, func(t *testing.T) {
			steps := []step{{passes.Pass{Name: "wrong", Run: run}, passes.Options{Target: targets.CPU, Precision: targets.PolicyNative}}}
			var p *problem
			for seed := int64(1); seed < 20 && p == nil; seed++ {
				p = walk(grow(seed), seed, steps, map[string]int{})
			}
			require.NotNil(t, p)
			require.ErrorContains(t, p, text)
			small := shrunk(p)
			require.Equal(t, p.kind, small.kind)
			n := 0
			for _, f := range small.m.Funcs {
				n += len(f.Body)
			}
			require.LessOrEqual(t, n, 12, "%s", small.m)
		})
	}
}
