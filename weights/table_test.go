package weights

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/runtime/safetensors"
)

const configs = "../models/deepseekv4/configs"

// TestPublishedTotals compares with the figures of the published checkpoints (spec §1): the index's
// total_size, tensor counts, bytes per dtype, the MTP block's share and the parameter counts.
func TestPublishedTotals(t *testing.T) {
	for name, want := range map[string]Totals{
		"flash": {
			Amount: Amount{69_187, 159_609_485_896}, MTP: Amount{1_575, 3_593_787_756}, Elements: 158_069_433_298,
			Main: 284_332_240_471, All: 290_942_289_362,
			ByDType: map[string]Amount{
				"BF16": {433, 2_830_518_528}, "F32": {417, 144_672_072}, "F8_E4M3": {375, 6_023_020_544},
				"F8_E8M0": {34_167, 8_858_737_664}, "I64": {3, 18_616_320}, "I8": {33_792, 141_733_920_768},
			},
		},
		"pro": {
			Amount: Amount{145_116, 864_704_792_696}, MTP: Amount{2_343, 13_956_587_692}, Elements: 861_608_274_846,
			Main: 1_572_997_201_763, All: 1_598_837_347_742,
			ByDType: map[string]Amount{
				"BF16": {619, 5_633_798_656}, "F32": {590, 351_105_656}, "F8_E4M3": {528, 23_169_335_296},
				"F8_E8M0": {71_952, 49_150_268_416}, "I64": {3, 18_616_320}, "I8": {71_424, 786_381_668_352},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := fileModule(t, filepath.Join(configs, name+".json"))
			require.Equal(t, want, Summary(m))
		})
	}
}

// TestLayerBytes compares single layers with the published shard sizes (spec §1).
func TestLayerBytes(t *testing.T) {
	for name, want := range map[string]map[string]int64{
		"flash": {"layers.0": 3_566_148_952, "layers.1": 3_566_148_952, "layers.2": 3_596_055_640,
			"layers.3": 3_568_596_312, "layers.4": 3_589_851_224},
		"pro": {"layers.0": 13_874_466_328, "layers.1": 13_874_466_328, "layers.2": 13_909_746_200,
			"layers.3": 13_868_262_424, "layers.4": 13_903_542_296},
	} {
		m, _ := fileModule(t, filepath.Join(configs, name+".json"))
		bytes := map[string]int64{}
		for _, x := range Expected(m) {
			bytes[x.Instance] += x.Bytes()
		}
		for layer, n := range want {
			require.Equal(t, n, bytes[layer], "%s %s", name, layer)
		}
	}
}

// TestNameTable holds every pattern of the official name table with its dtype, the shapes it is stored in and
// how many tensors of it there are (spec §2), against what Expected lists, both ways.
func TestNameTable(t *testing.T) {
	for _, name := range []string{"flash", "pro"} {
		t.Run(name, func(t *testing.T) {
			m, _ := fileModule(t, filepath.Join(configs, name+".json"))
			got := map[string]int{}
			for _, x := range Expected(m) {
				text, _ := pattern(x.Name)
				got[text+" "+x.DType+" "+shapeText(x.Shape)]++
			}
			text, err := os.ReadFile(filepath.Join("testdata", "names_"+name+".txt"))
			require.NoError(t, err)
			want := map[string]int{}
			for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
				f := strings.Fields(line)
				require.Len(t, f, 4, line)
				want[f[0]+" "+f[1]+" "+f[2]] = atoi(t, f[3])
			}
			require.Equal(t, want, got)
		})
	}
}

func TestScaleName(t *testing.T) {
	require.Equal(t, "layers.0.attn.wq_a.scale", ScaleName("layers.0.attn.wq_a.weight"))
	require.Equal(t, "ffn.experts.*.w1.scale", ScaleName("ffn.experts.*.w1.weight"))
	require.Equal(t, "table.scale", ScaleName("table"))
}

func TestExpectedOrderAndIndices(t *testing.T) {
	m := tinyModule(t)
	all := Expected(m)
	require.Equal(t, all, Expected(m))
	seen := map[string]bool{}
	for i, x := range all {
		require.False(t, seen[x.Name], x.Name)
		seen[x.Name] = true
		require.NotContains(t, x.Name, "*")
		_, known := safetensors.DTypeSize(x.DType)
		require.True(t, known, x.DType)
		require.Equal(t, x.Weight.IsMany(), x.Index >= 0)
		if x.Role == Scales {
			require.Equal(t, ScaleName(all[i-1].Name), x.Name)
			require.Equal(t, all[i-1].Index, x.Index)
		}
	}
}

func BenchmarkExpectedPro(b *testing.B) {
	m, _ := fileModule(b, filepath.Join(configs, "pro.json"))
	for b.Loop() {
		if len(Expected(m)) != 145_116 {
			b.Fatal("wrong number of tensors")
		}
	}
}
