package triton

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/ir/tile"
	"flagc/targets"
)

// small builds a program of one parameter of each kind.
type small struct {
	*tile.Builder
	x, h, q, ids, y *tile.Param
	pid             *tile.Value
}

func program(body func(b small)) *tile.Program {
	b := tile.NewBuilder("small")
	s := small{Builder: b}
	b.Program.Grid = "m"
	s.x = b.Pointer("x_ptr", tile.F32, tile.In, "", "m", "64")
	s.h = b.Pointer("h_ptr", tile.BF16, tile.In, "", "m", "64")
	s.q = b.Pointer("q_ptr", tile.I8, tile.In, "", "m", "64")
	s.ids = b.Pointer("ids_ptr", tile.I32, tile.In, "", "m", "64")
	s.y = b.Pointer("y_ptr", tile.F32, tile.Out, "", "m", "64")
	b.Scalar("m", "")
	s.pid = b.ProgramID()
	body(s)
	return b.Program
}

// dot multiplies loaded tiles.
func dot(d tile.DType, m, n, k int) *tile.Program {
	return program(func(b small) {
		p := b.Pointer("w_ptr", d, tile.In, "", "65536")
		at := func(rows, cols int) *tile.Value {
			return b.Add(b.Col(b.Range(tile.D(rows))), b.Row(b.Range(tile.D(cols))))
		}
		acc := b.Loop("i", b.Int(0), b.Int(4), 1, []*tile.Value{b.Zeros(tile.D(m), tile.D(n))},
			func(i *tile.Value, c []*tile.Value) []*tile.Value {
				x := b.Load(p, b.Add(i, at(m, k)), nil, 0)
				return []*tile.Value{b.Dot(x, b.Load(p, b.Add(i, at(k, n)), nil, 0), c[0])}
			})[0]
		b.Store(b.y, at(m, n), acc, nil)
	})
}

// vector loads n lanes under a mask if asked, and stores them.
func vector(n int, masked bool) *tile.Program {
	return program(func(b small) {
		at := b.Range(tile.D(n))
		var mask *tile.Value
		if masked {
			mask = b.LtI(at, n-3)
		}
		b.Store(b.y, at, b.Exp(b.Load(b.x, at, mask, 0)), mask)
	})
}

func tile2(body func(b small, at *tile.Value) *tile.Value) *tile.Program {
	return program(func(b small) {
		at := b.Add(b.MulI(b.Col(b.Range(tile.D(32))), 64), b.Row(b.Range(tile.D(64))))
		v := body(b, at)
		b.Store(b.y, b.Range(v.Shape[0]), v, nil)
	})
}

func scaled(p *tile.Program, warps, stages int) *tile.Program {
	p.Launch = tile.Launch{Warps: warps, Stages: stages}
	return p
}

// gathered loads n lanes by number.
func gathered(n int) *tile.Program {
	return program(func(b small) {
		at := b.Range(tile.D(n))
		b.Store(b.y, at, b.Load(b.x, b.Load(b.ids, at, nil, 0), nil, 0), nil)
	})
}

// broken lists a program and target for each rule that the program breaks there, and a pair that keeps it.
var broken = []struct {
	rule       string
	bad, good  *tile.Program
	on, goodOn targets.Target
}{
	{"dot-type", dot(tile.E4M3, 32, 32, 32), dot(tile.BF16, 32, 32, 32), targets.Ascend910B64, targets.Ascend910B64},
	{"dot-type", dot(tile.F32, 32, 32, 32), dot(tile.F32, 32, 32, 32), targets.S5000, targets.H100}, // unknown
	{"dot-type", dot(tile.E4M3, 32, 32, 32), dot(tile.E4M3, 32, 32, 32), targets.BW1000, targets.H100},
	{"dot-tile", dot(tile.BF16, 8, 32, 32), dot(tile.BF16, 16, 32, 32), targets.C500, targets.C500},
	{"dot-tile", dot(tile.BF16, 16, 8, 32), dot(tile.BF16, 16, 8, 32), targets.P800, targets.H100}, // unknown
	{"dot-tile", dot(tile.E4M3, 16, 16, 16), dot(tile.BF16, 16, 16, 16), targets.H100, targets.H100},
	{"on-chip", scaled(dot(tile.BF16, 128, 128, 128), 4, 2), scaled(dot(tile.BF16, 128, 128, 128), 4, 1), targets.BW1000, targets.BW1000},
	{"on-chip", scaled(dot(tile.BF16, 128, 256, 128), 4, 1), scaled(dot(tile.BF16, 64, 64, 64), 4, 1), targets.Zhenwu810E, targets.Zhenwu810E},
	{"on-chip", rows(1024, false), rows(256, false), targets.Ascend910B64, targets.Ascend910B64},
	{"on-chip", looped(256), looped(128), targets.Ascend910B64, targets.Ascend910B64},
	{"on-chip", looped(256), dot(tile.BF16, 128, 128, 128), targets.Ascend910B64, targets.Ascend910B64}, // in the cube
	{"cube", dot(tile.BF16, 256, 256, 16), dot(tile.BF16, 128, 128, 16), targets.Ascend910B64, targets.Ascend910B64},
	{"cube", dot(tile.BF16, 16, 256, 1024), dot(tile.BF16, 16, 256, 256), targets.Ascend910B64, targets.Ascend910B64},
	{"grid", vector(64, false), vector(64, false), targets.Ascend910B64, targets.H100},
	{"index-width", wide(true), wide(false), targets.P800, targets.P800},
	{"index-width", wide(true), wide(false), targets.Ascend910B64, targets.Ascend910B64},
	{"index-width", wide(true), wide(false), targets.H100, targets.H100}, // unknown: compares
	{"index-range", far(tile.I32), far(tile.I64), targets.H100, targets.H100},
	{"index-range", far(tile.I32), vector(64, false), targets.BW1000, targets.BW1000},
	{"transpose", transposed(), TransposeByLoad(transposed()), targets.P800, targets.P800},
	{"divide", divided(true), divided(false), targets.P800, targets.P800},
	{"gather", gathered(64), vector(64, false), targets.P800, targets.P800},
	{"gather", gathered(64), gathered(256), targets.C500, targets.C500},
	{"atomics", sections(), vector(64, false), targets.Ascend910B64, targets.Ascend910B64},
	{"atomics", sections(), sections(), targets.P800, targets.H100},
	{"atomics", sections(), sections(), targets.C500, targets.H100}, // unknown
	{"masked-other", summed(true), MaskedWhere(summed(true)), targets.P800, targets.P800},
	{"masked-other", summed(true), vector(64, true), targets.P800, targets.P800}, // masked when stored
	{"masked-address", gather(), LiveMasked(gather()), targets.Ascend910B64, targets.Ascend910B64},
	{"masked-address", gather(), sparseAttention(), targets.Ascend910B64, targets.Ascend910B64}, // chosen by the author
	{"masked-address", shifted(), LiveMasked(shifted()), targets.Ascend910B64, targets.Ascend910B64},
	{"repeated-address", repeated(true), ReadOnce(repeated(true)), targets.Ascend910B64, targets.Ascend910B64},
	{"repeated-address", repeated(false), repeated(false), targets.Ascend910B64, targets.H100},
	{"masked-rows", rows(32, true), rows(16, true), targets.P800, targets.P800},
	{"masked-rows", rows(32, true), rows(32, false), targets.P800, targets.P800},
	{"masked-rows", rows(32, true), UnmaskRows(rows(32, true), 16), targets.P800, targets.P800},
	{"masks-in-loops", linearBF16(), dot(tile.BF16, 16, 16, 16), targets.BIV150, targets.BIV150},
	{"fp8-pointer", actQuant(), BytesForFP8(actQuant()), targets.A100, targets.A100},
	{"fp8-pointer", actQuant(), actQuant(), targets.BIV100, targets.H100}, // unknown
	{"byte-pointer", widenFP4(), dot(tile.BF16, 16, 16, 16), targets.P800, targets.H100},
	{"lanes", vector(32, false), vector(64, false), targets.P800, targets.P800},
	{"lanes", reducedRows(16, true), reducedRows(16, false), targets.P800, targets.P800}, // numbers of rows stay with the rows
	{"lanes", reducedRows(16, true), reducedRows(64, true), targets.P800, targets.P800},
	{"broadcast-exp", scaledByExp(false), scaledByExp(true), targets.P800, targets.P800},
	{"broadcast-exp", scaledByExp(false), scaledByExp(false), targets.P800, targets.H100}, // unknown
	{"alignment", dot(tile.BF16, 16, 16, 16), vector(64, false), narrowRows(), targets.Ascend910B64},
	{"reduction-lanes", reduced(16384), reduced(8192), targets.P800, targets.P800},
	{"reduction-axis", axis(0), axis(1), targets.P800, targets.P800},
	{"empty-store", vector(64, true), GuardStores(vector(64, true)), targets.P800, targets.P800},
	{"warps", scaled(vector(64, false), 32, 1), scaled(vector(64, false), 16, 1), targets.C500, targets.C500},
	{"warps", scaled(vector(64, false), 32, 1), scaled(vector(64, false), 32, 1), targets.BIV150, targets.P800}, // unknown; ignored
	{"stages", scaled(vector(64, false), 4, 2), scaled(vector(64, false), 4, 1), targets.S5000, targets.S5000},
}

// narrowRows is a target that aligns rows more than the small programs do.
func narrowRows() targets.Target {
	t := targets.BIV150
	t.Loads.Alignment = targets.Ascend910B64.Cube.Alignment
	return t
}

func wide(compare bool) *tile.Program {
	return program(func(b small) {
		at := b.Cast(b.Range(tile.D(64)), tile.I64)
		if !compare {
			at = b.Range(tile.D(64))
		}
		mask := b.Lt(at, b.Add(at, at))
		b.Store(b.y, b.Range(tile.D(64)), b.Cast(mask, tile.F32), nil)
	})
}

func far(d tile.DType) *tile.Program {
	return program(func(b small) {
		p := b.Pointer("far_ptr", tile.F32, tile.In, "", "m", "65536")
		row := b.Mul(b.Cast(b.pid, d), b.Cast(b.Int(65536), d))
		at := b.Range(tile.D(64))
		b.Store(b.y, at, b.Load(p, b.Add(row, b.Cast(at, d)), nil, 0), nil)
	})
}

func transposed() *tile.Program {
	return tile2(func(b small, at *tile.Value) *tile.Value {
		return b.Sum(b.Transpose(b.Load(b.x, at, nil, 0), 1, 0), 1)
	})
}

func divided(slow bool) *tile.Program {
	return program(func(b small) {
		at := b.Range(tile.D(64))
		if slow {
			at = b.DivI(at, 3)
		}
		b.Store(b.y, at, b.Load(b.x, b.DivI(b.pid, 3), nil, 0), nil)
	})
}

func summed(masked bool) *tile.Program {
	return program(func(b small) {
		at := b.Range(tile.D(64))
		b.Store(b.y, b.pid, b.Sum(b.Load(b.x, at, b.LtI(at, 50), 0), 0), nil)
	})
}

func rows(n int, masked bool) *tile.Program {
	return program(func(b small) {
		r := b.Col(b.Range(tile.D(n)))
		at := b.Add(b.MulI(r, 64), b.Row(b.Range(tile.D(64))))
		var mask *tile.Value
		if masked {
			mask = b.LtI(r, n-1)
		}
		b.Store(b.y, at, b.Load(b.x, at, mask, 0), mask)
	})
}

// shifted reads from 8 lanes below the first, under a mask.
func shifted() *tile.Program {
	return program(func(b small) {
		at := b.Range(tile.D(64))
		b.Store(b.y, at, b.Load(b.x, b.SubI(at, 8), b.GeI(at, 8), 1), nil)
	})
}

// repeated reads one row for all rows.
func repeated(masked bool) *tile.Program {
	p := program(func(b small) {
		r, cols := b.Col(b.Range(tile.D(16))), b.Row(b.Range(tile.D(64)))
		at := b.BroadcastTo(cols, tile.D(16), tile.D(64))
		var mask *tile.Value
		if masked {
			at, mask = cols, b.And(b.LtI(r, 11), b.LtI(cols, 50))
		}
		b.Store(b.y, b.Add(b.MulI(r, 64), cols), b.Load(b.x, at, mask, 3), nil)
	})
	p.Grid = "1"
	return p
}

// looped loads n rows at a time, into memory that the compiler doubles.
func looped(n int) *tile.Program {
	return program(func(b small) {
		at := b.Add(b.MulI(b.Col(b.Range(tile.D(n))), 64), b.Row(b.Range(tile.D(64))))
		total := b.Loop("i", b.Int(0), b.Int(4), 1, []*tile.Value{b.Zeros(tile.D(n))},
			func(i *tile.Value, c []*tile.Value) []*tile.Value {
				return []*tile.Value{b.Add(c[0], b.Sum(b.Load(b.x, b.Add(at, i), nil, 0), 1))}
			})[0]
		b.Store(b.y, b.Range(tile.D(n)), total, nil)
	})
}

func reduced(n int) *tile.Program {
	return program(func(b small) {
		b.Store(b.y, b.pid, b.Sum(b.Load(b.x, b.Range(tile.D(n)), nil, 0), 0), nil)
	})
}

func axis(n int) *tile.Program {
	return tile2(func(b small, at *tile.Value) *tile.Value { return b.Max(b.Load(b.x, at, nil, 0), n) })
}

func rulesOf(p *tile.Program, t targets.Target) map[string]Violation {
	out := map[string]Violation{}
	for _, v := range Check(p, t, map[string]int{"m": 100000, "tokens": 64, "rows": 4096, "n": 512}) {
		out[v.Rule] = v
	}
	return out
}

func TestEachRule(t *testing.T) {
	seen := map[string]bool{}
	var text strings.Builder
	for _, c := range broken {
		seen[c.rule] = true
		require.NoError(t, tile.Verify(c.bad))
		require.NoError(t, tile.Verify(c.good))
		got, found := rulesOf(c.bad, c.on)[c.rule]
		require.True(t, found, "%s is not found on %s", c.rule, c.on.Name)
		text.WriteString(c.on.Name + ": " + got.Error() + "\n")
		require.NotContains(t, rulesOf(c.good, c.goodOn), c.rule)
	}
	for _, r := range rules {
		require.True(t, seen[r.name], "no case for %s", r.name)
	}
	golden.Check(t, "testdata/violations.golden", text.String())
}

func TestAHostHasNoRules(t *testing.T) {
	require.Empty(t, Check(dot(tile.E4M3, 8, 8, 8), targets.CPU, nil))
	p := actQuant()
	q, violations := Legalize(p, targets.CPU, nil)
	require.Same(t, p, q)
	require.Empty(t, violations)
}

func TestAGridOfUnknownSize(t *testing.T) {
	v := Check(vector(64, false), targets.H100, nil)
	require.Len(t, v, 1)
	require.Equal(t, "grid", v[0].Rule)
	require.Contains(t, v[0].Error(), "name the largest value of each scalar")
}

// TestLegalizeLeavesOnlyWhatNoRewriteMends checks the samples on all targets after their rewrites.
func TestLegalizeLeavesOnlyWhatNoRewriteMends(t *testing.T) {
	mended := []string{"grid", "transpose", "masked-other", "masked-address", "fp8-pointer", "empty-store", "warps", "stages"}
	for _, target := range targets.All() {
		for name, p := range programsUnderTest() {
			_, violations := Legalize(p(), target, map[string]int{"m": 1 << 20, "tokens": 1 << 20, "rows": 4096, "n": 4096, "blocks": 1 << 20})
			for _, v := range Errors(violations) {
				if name == "odds" && v.Rule == "transpose" {
					continue // of a reshaped tile
				}
				require.NotContains(t, mended, v.Rule, "%s on %s: %v", name, target.Name, v)
			}
		}
	}
}

func TestLegalProgramsAreQuiet(t *testing.T) {
	_, violations := Legalize(linearBF16(), targets.H200, map[string]int{"m": 4096})
	require.Empty(t, violations)
}
