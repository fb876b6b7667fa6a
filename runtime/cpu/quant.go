package cpu

import (
	"math"

	"flagc/runtime/formats"
)

// ActQuant quantises rows of width values to e4m3, with one power-of-two scale for each block of values
// of a row, and widens them again: dst holds q·s exactly (spec §2.1). A last block may be shorter. dst may
// be x.
func (c *Ctx) ActQuant(dst, x []float32, width, block int) {
	rows := rowsOf("ActQuant", x, width)
	need("ActQuant", "dst", len(dst), len(x))
	c.loops.act = actQuant{dst, x, width, block}
	c.eachRow(rows, width, &c.loops.act)
}

type actQuant struct {
	dst, x       []float32
	width, block int
}

func (q *actQuant) run(_ *scratch, lo, hi int) {
	for r := lo; r < hi; r++ {
		in, out := q.x[r*q.width:(r+1)*q.width], q.dst[r*q.width:(r+1)*q.width]
		for o := 0; o < q.width; o += q.block {
			end := min(o+q.block, q.width)
			quantE4M3(out[o:end], in[o:end])
		}
	}
}

// ActQuantSim simulates the quantised storage of rows of width values: the first width-keep go through
// e4m3 by blocks and are stored as bf16, the last keep are copied (spec §2.1, "in place"). dst may be x.
func (c *Ctx) ActQuantSim(dst, x []float32, width, keep, block int) {
	rows := rowsOf("ActQuantSim", x, width)
	need("ActQuantSim", "dst", len(dst), len(x))
	c.loops.actSim = actQuantSim{dst, x, width, width - keep, block}
	c.eachRow(rows, width, &c.loops.actSim)
}

type actQuantSim struct {
	dst, x                  []float32
	width, quantised, block int
}

func (q *actQuantSim) run(_ *scratch, lo, hi int) {
	for r := lo; r < hi; r++ {
		in, out := q.x[r*q.width:(r+1)*q.width], q.dst[r*q.width:(r+1)*q.width]
		for o := 0; o < q.quantised; o += q.block {
			end := min(o+q.block, q.quantised)
			quantE4M3(out[o:end], in[o:end])
			roundRow(out[o:end])
		}
		copy(out[q.quantised:], in[q.quantised:])
	}
}

// FP4QuantSim simulates e2m1 storage with one power-of-two scale for each block of values, stored as
// bf16 (spec §2.2). The length of x is a multiple of block. dst may be x.
func (c *Ctx) FP4QuantSim(dst, x []float32, block int) {
	rows := rowsOf("FP4QuantSim", x, block)
	need("FP4QuantSim", "dst", len(dst), len(x))
	c.loops.fp4Sim = fp4QuantSim{dst, x, block}
	c.eachRow(rows, block, &c.loops.fp4Sim)
}

type fp4QuantSim struct {
	dst, x []float32
	block  int
}

func (q *fp4QuantSim) run(_ *scratch, lo, hi int) {
	for o := lo * q.block; o < hi*q.block; o += q.block {
		in, out := q.x[o:o+q.block], q.dst[o:o+q.block]
		s := formats.ActScaleFP4(float64(maxAbs(in)))
		scale, inverse := float32(s), 1/s
		for i, v := range in {
			// Through float64, since 1/s may exceed float32 where s is near 2^-126.
			code := formats.RoundE2M1x32(float32(float64(v) * inverse))
			out[i] = formats.RoundBF16x32(code * scale)
		}
	}
}

// quantE4M3 quantises one block to e4m3 and back. The scale lies between 2^-22 and 2^120, so its inverse
// and the products are exact or below every e4m3 step.
func quantE4M3(dst, x []float32) {
	s := float32(formats.ActScaleFP8(float64(maxAbs(x))))
	inverse := 1 / s
	for i, v := range x {
		dst[i] = formats.RoundE4M3x32(v*inverse) * s
	}
}

// maxAbs is the largest magnitude in x; NaN if x has one.
func maxAbs(x []float32) float32 {
	var top uint32 // magnitudes order as their bits do, NaN above all
	for _, v := range x {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	return math.Float32frombits(top)
}

func roundRow(x []float32) {
	for i, v := range x {
		x[i] = formats.RoundBF16x32(v)
	}
}

// bf16 rounds once from float64.
func bf16(x float64) float32 { return float32(formats.RoundBF16(x)) }
