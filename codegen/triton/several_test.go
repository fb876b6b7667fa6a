package triton

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
)

// batches are Flash's kernels for batches of up to so many sequences.
func batches(t *testing.T, target string, batch int) *Build {
	on, ok := targets.Find(target)
	require.True(t, ok)
	m, _ := goldens.Builtin(t, "deepseek-v4-flash")
	b, err := NewBuild(through(t, m, passes.Options{Target: on, TP: 8, Batch: batch}), on)
	require.NoError(t, err)
	return b
}

// denseKernels are those of a mode that have dense products.
func denseKernels(b *Build, mode ir.Mode) []*Lowered {
	return slices.DeleteFunc(slices.Clone(b.Kernels), func(k *Lowered) bool {
		return k.Func.Mode != mode || !slices.ContainsFunc(k.Func.Body, dense)
	})
}

// readsDense is how many bytes a program reads of weights of dense products.
func readsDense(k *Lowered, p *tile.Program) (bytes int) {
	for _, in := range k.Func.Body {
		w := in.Args[len(in.Args)-1]
		if !dense(in) || !slices.ContainsFunc(p.Params, func(q *tile.Param) bool {
			return k.Bindings[q.Name].Value == w && k.Bindings[q.Name].Source == FromValue
		}) {
			continue
		}
		n, _ := productOf(w.Type.Dims).IsConst()
		bytes += n * StoredAs(w.Type).Bytes()
	}
	return bytes
}

func has(p *tile.Program, code tile.Code) (found bool) {
	p.Body.Walk(func(op *tile.Op) { found = found || op.Code == code })
	return found
}

// TestSeveralRowsShareWeights holds that builds for batches multiply blocks of rows, by dot and on the whole machine, and that
// what is planned for one sequence or two goes row by row, but for the streams of an MTP block.
func TestSeveralRowsShareWeights(t *testing.T) {
	one, two, many := batches(t, "h200", 1), batches(t, "h200", 2), batches(t, "h200", 16)
	for i, p := range one.Programs() {
		require.Equal(t, p.String(), two.Programs()[i].String(), "two sequences are no reason for other kernels")
	}
	count := 0
	for _, b := range []*Build{one, many} {
		for _, k := range denseKernels(b, ir.Decode) {
			for _, p := range k.Programs {
				bytes := readsDense(k, p)
				if bytes == 0 {
					continue
				}
				blocks := b == many || k.Func.Name == "e_proj_h_proj"
				require.Equal(t, blocks, has(p, tile.Dot), p.Name)
				if !blocks || bytes < 1<<20 {
					continue
				}
				count++
				instances, err := tile.EvalExpr(p.Grid, map[string]int{"b": 16, "p": 4096, "m": 8192})
				require.NoError(t, err)
				require.GreaterOrEqual(t, instances, 128, p.Name)
			}
		}
	}
	require.Greater(t, count, 5)
}

// TestShortPromptsAreSplit holds in how many instances a narrow product is computed for prompts of some lengths, and that wide ones
// are left whole.
func TestShortPromptsAreSplit(t *testing.T) {
	b := batches(t, "h200", 1)
	split := map[string]bool{}
	for _, k := range denseKernels(b, ir.Prefill) {
		for _, p := range k.Programs {
			if readsDense(k, p) == 0 {
				continue
			}
			grid := func(s int) int {
				n, err := tile.EvalExpr(p.Grid, map[string]int{"b": 1, "s": s, "p": 0, "m": 8192, "E": 256, "A": 6, "D": 4096})
				require.NoError(t, err, p.Grid)
				return n
			}
			split[k.Func.Name] = split[k.Func.Name] || slices.ContainsFunc(p.Params, func(q *tile.Param) bool {
				return q.Access != tile.In && k.Bindings[q.Name].Source == FromWork && k.Bindings[q.Name].DType == tile.F32
			})
			if k.Func.Name == "wo_a" { // blocks of 64 rows and 128 of 1024 columns
				require.Equal(t, []int{8 * 8, 3 * 8 * 8, 16 * 8 * 2, 64 * 8}, []int{grid(1), grid(133), grid(1024), grid(4096)})
			}
		}
	}
	require.True(t, split["wo_a"])
	require.True(t, split["gate_shared_experts"])
	require.True(t, split["wq_a_wkv"])
	require.False(t, split["wq_a_wkv_compressor_indexer"], "so many products keep the machine busy")
	require.False(t, split["wo_b"])
	require.False(t, split["e_proj_h_proj"])
}

// TestCodesHaveSmallBlocks holds how many rows a block has where codes of FP8 are multiplied as FP16, and elsewhere.
func TestCodesHaveSmallBlocks(t *testing.T) {
	for target, rows := range map[string]int{"h200": 32, "b200": 64} {
		dots := 0
		for _, k := range denseKernels(batches(t, target, 1), ir.Prefill) {
			if k.Func.Name != "wo_b" {
				continue
			}
			k.Programs[0].Body.Walk(func(op *tile.Op) {
				if op.Code == tile.Dot {
					dots++
					require.Equal(t, rows, op.Results[0].Shape[0].Size, target)
				}
			})
		}
		require.Positive(t, dots, target)
	}
}

// TestStreamsAreOneRow: where a block of tokens is mixed, the streams of a token lie one behind the other, and columns are counted
// over all of them: a remainder in addresses makes Triton load numbers one by one.
func TestStreamsAreOneRow(t *testing.T) {
	found := 0
	for _, k := range batches(t, "h200", 1).Kernels {
		for _, p := range k.Programs {
			if k.Func.Mode != ir.Prefill || !strings.HasPrefix(p.Doc, "products with the mixing matrix") || p.Param("X") == nil {
				continue
			}
			_, loop, _ := strings.Cut(string(Print(p)), "for k in range(")
			loop, _, blocks := strings.Cut(loop, "tl.dot(")
			if !blocks { // the last token is mixed alone
				continue
			}
			found++
			require.Contains(t, loop, "tl.load(X + token * 16384 + ", p.Name)
			require.NotContains(t, loop, "%", p.Name)
		}
	}
	require.GreaterOrEqual(t, found, 2)
}
