package gohost

import (
	"slices"
	"strconv"
	"strings"

	"github.com/dave/jennifer/jen"

	"flagc/ir"
)

// rope is a table of rotary frequencies, which all instructions with the same attributes share.
type rope struct {
	name     string // of Model's field
	dims     int
	theta    float64
	factor   float64
	original int // what follows counts only where the factor is not 1
	fast     float64
	slow     float64
}

// rope returns the model's field for the frequencies of a rope instruction.
func (g *generator) rope(a ir.Attrs) string {
	want := rope{dims: a.Int("dims"), theta: a.Float("theta"), factor: a.Float("factor")}
	if want.factor != 1 {
		want.original, want.fast, want.slow = a.Int("original"), a.Float("beta_fast"), a.Float("beta_slow")
	}
	theta := strconv.FormatFloat(want.theta, 'g', -1, 64)
	base := "rope" + strings.NewReplacer(".", "_", "+", "", "-", "_").Replace(theta)
	want.name = base
	for n := 2; ; n++ {
		i := slices.IndexFunc(g.ropes, func(r rope) bool { return r.name == want.name })
		switch {
		case i < 0:
			g.ropes = append(g.ropes, want)
			return want.name
		case g.ropes[i] == want:
			return want.name
		}
		want.name = base + "Variant" + strconv.Itoa(n)
	}
}

// spec is the literal that the runtime makes the table from.
func (r rope) spec(g *generator) *jen.Statement {
	fields := []jen.Code{
		pair("Dims", jen.Lit(r.dims)), pair("Theta", jen.Lit(r.theta)), pair("Factor", jen.Lit(r.factor)),
	}
	if r.factor == 1 {
		return g.cpu("RopeSpec").Values(fields...)
	}
	return composite(g.cpu("RopeSpec"), append(fields, pair("Original", jen.Lit(r.original)),
		pair("BetaFast", jen.Lit(r.fast)), pair("BetaSlow", jen.Lit(r.slow)))...)
}
