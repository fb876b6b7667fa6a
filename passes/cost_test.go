package passes_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// lowered is the program of one rank without a plan.
func lowered(t *testing.T, model, target string, opts passes.Options) (*ir.Module, targets.Target) {
	var ok bool
	opts.Target, ok = targets.Find(target)
	require.True(t, ok)
	m := elaborate(t, model)
	require.NoError(t, passes.Lower(m, opts))
	return m, opts.Target
}

// TestDecodeReads holds the bytes of a token against what was measured on one H200 for the official layout of Flash on
// eight ranks at position 4096: 3.34 GB in checkpoint formats, of which 0.43 GB of experts and 0.02 GB of caches of a
// batch of one; 0.73 ms at the measured reading rate.
func TestDecodeReads(t *testing.T) {
	m, target := lowered(t, "deepseek-v4-flash", "h200", passes.Options{Precision: targets.PolicyW4A8, TP: 8,
		Pairs: passes.Whole, Scores: passes.Split})
	before := m.String()
	seconds, c, err := passes.DecodeTime(m, target, 1, 4097)
	require.NoError(t, err)
	require.Equal(t, before, m.String())
	require.InDelta(t, 3.34e9, c.Read(), 0.03e9) // a figure of three digits, caches counted apart
	require.InDelta(t, 0.43e9, c.Weights[0].Bytes, 0.005e9)
	require.InDelta(t, 0.73e-3, c.ReadSeconds, 0.005e-3)
	require.Equal(t, "reading rate, measured", c.RateBasis)
	require.Equal(t, c.ReadSeconds+c.MeetSeconds, seconds)

	// Experts: 6 of 256, a rank has 32 of them; the embedding: one row of which an eighth is expected here.
	expert := 3 * 2048 * 4096 * (1.0/2 + 1.0/32)
	require.Equal(t, int(math.Round(43*6*expert/8)), c.Weights[0].Bytes)
	require.Equal(t, 4096*2/8, c.Weights[2].Bytes)
	require.Equal(t, 129280*4096*2/8, c.Weights[3].Bytes)

	// Caches: the ring and listed entries of each layer, the indexer's rows, the compressors' windows. The MTP block is
	// no part of a token.
	ring, entry := 128*512*2, 512*2
	csa := ring + 512*entry + 4097/4*128*2 + 2*8*(2*512+2*128)*4
	hca := ring + 4097/128*entry + 2*128*512*4
	require.Equal(t, 2*ring+21*csa+20*hca, c.States)

	// Ranks meet after attention and after the experts in each of 43 layers, after index scores in 21, and twice in main.
	require.Equal(t, 2*43+21+2, c.Meetings)
}

// TestBatchesShareExperts holds the expected number of distinct experts, and caches per sequence.
func TestBatchesShareExperts(t *testing.T) {
	m, target := lowered(t, "deepseek-v4-flash", "h200", passes.Options{Precision: targets.PolicyW4A8})
	_, one, err := passes.DecodeTime(m, target, 1, 4097)
	require.NoError(t, err)
	_, many, err := passes.DecodeTime(m, target, 32, 4097)
	require.NoError(t, err)
	all := 43 * 256 * 3 * 2048 * 4096 * (1.0/2 + 1.0/32)
	require.Equal(t, int(math.Round(all*6/256)), one.Weights[0].Bytes)
	require.Equal(t, int(math.Round(all*(1-math.Pow(1-6.0/256, 32)))), many.Weights[0].Bytes)
	require.Equal(t, one.Weights[1], many.Weights[1])
	require.Equal(t, 32*one.States, many.States)
	require.Equal(t, 32*one.Weights[2].Bytes, many.Weights[2].Bytes)
}

// TestFlops holds two operations for each parameter that a token is multiplied with. 13.27e9 are known as active without
// the embedding; the mixing weights of hyper-connections among them count as reductions. Attention over the 128 rows of
// the window, of 64 heads, comes on top.
func TestFlops(t *testing.T) {
	m, target := lowered(t, "deepseek-v4-flash", "h200", passes.Options{Precision: targets.PolicyW4A8})
	_, c, err := passes.DecodeTime(m, target, 1, 2)
	require.NoError(t, err)
	products := 0.0
	for _, w := range c.Flops {
		if w.DType != "f32" {
			products += w.Flops
		}
	}
	mixing, attention := 43*2*24*16384, 43*4*64*128*512
	require.InDelta(t, 2*(13.27e9-float64(mixing))+float64(attention), products, 2*0.005e9) // the published digits

	halves, _ := lowered(t, "deepseek-v4-flash", "h200", passes.Options{Precision: targets.PolicyBF16})
	_, b, err := passes.DecodeTime(halves, target, 1, 2)
	require.NoError(t, err)
	for _, w := range b.Flops {
		require.NotEqual(t, "fp8", w.DType)
	}
}

// TestUnknownFactsHaveStandIns holds that a time is always defined, and that what it assumes is named.
func TestUnknownFactsHaveStandIns(t *testing.T) {
	for _, target := range targets.All() {
		m, _ := lowered(t, "deepseek-v4-nano", target.Name, passes.Options{TP: 2})
		seconds, c, err := passes.DecodeTime(m, target, 1, 4096)
		require.NoError(t, err)
		require.Greater(t, seconds, 0.0)
		require.Contains(t, c.Assumed, "10 µs for ranks to meet")
		_, read := target.Memory.ReadRate.Get()
		_, peak := target.Memory.Bandwidth.Get()
		require.Equal(t, !read && !peak, c.RateBasis == "assumed", target.Name)
	}
}

// meetings is a program of collectives: two independent ones count once, dependent ones and those over other ranks each.
const meetings = `module meetings from "meetings.flag"
dims D=128
mesh group=2 lane=2
params main {
  weight w: bf16[D, D|4] from "w"
  weight v: bf16[D, D|lane] from "v"
}
func main.decode(%x: bf16[b, s, D|4], %y: bf16[b, s, D|lane]) -> (bf16[b, s, D]) uses main {
  %p = linear %x, $w           : bf16[b, s, D] partial
  %q = linear %x, $w {dtype="f32"} : f32[b, s, D] partial
  %a = all_reduce %p           : bf16[b, s, D]
  %c = all_reduce %q           : f32[b, s, D]
  %r = linear %y, $v           : bf16[b, s, D] partial over lane
  %d = all_reduce %r {over="lane"} : bf16[b, s, D]
  %g = all_gather %y {axis=2, over="lane"} : bf16[b, s, D]
  %h = all_gather %x {axis=2}  : bf16[b, s, D]
  %e = add %a, %d              : bf16[b, s, D]
  %f = add %e, %g              : bf16[b, s, D]
  %i = add %f, %h              : bf16[b, s, D]
  return %i
}
`

func TestMeetings(t *testing.T) {
	m, err := ir.ParseModule(meetings, "meetings.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	h200, _ := targets.Find("h200")
	_, c, err := passes.DecodeTime(m, h200, 1, 2)
	require.NoError(t, err)
	require.Equal(t, 3, c.Meetings, "a with c; d with g; h")
	// A rank sends 2·(n-1)/n of float32 parts to sum over n ranks, n-1 times its own part to gather.
	require.Equal(t, 2*(512*2*3/4)+512*2*1/2+128*1+64*3, c.Moved)
	require.InDelta(t, 3*10e-6+float64(c.Moved)/450e9, c.MeetSeconds, 1e-12)
}

// TestChoicesFollowTheMachine holds that the layout is the cheaper one of its machine: a host reads slowly and meets
// cheaply, so it splits the index heads; a device with a fast memory does not.
func TestChoicesFollowTheMachine(t *testing.T) {
	for target, split := range map[string]bool{"cpu": true, "h200": false} {
		m, tg := lowered(t, "deepseek-v4-flash", target, passes.Options{Precision: targets.PolicyW4A8, TP: 8})
		var w *ir.Weight
		for _, set := range m.Params {
			if have := set.Weight("attn.indexer.wq_b"); have != nil {
				w = have
			}
		}
		require.Equal(t, split, w.Value.Type.IsSplit(), target)
		chosen, _, err := passes.DecodeTime(m, tg, 1, passes.DefaultContext)
		require.NoError(t, err)
		for _, c := range []passes.Choice{passes.Split, passes.Whole} {
			other, _ := lowered(t, "deepseek-v4-flash", target, passes.Options{Precision: targets.PolicyW4A8, TP: 8, Scores: c})
			seconds, _, err := passes.DecodeTime(other, tg, 1, passes.DefaultContext)
			require.NoError(t, err)
			require.LessOrEqual(t, chosen, seconds, target)
		}
	}
}
