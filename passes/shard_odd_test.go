package passes_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// odd are graphs in which a weight's axis, though it could be split alone, meets something whole: what is split of
// each, of two ranks.
var odd = []struct {
	name, text string
	split      []string
}{
	{"one projection of a pair is also normalised, which needs it whole", `
  weight w1: bf16[F, D] from "w1"
  weight w2: bf16[F, D] from "w2"
  weight w3: bf16[D, F] from "w3"
  weight w4: bf16[F] from "w4"
}
func main.prefill(%x: bf16[b, s, D]) -> (bf16[b, s, D], bf16[b, s, F]) uses main {
  %gate = linear %x, $w1                 : bf16[b, s, F]
  %up   = linear %x, $w2                 : bf16[b, s, F]
  %y    = swiglu %gate, %up {limit=10}   : f32[b, s, F]
  %c    = cast %y {dtype="bf16"}         : bf16[b, s, F]
  %z    = linear %c, $w3                 : bf16[b, s, D]
  %n    = rms_norm %up, $w4 {eps=1e-06}  : bf16[b, s, F]
  return %z, %n
`, []string{"w3"}},
	{"groups of a value that no weight has made", `
  weight wg: bf16[G, R, D] from "wg"
  weight wo: bf16[D, G*R] from "wo"
}
func main.prefill(%x: bf16[b, s, G, D]) -> (bf16[b, s, D]) uses main {
  %m = grouped_linear %x, $wg : bf16[b, s, G, R]
  %v = view %m                : bf16[b, s, G*R]
  %y = linear %v, $wo         : bf16[b, s, D]
  return %y
`, []string{"wo"}},
	{"a weight that multiplies a split value, and then a whole one", `
  weight w1: bf16[F, D] from "w1"
  weight w2: bf16[D, F] from "w2"
}
func main.prefill(%x: bf16[b, s, D], %f: bf16[b, s, F]) -> (bf16[b, s, D], bf16[b, s, D]) uses main {
  %h = linear %x, $w1 : bf16[b, s, F]
  %y = linear %h, $w2 : bf16[b, s, D]
  %z = linear %f, $w2 : bf16[b, s, D]
  return %y, %z
`, nil},
	{"a weight that multiplies a whole value, and then a split one", `
  weight w1: bf16[F, D] from "w1"
  weight w2: bf16[D, F] from "w2"
  weight w5: bf16[F, D] from "w5"
  weight w6: bf16[D, F] from "w6"
}
func main.prefill(%x: bf16[b, s, D], %f: bf16[b, s, F]) -> (bf16[b, s, D], bf16[b, s, D], bf16[b, s, D]) uses main {
  %n = head_norm %x {eps=1e-06} : bf16[b, s, D]
  %z = linear %f, $w2   : bf16[b, s, D]
  %a = head_norm %z {eps=1e-06} : bf16[b, s, D]
  %h = linear %n, $w1   : bf16[b, s, F]
  %y = linear %h, $w2   : bf16[b, s, D]
  %b = head_norm %y {eps=1e-06} : bf16[b, s, D]
  %k = linear %n, $w5   : bf16[b, s, F]
  %l = linear %k, $w6   : bf16[b, s, D]
  return %a, %b, %l
`, []string{"w5", "w6"}},
	{"two axes of one result", `
  weight w1: bf16[H, d, D] from "w1"
  weight w2: bf16[F, d] from "w2"
}
func main.prefill(%x: bf16[b, s, D]) -> (bf16[b, s, H, F]) uses main {
  %h = linear %x, $w1 : bf16[b, s, H, d]
  %y = linear %h, $w2 : bf16[b, s, H, F]
  return %y
`, []string{"w1"}},
	{"a quantised value of which each rank has some elements", `
  weight table: i32[V, k] from "table.below4"
  weight w1: bf16[E, D, D] from "w1.*"
  weight w2: bf16[F, D] from "w2"
}
func main.prefill(%x: bf16[b*s, D], %ids: i32[b*s]) -> (bf16[b*s, k, F]) uses main {
  %c = hash_experts %ids, $table         : i32[b*s, k]
  %h = expert_linear %x, %c, $w1         : bf16[b*s, k, D]
  %q = act_quant %h {block=32}           : fp8<1x32>[b*s, k, D]
  %n = linear %q, $w2                    : bf16[b*s, k, F]
  %m = head_norm %n {eps=1e-06}          : bf16[b*s, k, F]
  return %m
`, nil},
}

// TestShardLeavesWholeWhatMeetsWholeValues holds what stays whole, and that every value is as it was.
func TestShardLeavesWholeWhatMeetsWholeValues(t *testing.T) {
	opts := passes.Options{Target: targets.CPU, Precision: targets.PolicyNative, TP: 2, Pairs: passes.Split, Scores: passes.Split}
	for _, o := range odd {
		t.Run(o.name, func(t *testing.T) {
			text := "module odd from \"odd.flag\"\ndims D=32 F=64 G=2 R=8 H=4 d=8 E=4 V=8 k=2\nparams main {" + o.text + "}\n"
			m, err := ir.ParseModule(text, "odd.ir", ops.All)
			require.NoError(t, err)
			shard, _ := passes.Find("shard")
			if p := walk(m, 1, []step{{shard, opts}}, map[string]int{}); p != nil {
				t.Fatal(p)
			}
			require.NoError(t, shard.Run(m, opts))
			var split []string
			for _, w := range m.Params[0].Weights {
				if w.Value.Type.IsSplit() {
					split = append(split, w.Value.Name)
				}
			}
			require.Equal(t, o.split, split)
		})
	}
}

// recast is a projection whose FP4 rows may be split anywhere, and whose FP8 rows may not.
const recast = `module recast from "recast.flag"
dims D=32 F=128
params main {
  weight w1: fp4<1x32>[F, D] from "w1"
  weight w2: bf16[D, F] from "w2"
}
func main.prefill(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses main {
  %h = linear %x, $w1 : bf16[b, s, F]
  %y = linear %h, $w2 : bf16[b, s, D]
  return %y
}
`

// TestPartsHoldWholeBlocksOfWhatIsKept splits a weight that the precision policy has given larger scale blocks than
// the checkpoint has.
func TestPartsHoldWholeBlocksOfWhatIsKept(t *testing.T) {
	opts := passes.Options{Target: targets.CPU, Precision: targets.PolicyNative, TP: 2, Pairs: passes.Split}
	m, err := ir.ParseModule(recast, "recast.ir", ops.All)
	require.NoError(t, err)
	n := m.Clone()
	_, err = passes.Run(m, opts, "shard")
	require.NoError(t, err)
	require.True(t, m.Params[0].Weights[0].Value.Type.IsSplit())

	lower, _ := passes.Find("lower-precision")
	opts.Precision = targets.PolicyFP8
	before := m.String()
	require.ErrorContains(t, lower.Run(m, opts), "$w1 is split over ranks already")
	require.Equal(t, before, m.String())

	_, err = passes.Run(n, opts, "shard")
	require.ErrorContains(t, err, "a part of w1 has 64 of 128 rows, no multiple of its scale block of 128")
}

// TestShardRefusesAnotherNumberOfRanks holds that a rank's program is not split again: with its own number of ranks, or
// none, nothing changes.
func TestShardRefusesAnotherNumberOfRanks(t *testing.T) {
	m := elaborate(t, "deepseek-v4-nano")
	_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: 4}, "shard")
	require.NoError(t, err)
	pass, _ := passes.Find("shard")
	before := m.String()
	for _, tp := range []int{0, 1, 4, 8} {
		_, err := passes.Apply(m, passes.Options{Target: targets.CPU, TP: tp}, []passes.Pass{pass})
		if tp == 8 {
			require.ErrorContains(t, err, "the program of one of 4 ranks already (mesh tp=4), not of 8")
		} else {
			require.NoError(t, err)
		}
		require.Equal(t, before, m.String())
	}
}
