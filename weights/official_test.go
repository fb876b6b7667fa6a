package weights_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/passes"
	"flagc/runtime/formats"
	"flagc/runtime/safetensors"
	"flagc/targets"
	"flagc/weights"
)

// officialDim is what the official converter splits a tensor along, -1 for nothing (spec v4_checkpoint §5): by the
// last part of its name for attn_sink, ape and hc_*, else by the second last.
func officialDim(name string) int {
	parts := strings.Split(name, ".")
	key := parts[len(parts)-1]
	if key != "attn_sink" && key != "ape" && !strings.HasPrefix(key, "hc_") {
		key = parts[len(parts)-2]
	}
	switch key {
	case "embed", "head", "wq_b", "wo_a", "attn_sink", "weights_proj":
		return 0
	case "wo_b":
		return 1
	}
	return -1
}

// officialPart is what the official converter gives rank r of mp, nil for an expert of another rank.
func officialPart(t *testing.T, x safetensors.Tensor, experts, r, mp int) []byte {
	if parts := strings.Split(x.Name, "."); len(parts) > 3 && parts[len(parts)-4] == "experts" {
		id, err := strconv.Atoi(parts[len(parts)-3])
		require.NoError(t, err)
		if id*mp/experts != r {
			return nil
		}
		return x.Data
	}
	dim := officialDim(x.Name)
	if dim < 0 {
		return x.Data
	}
	require.Zero(t, x.Shape[dim]%mp)
	rows := 1
	for _, n := range x.Shape[:dim] {
		rows *= n
	}
	stride, out := len(x.Data)/rows, []byte(nil)
	for row := range rows {
		out = append(out, x.Data[row*stride+r*stride/mp:][:stride/mp]...)
	}
	return out
}

// TestRanksHaveWhatTheOfficialConverterGives compares the files of ranks in the official layout with the slices of the
// official converter, wo_a dequantised to bf16: byte for byte, and nothing besides.
func TestRanksHaveWhatTheOfficialConverterGives(t *testing.T) {
	for _, name := range goldens.Names {
		for _, mp := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s/mp%d", name, mp), func(t *testing.T) {
				g := goldens.Open(t, name)
				requireOfficialRanks(t, g.Module(t, nil), g.Checkpoint, mp)
			})
		}
	}
}

// TestEightRanksHaveWhatTheOfficialConverterGives does the same for eight ranks, on made weights with as many o-groups.
func TestEightRanksHaveWhatTheOfficialConverterGives(t *testing.T) {
	_, four := goldens.Builtin(t, "deepseek-v4-nano")
	eightGroups := strings.Replace(four, `"o_groups": 4`, `"o_groups": 8`, 1)
	require.NotEqual(t, four, eightGroups)
	m := goldens.Elaborate(t, eightGroups, nil)
	dir := filepath.Join(t.TempDir(), "made")
	require.NoError(t, weights.Make(m, []byte(eightGroups), dir, weights.MakeOptions{Seed: 5}))
	requireOfficialRanks(t, m, dir, 8)
}

// requireOfficialRanks converts a checkpoint for mp ranks in the official layout and compares each rank's file.
func requireOfficialRanks(t *testing.T, m *ir.Module, checkpoint string, mp int) {
	_, err := passes.Run(m, passes.Options{Target: targets.CPU, Precision: targets.PolicyNative, TP: mp, Official: true}, "")
	require.NoError(t, err)
	src, err := safetensors.OpenCheckpoint(checkpoint)
	require.NoError(t, err)
	defer src.Close()
	plan, err := weights.NewPlan(m, weights.Ranks)
	require.NoError(t, err)
	dst := filepath.Join(t.TempDir(), "ranks")
	_, err = weights.Convert(plan, src, dst, weights.ConvertOptions{About: weights.About{TP: mp, MTP: true}})
	require.NoError(t, err)
	for r := range mp {
		requireOfficial(t, src, filepath.Join(dst, safetensors.RankName(r, mp)), m.Names()["E"], r, mp)
	}
}

func requireOfficial(t *testing.T, src *safetensors.Checkpoint, path string, experts, r, mp int) {
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	defer f.Close()
	held := 0
	for _, name := range src.Names() {
		whole, _ := src.Tensor(name)
		if strings.HasSuffix(name, "wo_a.scale") {
			continue // dropped
		}
		if strings.HasSuffix(name, "wo_a.weight") {
			scales, ok := src.Tensor(strings.TrimSuffix(name, "weight") + "scale")
			require.True(t, ok)
			whole.Data = dequantised(whole, scales)
		}
		want := officialPart(t, whole, experts, r, mp)
		got, have := f.Tensor(name)
		require.Equal(t, want != nil, have, name)
		if have {
			held++
			require.True(t, bytes.Equal(want, got.Data), name)
		}
	}
	require.Len(t, f.Tensors(), held)
}

// dequantised is an FP8 matrix as the official converter stores wo_a: the product in float32, rounded to bf16.
func dequantised(codes, scales safetensors.Tensor) []byte {
	const tile = 128
	var out []byte
	cols := codes.Shape[1]
	for i, code := range codes.Data {
		scale := formats.UE8M0ToFloat64(scales.Data[i/cols/tile*scales.Shape[1]+i%cols/tile])
		out = binary.LittleEndian.AppendUint16(out, formats.BF16FromFloat32(formats.E4M3ToFloat32(code)*float32(scale)))
	}
	return out
}
