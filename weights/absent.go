package weights

import (
	"fmt"
	"slices"
	"strconv"

	"flagc/internal/diag"
)

const incomplete = "the checkpoint is incomplete: fetch its files again and compare their sizes"

// absent lists missing tensors: whole layers as one problem, then the experts of a layer, then single
// tensors, those of one pattern together.
func (v *view) absent(skip []string) (out []finding) {
	left := map[string][]int{} // missing tensors by instance
	for i, e := range v.expected {
		if v.missing(i) && !skipped(e.Name, skip) {
			left[e.Instance] = append(left[e.Instance], i)
		}
	}
	var gone []string
	tensors := 0
	var rest []int
	for _, instance := range v.instances {
		if lost := left[instance]; len(lost) > 0 && len(lost) == len(v.of[instance]) {
			gone, tensors = append(gone, instance), tensors+len(lost)
			continue
		}
		lost, found := v.lostExperts(instance, left[instance])
		out, rest = append(out, found...), append(rest, lost...)
	}
	if len(gone) > 0 {
		d := diag.New(diag.Span{File: v.checkpoint.Dir()}, "missing", "%s missing altogether: %s",
			verb(gone), plural(tensors, "tensor"))
		out = slices.Insert(out, 0, told(d.WithHelp(incomplete)))
	}
	return append(out, v.lostTensors(append(rest, left[""]...))...)
}

func verb(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return list(names) + " are"
}

// lostExperts takes out of an instance's missing tensors those of experts that are missing wholly.
func (v *view) lostExperts(instance string, lost []int) (rest []int, out []finding) {
	missing, expected := map[int]int{}, map[int]int{}
	for _, i := range lost {
		missing[v.expected[i].Index]++
	}
	delete(missing, -1)
	if len(missing) == 0 {
		return lost, nil
	}
	for _, i := range v.of[instance] {
		expected[v.expected[i].Index]++
	}
	var gone []string
	tensors := 0
	for _, i := range lost {
		index := v.expected[i].Index
		if index < 0 || missing[index] < expected[index] {
			rest = append(rest, i)
			continue
		}
		tensors++
		if name := strconv.Itoa(index); !slices.Contains(gone, name) {
			gone = append(gone, name)
		}
	}
	if len(gone) == 0 {
		return rest, nil
	}
	who := fmt.Sprintf("%s: of %d routed experts, number %s", instance, v.experts(instance), verb(gone))
	if len(gone) == v.experts(instance) {
		who = fmt.Sprintf("%s: all %d routed experts are", instance, len(gone))
	}
	d := diag.New(diag.Span{File: v.home(instance)}, "missing", "%s missing: %s", who, plural(tensors, "tensor"))
	d.Help = "compare n_routed_experts in config.json; if it is right, " + incomplete
	return rest, append(out, told(d))
}

// lostTensors lists missing tensors, those of one pattern together.
func (v *view) lostTensors(lost []int) []finding {
	var all bunches
	for _, i := range lost {
		e := v.expected[i]
		text, _ := pattern(e.Name)
		all.add(text, text, func() *diag.Diagnostic { return v.lostTensor(e) })
	}
	return all.findings(", and so are %s more of %s")
}

// lostTensor is the problem of one missing tensor. A tensor of its layer that the model does not know and
// that is stored alike may be it under another name.
func (v *view) lostTensor(e Tensor) *diag.Diagnostic {
	d := diag.New(diag.Span{File: v.home(e.Instance)}, "missing", "tensor %s (%s %v) is missing",
		e.Name, e.DType, e.Shape)
	var strangers []string
	near := ""
	for _, t := range v.extra {
		if instanceOf(t.Name) != e.Instance || differs(e, t) != nil {
			continue
		}
		strangers = append(strangers, t.Name)
		if near == "" && diag.Nearest(t.Name, []string{e.Name}) != "" {
			near = t.Name // near enough for a name of its length
		}
	}
	if best := diag.Nearest(e.Name, strangers); best != "" {
		near = best
	}
	switch {
	case near != "":
		return d.WithHelp("the checkpoint has %s, which the model does not know; if it is the same, rename it",
			near)
	case isGateChoice(e.Name):
		return d.WithHelp(hashHelp)
	}
	return d.WithHelp(incomplete)
}

// home is the file that tensors of an instance are in, or the folder when there is none.
func (v *view) home(instance string) string {
	if file := v.files[instance]; file != "" {
		return file
	}
	return v.checkpoint.Dir()
}
