package triton

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"flagc/ir/tile"
)

// dtypeNames are the number formats in Triton's words.
var dtypeNames = map[tile.DType]string{
	tile.Bool: "tl.int1", tile.I8: "tl.int8", tile.I32: "tl.int32", tile.I64: "tl.int64",
	tile.E4M3: "tl.float8e4nv", tile.BF16: "tl.bfloat16", tile.F16: "tl.float16", tile.F32: "tl.float32",
}

func dtypeName(d tile.DType) string { return dtypeNames[d] }

// constant is a constant by its name or as digits.
func (l *plan) constant(v *tile.Value) *node {
	op := v.Def
	if op.Code == tile.ConstFloat {
		if f := float32(op.Float); f != 0 && math.Abs(float64(f)) < smallestNormal {
			// A bare literal this small is taken for float64.
			return newCall("tl.full", newAtom("[]"), newAtom(floatText(op.Float)), newAtom("tl.float32"))
		}
		return newAtom(floatText(op.Float))
	}
	if op.Const != nil {
		return newAtom(op.Const.Name)
	}
	if n := op.Int; n >= 1<<20 && n%(1<<16) == 0 { // bits of a float
		return newAtom(hexText(n))
	}
	return newAtom(strconv.FormatInt(op.Int, 10))
}

// hexText is a number as bits.
func hexText(n int64) string {
	if n < 0 {
		return fmt.Sprintf("-0x%X", -n)
	}
	return fmt.Sprintf("0x%X", n)
}

const smallestNormal = 0x1p-126

// floatText is a literal that is exactly the float32 number, also read as float64 first.
func floatText(x float64) string {
	f := float32(x)
	switch {
	case math.IsInf(float64(f), 1):
		return `float("inf")`
	case math.IsInf(float64(f), -1):
		return `float("-inf")`
	case f != f:
		return `float("nan")`
	}
	if e := math.Ilogb(float64(f)); f != 0 && math.Abs(float64(f)) == math.Ldexp(1, e) && (e > 16 || e < -16) {
		return fmt.Sprintf("%s2.0**%d", map[bool]string{true: "-"}[f < 0], e)
	}
	text := strconv.FormatFloat(float64(f), 'g', -1, 32)
	if back, err := strconv.ParseFloat(text, 64); err != nil || float32(back) != f {
		text = strconv.FormatFloat(float64(f), 'g', -1, 64)
	}
	mantissa, exponent, scientific := strings.Cut(text, "e")
	if !scientific {
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text
	}
	n, _ := strconv.Atoi(exponent)
	return fmt.Sprintf("%se%d", mantissa, n)
}

// dim is an extent by its name or as digits.
func (l *plan) dim(d tile.Dim) string {
	if d.Name != "" && l.program.Const(d.Name) != nil {
		return d.Name
	}
	return strconv.Itoa(d.Size)
}

func (l *plan) shape(dims []tile.Dim) *node {
	texts := make([]string, len(dims))
	for i, d := range dims {
		texts[i] = l.dim(d)
	}
	return newAtom("[" + strings.Join(texts, ", ") + "]")
}
