package weights

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
)

func TestClassOf(t *testing.T) {
	for name, want := range map[string]Class{
		"embed.weight":                                 Embedding,
		"head.weight":                                  Head,
		"norm.weight":                                  Norms,
		"hc_head_fn":                                   Hyper,
		"layers.0.hc_attn_base":                        Hyper,
		"layers.0.attn_norm.weight":                    Norms,
		"layers.0.attn.kv_norm.weight":                 Norms,
		"layers.0.attn.wo_a.scale":                     Attention,
		"layers.0.attn.attn_sink":                      Attention,
		"layers.2.attn.compressor.norm.weight":         Compressor,
		"layers.2.attn.indexer.compressor.norm.weight": Indexer,
		"layers.2.attn.indexer.weights_proj.weight":    Indexer,
		"layers.2.ffn.experts.7.w1.scale":              Routed,
		"layers.2.ffn.shared_experts.w1.weight":        Shared,
		"layers.2.ffn.gate.tid2eid":                    Gate,
		"mtp.0.ffn.experts.7.w1.scale":                 MTP,
		"mtp.0.norm.weight":                            MTP,
		"what":                                         Unclassified,
	} {
		require.Equal(t, want, ClassOf(name), name)
	}
}

// TestEveryTensorHasAClass also adds the classes up again.
func TestEveryTensorHasAClass(t *testing.T) {
	m := tinyModule(t)
	for _, e := range Expected(m) {
		require.NotEqual(t, Unclassified, ClassOf(e.Name), e.Name)
		require.Contains(t, Classes, ClassOf(e.Name))
	}
	r, err := Inspect(m, makeTiny(t), InspectOptions{})
	require.NoError(t, err)
	var byClass, byDType Amount
	for _, c := range r.Classes {
		byClass.Tensors, byClass.Bytes = byClass.Tensors+c.Tensors, byClass.Bytes+c.Bytes
	}
	for _, d := range r.DTypes {
		byDType.Tensors, byDType.Bytes = byDType.Tensors+d.Tensors, byDType.Bytes+d.Bytes
		require.Equal(t, r.Totals.ByDType[d.DType], d.Amount)
	}
	require.Equal(t, r.Found, byClass)
	require.Equal(t, r.Found, byDType)
	require.Equal(t, r.Totals.MTP, r.Classes[len(r.Classes)-1].Amount)
}

// TestModelNames: only the released sizes have a name.
func TestModelNames(t *testing.T) {
	for name, want := range map[string]string{"flash": "DeepSeek-V4-Flash", "pro": "DeepSeek-V4-Pro"} {
		m, _ := fileModule(t, filepath.Join(configs, name+".json"))
		require.Equal(t, want, ModelName(m))
	}
	require.Equal(t, "a model of 4 layers, hidden size 160, 6 experts", ModelName(tinyModule(t)))
}

// TestSpread plants one tile with scales 2^20 apart and looks for it in the full report; the sample, which
// takes the experts 0 and 3 of 6, must not see it.
func TestSpread(t *testing.T) {
	l := loosen(t, open(t, makeTiny(t)))
	scales := l.get("layers.1.ffn.experts.5.w1.scale").Bytes // [64, 5], so tiles of 64 rows by 4 and 1
	scales[0], scales[1] = 100, 120
	for i := range scales {
		if i > 1 && i%5 < 4 {
			scales[i] = 110
		}
	}
	dir := l.write()
	m := tinyModule(t)
	full, err := Inspect(m, dir, InspectOptions{Full: true})
	require.NoError(t, err)
	require.Equal(t, SpreadCount{20, 1}, full.Spread[len(full.Spread)-1])
	tiles := int64(0)
	for _, s := range full.Spread {
		tiles += s.Tiles
	}
	// 5 blocks of 6 experts: w1 and w3 [64, 160] have two tiles each, w2 [160, 64] two.
	require.Equal(t, int64(5*6*6), tiles)
	require.Contains(t, full.Text(), "179 of 180 tiles can be recast to FP8 exactly")

	sample, err := Inspect(m, dir, InspectOptions{})
	require.NoError(t, err)
	require.True(t, sample.Sampled)
	require.Less(t, sample.Spread[len(sample.Spread)-1].Exponents, 20)
}

// TestSpreadOfEqualScales has a tile whose scales are all the same.
func TestSpreadOfEqualScales(t *testing.T) {
	require.Equal(t, map[int]int64{0: 6}, spreads(e8m0(130, 9, 127), 128, 4))
}

// TestOddThings: what is wrong with a checkpoint stands in its report, and no report fails for it.
func TestOddThings(t *testing.T) {
	l := loosen(t, open(t, makeTiny(t)))
	l.add("layers.0.attn.surprise", "F32", 3)
	l.get("layers.2.ffn.experts.0.w1.scale").Bytes[3] = 255
	big := l.get("layers.3.attn_norm.weight").Bytes
	big[0], big[1] = 0x80, 0xC7 // -65536 in bf16
	dir := l.write()
	for _, full := range []bool{false, true} {
		r, err := Inspect(tinyModule(t), dir, InspectOptions{Full: full})
		require.NoError(t, err)
		require.Len(t, r.Problems, 2)
		require.Contains(t, r.Problems[0].Message, "layers.0.attn.surprise F32 [3] is unknown")
		require.Contains(t, r.Problems[1].Message, "layers.2.ffn.experts.0.w1.scale: scale [0 3] is byte 255")
		for _, c := range r.Classes {
			if c.Class == Norms {
				require.Equal(t, 65536.0, c.Largest)
				require.Equal(t, "layers.3.attn_norm.weight", c.Where)
			}
		}
		text := r.Text()
		require.Contains(t, text, "2 problems")
		for _, line := range strings.Split(text, "\n") {
			require.Equal(t, strings.TrimRight(line, " "), line)
		}
		document, err := r.JSON()
		require.NoError(t, err)
		var back Report
		require.NoError(t, json.Unmarshal(document, &back))
		require.Equal(t, *r, back)
	}
}

func TestInspectNothing(t *testing.T) {
	_, err := Inspect(tinyModule(t), t.TempDir(), InspectOptions{})
	require.ErrorContains(t, err, "model.safetensors")
	_, err = Inspect(tinyModule(t), filepath.Join(t.TempDir(), "absent"), InspectOptions{})
	require.Error(t, err)
}

// TestBands: a sample of a large tensor is whole rows of tiles with the scales that belong to them, and all
// bands together are the tensor.
func TestBands(t *testing.T) {
	m := parse(t, `module m from "m"
params p {
  weight e: fp4<1x32>[n=1,r=3000,c=2048] from "ffn.experts.*.w1.weight"
  weight q: fp8<128x128>[r=3000,c=2048] from "q.weight"
}`)
	dir := filepath.Join(t.TempDir(), "big")
	require.NoError(t, Make(m, nil, dir, MakeOptions{Seed: 1}))
	r, err := Inspect(m, dir, InspectOptions{})
	require.NoError(t, err)
	tiles := int64(0)
	for _, s := range r.Spread {
		tiles += s.Tiles
	}
	const rows = bandBytes / (2048 / 2) // of FP4, a multiple of 128
	require.Equal(t, int64(rows/128*2048/128), tiles)
	require.Empty(t, r.Problems)

	full, err := Inspect(m, dir, InspectOptions{Full: true})
	require.NoError(t, err)
	tiles = 0
	for _, s := range full.Spread {
		tiles += s.Tiles
	}
	require.Equal(t, int64((3000+127)/128*2048/128), tiles)
	// The largest weight over all bands is that over the whole.
	s := NewSource(m, open(t, dir))
	for _, w := range m.Params[0].Weights {
		x, err := s.Tensor("", w)
		require.NoError(t, err)
		values := x.F
		if x.Lazy != nil {
			values = x.Slice(0)
		}
		largest := 0.0
		for _, v := range values {
			largest = max(largest, math.Abs(v))
		}
		at := slices.IndexFunc(full.Classes, func(c ClassReport) bool { return c.Class == ClassOf(w.Tensor) })
		require.Equal(t, largest, full.Classes[at].Largest)
	}
}

// TestReportGolden holds the text of a report.
func TestReportGolden(t *testing.T) {
	r, err := Inspect(tinyModule(t), makeTiny(t), InspectOptions{Full: true})
	require.NoError(t, err)
	r.Dir = "tiny"
	golden.Check(t, filepath.Join("testdata", "report.txt"), r.Text())
}

// TestTilesThatCannotBeRecast plants a code beside a scale that lies too far from the largest of its tile: the report
// names it, and a zero there does no harm.
func TestTilesThatCannotBeRecast(t *testing.T) {
	for code, want := range map[byte]int64{0x11: 1, 0x00: 0} {
		dir := small(t)
		for i := range int64(16) {
			patch(t, dir, "layers.2.ffn.experts.0.w2.weight", i, code)
		}
		patch(t, dir, "layers.2.ffn.experts.0.w2.scale", 0, 60)
		r, err := Inspect(testModule(t, []byte(smallConfig)), dir, InspectOptions{Full: true})
		require.NoError(t, err)
		require.Equal(t, want, r.Inexact)
		require.Equal(t, want > 0, strings.Contains(r.Text(), "1 tile cannot be recast: tensor layers.2.ffn.experts.0.w2.weight, tile 0,0"))
	}
}
