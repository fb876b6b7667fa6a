package golden

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFirstDifference(t *testing.T) {
	require.Equal(t, "First in line 2:\n-b\n+c", firstDifference("a\nb\nd", "a\nc\nd"))
	require.Equal(t, "The file has 1 lines, the test got 2.", firstDifference("a", "a\nb"))
}
