package ir_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
)

// cut is a module with two kernels, one of which updates a state.
const cut = `module cut from "cut.flag"
dims D=128 W=8

params block at layers.0, layers.1 {
  weight norm: bf16[D] from "norm.weight"
  weight proj: bf16[D, D] from "proj.weight"
  state kv:    bf16[b, W, D] = 0
}

kernel proj.decode(%x: bf16[b, s, D], $norm: bf16[D], $proj: bf16[D, D]) -> (bf16[b, s, D], bf16[b, s, D]) anchor %p {
  %y = rms_norm %x, $norm {eps=1e-06} : bf16[b, s, D] @3
  %p = linear %y, $proj               : bf16[b, s, D] @4
  return %y, %p
}

kernel ring_write.decode(&kv: bf16[b, W, D], %p: bf16[b, s, D]) -> (bf16[b, W, D]) anchor %new {
  %new = ring_write &kv, %p {window=8} : bf16[b, W, D] @5
  return %new
}

func block.decode(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses block {
  %n, %q = launch proj.decode %x, $norm, $proj : bf16[b, s, D], bf16[b, s, D] @4 !"norm" !"proj"=%q !"again"=%n
  %kv    = launch ring_write.decode &kv, %q    : bf16[b, W, D]                @5
  &kv <- %kv
  return %q
}
`

func TestKernelsReadBackAndInline(t *testing.T) {
	m, err := ir.ParseModule(cut, "cut.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	again, err := ir.ParseModule(m.String(), "cut.ir", ops.All)
	require.NoError(t, err)
	require.Equal(t, m.String(), again.String())
	require.Equal(t, m.String(), m.Clone().String())
	require.Equal(t, map[int]int{0: 0}, m.Kernels[1].Replaces())

	offered := strings.Replace(cut, "func block.decode", `kernel norm.decode(%x: bf16[b, s, D], $norm: bf16[D]) -> (bf16[b, s, D]) anchor %y offered {
  %y = rms_norm %x, $norm {eps=1e-06} : bf16[b, s, D] @3
  return %y
}

func block.decode`, 1)
	with, err := ir.ParseModule(offered, "cut.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, with.Verify(), "callers may launch what no function does")
	require.Contains(t, with.Clone().String(), offered[strings.Index(offered, "kernel norm"):strings.Index(offered, "func block")])

	before := m.String()
	inlined := m.Inline()
	require.NoError(t, inlined.Verify())
	require.Equal(t, `func block.decode(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses block {
  %n = rms_norm %x, $norm {eps=1e-06} : bf16[b, s, D] @3 !"norm" !"again"=%n
  %q = linear %n, $proj               : bf16[b, s, D] @4 !"proj"
  %kv = ring_write &kv, %q {window=8} : bf16[b, W, D] @5
  &kv <- %kv
  return %q
}
`, inlined.Funcs[0].Print(inlined))
	for i, kernel := range []string{"proj", "proj", "ring_write"} {
		require.Equal(t, kernel, inlined.Funcs[0].Body[i].From.Kernel.Name)
	}
	require.Equal(t, before, m.String(), "the module itself stays")
}

func TestVerifyKernels(t *testing.T) {
	for _, b := range []breach{
		{"kern1", "return %y, %p", "return %x, %p", "yields its own argument %x"},
		{"kern1", `: bf16[b, s, D] @3`, `: bf16[b, s, D] @3 !"y"`, "a kernel holds ops alone"},
		{"kern3", "launch proj.decode %x, $norm, $proj", "launch proj.decode %x, $norm", "takes 3 values"},
		{"kern3", "launch proj.decode %x, $norm, $proj", "launch proj.decode %x, $norm, $norm", "operand 2 must be bf16[D=128, D=128]"},
		{"kern3", "%q    : bf16[b, W, D] ", "%q    : bf16[b, s, D] ", "result %kv must be"},
		{"kern3", "kernel ring_write.decode(&kv", "kernel ring_write.decode(%kv", "&kv cannot be the argument %kv"},
		{"kern4", "launch ring_write.decode &kv, %q    ",
			"ring_write &kv, %q {window=8} ", "kernel ring_write.decode is launched nowhere"},
		{"state1", "  &kv <- %kv\n", "", "state &kv is updated by"},
		{"state1", "return %new", "return %new, &kv", "yields &kv, which"},
		{"type1", "%p = linear %y, $proj               : bf16[b, s, D]", "%p = linear %y, $proj : bf16[b, s, W]", "but the op yields"},
		{"ret1", "return %y, %p", "return %y", "returns 1 values, declares 2"},
	} {
		t.Run(b.label+" "+b.new, func(t *testing.T) {
			require.Contains(t, cut, b.old)
			text := strings.Replace(cut, b.old, b.new, 1)
			if strings.Contains(b.new, "(%kv") {
				text = strings.Replace(text, "ring_write &kv, %p {", "ring_write %kv, %p {", 1)
			}
			m, err := ir.ParseModule(text, "cut.ir", ops.All)
			require.NoError(t, err)
			err = m.Verify()
			require.ErrorContains(t, err, b.message)
			require.Contains(t, labels(err), b.label)
		})
	}
}

func TestKernelTextErrors(t *testing.T) {
	for _, b := range []struct{ old, new, message string }{
		{"launch proj.decode", "launch prj.decode", "no kernel prj.decode stands before this launch"},
		{"anchor %p {", "anchor %x {", "%x is no first result of an instruction of kernel proj.decode"},
		{"anchor %p {", "{", `expected "anchor"`},
		{"linear %y, $proj", "linear %y, $prj", "kernel proj.decode has no argument $prj"},
		{`!"proj"=%q`, `!"proj"=%x`, "%x is no further result"},
		{`!"proj"=%q`, `!"proj"`, "needs =%result"},
		{"kernel proj.decode", "kernel proj", "ends neither in .prefill nor in .decode"},
		{"$proj: bf16", "$norm: bf16", "argument $norm is defined twice"},
	} {
		require.Contains(t, cut, b.old)
		_, err := ir.ParseModule(strings.Replace(cut, b.old, b.new, 1), "cut.ir", ops.All)
		require.ErrorContains(t, err, b.message)
	}
}
