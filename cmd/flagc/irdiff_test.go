package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiffIR(t *testing.T) {
	before := `module m from "m.flag"
dims D=4

params main {
  weight w:   fp8<1x1>[D] from "w"
  weight out: bf16[D] from "out"
}

# A doc.
func main.decode(%x: bf16[D]) -> (bf16[D]) uses main {
  %q = act_quant %x  : fp8<1x1>[D]   @3
  %y = mul %q, $w    : bf16[D]       @4
  %z = mul %y, $out  : bf16[D]       @5
  return %z
}
`
	after := strings.NewReplacer("fp8<1x1>[D] from", "bf16[D] from", "  %q = act_quant %x  : fp8<1x1>[D]   @3\n", "",
		"mul %q,", "mul %x,", "%z = mul %y, $out  :", "%z = mul %y, $out :").Replace(before)
	var out strings.Builder
	require.True(t, diffIR(&out, before, after))
	require.Equal(t, `
params main
- weight w: fp8<1x1>[D] from "w"
+ weight w: bf16[D] from "w"

func main.decode
- %q = act_quant %x : fp8<1x1>[D] @3
- %y = mul %q, $w : bf16[D] @4
+ %y = mul %x, $w : bf16[D] @4
`, out.String())
	out.Reset()
	require.False(t, diffIR(&out, before, before))
	require.Empty(t, out.String())
}
