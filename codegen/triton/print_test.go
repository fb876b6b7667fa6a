package triton

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/ir/tile"
)

var negInf = math.Inf(-1)

func TestPrint(t *testing.T) {
	for name, sample := range samples {
		t.Run(name, func(t *testing.T) {
			p := sample()
			require.NoError(t, tile.Verify(p))
			golden.Check(t, "testdata/print/"+name+".py.golden", string(Print(p)))
		})
	}
}
