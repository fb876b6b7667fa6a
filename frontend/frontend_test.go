package frontend

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
	"flagc/internal/golden"
	"flagc/ir"
	"flagc/ir/ops"
)

// tiny returns the small model of testdata and its configuration.
func tiny(t testing.TB) (src, cfg Source) {
	t.Helper()
	read := func(name string) Source {
		text, err := os.ReadFile("testdata/" + name)
		require.NoError(t, err)
		return Source{name, string(text)}
	}
	return read("tiny.flag"), read("tiny.json")
}

// TestTiny reads every construct of the language and compares the whole module.
func TestTiny(t *testing.T) {
	src, cfg := tiny(t)
	m, err := Elaborate(src, cfg, ops.All)
	require.NoError(t, err)
	golden.Check(t, "testdata/tiny.ir", m.String())
	requireRoundTrip(t, m)
}

// requireRoundTrip checks that the module's text is read back as the same module.
func requireRoundTrip(t testing.TB, m *ir.Module) {
	t.Helper()
	again, err := ir.ParseModule(m.String(), "module.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, again.Verify())
	require.Equal(t, m.String(), again.String())
}

// TestMistakes holds every mistake against the diagnostic that a person reads.
func TestMistakes(t *testing.T) {
	src, cfg := tiny(t)
	var out strings.Builder
	for _, x := range mistakes {
		at := src.Text
		if x.json {
			at = cfg.Text
		}
		require.Equal(t, 1, strings.Count(at, x.old), "%s: %q must stand in the text once", x.name, x.old)
		changed := x.apply(src, cfg)
		src, cfg := changed[0], changed[1]
		_, err := Elaborate(src, cfg, ops.All)
		if !assert.Error(t, err, x.name) {
			continue
		}
		items := diag.All(err)
		require.NotEmpty(t, items, x.name)
		assert.True(t, x.several || len(items) == 1, "%s: one mistake is one message:\n%v", x.name, err)
		for _, d := range items {
			assert.True(t, d.Span.Known(), "%s: %s has no place", x.name, d.Message)
		}
		text := diag.RenderAll(err, diag.Sources{src.Name: src.Text, cfg.Name: cfg.Text})
		assert.NotContains(t, text, "BUG", x.name)
		fmt.Fprintf(&out, "== %s\n%s\n", x.name, text)
	}
	golden.Check(t, "testdata/mistakes.golden", out.String())
}
