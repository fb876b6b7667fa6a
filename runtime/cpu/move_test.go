package cpu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMoves(t *testing.T) {
	x := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} // [2,3,2]
	last := make([]float32, 4)
	Last(last, x, 2, 3, 2)
	require.Equal(t, []float32{5, 6, 11, 12}, last)

	first := make([]float32, 8)
	Take(first, x, 2, 3, 2, 2)
	require.Equal(t, []float32{1, 2, 3, 4, 7, 8, 9, 10}, first)

	joined := make([]int32, 6)
	Concat(joined, []int32{1, 2, 3, 4}, []int32{-1, -2}, 2, 2, 1)
	require.Equal(t, []int32{1, 2, -1, 3, 4, -2}, joined)

	require.PanicsWithValue(t, "cpu: Last: dst has 3 elements, expected 4", func() { Last(last[:3], x, 2, 3, 2) })
	require.PanicsWithValue(t, "cpu: Concat: b has 1 elements, expected 2",
		func() { Concat(joined, []int32{1, 2, 3, 4}, []int32{-1}, 2, 2, 1) })
}
