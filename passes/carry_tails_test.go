package passes_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// residual is a model for one of two ranks: BODY is that of its layers.
const residual = `module m from "m.flag"
dims D=32 F=64
mesh tp=2

params layer at layers.0, layers.1, layers.2 {
  weight norm: bf16[D] from "norm"
  weight up:   bf16[F|2, D] from "up"
  weight down: bf16[D, F|2] from "down"
}

params main {
  weight head: bf16[D, D] from "head"
}

func layer.prefill(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses layer {
  BODY
}

func layer.decode(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses layer {
  BODY
}

func main.prefill(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses main {
  %a = call layer.prefill %x at layers.0 : bf16[b, s, D] !"layers.0.out"
  %b = call layer.prefill %a at layers.1 : bf16[b, s, D]
  %c = call layer.prefill %b at layers.2 : bf16[b, s, D]
  %y = linear %c, $head : bf16[b, s, D]
  return %y
}

func main.decode(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses main {
  %a = call layer.decode %x at layers.0 : bf16[b, s, D] !"layers.0.out"
  %b = call layer.decode %a at layers.1 : bf16[b, s, D]
  %c = call layer.decode %b at layers.2 : bf16[b, s, D]
  %y = linear %c, $head : bf16[b, s, D]
  return %y
}
`

// layerBody reads its argument by FIRST, which yields %h, and ends in LAST, which reads a sum over ranks.
const layerBody = `FIRST
  %inner = linear %h, $up : bf16[b, s, F|2]
  %part = linear %inner, $down : bf16[b, s, D] partial
  %sum = all_reduce %part : bf16[b, s, D]
  LAST`

// withLayers is residual with layers that begin and end so.
func withLayers(t *testing.T, first, last string) *ir.Module {
	body := strings.NewReplacer("FIRST", first, "LAST", strings.ReplaceAll(last, "; ", "\n  ")).Replace(layerBody)
	m, err := ir.ParseModule(strings.ReplaceAll(residual, "BODY", body), "residual.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	return m
}

const (
	beginning = "%h = rms_norm %x, $norm {eps=1e-06} : bf16[b, s, D]"
	ending    = `%half = scale %sum {factor=0.5} : bf16[b, s, D] !"half"; %out = add %half, %x : bf16[b, s, D]; return %out`
)

// carry runs the pass, and reports whether it changed the module.
func carry(t *testing.T, m *ir.Module) bool {
	pass, ok := passes.Find("carry-tails")
	require.True(t, ok)
	before := m.String()
	require.NoError(t, pass.Run(m, passes.Options{Target: targets.CPU}))
	require.NoError(t, m.Verify())
	return m.String() != before
}

// TestCarryTails shows what becomes of layers that end in an addition to what they were given: the first has a version
// of its own, the last leaves the addition to the head's launch, and what is recorded keeps its names.
func TestCarryTails(t *testing.T) {
	m := withLayers(t, beginning, ending)
	require.True(t, carry(t, m))
	golden.Check(t, "testdata/carry-tails/residual.ir", m.String())
	launches := func(m *ir.Module) []int {
		_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: 2}, "fuse")
		require.NoError(t, err)
		var out []int
		for _, e := range passes.CountLaunches(m).Entries {
			out = append(out, e.Launches)
		}
		return out
	}
	require.Equal(t, []int{3*4 + 1, 3*2 + 1}, launches(m))
}

// TestTailsThatStay holds when a layer keeps its last launch.
func TestTailsThatStay(t *testing.T) {
	for why, m := range map[string]*ir.Module{
		"it reads a weight of the layer": withLayers(t, beginning, "%out = mul %sum, $norm : bf16[b, s, D]; return %out"),
		"the layer yields more of it": withLayers(t, beginning, `%out = add %sum, %x : bf16[b, s, D]; %q = act_quant %out {block=32} : fp8<1x32>[b, s, D]; `+
			`%z = linear %q, $up : bf16[b, s, F|2]; return %out`),
		"the launch computes what nothing reads": withLayers(t, beginning, `%out = add %sum, %x : bf16[b, s, D]; `+
			`%unread = head_norm %sum {eps=1e-06} : bf16[b, s, D]; return %out`),
		"the sum is the result": withLayers(t, beginning, "return %sum"),
	} {
		require.False(t, carry(t, m), why)
	}
	one := elaborate(t, "deepseek-v4-nano")
	require.False(t, carry(t, one), "on one rank hc_post is in the launch of the experts")
}

// TestCarriedValuesKeepTheirNames compares what main records of the built-in model, layer by layer.
func TestCarriedValuesKeepTheirNames(t *testing.T) {
	names := func(after string) []string {
		m := elaborate(t, "deepseek-v4-nano")
		_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: 4}, after)
		require.NoError(t, err)
		var out []string
		var collect func(f *ir.Func, at string)
		collect = func(f *ir.Func, at string) {
			for _, in := range f.Body {
				for _, trace := range in.Traced() {
					out = append(out, ir.Join(at, trace.Name))
				}
				if in.Callee != nil {
					collect(in.Callee, ir.Join(at, in.At))
				}
			}
		}
		collect(m.Func("main.decode"), "")
		slices.Sort(out)
		return out
	}
	before := names("shard")
	require.Contains(t, before, "layers.2.ffn")
	require.Equal(t, before, names("carry-tails"))
}
