package weights

import (
	"strings"

	"flagc/internal/diag"
	"flagc/runtime/safetensors"
)

// variant recognises checkpoints of a related but different kind, for which thousands of single complaints
// would hide the one that matters. It returns nil when the checkpoint is none of them.
func (v *view) variant() []finding {
	for _, s := range strangers {
		for _, t := range v.extra {
			if s.match(t.Name) {
				return one(t, s.what, s.help)
			}
		}
	}
	for i, e := range v.expected {
		if v.missing(i) || v.fits(i) {
			continue
		}
		for _, k := range storages {
			if k.match(v, e, v.found[i]) {
				return one(v.found[i], k.what, k.help)
			}
		}
	}
	return nil
}

func one(t safetensors.Tensor, what, help string) []finding {
	d := diag.New(diag.Span{File: t.File}, "variant", "%s: tensor %s is %s %v", what, t.Name, t.DType, t.Shape)
	return []finding{told(d.WithHelp("%s", help))}
}

// strangers are kinds of checkpoints that a name gives away, asked in this order.
var strangers = []struct {
	match      func(name string) bool
	what, help string
}{
	{
		contains(".kv_a_proj_with_mqa.", ".kv_b_proj.", ".attn.wkv_a.", ".attn.wkv_b."),
		"this is a checkpoint of DeepSeek-V3, which has other attention and no hyper-connections",
		"use a checkpoint of DeepSeek-V4",
	},
	{
		func(name string) bool { return strings.HasPrefix(name, "model.") },
		"this checkpoint has the module names of Hugging Face transformers in place of the official ones",
		"use the files as they were published, whose names begin with embed, layers, norm, head and mtp",
	},
	{
		contains(".main_proj.", ".main_norm.", ".markov_head.", ".confidence_head."),
		"this checkpoint has DSpark draft blocks (as Flash-0731 and Flash-DSpark do) in place of the MTP block",
		"use the first release of the model, or one without DSpark",
	},
}

func contains(parts ...string) func(string) bool {
	return func(name string) bool {
		for _, p := range parts {
			if strings.Contains(name, p) {
				return true
			}
		}
		return false
	}
}

// storages are kinds of checkpoints that have the names but store the tensors otherwise.
var storages = []struct {
	match      func(v *view, e Tensor, t safetensors.Tensor) bool
	what, help string
}{
	{
		func(v *view, e Tensor, t safetensors.Tensor) bool {
			return e.Role == Scales && e.DType == "F8_E8M0" && t.DType == "F32" && v.isExpert(e, "F8_E4M3")
		},
		"this is a Base checkpoint, whose routed experts are FP8 with F32 scales in place of FP4",
		"use the checkpoint of the chat model, whose experts are FP4",
	},
	{
		func(v *view, e Tensor, t safetensors.Tensor) bool {
			return e.Role == Elements && e.DType == "I8" && t.DType == "BF16"
		},
		"this checkpoint was widened to BF16",
		"read it with --precision bf16, or use the published files, whose experts are FP4",
	},
	{
		(*view).narrowScales,
		"this checkpoint has one FP8 scale for every 32 columns in place of 128, as DeepSeek-V4.1 has, " +
			"which is another architecture",
		"use a checkpoint of DeepSeek-V4",
	},
}

// isExpert reports whether a scale belongs to a routed expert whose codes the checkpoint stores as dtype.
func (v *view) isExpert(scale Tensor, dtype string) bool {
	if scale.Index < 0 {
		return false
	}
	codes, ok := v.checkpoint.Tensor(strings.TrimSuffix(scale.Name, ".scale") + ".weight")
	return ok && codes.DType == dtype
}

// narrowScales reports whether a scale has the columns of 1×32 blocks where wider ones are expected, beside
// codes of the expected shape.
func (v *view) narrowScales(e Tensor, t safetensors.Tensor) bool {
	const narrow = 32
	stored := e.Weight.Stored()
	if e.Role != Scales || e.Weight.Encoding().Cols <= narrow || len(t.Shape) != 2 || len(stored) != 2 {
		return false
	}
	if codes := v.byName[e.Name] - 1; codes < 0 || !v.fits(codes) { // Expected lists scales behind their codes
		return false
	}
	return t.Shape[1] != e.Shape[1] && t.Shape[1] == (stored[1]+narrow-1)/narrow
}
