package tritoncheck

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func lowerer(t *testing.T) *Lowerer {
	l, err := NewLowerer(t.Context())
	need(t, err)
	t.Cleanup(l.Close)
	return l
}

func TestLowerForAscend(t *testing.T) {
	l := lowerer(t)
	m, err := ReadManifest(kernelDir)
	require.NoError(t, err)
	results, err := l.LowerAll(t.Context(), m, nil)
	require.NoError(t, err)
	modes := map[string]string{}
	for _, r := range results {
		t.Logf("%-18s %-4s %v %v %.2f s %s", r.Kernel, r.MixMode, r.Discrete, r.Hazards, r.Seconds, r.Error)
		if slices.Contains([]string{"fp8_gemv", "fp8_matmul", "act_quant"}, r.Kernel) {
			require.False(t, r.OK)
			require.Equal(t, Failed, r.Cell().State)
			require.Contains(t, r.Error, "unexpected type fp8")
			continue
		}
		require.True(t, r.OK, "%s: %s", r.Kernel, r.Error)
		require.Equal(t, Passed, r.Cell().State)
		require.Contains(t, r.Linalg, "func.func @"+r.Kernel)
		require.NotContains(t, r.Linalg, "testdata", "the text must not name where its source was")
		modes[r.Kernel] = r.MixMode
		switch r.Kernel {
		case "gather_attention": // rows of 64 by index
			require.Equal(t, []Discrete{{Kind: "load", Times: 16, Elements: 64, Line: 18}}, r.Discrete)
		case "split_sum", "grid_barrier":
			require.Len(t, r.Hazards, 1)
			require.Contains(t, r.Hazards[0].String(), "the value that an atomic returns")
		default:
			require.Empty(t, r.Discrete)
			require.Empty(t, r.Hazards)
		}
	}
	require.Equal(t, map[string]string{
		"bf16_matmul": "mix", "gather_attention": "mix",
		"fp4_widen": "aiv", "norm_rope": "aiv", "split_sum": "aiv", "grid_barrier": "aiv",
	}, modes)
}

func TestLowerReportsDiscreteAccesses(t *testing.T) {
	l := lowerer(t)
	m := &Manifest{Dir: "testdata/discrete"}
	for _, c := range []struct{ kernel, discrete, hazards string }{
		{"gather", "line 11: load of 64 × 1", ""},
		{"scatter", "line 18: store of 64 × 1", ""},
		{"masked_by_data", "", "line 25: a store under a mask from data rewrites the masked lanes too: what others write there is lost"},
		{"strided", "line 31: strided access to 64 elements", ""},
		{"swapped", "line 37: load of 64 × 1", ""},
		{"scatter_rows", "line 45: store of 2048 × 1", ""},
		{"repeated", "line 51: load of 64 × 1", ""},
		{"wrapped", "line 57: load of 64 × 1", ""},
		{"gather_strided_rows", "line 65: load of 64 × 64", "line 65: a load became a buffer that nothing fills: wrong values"},
		{"atomics", "line 72: atomic of 64 × 1", ""},
	} {
		k := &Kernel{Name: c.kernel, File: "discrete.py", Constants: map[string]int{"B": 64}, Params: []Param{
			{Name: "x", Kind: "pointer", DType: "f32", Access: "in"}, {Name: "idx", Kind: "pointer", DType: "i32", Access: "in"},
			{Name: "y", Kind: "pointer", DType: "f32", Access: "inout"}, {Name: "n", Kind: "scalar", DType: "i32"},
		}}
		r, err := l.Lower(t.Context(), m, k)
		require.NoError(t, err)
		require.True(t, r.OK, r.Error)
		require.Equal(t, c.discrete, strings.Trim(fmt.Sprint(r.Discrete), "[]"), c.kernel)
		require.Equal(t, c.hazards, strings.Trim(fmt.Sprint(r.Hazards), "[]"), c.kernel)
		if strings.Contains(c.hazards, "wrong values") {
			require.Equal(t, Failed, r.Cell().State)
		}
	}
}
