package triton

import (
	"math"

	"flagc/ir/tile"
	"flagc/runtime/formats"
)

// BytesForFP8 leaves e4m3 out of a program: pointers to it become pointers to bytes, and conversions arithmetic on
// bits that gives the same numbers, NaN included. Dots of it become dots of bf16, which holds each of its values.
func BytesForFP8(p *tile.Program) *tile.Program {
	c := newCopier(p, withoutFP8)
	for _, q := range c.Program.Params {
		if q.DType == tile.E4M3 {
			q.DType = tile.I8
		}
	}
	c.block(p.Body)
	return c.Program
}

// withoutFP8 is the change of one op.
func withoutFP8(c *copier, op *tile.Op) ([]*tile.Value, bool) {
	var v *tile.Value
	switch {
	case op.Code == tile.Load && op.Param.DType == tile.E4M3:
		other := int8(formats.E4M3FromFloat64(op.Float))
		v = c.Load(c.param(op.Param), c.of(op.Args[0]), c.of(op.Args[1]), float64(other))
	case op.Code == tile.Dot && op.Args[0].DType == tile.E4M3:
		v = c.Dot(c.Cast(c.fromE4M3(c.of(op.Args[0])), tile.BF16), c.Cast(c.fromE4M3(c.of(op.Args[1])), tile.BF16),
			c.of(op.Args[2]))
	case op.Code == tile.Bitcast && (op.Args[0].DType == tile.E4M3 || op.Results[0].DType == tile.E4M3):
		return []*tile.Value{c.of(op.Args[0])}, true // bytes already
	case op.Code == tile.Cast && op.Results[0].DType == op.Args[0].DType:
		return nil, false
	case op.Code == tile.Cast && op.Results[0].DType == tile.E4M3:
		v = c.toE4M3(c.Cast(c.of(op.Args[0]), tile.F32))
	case op.Code == tile.Cast && op.Args[0].DType == tile.E4M3:
		v = c.Cast(c.widened(op.Args[0]), op.Results[0].DType)
	default:
		return nil, false
	}
	if v.Name == "" {
		v.Name = op.Results[0].Name
	}
	return []*tile.Value{v}, true
}

// widened is an e4m3 value as f32. One that was just rounded never becomes a byte on the way.
func (c *copier) widened(old *tile.Value) *tile.Value {
	if d := old.Def; d != nil && d.Code == tile.Cast && d.Args[0].DType != tile.E4M3 {
		x := c.Cast(c.of(d.Args[0]), tile.F32)
		r := c.Or(c.Bitcast(c.roundE4M3(x), tile.I32), c.signBit(c.Bitcast(x, tile.I32)))
		return c.Where(c.Eq(x, x), c.Bitcast(r, tile.F32), x)
	}
	return c.fromE4M3(c.of(old))
}

// The formats: f32 has 23 bits of fraction and a bias of 127, e4m3 3 bits, a bias of 7 and the largest value 448.
const (
	fractionShift  = 23 - 3
	biasDifference = 127 - 7
	smallestE4M3   = 0x1p-6 // normal
	e4m3NaN        = 0x7f
	quietNaN       = 0x7fc00000
)

func (c *copier) signBit(bits *tile.Value) *tile.Value { return c.And(bits, c.Int(math.MinInt32)) }

// roundE4M3 is the magnitude of x rounded to the values of e4m3: adding and taking away a power of two whose last bit
// is the last bit of the result leaves the rounding to the addition. NaN becomes 448.
func (c *copier) roundE4M3(x *tile.Value) *tile.Value {
	a := c.MinF(c.Abs(x), formats.E4M3Max).Named("magnitude")
	exponent := c.And(c.Bitcast(c.MaxF(a, smallestE4M3), tile.I32), c.Int(0x7f800000))
	power := c.Bitcast(c.Add(exponent, c.Int(fractionShift<<23)), tile.F32).Named("power")
	return c.Sub(c.Add(a, power), power).Named("rounded")
}

// toE4M3 is the byte of x rounded to e4m3.
func (c *copier) toE4M3(x *tile.Value) *tile.Value {
	r := c.roundE4M3(x)
	normal := c.Sub(c.Shr(c.Bitcast(r, tile.I32), fractionShift), c.Int(biasDifference<<3))
	small := c.Cast(c.MulF(r, 0x1p9), tile.I32)
	code := c.Where(c.Ge(r, c.Float(smallestE4M3)), normal, small).Named("code")
	code = c.Where(c.Eq(x, x), code, c.Int(e4m3NaN))
	sign := c.And(c.Shr(c.Bitcast(x, tile.I32), 24), c.Int(0x80))
	return c.Cast(c.Or(code, sign), tile.I8)
}

// fromE4M3 is the number of a byte. No step meets a subnormal number of f32, which some machines take for zero.
func (c *copier) fromE4M3(b *tile.Value) *tile.Value {
	code := c.Cast(b, tile.I32).Named("code")
	magnitude := c.AndI(code, 0x7f).Named("magnitude")
	normal := c.Add(c.Shl(magnitude, fractionShift), c.Int(biasDifference<<23))
	small := c.Bitcast(c.MulF(c.Cast(magnitude, tile.F32), 0x1p-9), tile.I32)
	bits := c.Where(c.GeI(magnitude, 8), normal, small).Named("bits")
	bits = c.Where(c.EqI(magnitude, e4m3NaN), c.Int(quietNaN), bits)
	return c.Bitcast(c.Or(bits, c.signBit(code)), tile.F32)
}
