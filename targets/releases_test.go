package targets

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKindsCanBeComputed: every kind is for a target that there is, at a precision that it computes, once.
func TestKindsCanBeComputed(t *testing.T) {
	seen, published := map[Kind]bool{}, 0
	for _, k := range Kinds {
		target, ok := Find(k.Target)
		require.True(t, ok, k.Target)
		require.NoError(t, target.Allows(k.Policy))
		require.NotEmpty(t, k.Why)
		key := Kind{Model: k.Model, Target: k.Target, Policy: k.Policy}
		require.False(t, seen[key])
		seen[key] = true
		if k.Published {
			published++
		}
	}
	require.Equal(t, 9, published)
	for _, k := range KindsOf("a small one") {
		require.False(t, k.Published)
		require.Equal(t, "a small one", k.Model)
	}
	require.Len(t, KindsOf(pro), 4)
}
