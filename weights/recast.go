package weights

import (
	"cmp"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"

	"flagc/ir"
	"flagc/runtime/formats"
	"flagc/runtime/safetensors"
)

// proveConversion returns nil if the weight's elements are the same numbers in the encoding that a pass gave it
// as in the checkpoint's. Widening to bf16 is exact for every scale that real checkpoints hold; recasting FP4
// to FP8 is exact tile by tile or refused.
func proveConversion(w *ir.Weight, found []safetensors.Tensor) error {
	from, to := w.Encoding(), w.Value.Type.Elem
	switch {
	case from == to:
		return nil
	case from.DType == ir.FP4 && to == ir.Quantised(ir.FP8, 128, 128):
		for i := 0; i+1 < len(found); i += 2 {
			if err := proveRecast(found[i], found[i+1]); err != nil {
				return err
			}
		}
		return nil
	case from.IsQuantised() && to == ir.Plain(ir.BF16):
		for i := 0; i+1 < len(found); i += 2 {
			if err := proveWidening(from, found[i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("weight %s: no conversion from %s to %s is known to be exact", w.Value.Name, from, to)
}

// InexactWeight is a weight that a conversion cannot take exactly.
type InexactWeight struct {
	Weight string // its set and name
	Reason error  // of the first of its tensors
}

// Inexact proves the conversions of all FP4 weights of a module that passes have given encodings, and lists those that
// are not exact in some layer. It reads their scales, and codes only where scales lie far apart.
func Inexact(m *ir.Module, c *safetensors.Checkpoint) (out []InexactWeight, err error) {
	for _, set := range m.Params {
		for _, w := range set.Weights {
			if w.From.DType != ir.FP4 {
				continue
			}
			found := make([]error, len(set.Instances))
			var group errgroup.Group
			group.SetLimit(jobsOrDefault(0))
			for i, instance := range set.Instances {
				group.Go(func() error {
					tensors, err := storedTensors(w, instance, c)
					if err == nil {
						found[i] = proveConversion(w, tensors)
					}
					return err
				})
			}
			if err := group.Wait(); err != nil {
				return nil, err
			}
			if reason := cmp.Or(found...); reason != nil {
				out = append(out, InexactWeight{set.Name + "." + w.Value.Name, reason})
			}
		}
	}
	return out, nil
}

// storedTensors are a weight's tensors at a place, those of each index one behind the other.
func storedTensors(w *ir.Weight, instance string, c *safetensors.Checkpoint) (out []safetensors.Tensor, err error) {
	for index := range w.Count() {
		found, err := find(c.Tensor, parts(layoutOf(w, w.Encoding(), w.Stored()), instance), index, c.Dir())
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// The scale bytes for which code × 2^(byte-127) fits bf16 for every code (spec v4_checkpoint §8).
const (
	leastFP8Byte = 3   // the lowest bit of a subnormal e4m3 code times 2^-124 is the smallest bf16
	mostFP8Byte  = 246 // 448 · 2^119 is the last that does not overflow
	mostFP4Byte  = 252 // 6 · 2^125
)

// proveWidening checks that no scale takes a product out of bf16's range.
func proveWidening(from ir.Elem, scales safetensors.Tensor) error {
	least, most := exactScales(from)
	for i, b := range scales.Data {
		if b < least || b > most {
			return fmt.Errorf("tensor %s: scale %d is the byte %d; from %s the elements fit bf16 exactly for %d to %d only",
				scales.Name, i, b, from, least, most)
		}
	}
	return nil
}

// exactScales is the range of scale bytes with which every element fits bf16.
func exactScales(from ir.Elem) (least, most byte) {
	if from.DType == ir.FP4 {
		return 0, mostFP4Byte
	}
	return leastFP8Byte, mostFP8Byte
}

// perTile is how many FP4 scales a row of an FP8 tile has.
const perTile = tile / 32

// proveRecast checks every 128×128 tile of an FP4 matrix: with the new scale M/64, where M is the tile's largest
// scale, each code times its scale must be an e4m3 number. codes is [rows, cols/2], scales [rows, cols/32].
func proveRecast(codes, scales safetensors.Tensor) error {
	rows, width := scales.Shape[0], scales.Shape[1]
	if rows%tile != 0 || width%perTile != 0 {
		return fmt.Errorf("tensor %s: %d×%d is not made of 128×128 tiles, so it cannot be recast to FP8; keep it in FP4 (w4a8)",
			codes.Name, rows, width*32)
	}
	for r := 0; r < rows; r += tile {
		for c := 0; c < width; c += perTile {
			if err := proveTile(codes, scales, r, c, width); err != nil {
				return err
			}
		}
	}
	return nil
}

// proveTile checks the tile whose first row is r and whose first scale in a row is c.
func proveTile(codes, scales safetensors.Tensor, r, c, width int) error {
	least, most := byte(255), byte(0)
	for y := r; y < r+tile; y++ {
		for _, b := range scales.Data[y*width+c : y*width+c+perTile] {
			least, most = min(least, b), max(most, b)
		}
	}
	if most < recastShift || most == 255 {
		return fmt.Errorf("tensor %s, tile %d,%d: its largest scale is the byte %d; recasting to FP8 needs 6 to 254",
			codes.Name, r/tile, c/perTile, most)
	}
	if int(most)-int(least) <= MaxLossless {
		return nil
	}
	for y := r; y < r+tile; y++ {
		for x := c; x < c+perTile; x++ {
			k := int(most) - int(scales.Data[y*width+x])
			if blockFits(codes.Data[(y*width+x)*16:][:16], k) {
				continue
			}
			return fmt.Errorf("tensor %s, tile %d,%d: scale exponents spread over %d, and row %d holds codes that FP8 cannot "+
				"take exactly there; keep the experts in FP4 (w4a8)", codes.Name, r/tile, c/perTile, int(most)-int(least), y)
		}
	}
	return nil
}

// blockFits reports whether 32 FP4 codes, scaled down by 2^(k-6), are all e4m3 numbers.
func blockFits(packed []byte, k int) bool {
	scale := math.Ldexp(1, recastShift-k)
	for _, b := range packed {
		even, odd := formats.UnpackE2M1(b)
		for _, code := range []byte{even, odd} {
			v := float64(formats.E2M1ToFloat32(code)) * scale
			if formats.RoundE4M3(v) != v {
				return false
			}
		}
	}
	return true
}
