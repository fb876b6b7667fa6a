package passes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/targets"
)

// lowerPrecision gives weights the encoding that they are kept in, and products the format that they compute
// in, by the precision policy. What is FP4 in the checkpoint are the routed experts, what is FP8 the other
// linears; everything else stays.
func lowerPrecision(m *ir.Module, opts Options) error {
	policy := opts.Precision
	if policy == "" {
		policy = opts.Target.Policy
	}
	if err := opts.Target.Allows(policy); err != nil {
		return err
	}
	rule, ok := policies[policy]
	if !ok {
		return fmt.Errorf("unknown precision policy %q", policy)
	}
	if err := rule.tears(m); err != nil {
		return err
	}
	spared, err := keptInFP4(m, opts.KeepFP4)
	if err != nil {
		return err
	}
	stored := map[*ir.Weight]ir.Elem{}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			stored[w] = w.Value.Type.Elem
			if !spared[w] {
				rule.store(w)
			}
		}
	}
	if len(spared) > 0 && rule.product == "" && rule.fp4 != fp4 {
		rule.product = rule.fp4.DType.String()
	}
	for _, f := range m.Funcs {
		for _, in := range f.Body {
			rule.compute(in)
			if opts.Official {
				widenPlainProducts(in)
			}
		}
		if rule.plain {
			plainActivations(f)
		}
	}
	rememberEncodings(m, stored)
	return nil
}

// keptInFP4 finds weights by their sets and names.
func keptInFP4(m *ir.Module, names []string) (map[*ir.Weight]bool, error) {
	found := map[*ir.Weight]bool{}
	known := map[string]*ir.Weight{}
	for _, set := range m.Params {
		for _, w := range set.Weights {
			if w.Value.Type.Elem == fp4 {
				known[set.Name+"."+w.Value.Name] = w
			}
		}
	}
	for _, name := range names {
		w := known[name]
		if w == nil {
			return nil, fmt.Errorf("%s is no weight in FP4; there are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		found[w] = true
	}
	return found, nil
}

// policy says what becomes of the two quantised encodings of a checkpoint.
type policy struct {
	fp4, fp8 ir.Elem // what weights of each are kept as
	product  string  // what FP4 weights are widened to in a kernel; "" as stored
	plain    bool    // products see activations as they are instead of quantised
}

var (
	fp4  = ir.Quantised(ir.FP4, 1, 32)
	fp8  = ir.Quantised(ir.FP8, 128, 128)
	bf16 = ir.Plain(ir.BF16)
)

var policies = map[targets.Policy]policy{
	targets.PolicyNative: {fp4: fp4, fp8: fp8},
	targets.PolicyFP8:    {fp4: fp8, fp8: fp8},
	targets.PolicyW4A8:   {fp4: fp4, fp8: fp8, product: "fp8"},
	targets.PolicyBF16:   {fp4: bf16, fp8: bf16, plain: true},
	targets.PolicyW4A16:  {fp4: fp4, fp8: bf16, product: "bf16", plain: true},
}

// store changes a weight's encoding.
func (p policy) store(w *ir.Weight) { w.Value.Type.Elem = p.kept(w) }

// kept is the encoding that a weight is kept in.
func (p policy) kept(w *ir.Weight) ir.Elem {
	switch e := w.Value.Type.Elem; e {
	case fp4:
		return p.fp4
	case fp8:
		return p.fp8
	default:
		return e
	}
}

// tears refuses scale blocks that a weight had not when it was split: its parts need not end where they do.
func (p policy) tears(m *ir.Module) error {
	var all []*diag.Diagnostic
	for _, set := range m.Params {
		for _, w := range set.Weights {
			if to := p.kept(w); to != w.Value.Type.Elem && to.IsQuantised() && w.Value.Type.IsSplit() {
				d := diag.New(w.Value.Span, "precision1", "$%s is split over ranks already: its parts need not end where blocks of %s do",
					w.Value.Name, to)
				all = append(all, d.WithHelp("run lower-precision before shard"))
			}
		}
	}
	if all == nil {
		return nil
	}
	return &diag.Errors{Items: all}
}

// rememberEncodings notes how the checkpoint encodes what is now encoded otherwise.
func rememberEncodings(m *ir.Module, stored map[*ir.Weight]ir.Elem) {
	for _, set := range m.Params {
		for _, w := range set.Weights {
			if from := stored[w]; from != w.Value.Type.Elem && w.From == (ir.Elem{}) {
				w.From = from
			}
		}
	}
}

// widenPlainProducts keeps quantised weights in BF16 where they are multiplied with activations that are not
// quantised: the official converter widens them, which is exact.
func widenPlainProducts(in *ir.Instr) {
	if in.Op == nil || in.Op.Class != ir.Contraction || len(in.Args) == 0 || in.Args[0].Type.Elem.IsQuantised() {
		return
	}
	for _, a := range in.Args {
		if a != nil && a.Kind == ir.WeightValue && a.Type.Elem == fp8 {
			a.Type.Elem = bf16
		}
	}
}

// compute notes on a product with FP4 weights what they are widened to.
func (p policy) compute(in *ir.Instr) {
	if p.product == "" || in.Op == nil || in.Op.Attr("compute") == nil {
		return
	}
	for _, a := range in.Args {
		if a != nil && a.Kind == ir.WeightValue && a.Type.Elem == fp4 {
			in.Attrs.Set("compute", p.product)
		}
	}
}

// plainActivations takes act_quant out of a function: products with bf16 weights see bf16 activations, and so does
// whatever else a quantised value went through, callers and callees included. The simulated quantisation of caches is
// part of the model and stays.
func plainActivations(f *ir.Func) {
	instead := map[*ir.Value]*ir.Value{}
	kept := f.Body[:0]
	for _, in := range f.Body {
		for i, a := range in.Args {
			if v := instead[a]; v != nil {
				in.Args[i] = v
			}
		}
		if in.Op == ops.ActQuant {
			instead[in.Results[0]] = in.Args[0]
			continue
		}
		for _, r := range in.Results {
			r.Type = unquantised(r.Type)
		}
		kept = append(kept, in)
	}
	f.Body = kept
	for i, v := range f.Return {
		if w := instead[v]; w != nil {
			f.Return[i] = w
		}
		f.Results[i] = unquantised(f.Results[i])
	}
	for _, a := range f.Args {
		a.Type = unquantised(a.Type)
	}
}

// unquantised is the type of an activation that is kept as it was before it was quantised.
func unquantised(t ir.Type) ir.Type {
	if t.Elem.IsQuantised() {
		t.Elem = bf16
	}
	return t
}
