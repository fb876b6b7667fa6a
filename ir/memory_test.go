package ir_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
)

// placed is a planned program: in-place results, a view, a state, a call, collectives and every kind of place. One row
// of D = 128 bf16 numbers has 256 bytes.
const placed = `module placed from "placed.flag"
dims D=128
mesh tp=2
memory batch=1 context=16 chunk=2 weights=16896 states=4096 prefill=2048 decode=0 communication=1536

params block at layers.0 {
  weight norm: bf16[D] from "norm.weight"
  state kv:    bf16[b, m, D] = 0
}

params main {
  weight w: bf16[D, D|2] from "w.weight"
  weight n: bf16[D] from "n.weight"
}

func block.prefill(%x: bf16[b, s, D]) -> (bf16[b, s, D]) uses block {
  %n  = rms_norm %x, $norm {eps=1e-06}     : bf16[b, s, D] #0
  %kv = ring_write &kv, %n {window=8}      : bf16[b, m, D]
  %h  = scale %n {factor=2}                : bf16[b, s, D] #0
  %g  = scale %h {factor=3}                : bf16[b, s, D] #512
  %y  = add %h, %g                         : bf16[b, s, D] out
  &kv <- %kv
  return %y
}

func main.prefill(%x: bf16[b, s, D], %q: bf16[b, s, D|2]) -> (bf16[b, s, D]) uses main calls #1024, comm #0 {
  %p = linear %q, $w                    : bf16[b, s, D] partial comm #512
  %r = all_reduce %p                    : bf16[b, s, D] comm #0
  %y = call block.prefill %x at layers.0 : bf16[b, s, D] #0
  %v = view %y                          : bf16[b*s, D]
  %o = rms_norm %v, $n {eps=1e-06}      : bf16[b*s, D] #512
  %z = view %o                          : bf16[b, s, D]
  return %z
}
`

// placedText is placed with the places of the entry's parameters, which would make its lines long.
var placedText = strings.Replace(placed,
	"(%x: bf16[b, s, D], %q: bf16[b, s, D|2])", "(%x: bf16[b, s, D] #512, %q: bf16[b, s, D|2] #0)", 1)

func TestPlacesReadBack(t *testing.T) {
	m, err := ir.ParseModule(placedText, "placed.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	text := m.String()
	again, err := ir.ParseModule(text, "placed.ir", ops.All)
	require.NoError(t, err)
	require.Equal(t, text, again.String())
	m.DropMemory()
	require.NoError(t, m.Verify())
	require.NotContains(t, m.String(), "#")
}

// planBreaches name, for each invariant of plans, texts that parse and must not verify.
var planBreaches = []breach{
	{"mem1", ": bf16[b, s, D] #512\n  %y  = add", ": bf16[b, s, D]\n  %y  = add", "%g has no place"},
	{"mem1", "{window=8}      : bf16[b, m, D]", "{window=8} : bf16[b, m, D] #4096",
		"%kv has a place but needs none"},
	{"mem1", ": bf16[b*s, D]\n", ": bf16[b*s, D] #0\n", "%v has a place but needs none"},
	{"mem1", "bf16[b, s, D] comm #0", "bf16[b, s, D] #4096", "%r cannot be at #4096: it belongs into the communication buffers"},
	{"mem1", "bf16[b, s, D] out", "bf16[b, s, D] out 1", "%y cannot be at out 1: it belongs into out"},
	{"mem1", "bf16[b, s, D] out", "bf16[b, s, D] #1024", "%y cannot be at #1024: it belongs into out"},
	{"mem1", "bf16[b*s, D] #512", "bf16[b*s, D] #520", "%o is at offset 520, no multiple of 256"},
	{"mem2", "bf16[b, s, D|2] #0", "bf16[b, s, D|2] #512", "%q lies over %x, which is still needed"},
	{"mem2", "{factor=3}                : bf16[b, s, D] #512", "{factor=3} : bf16[b, s, D] #0", "%g lies over %h, which is still needed"},
	{"mem3", "bf16[b, s, D] comm #0", "bf16[b, s, D] comm #512", "%r may not overwrite %p"},
	{"mem3", "at layers.0 : bf16[b, s, D] #0", "at layers.0 : bf16[b, s, D] #512", "%y may not overwrite %x"},
	{"mem3", "bf16[b*s, D] #512", "bf16[b*s, D] #0", "%o may not overwrite %y"},
	{"mem3", "%h  = scale %n {factor=2}                : bf16[b, s, D] #0", "%h = scale %n {factor=2} : bf16[b, s, D] #256",
		"%h may not overwrite %n"},
	{"mem4", "calls #1024", "calls #768", "%x reaches into the room of block.prefill, which begins at 768"},
	{"mem5", "weights=16896", "weights=16895", "says weights=16895, but it comes to 16896"},
	{"mem5", "states=4096", "states=0", "says states=0, but it comes to 4096"},
	{"mem5", "prefill=2048", "prefill=2049", "says prefill=2049, but it comes to 2048"},
	{"mem5", "communication=1536", "communication=1", "says communication=1, but it comes to 1536"},
	{"mem5", "chunk=2", "chunk=17", "the chunk is part of the context"},
}

func TestVerifyHoldsPlans(t *testing.T) {
	for _, b := range planBreaches {
		t.Run(b.label+" "+b.new, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(placedText, b.old), b.old)
			m, err := ir.ParseModule(strings.Replace(placedText, b.old, b.new, 1), "placed.ir", ops.All)
			require.NoError(t, err)
			err = m.Verify()
			require.ErrorContains(t, err, b.message)
			require.Contains(t, labels(err), b.label)
		})
	}
}

// TestPlacesWantAPlan holds that no place stands in a module whose memory is not planned.
func TestPlacesWantAPlan(t *testing.T) {
	cut := strings.Index(placedText, "memory")
	end := cut + strings.Index(placedText[cut:], "\n") + 1
	m, err := ir.ParseModule(placedText[:cut]+placedText[end:], "placed.ir", ops.All)
	require.NoError(t, err)
	require.ErrorContains(t, m.Verify(), "%x has a place, but memory is not planned")
}

// TestBytes holds sizes of types: packed elements with a scale for each block, partial sums in float32.
func TestBytes(t *testing.T) {
	dims := func(sizes ...int) []ir.Dim {
		var out []ir.Dim
		for _, n := range sizes {
			out = append(out, ir.Dim{Name: "x", Size: ir.Const(n)})
		}
		return out
	}
	for _, c := range []struct {
		t    ir.Type
		want int
	}{
		{ir.Type{Elem: ir.Plain(ir.BF16), Dims: dims(3, 5)}, 30},
		{ir.Type{Elem: ir.Plain(ir.F32), Dims: dims()}, 4},
		{ir.Type{Elem: ir.Plain(ir.I64), Dims: dims(7)}, 56},
		{ir.Type{Elem: ir.Quantised(ir.FP4, 1, 32), Dims: dims(4, 64)}, 4*32 + 4*2},
		{ir.Type{Elem: ir.Quantised(ir.FP8, 128, 128), Dims: dims(2, 65, 130)}, 2*65*130 + 2*2},
		{ir.Type{Elem: ir.Plain(ir.BF16), Dims: dims(3, 5), Partial: ir.PartialSum}, 60},
		{ir.Type{Elem: ir.Plain(ir.BF16), Dims: dims(3, 5), Partial: ir.PartialOne}, 30},
	} {
		have, err := c.t.Bytes(nil)
		require.NoError(t, err)
		require.Equal(t, c.want, have, c.t.String())
	}
}

// TestExtentsSeeRareValues holds that what only some positions yield has room at every context: an entry that each
// 128th token completes, and one that each fourth does.
func TestExtentsSeeRareValues(t *testing.T) {
	const text = `module rare from "rare.flag"
params main {
  weight ape: f32[128, d=64] from "ape"
  state kv:    f32[b, 128, d=64] = 0
  state score: f32[b, 128, d=64] = -inf
}
func main.decode(%v: f32[b, s, d=64]) -> (bf16[b, (p+s)/128-p/128, d=64]) uses main {
  %pooled, %kv, %score = compress_pool %v, %v, $ape, &kv, &score {ratio=128, overlap=false} :
    bf16[b, (p+s)/128-p/128, d=64], f32[b, 128, d=64], f32[b, 128, d=64]
  &kv <- %kv
  &score <- %score
  return %pooled
}
`
	m, err := ir.ParseModule(text, "rare.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	pooled := m.Funcs[0].Body[0].Results[0].Type
	for context, want := range map[int]int{127: 0, 128: 128, 129: 128, 1000: 128} {
		x := ir.NewExtents(m, ir.Memory{Batch: 1, Context: context, Chunk: 1})
		have, err := x.Bytes(ir.Decode, pooled)
		require.NoError(t, err)
		require.Equal(t, want, have, "context %d", context)
	}
}

// TestFlops holds the count of every op's formula on an instruction with known sizes.
func TestFlops(t *testing.T) {
	m, err := ir.ParseModule(split, "split.ir", ops.All)
	require.NoError(t, err)
	want := map[string]float64{ // s = 3, one rank of four: H = 2, E = 1, V = 16
		"q": 2 * 3 * 2 * 128, "o": 2 * 3 * 128 * 2, "h": 2 * 3 * 2 * 128 * 128, "z": 3 * 2 * 128, "y": 3 * 128, "c": 0,
	}
	for _, in := range m.Funcs[0].Body {
		if n, ok := want[in.Results[0].Name]; ok {
			have, err := in.Flops(ir.Env{"s": 3})
			require.NoError(t, err)
			require.Equal(t, n, have, in.String())
			delete(want, in.Results[0].Name)
		}
	}
	require.Empty(t, want)
}
