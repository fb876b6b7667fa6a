package ir_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
)

// small is a module with every syntactic form: constants and symbolic axes, scale blocks, many-tensor weights, states,
// attributes of every kind, an absent operand, calls, updates, traces, documentation and lines.
const small = `module tiny from "tiny.flag"
dims D=128 E=4 F=64 W=8 hc=4

params block at layers.0, layers.1 {
  weight norm:       bf16[D] from "norm.weight" @3
  weight experts.w1: fp4<1x32>[E, F, D] from "experts.*.w1.weight" @4
  weight proj:       fp8<128x128>[D, D] from "proj.weight" in fp4<1x32> @5
  state kv:          bf16[b, W+m/4, D] = 0 @6
  state score:       f32[b, 8, 2*D] = -inf @7
}

params main {
  weight embed: bf16[V=512, D] from "embed.weight" @9
}

# One block.
# With two lines of explanation.
func block.prefill(%x: bf16[b, s, D], %ids: i32[b*s, k=2]) -> (bf16[b, s, D]) uses block @12 {
  %y  = rms_norm %x, $norm {eps=1e-06}                                 : bf16[b, s, D]     @13 !"norm"
  %q  = act_quant %y {block=128}                                       : fp8<1x128>[b, s, D] @14
  %r  = rope %y {first=p, step=1, inverse=true, dims=64, theta=10000, factor=1, original=0, beta_fast=0, beta_slow=0} : bf16[b, s, D] @15
  %p  = linear %q, $proj {dtype="bf16"}                                : bf16[b, s, D]
  %kv = ring_write &kv, %r {window=8}                                  : bf16[b, W+m/4, D] @16
  &kv <- %kv
  return %p
}

func main.prefill(%ids: i32[b, s], %slots: i32[b*s, k=2]) -> (bf16[b, s, D]) uses main @20 {
  %x   = embedding %ids, $embed                    : bf16[b, s, D] @21
  %x.1 = call block.prefill %x, %slots at layers.0 : bf16[b, s, D] @22
  %x.2 = call block.prefill %x.1, %slots at layers.1 : bf16[b, s, D] @22 !"out"
  return %x.2
}
`

func TestTextRoundTrips(t *testing.T) {
	m, err := ir.ParseModule(small, "tiny.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	text := m.String()
	again, err := ir.ParseModule(text, "tiny.ir", ops.All)
	require.NoError(t, err)
	require.Equal(t, text, again.String())
}

// silent calls a function that returns nothing.
const silent = `module silent from "silent.flag"

params layer at layers.0 {
}

params main {
}

func layer.prefill(%x: bf16[b, s]) -> () uses layer {
  return
}

func main.prefill(%x: bf16[b, s]) -> (bf16[b, s]) uses main {
  call layer.prefill %x at layers.0 :
  return %x
}
`

func TestCallsWithoutResultsRoundTrip(t *testing.T) {
	m, err := ir.ParseModule(silent, "silent.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	require.Equal(t, silent, m.String())
}

func TestFactorsCancel(t *testing.T) {
	rows := ir.Sym("b").Mul(ir.Sym("s"))
	for want, size := range map[string]ir.Size{
		"b*s":     rows.Mul(ir.Const(8)).Div(ir.Const(8)),
		"b*s*4":   rows.Mul(ir.Const(8)).Div(ir.Const(2)),
		"b*s*8/3": rows.Mul(ir.Const(8)).Div(ir.Const(3)),
		"b*s/8":   rows.Div(ir.Const(8)),
	} {
		require.Equal(t, want, size.String())
	}
}

func TestSumsOfConstantsReadBack(t *testing.T) {
	size := ir.Const(8).Add(ir.Const(8).Add(ir.Sym("s")))
	read, err := ir.ParseSize(size.String(), nil)
	require.NoError(t, err)
	require.Equal(t, "16+s", size.String())
	require.True(t, read.Equal(size))
}
