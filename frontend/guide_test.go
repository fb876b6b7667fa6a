package frontend_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/frontend"
	"flagc/ir/ops"
)

// TestTheGuidesExampleElaborates keeps the documentation true.
func TestTheGuidesExampleElaborates(t *testing.T) {
	_, rest, ok := strings.Cut(frontend.Guide(), "```flag\n")
	require.True(t, ok)
	text, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	m, err := frontend.Elaborate(frontend.Source{Name: "tiny.flag", Text: text},
		frontend.Source{Name: "config.json", Text: `{"vocab_size": 32, "hidden_size": 128, "num_layers": 3}`}, ops.All)
	require.NoError(t, err)
	require.Equal(t, []string{"layers.1", "layers.2"}, m.Params[1].Instances)
	require.NotNil(t, m.Func("block_scaled.decode"))
	require.True(t, strings.HasSuffix(frontend.Guide(), "```\n"))
}
