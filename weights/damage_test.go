package weights

import (
	"fmt"
	"strings"
)

// damages lists what can be wrong with a checkpoint and the sentences that must say so. An entry with config
// leaves the checkpoint alone and asks for another model.
var damages = []struct {
	name   string
	edit   func(l *loose)
	config []string // pairs of texts, old and new
	want   []string // in the error, in this order
	n      int      // problems, those that are not shown included
}{
	{name: "tensor missing", n: 1,
		edit: func(l *loose) { l.drop("layers.2.attn.kv_norm.weight") },
		want: []string{
			"00004-of-00007.safetensors",
			"layers.2.attn.kv_norm.weight (BF16 [64]) is missing",
			"incomplete",
		}},
	{name: "scale missing", n: 1,
		edit: func(l *loose) { l.drop("layers.0.attn.wq_a.scale") },
		want: []string{"layers.0.attn.wq_a.scale (F8_E8M0 [1 2]) is missing"}},
	{name: "top-level tensor missing", n: 1,
		edit: func(l *loose) { l.drop("hc_head_fn") },
		want: []string{"00006-of-00007.safetensors", "hc_head_fn (F32 [4 640]) is missing"}},
	{name: "same tensor missing in all layers", n: 1,
		edit: func(l *loose) {
			l.remove(func(n string) bool {
				return strings.HasPrefix(n, "layers.") && strings.HasSuffix(n, "attn_sink")
			})
		},
		want: []string{"layers.0.attn.attn_sink", "is missing, and so are 3 more of layers.*.attn.attn_sink"}},
	{name: "layer missing", n: 1,
		edit: func(l *loose) { l.dropPrefix("layers.1.") },
		want: []string{"layers.1 is missing altogether: 76 tensors", "incomplete"}},
	{name: "all layers missing", n: 1,
		edit: func(l *loose) { l.dropPrefix("layers.") },
		want: []string{"layers.0, layers.1, layers.2 and 1 more are missing altogether: 286 tensors"}},
	{name: "MTP missing", n: 1,
		edit: func(l *loose) { l.dropPrefix("mtp.0.") },
		want: []string{"mtp.0 is missing altogether: 75 tensors"}},
	{name: "experts of a layer missing", n: 1,
		edit: func(l *loose) { l.dropPrefix("layers.3.ffn.experts.") },
		want: []string{"layers.3: all 6 routed experts are missing: 36 tensors", "n_routed_experts"}},
	{name: "one expert missing", n: 1,
		edit: func(l *loose) { l.dropPrefix("layers.3.ffn.experts.4.") },
		want: []string{"layers.3: of 6 routed experts, number 4 is missing: 6 tensors"}},
	{name: "some experts missing, one in part", n: 2,
		edit: func(l *loose) {
			l.dropPrefix("layers.3.ffn.experts.1.")
			l.dropPrefix("layers.3.ffn.experts.5.")
			l.drop("layers.3.ffn.experts.0.w2.weight")
		},
		want: []string{
			"of 6 routed experts, number 1 and 5 are missing: 12 tensors",
			"layers.3.ffn.experts.0.w2.weight (I8 [160 32]) is missing",
		}},
	{name: "unknown tensor", n: 1,
		edit: func(l *loose) { l.add("layers.0.attn.surprise", "F32", 3) },
		want: []string{"tensor layers.0.attn.surprise F32 [3] is unknown", "remove it"}},
	{name: "unknown tensor near a known one", n: 1,
		edit: func(l *loose) { l.add("layers.0.attn.kv_norm.wieght", "BF16", 64) },
		want: []string{"kv_norm.wieght BF16 [64] is unknown", "layers.0.attn.kv_norm.weight, is there as well"}},
	{name: "misspelt tensor", n: 2,
		edit: func(l *loose) {
			l.rename(func(n string) string {
				return strings.ReplaceAll(n, "layers.0.attn.q_norm", "layers.0.attn.qnorm")
			})
		},
		want: []string{
			"layers.0.attn.q_norm.weight (BF16 [96]) is missing",
			"the checkpoint has layers.0.attn.qnorm.weight",
			"layers.0.attn.qnorm.weight BF16 [96] is unknown",
			"did you mean layers.0.attn.q_norm.weight, which is missing?",
		}},
	{name: "scale under the old name", n: 2,
		edit: func(l *loose) {
			l.rename(func(n string) string {
				if strings.HasPrefix(n, "layers.") && !strings.Contains(n, ".experts.") {
					n = strings.Replace(n, ".attn.wq_a.scale", ".attn.wq_a.weight_scale_inv", 1)
				}
				return n
			})
		},
		want: []string{"wq_a.scale (F8_E8M0 [1 2]) is missing, and so are 3 more",
			"the checkpoint has layers.0.attn.wq_a.weight_scale_inv",
			"wq_a.weight_scale_inv F8_E8M0 [1 2] is unknown",
			"so are 3 more of layers.*.attn.wq_a.weight_scale_inv"}},
	{name: "more layers than configured", n: 1,
		config: []string{`"num_hidden_layers": 4`, `"num_hidden_layers": 3`, "[0, 4, 4, 128, 0]", "[0, 4, 4, 0]"},
		want: []string{
			"config.json has no layers.3, but the checkpoint holds layers.3.",
			"and 68 more of layers.3",
			"num_hidden_layers",
		}},
	{name: "MTP block that is not configured", n: 1,
		config: []string{`"num_nextn_predict_layers": 1`, `"num_nextn_predict_layers": 0`},
		want:   []string{"config.json has no mtp.0", "num_nextn_predict_layers"}},
	{name: "a second MTP block", n: 1,
		edit: func(l *loose) { l.add("mtp.1.enorm.weight", "BF16", 160) },
		want: []string{"config.json has no mtp.1"}},
	{name: "fewer layers than configured", n: 1,
		config: []string{`"num_hidden_layers": 4`, `"num_hidden_layers": 5`,
			"[0, 4, 4, 128, 0]", "[0, 4, 4, 128, 4, 0]"},
		want: []string{"layers.4 is missing altogether"}},
	{name: "more experts than configured", n: 9, // five blocks; gate and bias of the layers and of MTP
		config: []string{`"n_routed_experts": 6`, `"n_routed_experts": 4`},
		want: []string{
			"config.json gives layers.0 4 experts, 0 to 3, but the checkpoint holds layers.0.ffn.experts.4.w1",
			"and 11 more",
		}},
	{name: "wrong dtype", n: 1,
		edit: func(l *loose) { l.replace(is("norm.weight"), "F32", same) },
		want: []string{
			"00006-of-00007",
			"tensor norm.weight: expected BF16 [160], found F32 [160]",
			"of one release",
		}},
	{name: "wrong shape", n: 1,
		edit: func(l *loose) { l.replace(is("head.weight"), "BF16", func([]int) []int { return []int{160, 48} }) },
		want: []string{"tensor head.weight: expected BF16 [48 160], found BF16 [160 48]"}},
	{name: "wrong rank", n: 1,
		edit: func(l *loose) {
			l.replace(is("layers.1.attn.attn_sink"), "F32", func([]int) []int { return []int{4, 1} })
		},
		want: []string{"layers.1.attn.attn_sink: expected F32 [4], found F32 [4 1]"}},
	{name: "wrong shape in all layers", n: 6, // wq_b, its scale and attn_sink, of the layers and of MTP
		config: []string{`"num_attention_heads": 4`, `"num_attention_heads": 8`, `"o_groups": 2`, `"o_groups": 4`,
			`"o_lora_rank": 32`, `"o_lora_rank": 16`},
		want: []string{"layers.0.attn.wq_b.weight: expected F8_E4M3 [512 96], found F8_E4M3 [256 96]"}},
	{name: "another hidden size",
		config: []string{`"hidden_size": 160`, `"hidden_size": 64`},
		want:   []string{"tensor embed.weight: expected BF16 [48 64], found BF16 [48 160]"}},
	{name: "table of experts as I32", n: 1,
		edit: func(l *loose) { l.replace(is("layers.0.ffn.gate.tid2eid"), "I32", same) },
		want: []string{"layers.0.ffn.gate.tid2eid: expected I64 [48 2], found I32 [48 2]"}},
	{name: "hash layers differ", n: 2,
		config: []string{`"num_hash_layers": 2`, `"num_hash_layers": 1`},
		want: []string{
			"layers.1.ffn.gate.bias (F32 [6]) is missing", "compare num_hash_layers",
			"layers.1.ffn.gate.tid2eid I64 [48 2] is unknown", "compare num_hash_layers",
		}},
	{name: "ratio 0 configured, 128 there", n: 1,
		config: []string{"[0, 4, 4, 128, 0]", "[0, 4, 4, 0, 0]"},
		want: []string{"00005-of-00007", "compress_ratios says 0 (no attn.compressor.ape) for layers.3, " +
			"but the checkpoint has 128 (attn.compressor.ape [128 64]) there", "correct compress_ratios"}},
	{name: "ratio 4 configured, 128 there", n: 1,
		config: []string{"[0, 4, 4, 128, 0]", "[0, 4, 4, 4, 0]"},
		want: []string{
			"says 4 (attn.compressor.ape [4 128]) for layers.3, but the checkpoint has 128 " +
				"(attn.compressor.ape [128 64])",
		}},
	{name: "ratio 4 configured, none there", n: 1,
		config: []string{"[0, 4, 4, 128, 0]", "[4, 4, 4, 128, 0]"},
		want: []string{
			"says 4 (attn.compressor.ape [4 128]) for layers.0, but the checkpoint has 0 (no attn.compressor.ape)",
		}},
	{name: "ratios shifted", n: 3,
		config: []string{"[0, 4, 4, 128, 0]", "[4, 0, 4, 4, 0]"},
		want:   []string{"for layers.0", "for layers.1", "for layers.3"}},
	{name: "ratio of two layers", n: 1,
		config: []string{"[0, 4, 4, 128, 0]", "[0, 128, 128, 128, 0]"},
		want:   []string{"for layers.1 and layers.2, but the checkpoint has 4"}},
	{name: "only the ape missing", n: 1,
		edit: func(l *loose) { l.drop("layers.3." + apeName) },
		want: []string{"layers.3.attn.compressor.ape (F32 [128 64]) is missing"}},
	{name: "NaN scale of an expert", n: 1,
		edit: func(l *loose) { l.get("layers.2.ffn.experts.3.w1.scale").Bytes[2*5+1] = 255 },
		want: []string{
			"layers.2.ffn.experts.3.w1.scale: scale [2 1] is byte 255, which means NaN (the only one)",
			"damaged",
		}},
	{name: "many NaN scales", n: 1,
		edit: func(l *loose) {
			for i := range 3 {
				l.get("mtp.0.e_proj.scale").Bytes[i+1] = 255
			}
		},
		want: []string{
			"mtp.0.e_proj.scale: scale [0 1] is byte 255, which means NaN (3 such bytes in this tensor)",
		}},
	{name: "NaN code", n: 1,
		edit: func(l *loose) { l.get("layers.0.attn.wkv.weight").Bytes[161] = 0x7F },
		want: []string{"layers.0.attn.wkv.weight: element [1 1] is code 0x7F, which means NaN"}},
	{name: "negative NaN code first", n: 1,
		edit: func(l *loose) {
			copy(l.get("layers.0.attn.wkv.weight").Bytes[320:], []byte{0, 0, 0, 0xFF, 0x7F})
		},
		want: []string{"layers.0.attn.wkv.weight: element [2 3] is code 0xFF, which means NaN"}},
	{name: "NaN in bf16", n: 1,
		edit: func(l *loose) { copy(l.get("embed.weight").Bytes[2*162:], []byte{0xC0, 0x7F}) },
		want: []string{"embed.weight: element [1 2] is not a finite number"}},
	{name: "infinity in f32", n: 1,
		edit: func(l *loose) { copy(l.get("hc_head_base").Bytes[4*3:], []byte{0, 0, 0x80, 0xFF}) },
		want: []string{"hc_head_base: element [3] is not a finite number"}},
	{name: "expert that does not exist", n: 1,
		edit: func(l *loose) { l.get("layers.1.ffn.gate.tid2eid").Bytes[8*(2*7+1)] = 6 },
		want: []string{
			"layers.1.ffn.gate.tid2eid: the row of token 7 names expert 6 in column 1, but the layer " +
				"has 6 experts, 0 to 5",
		}},
	{name: "negative expert", n: 1,
		edit: func(l *loose) {
			copy(l.get("layers.1.ffn.gate.tid2eid").Bytes, []byte{255, 255, 255, 255, 255, 255, 255, 255})
		},
		want: []string{"the row of token 0 names expert -1 in column 0"}},
	{name: "repeated expert", n: 1,
		edit: func(l *loose) {
			row := l.get("layers.0.ffn.gate.tid2eid").Bytes[16*9:]
			copy(row[8:16], row[:8])
		},
		want: []string{"layers.0.ffn.gate.tid2eid: the row of token 9 names expert", "twice"}},
	{name: "Base checkpoint", n: 1,
		edit: func(l *loose) {
			expert := func(n string) bool { return strings.Contains(n, ".experts.") }
			l.replace(func(n string) bool { return expert(n) && strings.HasSuffix(n, ".weight") }, "F8_E4M3",
				func(s []int) []int { return []int{s[0], 2 * s[1]} })
			l.replace(func(n string) bool { return expert(n) && strings.HasSuffix(n, ".scale") }, "F32",
				func(s []int) []int { return []int{(s[0] + 127) / 128, (s[1]*32 + 127) / 128} })
		},
		want: []string{"this is a Base checkpoint, whose routed experts are FP8 with F32 scales"}},
	{name: "DSpark", n: 1,
		edit: func(l *loose) {
			l.dropPrefix("mtp.0.e_proj")
			l.add("mtp.0.main_proj.weight", "F8_E4M3", 160, 480)
			l.add("mtp.1.attn_norm.weight", "BF16", 160)
			l.add("mtp.2.markov_head.markov_w1.weight", "BF16", 48, 16)
		},
		want: []string{"this checkpoint has DSpark draft blocks", "mtp.0.main_proj.weight"}},
	{name: "Hugging Face names", n: 1,
		edit: func(l *loose) {
			l.rename(func(n string) string { return "model." + strings.ReplaceAll(n, ".attn.", ".self_attn.") })
		},
		want: []string{"module names of Hugging Face transformers"}},
	{name: "DeepSeek-V3", n: 1,
		edit: func(l *loose) {
			l.rename(func(n string) string {
				return "model." + strings.ReplaceAll(n, ".attn.wkv.", ".self_attn.kv_a_proj_with_mqa.")
			})
		},
		want: []string{"this is a checkpoint of DeepSeek-V3"}},
	{name: "widened to BF16", n: 1,
		edit: func(l *loose) {
			l.remove(func(n string) bool { return strings.HasSuffix(n, ".scale") })
			l.replace(func(n string) bool { return strings.Contains(n, ".experts.") }, "BF16",
				func(s []int) []int { return []int{s[0], 2 * s[1]} })
		},
		want: []string{"this checkpoint was widened to BF16"}},
	{name: "scales of 32 columns", n: 1,
		edit: func(l *loose) {
			l.replace(is("layers.0.attn.wq_a.scale"), "F8_E8M0", func([]int) []int { return []int{96, 5} })
		},
		want: []string{"one FP8 scale for every 32 columns in place of 128, as DeepSeek-V4.1"}},
	{name: "many different problems", n: 14,
		edit: func(l *loose) {
			for i := range 14 {
				l.add(fmt.Sprintf("layers.0.x%c", 'a'+i), "F32", 1)
			}
		},
		want: []string{"layers.0.xa", "layers.0.xj", "and 4 problems more"}},
}
