package ir_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/ir/ops"
)

// breach is an edit of the small module that breaks one invariant.
type breach struct {
	label, old, new, message string
}

// breaches name, for each invariant, texts that parse and must not verify.
var breaches = []breach{
	{"type1", ": bf16[b, s, D]     @13", ": bf16[b, s, F]     @13", "result %y is bf16[b, s, F=64], but the op yields bf16[b, s, D=128]"},
	{"type1", "%y  = rms_norm %x, $norm {eps=1e-06}  ", "%y = linear %x, $experts.w1 ", "yields"},
	{"type1", "act_quant %y {block=128}", "act_quant %y {block=96}", "axis D = 128 is not a multiple of the block 96"},
	{"type1", "linear %q, $proj", "linear %q", "linear takes 2 operands (x, w), 1 given"},
	{"type1", "rms_norm %x, $norm", "rms_norm %ids, $norm", "operand x of rms_norm must be float, but %ids is i32[b*s, k]"},
	{"attr1", "rms_norm %x, $norm {eps=1e-06}", "rms_norm %x, $norm", "rms_norm needs the attribute eps"},
	{"state1", "  &kv <- %kv\n", "", "state &kv is updated by"},
	{"state1", "&kv <- %kv", "&kv <- &kv", "consumed"},
	{"state2", "&kv <- %kv", "&score <- %kv", "state &score leaves as bf16"},
	{"call1", "%x, %slots at layers.0", "%x, %slots at layers.7", `parameter set block has no instance "layers.7"`},
	{"call1", "call block.prefill %x, %slots at layers.0", "call block.prefill %x at layers.0", "takes 2 values"},
	{"call1", "call block.prefill %x, %slots at layers.0", "call main.prefill %ids, %slots at layers.0", "cannot call"},
	{"call1", "block.prefill %x.1, %slots", "block.prefill %slots, %slots", "operand 0 must be bf16"},
	{"call2", "at layers.1 : ", "at layers.0 : ", `the instance "layers.0" is called twice`},
	{"param1", `from "proj.weight"`, `from "norm.weight"`, "tensor layers.0.norm.weight is declared twice"},
	{"ret1", "return %p", "return %q", "returns %q of type fp8<1x128>"},
	{"ret1", "return %p", "return %p, %p", "returns 2 values, declares 1"},
}

func TestVerifyNamesTheBrokenInvariant(t *testing.T) {
	for _, b := range breaches {
		t.Run(b.label+" "+b.new, func(t *testing.T) {
			require.Contains(t, small, b.old)
			m, err := ir.ParseModule(strings.Replace(small, b.old, b.new, 1), "tiny.ir", ops.All)
			require.NoError(t, err)
			err = m.Verify()
			require.ErrorContains(t, err, b.message)
			require.Contains(t, labels(err), b.label)
		})
	}
}

// split is the program of one of four ranks.
const split = `module split from "split.flag"
dims D=128 H=8 E=4 V=64 k=2
mesh tp=4

params main {
  weight embed: bf16[V|4, D] from "embed.weight"
  weight wq:    bf16[H|4, D] from "wq.weight"
  weight wo:    bf16[D, H|4] from "wo.weight"
  weight w1:    bf16[E|4, D, D] from "experts.*.w1.weight"
  weight norm:  bf16[D] from "norm.weight"
}

func main.prefill(%ids: i32[s], %chosen: i32[s, k]) -> (bf16[s, D], bf16[s, H]) uses main {
  %e = embedding %ids, $embed           : bf16[s, D] partial(one)
  %x = all_reduce %e                    : bf16[s, D]
  %q = linear %x, $wq                   : bf16[s, H|4]
  %g = all_gather %q {axis=1}           : bf16[s, H]
  %o = linear %q, $wo                   : bf16[s, D] partial
  %y = all_reduce %o                    : bf16[s, D]
  %h = expert_linear %y, %chosen, $w1   : bf16[s, k, D] partial(one)
  %z = sum_slots %h                     : f32[s, D] partial
  %r = all_reduce %z                    : f32[s, D]
  %c = cast %r {dtype="bf16"}           : bf16[s, D]
  return %c, %g
}
`

func TestSplitAxesAndPartialSums(t *testing.T) {
	m, err := ir.ParseModule(split, "split.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	again, err := ir.ParseModule(m.String(), "split.ir", ops.All)
	require.NoError(t, err)
	require.Equal(t, m.String(), again.String())
	require.Equal(t, []int{64, 128}, m.Params[0].Weight("embed").Stored(), "the checkpoint holds the whole")
	for _, b := range []struct{ old, new, message string }{
		{"%x = all_reduce %e ", "%x = rms_norm %e, $norm {eps=1e-06} ", "rms_norm cannot take %e, which is partial(one)"},
		{"%x = all_reduce %e ", "%x = rms_norm %q1, $norm {eps=1e-06} ", "value %q1 is not defined"},
		{"%g = all_gather %q {axis=1}           : bf16[s, H]", "%g = hadamard %q : bf16[s, H|4]", "hadamard needs axis k (H) whole, but it is split into 4"},
		{"%g = all_gather %q {axis=1} ", "%g = all_gather %q {axis=0} ", "axis 0 of bf16[s, H|4] is not split"},
		{"%y = all_reduce %o ", "%y = all_reduce %x ", "%x is no part of a sum"},
		{"bf16[s, D] partial\n", "bf16[s, D]\n", "but the op yields bf16[s, D=128] partial"},
		{"%h = expert_linear %y, ", "%h = expert_linear %o, ", "expert_linear cannot take %o, which is partial"},
		{"$wo                   : bf16[s, D] partial", "$wq : bf16[s, H|4] partial", "axis k of %q is H|4 = 2, but $wq has k = D = 128"},
	} {
		text := strings.Replace(split, strings.ReplaceAll(b.old, "\\n", "\n"), strings.ReplaceAll(b.new, "\\n", "\n"), 1)
		require.NotEqual(t, split, text, b.old)
		m, err := ir.ParseModule(text, "split.ir", ops.All)
		if err == nil {
			err = m.Verify()
		}
		require.ErrorContains(t, err, b.message)
	}
	_, err = ir.ParseModule(strings.Replace(split, "H|4, D", "H|1, D", 1), "split.ir", ops.All)
	require.ErrorContains(t, err, "split into 2 parts or more")
}

// TestVerifyOrderOfDefinitions builds what text cannot express: a use before its definition and a name used twice.
func TestVerifyOrderOfDefinitions(t *testing.T) {
	m, err := ir.ParseModule(small, "tiny.ir", ops.All)
	require.NoError(t, err)
	f := m.Func("block.prefill")
	f.Body[0], f.Body[1] = f.Body[1], f.Body[0]
	err = m.Verify()
	require.ErrorContains(t, err, "%y is used before it is defined")
	require.Contains(t, labels(err), "ssa1")

	f.Body[0], f.Body[1] = f.Body[1], f.Body[0]
	f.Body[1].Results[0].Name = "y"
	err = m.Verify()
	require.ErrorContains(t, err, "the name %y is used twice")
	require.Contains(t, labels(err), "ssa2")
}

// badTexts are texts that must not parse, each with its message.
var badTexts = []struct{ old, new, message string }{
	{"module tiny", "modul tiny", `tiny.ir:1:1: expected "module", found "modul"`},
	{"rms_norm", "rms_nrm", "unknown op rms_nrm (did you mean rms_norm?)"},
	{"%q, $proj", "%qq, $proj", "value %qq is not defined before its use"},
	{"$norm {", "$nrm {", "parameter set block has no weight nrm"},
	{"&kv, %r", "&kw, %r", "parameter set block has no state kw"},
	{"uses block", "uses blck", "unknown parameter set"},
	{"{block=128}", "{blok=128}", "act_quant has no attribute blok"},
	{"{block=128}", "{block=x}", "expected an integer"},
	{"call block.prefill %x,", "call blck.prefill %x,", "no function blck.prefill in this module"},
	{"func main.prefill", "func main", "ends neither in .prefill nor in .decode"},
	{"fp4<1x32>", "fp4<1y32>", "expected x and the columns of a scale block"},
	{"fp4<1x32>", "fp4<1x0>", "at least one row and one column"},
	{"bf16[D] from", "bf17[D] from", "unknown number format"},
	{"W+m/4, D] = 0", "W+m/0, D] = 0", "has no known size"},
	{"%r  = rope", "%q = rope", "value %q is defined twice"},
	{"k=2]) -> (bf16[b, s, D]) uses block", "k=99999999999999]) -> (bf16[b, s, D]) uses block", "out of range"},
	{"V=512", "V=s", "no positive constant"},
	{"dims D=128", "dims D=128 D=1", "size D is defined twice"},
	{"return %x.2\n}", "return %x.2\n", `expected "}"`},
}

func TestParseErrorsSayWhatWasExpected(t *testing.T) {
	for _, b := range badTexts {
		t.Run(b.new, func(t *testing.T) {
			require.Contains(t, small, b.old)
			_, err := ir.ParseModule(strings.Replace(small, b.old, b.new, 1), "tiny.ir", ops.All)
			require.ErrorContains(t, err, b.message)
		})
	}
}

// labels collects the labels of all diagnostics of an error.
func labels(err error) []string {
	var out []string
	for _, d := range diag.All(err) {
		out = append(out, d.Label)
	}
	return out
}

func FuzzParseModule(f *testing.F) {
	f.Add(small)
	f.Add(split)
	f.Add(cut)
	for _, b := range badTexts {
		f.Add(strings.Replace(small, b.old, b.new, 1))
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ir.ParseModule(text, "fuzz.ir", ops.All)
		if err != nil {
			return
		}
		_ = m.Verify() // must not panic on any module that parses
		printed := m.String()
		again, err := ir.ParseModule(printed, "fuzz.ir", ops.All)
		require.NoError(t, err, printed)
		require.Equal(t, printed, again.String())
	})
}
