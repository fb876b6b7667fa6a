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
	for style, want := range map[string]string{
		unified: `- after one
+ after two

params main
- weight w: fp8<1x1>[D] from "w"
+ weight w: bf16[D] from "w"

func main.decode
- %q = act_quant %x : fp8<1x1>[D] @3
- %y = mul %q, $w : bf16[D] @4
+ %y = mul %x, $w : bf16[D] @4
`,
		sideBySide: `after one              after two

params main
weight w:            | weight w: bf16[D]
    fp8<1x1>[D] from |     from "w"
    "w"              |

func main.decode
%q = act_quant %x :  <
    fp8<1x1>[D] @3   <
%y = mul %q, $w :    | %y = mul %x, $w :
    bf16[D] @4       |     bf16[D] @4
`,
	} {
		var out strings.Builder
		require.True(t, diffIR(newDiff(&out, style, 43, "one", "two"), sections(before), sections(after)))
		require.Equal(t, want, out.String())
		out.Reset()
		show := newDiff(&out, style, 43, "one", "two")
		out.Reset()
		require.False(t, diffIR(show, sections(before), sections(before)))
		require.Empty(t, out.String())
	}
}

// TestPairsOfLines pairs a launch with the op whose result it has, and prefers a line that defines the same.
func TestPairsOfLines(t *testing.T) {
	old := []string{"%a = mul %x, %x", "%b = mul %a, %a", "%c = mul %b, %b", "%d = mul %c, %c", "return %d"}
	new := []string{"%b, %c = launch k %x", "%c = mul %b, %b", "%e = launch l %c", "return %e"}
	require.Equal(t, []pair{{0, -1}, {1, 0}, {2, 1}, {3, -1}, {-1, 2}, {4, 3}},
		align(len(old), len(new), related(old, new)))
}

func TestWrap(t *testing.T) {
	require.Equal(t, []string{""}, wrap("", 10))
	require.Equal(t, []string{"one two", "    three", "    longer", "    than", "    ten"}, wrap("one two three longer than ten", 10))
	require.Equal(t, []string{"%y = f %x :", "    bf16[b, s]", "    @3"}, wrap("%y = f %x : bf16[b, s] @3", 14))
	require.Equal(t, []string{"0123456789", "    abcdef", "    ghi"}, wrap("0123456789abcdefghi", 10))
}
