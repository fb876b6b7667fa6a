package weights

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/runtime/formats"
	"flagc/runtime/safetensors"
)

// fp4Tile is a 128×128 matrix of FP4 codes that are all the same, with scales of one byte.
func fp4Tile(code, scale byte) (codes, scales safetensors.Tensor) {
	codes = safetensors.Tensor{Name: "layers.3.ffn.experts.7.w1.weight", DType: "I8", Shape: []int{128, 64}, Data: make([]byte, 128*64)}
	scales = safetensors.Tensor{Name: "layers.3.ffn.experts.7.w1.scale", DType: "F8_E8M0", Shape: []int{128, 4}, Data: make([]byte, 128*4)}
	for i := range codes.Data {
		codes.Data[i] = formats.PackE2M1(code, code)
	}
	for i := range scales.Data {
		scales.Data[i] = scale
	}
	return codes, scales
}

// TestRecastIsExactUpToTheSpreadOfEachCode holds the enumeration of which codes FP8 takes at which distance
// from the tile's largest scale: ½ and 1½ up to 14, 1 and 3 up to 15, 2 and 6 up to 16, 4 up to 17, 0 always.
func TestRecastIsExactUpToTheSpreadOfEachCode(t *testing.T) {
	furthest := []int{100, 14, 15, 14, 16, 15, 17, 16} // by code 0, ½, 1, 1½, 2, 3, 4, 6
	for code, most := range furthest {
		for _, k := range []int{0, 13, 14, 15, 16, 17, 18, 40} {
			codes, scales := fp4Tile(byte(code), byte(120-k))
			scales.Data[0] = 120 // the largest scale of the tile
			codes.Data[0] = 0
			err := proveRecast(codes, scales)
			if k <= most {
				require.NoError(t, err, "code %d at distance %d", code, k)
			} else {
				require.ErrorContains(t, err, "experts.7.w1.weight, tile 0,0: scale exponents spread over")
				require.ErrorContains(t, err, "keep the experts in FP4")
			}
		}
	}
}

func TestRecastRefusesWhatUnderflows(t *testing.T) {
	codes, scales := fp4Tile(1, 5)
	require.ErrorContains(t, proveRecast(codes, scales), "tile 0,0")
	codes, scales = fp4Tile(1, 6)
	require.NoError(t, proveRecast(codes, scales))
}

func TestRecastNeedsWholeTiles(t *testing.T) {
	codes, scales := fp4Tile(1, 100)
	codes.Shape, scales.Shape = []int{64, 128}, []int{64, 8}
	require.ErrorContains(t, proveRecast(codes, scales), "64×256 is not made of 128×128 tiles")
}

func TestWideningChecksScales(t *testing.T) {
	_, scales := fp4Tile(1, 0)
	w := safetensors.Tensor{Name: "s", Data: scales.Data}
	fp4, fp8 := ir.Quantised(ir.FP4, 1, 32), ir.Quantised(ir.FP8, 128, 128)
	require.NoError(t, proveWidening(fp4, w))
	require.ErrorContains(t, proveWidening(fp8, w), "scale 0 is the byte 0")
	w.Data = []byte{3, 246}
	require.NoError(t, proveWidening(fp8, w))
	w.Data = []byte{247}
	require.ErrorContains(t, proveWidening(fp8, w), "byte 247")
	w.Data = []byte{253}
	require.ErrorContains(t, proveWidening(fp4, w), "byte 253")
}
