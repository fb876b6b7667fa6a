package frontend

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
)

// TestArithKeepsNames holds the text of sizes: as written, with numbers folded and neutral elements left out.
func TestArithKeepsNames(t *testing.T) {
	names := map[string]int{"c": 128, "K": 96}
	c, k, p, s := named("c", 128), named("K", 96), symbol("p"), symbol("s")
	two, four, one, zero := constant(2), constant(4), constant(1), constant(0)
	calc := func(op byte, x, y integer) integer {
		v, err := arith(op, x, y)
		require.NoError(t, err)
		return v
	}
	for want, v := range map[string]integer{
		"2*c":            calc('*', two, c),
		"c":              calc('*', one, c),
		"8":              calc('*', two, four),
		"0":              calc('*', zero, c),
		"s":              calc('+', s, zero),
		"p/4*4":          calc('*', calc('/', p, four), four),
		"p/(4*c)":        calc('/', p, calc('*', four, c)),
		"(p+s)/4-p/4":    calc('-', calc('/', calc('+', p, s), four), calc('/', p, four)),
		"s-(p-c)":        calc('-', s, calc('-', p, c)),
		"s+p+c":          calc('+', s, calc('+', p, c)),
		"min(K,(p+s)/4)": calc('m', k, calc('/', calc('+', p, s), four)),
		"c*(c*c)":        calc('*', c, calc('*', c, c)),
	} {
		require.Equal(t, want, v.text)
		size, err := ir.ParseSize(v.text, names)
		require.NoError(t, err)
		require.Equal(t, v.size.String(), size.String(), "the text %s means its size", want)
	}
}

func TestArithErrors(t *testing.T) {
	_, err := arith('/', symbol("p"), constant(0))
	require.EqualError(t, err, "p / 0 divides by zero")
	_, err = arith('*', constant(1<<30), constant(1<<30))
	require.EqualError(t, err, "1073741824 * 1073741824 is out of range")
}

// TestPrecedence reads chains of operators as people do.
func TestPrecedence(t *testing.T) {
	for text, want := range map[string]static{
		"1 + 2 * 3":                 constant(7),
		"7 - 2 - 1":                 constant(4),
		"7 / 2 * 2":                 constant(6),
		"2 ^ 3 ^ 2":                 512.0,
		"-2 ^ 2":                    4.0,
		"16 ^ -0.5":                 0.25,
		"1 + 1 == 2 && 2 < 3":       true,
		"false && 1 / 0 == 1":       false,
		"true || 1 / 0 == 1":        true,
		"!(1 < 2) || 3 >= 3":        true,
		"1 < 2 ? 3 : 1 / 0":         constant(3),
		"min(3, 2) != 2":            false,
		"f32(0.1)":                  float64(float32(0.1)),
		"1.5 * 2":                   3.0,
		"\"a\" == \"b\"":            false,
		"1 > 2 ? 3 : 2 > 1 ? 4 : 5": constant(4),
	} {
		file, err := Parse(Source{"t.flag", "model t\nlet x = " + text})
		require.NoError(t, err, text)
		e := &elaborator{file: file, src: file.src, globals: newScope(nil), errs: &reports{}}
		e.builtins()
		f := &frame{elaborator: e, scope: newScope(e.globals)}
		f.let(file.Decls[0].Member.Let)
		require.NoError(t, e.errs.Err(), text)
		require.Equal(t, want, f.scope.names["x"].static, text)
	}
}
