package weights

import (
	"fmt"
	"slices"
	"strings"

	"flagc/internal/diag"
	"flagc/runtime/safetensors"
)

// structure lists what is wrong with names, dtypes and shapes. What one cause explains is one problem: a
// layer whose ratio differs, a missing layer, missing experts, a mistake that is the same in many tensors.
func (v *view) structure() []finding {
	skip, out := v.ratios()
	out = append(out, v.absent(skip)...)
	out = append(out, v.unknown(skip)...)
	return append(out, v.mismatched(skip)...)
}

// ratios compares the compressors that are there with those that compress_ratios asks for. It returns the
// prefixes of the tensors that a contradiction explains.
func (v *view) ratios() (skip []string, out []finding) {
	type contradiction struct{ want, got int }
	places := map[contradiction][]string{}
	var order []contradiction
	for _, instance := range v.instances {
		want, got := v.ratio(instance)
		if want == got {
			continue
		}
		skip = append(skip, instance+".attn.compressor.", instance+".attn.indexer.")
		key := contradiction{want, got}
		if places[key] == nil {
			order = append(order, key)
		}
		places[key] = append(places[key], instance)
	}
	for _, key := range order {
		at := places[key][0]
		d := diag.New(diag.Span{File: v.files[at]}, "ratio",
			"compress_ratios says %s for %s, but the checkpoint has %s there",
			ratioText(key.want, v.apeShape(at, true)), list(places[key]), ratioText(key.got, v.apeShape(at, false)))
		out = append(out, told(d.WithHelp("correct compress_ratios in config.json, or take the config.json "+
			"that belongs to these files")))
	}
	return skip, out
}

// ratioText describes a ratio by what a checkpoint holds for it.
func ratioText(ratio int, shape []int) string {
	if ratio == 0 {
		return "0 (no " + apeName + ")"
	}
	return fmt.Sprintf("%d (%s %v)", ratio, apeName, shape)
}

// apeShape is the shape of a layer's compressor table, expected or found; nil without one.
func (v *view) apeShape(instance string, expected bool) []int {
	name := instance + "." + apeName
	if i, ok := v.byName[name]; ok && expected {
		return v.expected[i].Shape
	}
	if t, ok := v.checkpoint.Tensor(name); ok && !expected {
		return t.Shape
	}
	return nil
}

// ratio is what a layer compresses by, as configured and as the checkpoint has it; 0 for no compressor. Where
// the whole layer is missing, or of a compressor the table alone, that is no contradiction.
func (v *view) ratio(instance string) (want, got int) {
	if shape := v.apeShape(instance, true); len(shape) > 0 {
		want = shape[0]
	}
	if v.files[instance] == "" {
		return want, want
	}
	if shape := v.apeShape(instance, false); len(shape) > 0 {
		return want, shape[0]
	}
	prefix := instance + ".attn.compressor."
	at, _ := slices.BinarySearch(v.names, prefix)
	if at < len(v.names) && strings.HasPrefix(v.names[at], prefix) {
		return want, want
	}
	return want, 0
}

func skipped(name string, skip []string) bool {
	return slices.ContainsFunc(skip, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// mismatched lists tensors of the wrong dtype or shape. Those that differ in the numbers of their names only
// are one problem, named after the first.
func (v *view) mismatched(skip []string) []finding {
	var all bunches
	for i, e := range v.expected {
		if v.missing(i) || skipped(e.Name, skip) {
			continue
		}
		t := v.found[i]
		if d := differs(e, t); d != nil {
			text, _ := pattern(e.Name)
			all.add(fmt.Sprint(text, e.DType, e.Shape, t.DType, t.Shape), text, told(d))
		}
	}
	return all.findings("; so it is with %s more of %s")
}

// unknown lists tensors that the model has no place for: whole layers and experts beyond the last as one
// problem each, single names with the nearest that is known.
func (v *view) unknown(skip []string) []finding {
	var blocks, experts, single bunches
	for _, t := range v.extra {
		if skipped(t.Name, skip) {
			continue
		}
		instance := instanceOf(t.Name)
		text, index := pattern(t.Name)
		count := v.experts(instance)
		switch {
		case instance != "" && v.of[instance] == nil:
			blocks.add(instance, instance, func() *diag.Diagnostic { return extraBlock(t, instance) })
		case moduleClass(t.Name) == Routed && index >= count && count > 0:
			experts.add(instance, instance, func() *diag.Diagnostic { return extraExperts(t, instance, count) })
		default:
			single.add(text, text, func() *diag.Diagnostic { return v.stranger(t, instance) })
		}
	}
	out := append(blocks.findings(" and %s more of %s"), experts.findings(" and %s more of %s")...)
	return append(out, single.findings("; so are %s more of %s")...)
}

func extraBlock(t safetensors.Tensor, instance string) *diag.Diagnostic {
	d := diag.New(diag.Span{File: t.File}, "extra", "config.json has no %s, but the checkpoint holds %s",
		instance, t.Name)
	return d.WithHelp("compare num_hidden_layers and num_nextn_predict_layers in config.json with these files")
}

func extraExperts(t safetensors.Tensor, instance string, count int) *diag.Diagnostic {
	d := diag.New(diag.Span{File: t.File}, "extra",
		"config.json gives %s %d experts, 0 to %d, but the checkpoint holds %s", instance, count, count-1, t.Name)
	return d.WithHelp("compare n_routed_experts in config.json with these files")
}

// experts is the number of routed experts of an instance.
func (v *view) experts(instance string) int {
	if of := v.of[instance]; len(of) > 0 {
		return expertsOf(v.expected[of[0]].Set)
	}
	return 0
}

// stranger is the problem of one unexpected tensor. Only tensors of its own layer are compared, with its
// missing ones first, since a misspelt tensor is missing under its right name: where dtype and shape agree.
func (v *view) stranger(t safetensors.Tensor, instance string) *diag.Diagnostic {
	_, index := pattern(t.Name)
	var lost, there []string
	for _, i := range v.of[instance] {
		e := v.expected[i]
		if e.Index >= 0 && e.Index != index {
			continue
		}
		if v.missing(i) && differs(e, t) == nil {
			lost = append(lost, e.Name)
		} else if !v.missing(i) {
			there = append(there, e.Name)
		}
	}
	d := diag.New(diag.Span{File: t.File}, "extra", "tensor %s %s %v is unknown: the model has no such weight",
		t.Name, t.DType, t.Shape)
	if near := diag.Nearest(t.Name, lost); near != "" {
		return d.WithHelp("did you mean %s, which is missing?", near)
	}
	if isGateChoice(t.Name) {
		return d.WithHelp(hashHelp)
	}
	if near := diag.Nearest(t.Name, there); near != "" {
		return d.WithHelp("the nearest name that is known, %s, is there as well; remove this tensor", near)
	}
	return d.WithHelp("remove it, or take the config.json that belongs to these files")
}
