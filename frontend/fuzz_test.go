package frontend

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
	"flagc/internal/golden"
	"flagc/ir/ops"
	"flagc/models/deepseekv4"
)

// TestGrammar shows the syntax as it is documented.
func TestGrammar(t *testing.T) {
	golden.Check(t, "testdata/grammar.ebnf", Grammar())
}

// FuzzParse: no text makes the parser panic, and every error is a diagnostic with a place.
func FuzzParse(f *testing.F) {
	src, _ := tiny(f)
	f.Add(src.Text)
	_, text := deepseekv4.Source()
	f.Add(text)
	for _, x := range mistakes {
		f.Add(x.new)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Parse(Source{"fuzz.flag", text})
		requireDiagnostics(t, err, text)
	})
}

// FuzzElaborate: no model and no configuration makes the frontend panic; what it accepts is read back from text.
func FuzzElaborate(f *testing.F) {
	src, cfg := tiny(f)
	f.Add(src.Text, cfg.Text)
	for _, x := range mistakes {
		if changed := x.apply(src, cfg); x.name != "endless work" {
			f.Add(changed[0].Text, changed[1].Text)
		}
	}
	f.Fuzz(func(t *testing.T, model, config string) {
		m, err := Elaborate(Source{"fuzz.flag", model}, Source{"fuzz.json", config}, ops.All)
		if err != nil {
			requireDiagnostics(t, err, model)
			return
		}
		requireRoundTrip(t, m)
	})
}

func requireDiagnostics(t *testing.T, err error, text string) {
	if err == nil {
		return
	}
	items := diag.All(err)
	require.NotEmpty(t, items, "%v", err)
	require.LessOrEqual(t, len(items), diag.Limit)
	require.NotEmpty(t, diag.RenderAll(err, diag.Sources{"fuzz.flag": text}))
}
