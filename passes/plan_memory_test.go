package passes_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// layouts are the planned programs that several tests look at.
var layouts = []struct {
	model string
	opts  passes.Options
}{
	{"deepseek-v4-nano", passes.Options{Batch: 3, Context: 300, Chunk: 37}},
	{"deepseek-v4-nano", passes.Options{TP: 2, Context: 129, Chunk: 1}},
	{"deepseek-v4-flash", passes.Options{}},
	{"deepseek-v4-flash", passes.Options{TP: 8, Precision: targets.PolicyW4A16, Batch: 4, Context: 1 << 20}},
	{"deepseek-v4-pro", passes.Options{TP: 8, Precision: targets.PolicyW4A8, Chunk: 512}},
	{"deepseek-v4-pro", passes.Options{TP: 16, Precision: targets.PolicyBF16, Context: 130}},
}

func planned(t *testing.T, model string, opts passes.Options) *ir.Module {
	m := elaborate(t, model)
	opts.Target = targets.CPU
	_, err := passes.Run(m, opts, "")
	require.NoError(t, err)
	return m
}

// TestPlanMemory holds what a plan looks like: a layer, and the program that calls the layers.
func TestPlanMemory(t *testing.T) {
	m := planned(t, "deepseek-v4-flash", passes.Options{TP: 8, Precision: targets.PolicyW4A8})
	golden.Check(t, "testdata/plan-memory/block_csa.decode.ir", m.Func("block_csa.decode").Print(m))
	golden.Check(t, "testdata/plan-memory/main.decode.ir", m.Func("main.decode").Print(m))
}

// TestPlansReadBackAndStay holds that a plan is part of the text, and that a second run changes nothing.
func TestPlansReadBackAndStay(t *testing.T) {
	for _, l := range layouts {
		t.Run(fmt.Sprint(l.model, " on ", max(1, l.opts.TP)), func(t *testing.T) {
			m := planned(t, l.model, l.opts)
			text := m.String()
			read, err := ir.ParseModule(text, "again.ir", ops.All)
			require.NoError(t, err)
			require.NoError(t, read.Verify())
			require.Equal(t, text, read.String())
			opts := l.opts
			opts.Target = targets.CPU
			_, err = passes.Run(read, opts, "")
			require.NoError(t, err)
			require.Equal(t, text, read.String())
			require.Equal(t, text, read.Clone().String())
		})
	}
}

// TestReplayedPlansKeepValues runs the plan of every entry on a memory that remembers who wrote each byte: whatever is
// read must still be there. It shares no code with the planner or the verifier but the sizes of values.
func TestReplayedPlansKeepValues(t *testing.T) {
	for _, l := range layouts {
		t.Run(fmt.Sprint(l.model, " on ", max(1, l.opts.TP)), func(t *testing.T) {
			m := planned(t, l.model, l.opts)
			called := m.Called()
			for _, f := range m.Funcs {
				if called[f] {
					continue
				}
				r := &replay{t: t, m: m, x: ir.NewExtents(m, *m.Memory), memory: map[ir.Region][]written{}}
				frame := map[*ir.Value]extent{}
				for _, a := range f.Args {
					r.write(f, frame, a, ir.Frame{}, nil)
				}
				r.function(f, frame, ir.Frame{}, nil)
				most := m.Memory.Prefill
				if f.Mode == ir.Decode {
					most = m.Memory.Decode
				}
				require.LessOrEqual(t, r.end(ir.Workspace), most)
				require.LessOrEqual(t, r.end(ir.Communication), m.Memory.Communication)
			}
		})
	}
}

// extent is where a value of one call is in the memory of the whole program.
type extent struct {
	region     ir.Region
	start, end int
}

// written is a range and the value of the call that wrote it last.
type written struct {
	extent
	by string
}

// replay is the memory of one entry's call.
type replay struct {
	t      *testing.T
	m      *ir.Module
	x      *ir.Extents
	memory map[ir.Region][]written
}

func (r *replay) end(region ir.Region) int {
	end := 0
	for _, w := range r.memory[region] {
		end = max(end, w.end)
	}
	return end
}

// name tells values of different calls apart.
func name(v *ir.Value, base ir.Frame) string { return fmt.Sprintf("%p@%d", v, base.Workspace) }

// write puts a value into its place; out are the places that the caller has for results.
func (r *replay) write(f *ir.Func, frame map[*ir.Value]extent, v *ir.Value, base ir.Frame, out []extent) {
	if v.Place.Region == ir.NoRegion {
		return
	}
	n, err := r.x.Bytes(f.Mode, v.Type)
	require.NoError(r.t, err)
	p := extent{v.Place.Region, base.In(v.Place.Region) + v.Place.Offset, 0}
	if v.Place.Region == ir.Result {
		p = out[v.Place.Offset]
		require.LessOrEqual(r.t, n, p.end-p.start)
	}
	p.end = p.start + n
	frame[v] = p
	r.mark(p, name(v, base))
}

// mark says who wrote a range, and cuts it out of what was there.
func (r *replay) mark(p extent, by string) {
	kept := []written{{p, by}}
	for _, w := range r.memory[p.region] {
		if w.end <= p.start || p.end <= w.start {
			kept = append(kept, w)
			continue
		}
		if w.start < p.start {
			kept = append(kept, written{extent{p.region, w.start, p.start}, w.by})
		}
		if p.end < w.end {
			kept = append(kept, written{extent{p.region, p.end, w.end}, w.by})
		}
	}
	r.memory[p.region] = kept
}

// read requires that all bytes of a value are those that it was written with.
func (r *replay) read(f *ir.Func, frame map[*ir.Value]extent, v *ir.Value, base ir.Frame) {
	root := v.Root()
	p, ok := frame[root]
	if !ok {
		require.NotEqual(r.t, ir.ResultValue, root.Kind, "%s of %s has no place", root.Ref(), f.FullName())
		return // a weight, a state, or a parameter, which the caller reads behind the call
	}
	have := 0
	for _, w := range r.memory[p.region] {
		if w.by == name(root, base) {
			have += max(0, min(w.end, p.end)-max(w.start, p.start))
		}
	}
	require.Equal(r.t, p.end-p.start, have, "%s of %s is not whole when it is read", root.Ref(), f.FullName())
}

func (r *replay) function(f *ir.Func, frame map[*ir.Value]extent, base ir.Frame, out []extent) {
	for _, in := range f.Body {
		for _, a := range in.Args {
			if a != nil {
				r.read(f, frame, a, base)
			}
		}
		for _, v := range in.Results {
			r.write(f, frame, v, base, out)
		}
		if in.Callee == nil {
			continue
		}
		var results []extent
		for _, v := range in.Results {
			results = append(results, frame[v])
		}
		inner := ir.Frame{Workspace: base.Workspace + f.Calls.Workspace, Communication: base.Communication + f.Calls.Communication}
		r.function(in.Callee, map[*ir.Value]extent{}, inner, results)
		for _, a := range in.Args {
			r.read(f, frame, a, base) // the callee reads its parameters to its end
		}
		for _, v := range in.Results {
			r.write(f, frame, v, base, out) // and has written its results
		}
	}
	for _, v := range f.Return {
		r.read(f, frame, v, base)
	}
}

// TestPlansWasteLittle holds workspaces near the most bytes that a function's values have at once.
func TestPlansWasteLittle(t *testing.T) {
	const fragmentation = 1.07 // the largest factor that the six layouts show is 1.06
	for _, l := range layouts {
		m := planned(t, l.model, l.opts)
		for _, f := range m.Funcs {
			if !m.Called()[f] {
				continue
			}
			rooms, err := ir.NewExtents(m, *m.Memory).Rooms(f, true)
			require.NoError(t, err)
			most, alive := 0.0, 0
			for i := range f.Body {
				sum, n := 0, 0
				for _, r := range rooms {
					if r.Alive(i) && r.Region == ir.Workspace {
						sum, n = sum+r.Bytes, n+1
					}
				}
				most, alive = max(most, float64(sum)), max(alive, n)
			}
			bound := fragmentation*most + float64(alive*ir.Alignment)
			require.LessOrEqual(t, float64(f.FrameOf(rooms, nil).Workspace), bound, f.FullName())
		}
	}
}

// TestOfficialBytes holds the bytes of tensors that the official converter leaves on each rank, to the byte for Flash and
// to the published digits for Pro.
func TestOfficialBytes(t *testing.T) {
	for model, want := range map[string]map[int]int{
		"deepseek-v4-flash": {1: 161085790792, 2: 81684107080, 4: 41983265224, 8: 22132844296},
		"deepseek-v4-pro":   {1: 868_870, 2: 438_120, 4: 222_750, 8: 115_060, 16: 61_220}, // MB, to 10 MB
	} {
		whole := elaborate(t, model)
		for tp, bytes := range want {
			m := whole.Clone()
			opts := passes.Options{Target: targets.CPU, Precision: targets.PolicyNative, TP: tp, Official: true}
			require.NoError(t, passes.Lower(m, opts))
			r, err := passes.MemoryFor(m, opts)
			require.NoError(t, err)
			if bytes > 1e9 {
				require.Equal(t, bytes, r.WeightBytes(), "%s on %d", model, tp)
			} else {
				require.Equal(t, bytes, (r.WeightBytes()+5e6)/1e7*10, "%s on %d", model, tp)
			}
		}
	}
}

// TestStateBytes holds caches against sums by hand for 65,536 tokens of Flash: a ring of 128 rows of 512 bf16 in every
// layer, a row more for every 4 or 128 tokens, the indexer's rows of 128, and float32 windows of compressors.
func TestStateBytes(t *testing.T) {
	m := planned(t, "deepseek-v4-flash", passes.Options{Context: 65536})
	ring, row := 128*512*2, 512*2
	csa := ring + 65536/4*row + 65536/4*128*2 + 2*8*(2*512+2*128)*4
	hca := ring + 65536/128*row + 2*128*512*4
	require.Equal(t, []passes.Part{{Name: "block_swa_hash", Bytes: 2 * ring}, {Name: "block_csa_hash", Bytes: csa},
		{Name: "block_hca", Bytes: 20 * hca}, {Name: "block_csa", Bytes: 20 * csa}, {Name: "mtp_swa", Bytes: ring}},
		passes.Memory(m).States)
}

// TestReport holds that the parts of a report are the module's totals.
func TestReport(t *testing.T) {
	for _, l := range layouts {
		m := planned(t, l.model, l.opts)
		r := passes.Memory(m)
		require.Equal(t, m.Memory.Weights, r.WeightBytes())
		require.Equal(t, m.Memory.States, r.StateBytes())
		require.Equal(t, r.WeightBytes()+r.StateBytes()+max(r.Prefill, r.Decode)+r.Communication, r.Total)
		again, err := passes.MemoryFor(m, l.opts)
		require.NoError(t, err)
		require.Equal(t, r, again)
	}
}

// TestStalePlansAreDropped holds that a pass which changes a planned module takes the plan away.
func TestStalePlansAreDropped(t *testing.T) {
	m := elaborate(t, "deepseek-v4-nano")
	plan, _ := passes.Find("plan-memory")
	lower, _ := passes.Find("lower-precision")
	_, err := passes.Apply(m, passes.Options{Target: targets.CPU, Precision: targets.PolicyBF16}, []passes.Pass{plan, lower})
	require.NoError(t, err)
	require.Nil(t, m.Memory)
	require.NoError(t, m.Verify())
}

func TestSizesAreChecked(t *testing.T) {
	for _, bad := range []struct {
		opts    passes.Options
		message string
	}{
		{passes.Options{Batch: -1}, "batch -1: expected 1 to 16777216"},
		{passes.Options{Context: 1 << 25}, "context 33554432: expected 1 to 16777216"},
		{passes.Options{Context: 10, Chunk: 11}, "chunk 11: a prefill call of more tokens than the context of 10 holds"},
	} {
		bad.opts.Target = targets.CPU
		_, err := passes.Run(elaborate(t, "deepseek-v4-nano"), bad.opts, "")
		require.ErrorContains(t, err, bad.message)
	}
}
