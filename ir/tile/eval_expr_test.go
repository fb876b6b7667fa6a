package tile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEvalExpr(t *testing.T) {
	env := map[string]int{"s": 7, "BLOCK": 4, "big": 1 << 62}
	for text, want := range map[string]int{
		"1": 1, "s": 7, " s * 2+1 ": 15, "s - 2 - 1": 4, "(s + BLOCK - 1) // BLOCK": 2,
		"-s // 2": -4, "-(s // 2)": -3, "-7 % 4": 1, "7 % -4": -1, "s % 4 * 2": 6, "2 * s % 4": 2,
		"min(s, 3)": 3, "max(1, s, 3)": 7, "min(max(s, 9), s * BLOCK)": 9, "--3": 3, "big + (big - 1)": 1<<63 - 1,
		"-big * 2": -1 << 63, "0": 0, "minimum": 5,
	} {
		env["minimum"] = 5
		got, err := EvalExpr(text, env)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestEvalExprRefuses(t *testing.T) {
	env := map[string]int{"s": 7, "big": 1 << 62, "zero": 0, "least": -1 << 63}
	for text, want := range map[string]string{
		"":                         "expected a number, a name",
		"s +":                      "at column 4, found the end",
		"s s":                      `expected an operator or the end at column 3, found "s"`,
		"s / 2":                    `expected "/" at column 5`,
		"k":                        "unknown name k",
		"s // zero":                "7 // 0 divides by zero",
		"s % 0":                    "divides by zero",
		"big * 2":                  "does not fit 64 bits",
		"big * big":                "does not fit 64 bits",
		"big + big":                "does not fit 64 bits",
		"-least":                   "does not fit 64 bits",
		"least // -1":              "does not fit 64 bits",
		"0 + least":                "does not fit 64 bits",
		"least * -1":               "does not fit 64 bits",
		"010":                      "expected a whole number",
		"12ab":                     "expected a whole number",
		"min(s)":                   `expected ","`,
		"min s":                    `expected "("`,
		"(s":                       `expected ")"`,
		"s.x":                      "expected an operator",
		"9999999999999999999":      "expected a whole number",
		strings.Repeat("(", 1000):  "at most 64 levels",
		strings.Repeat("s+", 5000): "longer than 4096",
	} {
		_, err := EvalExpr(text, env)
		require.ErrorContains(t, err, want, text)
	}
}

func TestExprNames(t *testing.T) {
	names, err := ExprNames("min(s, BLOCK) * s + 3")
	require.NoError(t, err)
	require.Equal(t, []string{"BLOCK", "s"}, names)
}

func TestLeastOf(t *testing.T) {
	least := map[string]int{"b": 1, "p": 0}
	for text, want := range map[string]int{
		"b * 32": 32, "(b) + (b * (p // 64))": 1, "b * ((128 + min(512, (p + 1) // 4) + 15) // 16)": 8, "max(b, p)": 1, "p * 7": 0, "12": 12,
	} {
		n, ok := LeastOf(text, least)
		require.True(t, ok, text)
		require.Equal(t, want, n, text)
	}
	for _, text := range []string{"b - p", "-b", "p % 4 + b", "12 // b", "b * (1 - min(1, p))", "b + unknown", "b +"} {
		_, ok := LeastOf(text, least)
		require.False(t, ok, text)
	}
}
