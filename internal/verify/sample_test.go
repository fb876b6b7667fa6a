package verify

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/tritoncheck"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/ir/tile"
	"flagc/runtime/cpu"
)

// offered finds a kernel that no function launches.
func offered(t *testing.T, m *ir.Module, name string) *ir.Func {
	i := slices.IndexFunc(m.Kernels, func(k *ir.Func) bool { return k.Offered && k.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return m.Kernels[i]
}

// TestTokensAreChosenFromRealVocabularies checks the kernels that choose tokens where a row has many blocks, the last of
// them cut short, and scores that many tokens share.
func TestTokensAreChosenFromRealVocabularies(t *testing.T) {
	for _, target := range []string{"h200", "ascend-910b-64g", "p800"} {
		m, on := lowered(t, "deepseek-v4-flash", target, 8, "")
		for _, name := range []string{"sample_argmax", "sample_draw", "sample_pick"} {
			var cases []Case
			for seed := range int64(3) {
				for _, v := range []string{Random, Duplicates} {
					cases = append(cases, Case{ir.Env{"b": 3, "m": standardContext, "p": 255, "s": 1}, 7, seed, v})
				}
			}
			cell := subject(t, m, offered(t, m, name), on, cases).CheckTiles(t.Context())
			require.Equal(t, tritoncheck.Passed, cell.State, "%s %s: %s", target, name, cell.Why)
		}
	}
}

// TestRanksChooseAsTheHostDoes gives each rank its part of rows of logits and holds the token that is picked against the
// host's argmax of the whole row.
func TestRanksChooseAsTheHostDoes(t *testing.T) {
	const ranks, rows = 4, 6
	m, target := lowered(t, "deepseek-v4-nano", "h200", ranks, "")
	env := ir.Env{"b": rows, "m": standardContext, "p": 255, "s": 1}
	launch := func(name string, rank int, args ...*ir.Tensor) []*ir.Tensor {
		f := offered(t, m, name)
		k, _, err := Programs(m, f, target, Bounds)
		require.NoError(t, err)
		encoded, err := Arguments(k, eval.Launch{Kernel: f, Rank: rank, Env: env, Args: args}, m.Mesh)
		require.NoError(t, err)
		out, err := Execute(k, env, encoded, Interpreted(tile.Options{}))
		require.NoError(t, err)
		return out
	}

	l, err := Synthesize(m, offered(t, m, "sample_argmax"), env, 0, 1, Duplicates)
	require.NoError(t, err)
	part := l.Args[0].Dim(1)
	whole := make([][]float32, rows)
	values := ir.NewTensor(ir.Plain(ir.F32), []int{rows, ranks})
	places := ir.NewTensor(ir.Plain(ir.I32), []int{rows, ranks})
	for rank := range ranks {
		l, err := Synthesize(m, offered(t, m, "sample_argmax"), env, rank, int64(rank), Duplicates)
		require.NoError(t, err)
		out := launch("sample_argmax", rank, l.Args[0])
		for row := range rows {
			for _, x := range l.Args[0].F[row*part : (row+1)*part] {
				whole[row] = append(whole[row], float32(x))
			}
			values.F[row*ranks+rank], places.I[row*ranks+rank] = out[0].F[row], out[1].I[row]
		}
	}
	tokens := launch("sample_pick", 0, values, places)[0]
	for row := range rows {
		require.Equal(t, cpu.Argmax(whole[row]), tokens.I[row])
	}
}
