package triton

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir/tile"
	"flagc/targets"
)

// TestRating holds how entries are rated: for a single token, where instances can tell who is the last, few by each with
// several dots that do not wait for each other; else as many as share an update of the maximum, with one dot at a time.
func TestRating(t *testing.T) {
	for _, c := range []struct {
		target        string
		entries, dots int // in decoding
	}{
		{"h200", 8, 4},
		{"s5000", entryBlock, 1}, // atomics are not known to work
	} {
		target, ok := targets.Find(c.target)
		require.True(t, ok)
		b, err := NewBuild(lowered(t, "deepseek-v4-flash", target, 8, ""), target)
		require.NoError(t, err)
		seen := 0
		for _, p := range b.Programs() {
			if !strings.HasPrefix(p.Name, "sparse_attention") || !strings.Contains(p.Doc, "rated:") {
				continue
			}
			seen++
			var widths []int
			p.Body.Walk(func(op *tile.Op) {
				if op.Code == tile.Dot {
					widths = append(widths, op.Results[0].Shape[1].Size)
				}
			})
			want, dots := entryBlock, 1
			if strings.Contains(p.Name, "decode") {
				want, dots = c.entries, c.dots
			}
			require.Len(t, widths, dots, p.Name)
			for _, w := range widths {
				require.Equal(t, want, w, p.Name)
			}
		}
		require.Equal(t, 6, seen, "three kinds of layers, prefill and decode")
	}
}
