package weights

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
)

// config is what the parameter sets of DeepSeek-V4 depend on.
type config struct {
	V      int   `json:"vocab_size"`
	D      int   `json:"hidden_size"`
	L      int   `json:"num_hidden_layers"`
	N      int   `json:"num_nextn_predict_layers"`
	Ratios []int `json:"compress_ratios"`
	H      int   `json:"num_attention_heads"`
	HD     int   `json:"head_dim"`
	Q      int   `json:"q_lora_rank"`
	G      int   `json:"o_groups"`
	R      int   `json:"o_lora_rank"`
	I      int   `json:"index_n_heads"`
	C      int   `json:"index_head_dim"`
	E      int   `json:"n_routed_experts"`
	A      int   `json:"num_experts_per_tok"`
	F      int   `json:"moe_intermediate_size"`
	Hashed int   `json:"num_hash_layers"`
	HC     int   `json:"hc_mult"`
}

// tinyConfig has every kind of layer and is small enough to make hundreds of checkpoints of it.
const tinyConfig = `{
  "vocab_size": 48, "hidden_size": 160, "num_hidden_layers": 4, "num_nextn_predict_layers": 1,
  "compress_ratios": [0, 4, 4, 128, 0], "num_attention_heads": 4, "head_dim": 64, "q_lora_rank": 96,
  "o_groups": 2, "o_lora_rank": 32, "index_n_heads": 4, "index_head_dim": 64, "n_routed_experts": 6,
  "num_experts_per_tok": 2, "moe_intermediate_size": 64, "num_hash_layers": 2, "hc_mult": 4
}
`

// testModule writes the parameter sets for a configuration out by hand, one name after the other as the
// official checkpoint has them, so that the tests here do not rest on the front end.
func testModule(t testing.TB, configText []byte) *ir.Module {
	t.Helper()
	var c config
	require.NoError(t, json.Unmarshal(configText, &c))
	return parse(t, c.text())
}

func parse(t testing.TB, text string) *ir.Module {
	t.Helper()
	m, err := ir.ParseModule(text, "test.ir", nil)
	require.NoError(t, err)
	return m
}

func tinyModule(t testing.TB) *ir.Module { return testModule(t, []byte(tinyConfig)) }

func fileModule(t testing.TB, path string) (*ir.Module, []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return testModule(t, text), text
}

func (c config) text() string {
	var b strings.Builder
	b.WriteString("module test from \"test.flag\"\n")
	fmt.Fprintf(&b, "dims V=%d D=%d H=%d d=%d Q=%d G=%d R=%d I=%d c=%d E=%d A=%d F=%d hc=%d M=%d k=%d\n",
		c.V, c.D, c.H, c.HD, c.Q, c.G, c.R, c.I, c.C, c.E, c.A, c.F, c.HC, (2+c.HC)*c.HC, c.H/c.G*c.HD)
	for _, r := range []int{0, 4, 128} {
		for _, hash := range []bool{false, true} {
			var at []string
			for l := range c.L {
				if c.Ratios[l] == r && (l < c.Hashed) == hash {
					at = append(at, fmt.Sprintf("layers.%d", l))
				}
			}
			if len(at) > 0 {
				c.set(&b, fmt.Sprintf("block_%d_%v", r, hash), at, c.block(r, hash))
			}
		}
	}
	if c.N > 0 {
		c.set(&b, "mtp", []string{"mtp.0"}, c.mtp())
	}
	c.set(&b, "top", nil, append([]string{"embed.weight bf16[V,D]", "head.weight bf16[V,D]"}, c.readout()...))
	return b.String()
}

func (c config) set(b *strings.Builder, name string, at, lines []string) {
	fmt.Fprintf(b, "params %s", name)
	if len(at) > 0 {
		fmt.Fprintf(b, " at %s", strings.Join(at, ", "))
	}
	b.WriteString(" {\n")
	for _, line := range lines {
		tensor, typ, _ := strings.Cut(line, " ")
		value := strings.TrimSuffix(strings.ReplaceAll(tensor, ".*", ""), ".weight")
		fmt.Fprintf(b, "  weight %s: %s from %q\n", value, typ, tensor)
	}
	b.WriteString("}\n")
}

func (c config) block(r int, hash bool) []string {
	lines := []string{
		"hc_attn_fn f32[M,hc*D]", "hc_attn_base f32[M]", "hc_attn_scale f32[three=3]",
		"hc_ffn_fn f32[M,hc*D]", "hc_ffn_base f32[M]", "hc_ffn_scale f32[three=3]",
		"attn_norm.weight bf16[D]", "ffn_norm.weight bf16[D]",
		"attn.wq_a.weight fp8<128x128>[Q,D]", "attn.q_norm.weight bf16[Q]",
		"attn.wq_b.weight fp8<128x128>[H,d,Q]", "attn.wkv.weight fp8<128x128>[d,D]",
		"attn.kv_norm.weight bf16[d]", "attn.wo_a.weight fp8<128x128>[G,R,k]",
		"attn.wo_b.weight fp8<128x128>[D,G*R]", "attn.attn_sink f32[H]",
	}
	if r == 4 {
		lines = append(lines, "attn.indexer.wq_b.weight fp8<128x128>[I,c,Q]")
		lines = append(lines, "attn.indexer.weights_proj.weight bf16[I,D]")
		lines = append(lines, compressor("attn.indexer.compressor", r, "c")...)
	}
	if r > 0 {
		lines = append(lines, compressor("attn.compressor", r, "d")...)
	}
	lines = append(lines, "ffn.gate.weight bf16[E,D]")
	if hash {
		lines = append(lines, "ffn.gate.tid2eid i64[V,A]")
	} else {
		lines = append(lines, "ffn.gate.bias f32[E]")
	}
	return append(lines,
		"ffn.experts.*.w1.weight fp4<1x32>[E,F,D]", "ffn.experts.*.w2.weight fp4<1x32>[E,D,F]",
		"ffn.experts.*.w3.weight fp4<1x32>[E,F,D]", "ffn.shared_experts.w1.weight fp8<128x128>[F,D]",
		"ffn.shared_experts.w2.weight fp8<128x128>[D,F]", "ffn.shared_experts.w3.weight fp8<128x128>[F,D]")
}

func compressor(at string, r int, dim string) []string {
	if r == 4 {
		dim = "2*" + dim
	}
	return []string{
		fmt.Sprintf("%s.ape f32[r=%d,%s]", at, r, dim), fmt.Sprintf("%s.wkv.weight bf16[%s,D]", at, dim),
		fmt.Sprintf("%s.wgate.weight bf16[%s,D]", at, dim),
		fmt.Sprintf("%s.norm.weight bf16[%s]", at, strings.TrimPrefix(dim, "2*")),
	}
}

func (c config) mtp() []string {
	lines := []string{"enorm.weight bf16[D]", "hnorm.weight bf16[D]",
		"e_proj.weight fp8<128x128>[D,D]", "h_proj.weight fp8<128x128>[D,D]"}
	return append(append(lines, c.block(c.Ratios[c.L], false)...), c.readout()...)
}

func (c config) readout() []string {
	return []string{
		"hc_head_fn f32[hc,hc*D]", "hc_head_base f32[hc]", "hc_head_scale f32[one=1]", "norm.weight bf16[D]",
	}
}

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

func shapeText(shape []int) string { return strings.ReplaceAll(fmt.Sprint(shape), " ", ",") }

func replaceStar(name string, i int) string { return strings.Replace(name, "*", strconv.Itoa(i), 1) }
