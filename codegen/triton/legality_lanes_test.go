package triton

import (
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir/tile"
)

// reducedRows takes the root of the sum of each of n rows, and scales the rows by it or, across, stores it as a row.
func reducedRows(n int, across bool) *tile.Program {
	return program(func(b small) {
		cols := b.Row(b.Range(tile.D(64)))
		at := b.Add(b.MulI(b.Col(b.Range(tile.D(n))), 64), cols)
		x := b.Load(b.x, at, nil, 0)
		root := b.Sqrt(b.Sum(x, 1))
		if across {
			b.Store(b.y, b.Row(b.Range(tile.D(n))), b.Row(root), nil)
			return
		}
		b.Store(b.y, at, b.Mul(x, b.Col(root)), nil)
	})
}

// scaledByExp scales rows of a tile by exponentials: of each row's sum or, apart, by what somebody else has computed.
func scaledByExp(apart bool) *tile.Program {
	return program(func(b small) {
		row := b.Range(tile.D(64))
		at := b.Add(b.MulI(b.Col(row), 64), b.Row(b.Range(tile.D(64))))
		x := b.Load(b.x, at, nil, 0)
		factor := b.Load(b.x, row, nil, 0)
		if !apart {
			factor = b.Exp(b.Sum(x, 1))
		}
		b.Store(b.y, at, b.Mul(x, b.Col(b.AddF(factor, 1))), nil)
	})
}

// TestUnmaskRows holds that masks over more rows than so many are gone, and that positions which the program has
// chosen by the mask already are not chosen twice.
func TestUnmaskRows(t *testing.T) {
	for sample, p := range programsUnderTest() {
		t.Run(sample, func(t *testing.T) {
			q := requireSame(t, p(), func(p *tile.Program) *tile.Program { return UnmaskRows(p, 4) }, tile.Options{})
			q.Body.Walk(func(op *tile.Op) {
				if op.Code == tile.Load {
					require.False(t, coversRows(op, 4), q.OpText(op))
				}
			})
		})
	}
	clamped := func(p *tile.Program) (n int) {
		UnmaskRows(p, 4).Body.Walk(func(op *tile.Op) {
			if op.Code == tile.Load && op.Args[0].Def.Code == tile.Where {
				n++
			}
		})
		return n
	}
	require.Equal(t, 1, clamped(gather()), "a gather under a mask")
	require.Equal(t, 0, clamped(LiveMasked(sparseAttention())), "rows that were chosen")
}

// TestMaskedWhereSaysNothing holds that no load says what masked lanes hold where machines spoil others if told.
func TestMaskedWhereSaysNothing(t *testing.T) {
	for sample, p := range programsUnderTest() {
		require.NotContains(t, string(Print(MaskedWhere(p()))), "other=", sample)
	}
}
