package frontend

import (
	"fmt"
	"strings"
)

// A mistake is one change to the small model of testdata or to its configuration. What is said about it stands
// in testdata/mistakes.golden; only mistakes that are several are answered with several diagnostics.
type mistake struct {
	name     string
	old, new string // in tiny.flag, or in tiny.json where json is set
	json     bool
	several  bool
}

// apply makes the mistake.
func (x mistake) apply(src, cfg Source) [2]Source {
	if x.json {
		cfg.Text = strings.Replace(cfg.Text, x.old, x.new, 1)
	} else {
		src.Text = strings.Replace(src.Text, x.old, x.new, 1)
	}
	return [2]Source{src, cfg}
}

// longSums doubles the text of a size with every line.
var longSums = func() string {
	text := "  let x0 = m + W\n"
	for i := 1; i < 70; i++ {
		text += fmt.Sprintf("  let x%d = x%d * x%d\n", i, i-1, i-1)
	}
	return strings.ReplaceAll(text, "W", "V")
}()

var mistakes = []mistake{
	// Syntax.
	{name: "missing parenthesis", old: "linear(last(x), head,", new: "linear(last(x, head,"},
	{name: "missing comma", old: "bf16[b, s, D], ids i32[b, s]) -> bf16[b, s, D] {", new: "bf16[b, s, D] ids i32[b, s]) -> bf16[b, s, D] {"},
	{name: "misspelt keyword", old: "  weight back bf16", new: "  weigth back bf16"},
	{name: "misspelt rule", old: "multiple of 64", new: "multiples of 64"},
	{name: "keyword as a name", old: "let window = r", new: "let state = r"},
	{name: "weight without a type", old: "weight head  bf16[V, D]", new: "weight head"},
	{name: "weight without axes", old: "weight head  bf16[V, D]", new: "weight head bf16"},
	{name: "missing brace", old: "    return add(linear(f, back), a)\n  }\n}", new: "    return add(linear(f, back), a)\n  }\n"},
	{name: "stray character", old: "f = ffn(a as", new: "f = ffn($a as"},
	{name: "open string", old: `trace "attn" = a`, new: `trace "attn = a`},
	{name: "return without a value", old: "return add(linear(f, back), a)", new: "return"},
	{name: "unknown declaration", old: "sub layers[l", new: "subs layers[l"},
	{name: "not a model", old: "model tiny", new: "modle tiny"},
	{name: "two broken declarations", old: "weight embed bf16[V, D]\nweight head  bf16[V, D]",
		new: "weight embed [V, D]\nweight head  bf16(V, D)", several: true},
	{name: "deep nesting", old: "return scale(x, factor: times)",
		new: "return ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((x))))"},

	// Names.
	{name: "unknown name", old: "q = rms_norm(linear(x, wa)", new: "q = rms_norm(linear(x, wx)"},
	{name: "misspelt name", old: "linear(f, back)", new: "linear(f, bakc)"},
	{name: "unknown op", old: "sqrt_softplus(", new: "sqrt_sofplus("},
	{name: "unknown module", old: "sub    ffn = experts(hash)", new: "sub    ffn = expert(hash)"},
	{name: "module called", old: "f = ffn(a as", new: "f = experts(a as"},
	{name: "function as a value", old: "q = double(q)", new: "q = double"},
	{name: "part as a value", old: "x = layers[l](x, ids)", new: "x = layers[l]"},
	{name: "array without index", old: "x = layers[l](x, ids)", new: "x = layers(x, ids)"},
	{name: "index outside", old: "x = layers[l](x, ids)", new: "x = layers[l + 1](x, ids)"},
	{name: "index of a value", old: "linear(last(x), head,", new: "linear(last(x[0]), head,"},
	{name: "unknown size", old: "weight norm bf16[Q]", new: "weight norm bf16[q]"},
	{name: "unknown number format", old: "weight norm bf16[Q]", new: "weight norm fp16[Q]"},
	{name: "assigned elsewhere only", old: "    a = add(linear(q, wb), x)", new: "    when decode { z = q }\n    a = add(linear(z, wb), x)"},
	{name: "mode outside a function", old: "let window = r == 0 ?", new: "let window = prefill ?"},

	// Declarations.
	{name: "weight twice", old: "weight norm bf16[Q]", new: "weight norm bf16[Q]\n  weight wa bf16[Q]"},
	{name: "tensor twice", old: "  sub    ffn = experts(hash)", new: "  sub    ffn = experts(hash) at \"\"\n  param  bias f32[E]", several: true},
	{name: "function twice", old: "module experts(hash) {", new: "func double(x) { return x }\nmodule experts(hash) {"},
	{name: "function named as an op", old: "func double(x, times = 2)", new: "func linear(x, times = 2)"},
	{name: "entry twice", old: "// The logits", new: "entry main(ids i32[b, s]) -> f32[b, V] { return linear(last(embedding(ids, embed)), head, dtype: f32) }\n// The logits"},
	{name: "no entry", old: "entry main(", new: "func main("},
	{name: "config name twice", old: "  Q    = rank ", new: "  D    = rank\n  Q    = rank "},
	{name: "word of the language", old: "func double(x, times = 2) {", new: "func double(x, decode = 2) {"},
	{name: "weight never used", old: "return add(linear(f, back), a)", new: "return a"},
	{name: "state never read", old: "    seen = ring_write(seen, q, window: window)\n", new: ""},
	{name: "part never called", new: "return a",
		old: "f = ffn(a as [b*s, D], ids as [b*s]) as [b, s, F]\n    return add(linear(f, back), a)"},
	{name: "module without a function", old: "  func (x bf16[b*s, D], ids i32[b*s])", new: "  func of(x bf16[b*s, D], ids i32[b*s])"},
	{name: "state of another type", old: "ring_write(seen, q, window: window)", new: "q"},
	{name: "state replaced but not assigned", old: "seen = ring_write(", new: "kept = ring_write("},
	{name: "weight of unknown size", old: "weight back bf16[D, F]", new: "weight back bf16[D, s]"},
	{name: "module holds itself", old: "  weight gate bf16[E, D]", new: "  sub again = experts(hash)\n  weight gate bf16[E, D]"},
	{name: "layer without types", old: "func (x bf16[b, s, D], ids i32[b, s])", new: "func (x, ids i32[b, s])"},

	{name: "no name for a tensor", old: "sub    ffn = experts(hash)", new: "sub    ffn = experts(hash) at \"f f\""},
	{name: "array without a name", old: "hash: l < keep)", new: "hash: l < keep) at \"\""},
	{name: "name of a layer for an entry", old: "entry main(", new: "entry block_short("},

	// Calls.
	{name: "wrong axis", old: "linear(q, wb)", new: "linear(x, wb)"},
	{name: "wrong weight", old: "linear(f, back)", new: "linear(f, wb)"},
	{name: "wrong axis in a helper", old: "return scale(x, factor: times)", new: "return expert_linear(x, x, x)"},
	{name: "wrong kind of operand", old: "hash_experts(ids, table)", new: "hash_experts(scores, table)"},
	{name: "too few operands", old: "linear(f, back)", new: "linear(f)"},
	{name: "too many operands", old: "last(x), head", new: "last(x, x), head"},
	{name: "unknown attribute", old: "factor: times", new: "facter: times"},
	{name: "missing attribute", old: "rms_norm(linear(x, wa), norm, eps: eps)", new: "rms_norm(linear(x, wa), norm)"},
	{name: "attribute of the wrong kind", old: "eps: eps", new: "eps: \"small\""},
	{name: "attribute by position", old: "rms_norm(linear(x, wa), norm, eps: eps)", new: "rms_norm(linear(x, wa), norm, eps)"},
	{name: "attribute that is a tensor", old: "factor: times", new: "factor: x"},
	{name: "operand by name", old: "linear(f, back)", new: "linear(f, w: back)"},
	{name: "unknown number format of a result", old: "linear(x, gate, dtype: f32)", new: "linear(x, gate, dtype: i32)"},
	{name: "unknown parameter", old: "q = double(q)", new: "q = double(q, time: 3)"},
	{name: "missing argument", old: "q = double(q)", new: "q = double(times: 3)"},
	{name: "too many arguments", old: "q = double(q)", new: "q = double(q, 2, 3)"},
	{name: "position behind a name", old: "q = double(q)", new: "q = double(times: 2, q)"},
	{name: "argument given twice", old: "q = double(q)", new: "q = double(q, x: q)"},
	{name: "attribute given twice", old: "norm, eps: eps)", new: "norm, eps: eps, eps: eps)"},
	{name: "number for a tensor", old: "ffn(a as [b*s, D],", new: "ffn(1,"},
	{name: "weight called", old: "linear(x, wa)", new: "wa(x)"},
	{name: "too many values for a layer", old: "layers[l](x, ids)", new: "layers[l](x, ids, ids)"},
	{name: "layer never called", old: "for l < L {", new: "for l < 2 {"},
	{name: "argument of the wrong type", old: "ffn(a as [b*s, D],", new: "ffn(a,"},
	{name: "layer with the wrong type", old: "layers[l](x, ids)", new: "layers[l](x, x)"},
	{name: "layer called twice", old: "x = layers[l](x, ids)", new: "x = layers[0](x, ids)"},
	{name: "endless recursion", old: "return scale(x, factor: times)", new: "return double(x)"},

	// Statements.
	{name: "axes that do not regroup", old: "ids as [b*s]) as [b, s, F]", new: "ids as [b*s]) as [b, s, D]"},
	{name: "wrong result", old: "return add(linear(f, back), a)", new: "return f"},
	{name: "wrong number of results", old: "return linear(last(x), head, dtype: f32)", new: "return linear(last(x), head, dtype: f32), x"},
	{name: "no return", old: "    return add(linear(f, back), a)\n", new: ""},
	{name: "statement behind return", old: "    return add(linear(f, back), a)\n", new: "    return a\n    f = a\n"},
	{name: "wrong number of names", old: "f = ffn(", new: "f, g = ffn("},
	{name: "assignment to a weight", old: "    a = add(", new: "    wb = q\n    a = add("},
	{name: "assignment to a size", old: "    a = add(", new: "    D = q\n    a = add("},
	{name: "static value without let", old: "    a = add(", new: "    n = D / 2\n    a = add("},
	{name: "arithmetic on tensors", old: "a = add(linear(q, wb), x)", new: "a = linear(q, wb) + x"},
	{name: "condition on a tensor", old: "when decode {", new: "when q {"},
	{name: "condition that is a number", old: "when decode {", new: "when D {"},
	{name: "static operand", old: "a = add(linear(q, wb), x)", new: "a = add(linear(q, wb), 1)"},
	{name: "trace of a parameter", old: `trace "attn" = a`, new: `trace "attn" = x`},
	{name: "trace twice", old: `trace "attn" = a`, new: "trace \"attn\" = a\n    trace \"mix\" = a"},
	{name: "trace name twice", old: `trace "layers.{l}" = x`, new: `trace "layers" = x`},
	{name: "unknown name in a trace", old: `"layers.{l}"`, new: `"layers.{i}"`},
	{name: "division by zero", old: "let window = r == 0 ? 16 : r", new: "let window = 16 / (r - r)"},
	{name: "no choice", old: "r == 0 ? 16 : r", new: "r ? 16 : r"},
	{name: "overflow", old: "let window = r == 0 ? 16 : r", new: "let window = 1000000 * 1000000 * 1000000"},
	{name: "negative axis", old: "weight norm bf16[Q]", new: "weight norm bf16[Q - 2 * Q]"},
	{name: "negative number in a size", old: "ring_write(seen, q, window: window)", new: "take(seen, n: p - (0 - 4))"},
	{name: "negative size", old: "ring_write(seen, q, window: window)", new: "take(seen, n: 0 - 4)"},
	{name: "broken escape", old: `trace "attn"`, new: `trace "att\q"`},
	{name: "endless text", old: "  let window = r", new: longSums + "  let window = r"},
	{name: "endless work", old: "  for l < L {", new: "  for i < 4096 {\n    for j < 4096 {\n      x = add(x, x)\n    }\n  }\n  for l < L {"},
	{name: "long loop", old: "for l < L {", new: "for l < 5000 {"},
	{name: "loop without a fixed bound", old: "for l < L {", new: "for l < s {"},

	{name: "minimum of a fraction", old: "let window = r == 0 ? 16 : r", new: "let window = min(r, 1.5)"},
	{name: "minimum of one", old: "let window = r == 0 ? 16 : r", new: "let window = min(r)"},
	{name: "huge number", old: "scale: 1.5", new: "scale: 1e999"},
	{name: "power out of range", old: "scale: 1.5", new: "scale: 10 ^ 400"},
	{name: "comparison of kinds", old: "let window = r == 0 ?", new: "let window = r == \"full\" ?"},
	{name: "sum of kinds", old: "scale: 1.5", new: "scale: 1.5 + true"},
	{name: "axis that is no integer", old: "weight norm bf16[Q]", new: "weight norm bf16[Q * 0.5]"},
	{name: "list as an attribute", old: "scale: 1.5", new: "scale: r"},
	{name: "number as a list", old: "hash: l < keep", new: "hash: keep[l] == 1"},
	{name: "element outside the list", old: "block(r[l],", new: "block(r[l + 1],"},
	{name: "initial value of a state", old: "Q] = 0", new: "Q] = true"},
	{name: "op among declarations", old: "let window = r == 0 ? 16 : r", new: "let window = last(r)"},

	// The configuration.
	{name: "rule for a computed value", old: "M = 2 * Q", new: "M = 2 * Q  at most D"},
	{name: "computed value that is not fixed", old: "M = 2 * Q", new: "M = 2 * p"},
	{name: "bound that makes no sense", old: "multiple of 64", new: "multiple of 0"},
	{name: "rule that is not for fractions", old: "float              at least 1", new: "float              divides 1"},
	{name: "default that is no number", old: "default 4", new: "default \"four\""},
	{name: "default against expectation", old: `default "silu"`, new: `default "gelu"`},
	{name: "another architecture", json: true, old: `"tiny",`, new: `"tiny_v2", "draft_size": 3, "experts": 0,`},
	{name: "no architecture", json: true, old: `"model_type"`, new: `"model_typ"`},
	{name: "refused key", json: true, old: `"rank": 128,`, new: `"rank": 128, "draft_size": 3,`},
	{name: "missing key", json: true, old: `  "inner": 128,` + "\n", new: ""},
	{name: "misspelt key", json: true, old: `"hidden_size"`, new: `"hiddensize"`},
	{name: "missing nested key", json: true, old: `{"eps": 1e-06}`, new: `{"epsilon": 1e-06}`},
	{name: "string for a number", json: true, old: `"rank": 128`, new: `"rank": "128"`},
	{name: "fraction for an integer", json: true, old: `"rank": 128`, new: `"rank": 128.5`},
	{name: "negative size", json: true, old: `"rank": 128`, new: `"rank": -128`},
	{name: "huge size", json: true, old: `"vocab_size": 512`, new: `"vocab_size": 5000000000`},
	{name: "not a divisor", json: true, old: `"inner": 128`, new: `"inner": 100`},
	{name: "not a multiple", json: true, old: `"hidden_size": 256`, new: `"hidden_size": 250`},
	{name: "too large", json: true, old: `"rank": 128`, new: `"rank": 512`},
	{name: "not a power of two", json: true, old: `"rank": 128`, new: `"rank": 128, "experts": 6`},
	{name: "number too small", json: true, old: `"theta": 10000`, new: `"theta": 0.5`},
	{name: "number that must be positive", json: true, old: "1e-06", new: "0"},
	{name: "list of the wrong length", json: true, old: "[0, 4, 4]", new: "[0, 4]"},
	{name: "no list", json: true, old: "[0, 4, 4]", new: "4"},
	{name: "unknown element", json: true, old: "[0, 4, 4]", new: "[0, 4, 5]"},
	{name: "unexpected value", json: true, old: "[128, 128]", new: "[64, 64]"},
	{name: "duplicate key", json: true, old: `"rank": 128`, new: `"rank": 128, "theta": 1`},
	{name: "no JSON", json: true, old: `"rank": 128,`, new: `"rank": 128`},
	{name: "no object", json: true, old: "{\n", new: "[{\n"},
	{name: "two wrong values", json: true, old: `"rank": 128,`, new: `"rank": 0, "experts": 0,`, several: true},
}
