package triton

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/roles"
)

// promptTokens is how many tokens a prompt has, and how many under the interpreter.
func (t *launchTest) promptTokens() string {
	return fmt.Sprintf("%d, interpreted=%d", roles.Tokens(t.k.Func), roles.FewTokens(t.k.Func))
}

// makers are the functions that make numbers, by what they are to the ops that read them.
var makers = map[roles.Role]string{
	roles.Activation: "activations", roles.Query: "moderate", roles.PoolScore: "moderate", roles.KeyRows: "moderate",
	roles.EntryScores: "moderate", roles.WeightMatrix: "weights", roles.Gain: "gain", roles.Bias: "bias",
	roles.Positive: "positive", roles.MixScale: "mix_scale", roles.MixPost: "mix_post", roles.MixComb: "mix_comb",
	roles.ExpertScores: "expert_scores", roles.TokenIDs: "token_ids", roles.ExpertIDs: "expert_ids",
	roles.ExpertTable: "expert_ids", roles.EntryList: "entries",
	roles.Candidates: "places",
}

// defaultTypes are the formats that these functions make where nothing else is said, as kernels store them.
var defaultTypes = map[string]string{
	"activations": "torch.bfloat16", "moderate": "torch.bfloat16", "weights": "torch.bfloat16", "gain": "torch.bfloat16",
	"bias": "torch.float32", "positive": "torch.float32", "expert_ids": "torch.int32",
}

// inputs makes the arguments of the launch.
func (t *launchTest) inputs() {
	var chosen *ir.Value
	for _, a := range t.k.Func.Args {
		switch role := roles.Of(t.k.Func, a); role {
		case roles.ValueState:
			t.poolStates(a)
			continue
		case roles.ScoreState:
			continue // made with the values
		case roles.ExpertIDs:
			chosen = a
		}
		t.input(a)
	}
	if chosen != nil {
		t.clearForeign(chosen)
	}
}

// input makes one argument.
func (t *launchTest) input(a *ir.Value) {
	role := roles.Of(t.k.Func, a)
	maker, about := makers[role], t.about(a, role)
	if a.Type.Elem.IsQuantised() {
		maker = a.Type.Elem.DType.String() + "_" + maker
	} else if format := torchTypes[StoredAs(a.Type)]; defaultTypes[maker] != "" && format != defaultTypes[maker] {
		about = append(about, newKeyword("dtype", newAtom(format)))
	}
	t.put(t.names[a]+" = ", newCall("cases."+maker, append(t.dims(a.Type), about...)...))
}

// about is what must be known of an argument beside its extents.
func (t *launchTest) about(a *ir.Value, role roles.Role) []*node {
	word := func(name string, value int) *node { return newKeyword(name, newAtom(strconv.Itoa(value))) }
	experts := roles.ExpertAxis(t.mod)
	local, _ := experts.Size.IsConst()
	here := []*node{newKeyword("first", t.first(experts)), word("local", local)}
	switch role {
	case roles.Activation:
		if e := a.Type.Elem; e.IsQuantised() {
			return []*node{word("block", e.Cols)}
		}
	case roles.WeightMatrix:
		if e := a.Type.Elem; e.IsQuantised() {
			return []*node{word("rows", e.Rows), word("cols", e.Cols)}
		}
	case roles.ExpertScores:
		return here
	case roles.ExpertIDs, roles.ExpertTable:
		all, _ := experts.Whole().Size.IsConst()
		return append([]*node{word("experts", all)}, here...)
	case roles.TokenIDs:
		words, _ := roles.UseAs(t.k.Func, a, role).Args[1].Type.Dims[0].Whole().Size.IsConst()
		return []*node{word("words", words)}
	case roles.Candidates:
		return []*node{word("below", roles.UseAs(t.k.Func, a, role).Attrs.Int("part"))}
	case roles.EntryList:
		return []*node{newKeyword("rows", t.size(roles.UseAs(t.k.Func, a, role).Args[1].Type.Dims[1].Size))}
	}
	return nil
}

// poolStates makes both states of a compressor: they know the same tokens.
func (t *launchTest) poolStates(kv *ir.Value) {
	in := roles.UseAs(t.k.Func, kv, roles.ValueState)
	args := t.dims(kv.Type)
	for _, name := range []string{"ratio", "overlap"} {
		args = append(args, newKeyword(name, t.attribute(in.Attrs.Get(name))))
	}
	args = append(args, newKeyword("p", t.size(ir.Sym("p"))))
	t.put(t.names[kv]+", "+t.names[in.Args[4]]+" = ", newCall("cases.pool_states", args...))
}

// clearForeign puts zeros where a value is the rank's part of a sum whose other parts other ranks have.
func (t *launchTest) clearForeign(chosen *ir.Value) {
	experts := roles.ExpertAxis(t.mod)
	if experts.Split == 0 {
		return
	}
	for _, a := range t.k.Func.Args {
		if a.Type.Partial != ir.PartialOne || len(a.Type.Dims) != len(chosen.Type.Dims)+1 {
			continue
		}
		maker := "cases.only_local"
		if a.Type.Elem.IsQuantised() {
			maker += "_fp8"
		}
		t.put(t.names[a]+" = ", newCall(maker, append([]*node{newAtom(t.names[a]), newAtom(t.names[chosen])},
			t.about(chosen, roles.ExpertScores)...)...))
	}
}

// chosen reports whether a value is a choice by scores that the launch computes: float32 may turn two neighbours round.
func (t *launchTest) chosen(v *ir.Value) bool {
	return v.Def != nil && v.Def.Op == ops.TopEntries && !slices.Contains(t.k.Func.Args, v.Def.Args[0])
}

// rejoined is what is joined with a choice, with the choice that the kernel left.
func (t *launchTest) rejoined(in *ir.Instr, buffers map[*ir.Value]string) *node {
	var args []*node
	for _, a := range in.Args {
		name := t.names[a]
		if buffer := buffers[a]; t.chosen(a) && buffer != "" {
			name = buffer
		}
		args = append(args, newAtom(name))
	}
	return newCall("ref."+in.Op.Name, append(args, t.attributes(in)...)...)
}

// flips are the bounds of what is moved by something else than a term that cancels.
var flips = map[roles.Flip]string{roles.Attended: "ATTENDED", roles.Gated: "GATED", roles.OfTerms: "TERM", roles.Mixed: "MIXED"}

// expectations holds every result against its formula, and room that must be zeros again.
func (t *launchTest) expectations(buffers map[*ir.Value]string) {
	seen := map[*ir.Value]bool{}
	for _, v := range t.k.Func.Return {
		if seen[v] {
			continue
		}
		seen[v] = true
		args := []*node{newAtom(strconv.Quote(t.names[v])), newAtom(buffers[v]), newAtom(t.names[v])}
		if t.chosen(v) {
			args = append(args, newAtom(t.names[v.Def.Args[0]]), t.size(v.Def.Attrs.Size("first")))
			t.put("", newCall("cases.expect_choice", args...))
			continue
		}
		if v.Def.Op == ops.Concat && slices.ContainsFunc(v.Def.Args, t.chosen) {
			args[2] = t.rejoined(v.Def, buffers)
		}
		if digits := roles.Digits(v); digits < 8 {
			args = append(args, newKeyword("digits", newAtom(strconv.Itoa(digits))))
		}
		if bound := flips[roles.FlipOf(v)]; bound != "" {
			args = append(args, newKeyword("flip", newAtom("cases."+bound)))
		}
		t.put("", newCall("cases.expect", args...))
	}
	for _, name := range slices.Sorted(maps.Keys(t.k.Bindings)) {
		if t.k.Bindings[name].Source == FromTicket {
			t.put("", newCall("cases.expect_zeros", newAtom(strconv.Quote(name)), newAtom(name)))
		}
	}
}
