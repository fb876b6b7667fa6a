package cpu

import (
	"math"

	"flagc/runtime/formats"
)

// narrowed rounds v once: to bf16 if round is set, else to float32.
func narrowed(v float64, round bool) float32 {
	if round {
		return bf16(v)
	}
	return float32(v)
}

// onTie reports whether f lies halfway between two bf16 numbers. Only there is rounding a sum or product to
// bf16 by way of float32, which is f, not the same as rounding it once.
func onTie(f float32) bool { return math.Float32bits(f)&0xFFFF == 0x8000 }

// add writes a+b, rounded to bf16 if round is set.
func add(dst, a, b []float32, round bool) {
	dst, b = dst[:len(a)], b[:len(a)]
	for i, v := range a {
		f := v + b[i]
		if round {
			if onTie(f) {
				f = bf16(float64(v) + float64(b[i]))
			}
			f = formats.RoundBF16x32(f)
		}
		dst[i] = f
	}
}

// zip is work on corresponding elements of a and b; dst may be either.
type zip struct {
	dst, a, b []float32
	f         func(z *zip, dst, a, b []float32)
	round     bool    // to bf16
	number    float32 // what f takes beside elements
}

func (c *Ctx) zip(kernel string, z zip) {
	need(kernel, "a", len(z.a), len(z.dst))
	need(kernel, "b", len(z.b), len(z.dst))
	c.loops.zip = z
	c.Pool.each(len(z.dst), elementGrain, &c.loops.zip)
}

func (z *zip) run(_ *scratch, lo, hi int) { z.f(z, z.dst[lo:hi], z.a[lo:hi], z.b[lo:hi]) }

// Add writes a+b, rounded to bf16 if round is set. dst may be a or b.
func (c *Ctx) Add(dst, a, b []float32, round bool) {
	f := func(z *zip, dst, a, b []float32) { add(dst, a, b, z.round) }
	c.zip("Add", zip{dst, a, b, f, round, 0})
}

// Mul writes a·b element by element, rounded to bf16 if round is set. dst may be a or b.
func (c *Ctx) Mul(dst, a, b []float32, round bool) {
	f := func(z *zip, dst, a, b []float32) {
		for i, v := range a {
			dst[i] = narrowed(float64(v)*float64(b[i]), z.round)
		}
	}
	c.zip("Mul", zip{dst, a, b, f, round, 0})
}

// Scale writes x·factor, rounded to bf16 if round is set. dst may be x.
func (c *Ctx) Scale(dst, x []float32, factor float32, round bool) {
	f := func(z *zip, dst, x, _ []float32) {
		for i, v := range x {
			dst[i] = narrowed(float64(v)*float64(z.number), z.round)
		}
	}
	c.zip("Scale", zip{dst, x, x, f, round, factor})
}

// RoundBF16 writes the bf16 nearest to each element. dst may be x.
func (c *Ctx) RoundBF16(dst, x []float32) { c.Scale(dst, x, 1, true) }

// MulRows multiplies each row of width values by its own weight: x is [r,width], w is [r]. Rounded to
// bf16 if round is set. dst may be x.
func (c *Ctx) MulRows(dst, x, w []float32, width int, round bool) {
	rows := rowsOf("MulRows", x, width)
	need("MulRows", "dst", len(dst), len(x))
	need("MulRows", "w", len(w), rows)
	c.loops.mulRows = mulRows{dst, x, w, width, round}
	c.eachRow(rows, width, &c.loops.mulRows)
}

type mulRows struct {
	dst, x, w []float32
	width     int
	round     bool
}

func (l *mulRows) run(_ *scratch, lo, hi int) {
	for r := lo; r < hi; r++ {
		out, w := l.dst[r*l.width:(r+1)*l.width], l.w[r]
		for i, v := range l.x[r*l.width : (r+1)*l.width] {
			f := v * w
			if l.round {
				if onTie(f) {
					f = bf16(float64(v) * float64(w))
				}
				f = formats.RoundBF16x32(f)
			}
			out[i] = f
		}
	}
}

// AddRows adds one row to each of several: x is [r,times,width], row is [r,width]. Rounded to bf16 if
// round is set. dst may be x.
func (c *Ctx) AddRows(dst, x, row []float32, width, times int, round bool) {
	rows := rowsOf("AddRows", x, width)
	need("AddRows", "dst", len(dst), len(x))
	need("AddRows", "row", len(row)*times, len(x))
	c.loops.addRows = addRows{dst, x, row, width, times, round}
	c.eachRow(rows, width, &c.loops.addRows)
}

type addRows struct {
	dst, x, row  []float32
	width, times int
	round        bool
}

func (l *addRows) run(_ *scratch, lo, hi int) {
	for r := lo; r < hi; r++ {
		from, to := r*l.width, (r+1)*l.width
		add(l.dst[from:to], l.x[from:to], l.row[r/l.times*l.width:][:l.width], l.round)
	}
}

// Repeat copies each row of width values times times: [r,width] to [r,times,width].
func (c *Ctx) Repeat(dst, x []float32, width, times int) {
	rows := rowsOf("Repeat", x, width)
	need("Repeat", "dst", len(dst), len(x)*times)
	for r := range rows {
		for t := range times {
			copy(dst[(r*times+t)*width:], x[r*width:(r+1)*width])
		}
	}
}

// Embed writes the table's row for each id, counted from the table's First. Ids outside the table give zeros.
func (c *Ctx) Embed(dst []float32, table *Matrix, ids []int32) {
	k := table.K
	need("Embed", "dst", len(dst), len(ids)*k)
	for i, id := range ids {
		row := dst[i*k : (i+1)*k]
		own := int(id) - table.First
		if own < 0 || own >= table.N {
			clear(row)
			continue
		}
		table.Row(row, own)
	}
}

// SqrtSoftplus writes sqrt(log(1+e^x)), with the logarithm replaced by x above 20 as the official code's
// softplus does. dst may be x.
func (c *Ctx) SqrtSoftplus(dst, x []float32) {
	need("SqrtSoftplus", "dst", len(dst), len(x))
	for i, v := range x {
		s := float64(v)
		if s <= 20 {
			s = math.Log1p(math.Exp(s))
		}
		dst[i] = float32(math.Sqrt(s))
	}
}

// SwiGLU writes silu(min(gate,limit))·clamp(up,-limit,limit), unrounded (spec §6). A limit of 0 or below
// means none. dst may be gate or up.
func (c *Ctx) SwiGLU(dst, gate, up []float32, limit float32) {
	if limit <= 0 {
		limit = float32(math.Inf(1))
	}
	f := func(z *zip, dst, gate, up []float32) {
		limit := z.number
		for i, g := range gate {
			g, u := float64(min(g, limit)), float64(min(max(up[i], -limit), limit))
			dst[i] = float32(g * sigmoid(g) * u)
		}
	}
	c.zip("SwiGLU", zip{dst, gate, up, f, false, limit})
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
