package triton

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
	"flagc/internal/golden"
	"flagc/internal/goldens"
	"flagc/ir"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
)

// realBuilds are the layouts that builds are held on at real sizes, for every target with its default policy.
var realBuilds = map[string]int{"deepseek-v4-flash": 8, "deepseek-v4-pro": 16}

// TestEveryTargetBuilds makes the kernels of Flash and Pro for every target and holds what a build promises. Targets
// whose rules some kernel still breaks are listed in gaps.golden, with the rules, and described only; an empty list is
// the aim.
func TestEveryTargetBuilds(t *testing.T) {
	var mu sync.Mutex
	gaps := map[string]map[string]bool{}
	t.Run("all", func(t *testing.T) {
		for _, target := range targets.All() {
			if target.Host.Executes {
				continue
			}
			for model, tp := range realBuilds {
				t.Run(target.Name+"/"+model, func(t *testing.T) {
					t.Parallel()
					m := lowered(t, model, target, tp, "")
					b, err := NewBuild(m, target)
					requireComplete(t, m, b)
					for _, v := range b.Broken {
						mu.Lock()
						key := target.Name + " " + model
						if gaps[key] == nil {
							gaps[key] = map[string]bool{}
						}
						gaps[key][v.Rule] = true
						mu.Unlock()
					}
					if len(b.Broken) == 0 {
						require.NoError(t, err)
					}
				})
			}
		}
	})
	var text strings.Builder
	described := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(gaps)) {
		fmt.Fprintf(&text, "%s: %s\n", key, strings.Join(slices.Sorted(maps.Keys(gaps[key])), ", "))
		described[strings.Fields(key)[0]] = true
	}
	golden.Check(t, "testdata/gaps.golden", text.String())
	for _, target := range targets.All() {
		if !target.Host.Executes {
			require.Equal(t, described[target.Name], target.Tier == targets.Described, "%s has the tier %q", target.Name, target.Tier)
		}
	}
}

// TestEveryDegreeBuilds makes the kernels of the smallest and largest degrees, with weights as the target has them and in
// FP4, and of a plan whose tensors have more elements than 32 bits count.
func TestEveryDegreeBuilds(t *testing.T) {
	large := passes.Options{TP: 8, Batch: 128, Context: 1 << 18, Chunk: 512}
	for _, name := range []string{"a100", "ascend-910b-64g", "b200", "bw1000", "c500", "h100", "p800", "s5000", "zhenwu-810e"} {
		target, ok := targets.Find(name)
		require.True(t, ok)
		for model := range realBuilds {
			for what, opts := range map[string]passes.Options{"1": {TP: 1}, "2": {TP: 2}, "64": {TP: 64}, "reduce": {TP: 64, OGroups: passes.Reduce},
				"fp4 1": {TP: 1, Precision: fp4For(target)}, "fp4 64": {TP: 64, Precision: fp4For(target)}, "large": large} {
				if target.Ops.Int64.Is(targets.Forbidden) && (what == "1" || what == "2" || what == "large") {
					continue // 32 bits must do, and Pro does not fit so few cards
				}
				t.Run(fmt.Sprint(name, " ", model, " ", what), func(t *testing.T) {
					t.Parallel()
					opts.Target = target
					m, _ := goldens.Builtin(t, model)
					through(t, m, opts)
					b, err := NewBuild(m, target)
					require.NoError(t, err)
					requireComplete(t, m, b)
				})
			}
		}
	}
}

// TestSmallModelsBuild makes the kernels of the built-in small model, whose rows are shorter than vectors of some targets.
func TestSmallModelsBuild(t *testing.T) {
	for _, target := range targets.All() {
		if target.Host.Executes {
			continue
		}
		for _, tp := range []int{1, 4, 16} {
			_, err := NewBuild(lowered(t, "deepseek-v4-nano", target, tp, ""), target)
			require.NoError(t, err, "%s tp %d", target.Name, tp)
		}
	}
}

// fp4For is the policy that keeps experts in FP4 on a target.
func fp4For(t targets.Target) targets.Policy {
	if t.Dot.FP8.Is(targets.Native) {
		return targets.PolicyW4A8
	}
	return targets.PolicyW4A16
}

// requireComplete holds that nothing is missing in a build: every kernel with programs of their own names, whose text
// can be read back, whose parameters all have an origin, whose costs are known.
func requireComplete(t *testing.T, m *ir.Module, b *Build) {
	t.Helper()
	require.Len(t, b.Kernels, len(m.Kernels))
	files, err := b.Files()
	require.NoError(t, err)
	require.Len(t, files, len(b.Programs())+1+len(ownFiles()))
	for _, k := range b.Kernels {
		require.NotEmpty(t, k.Programs)
		for _, p := range k.Programs {
			text := tile.Print(p)
			again, err := tile.Parse(text, p.Name)
			require.NoError(t, err)
			require.Equal(t, text, tile.Print(again))
			require.NotEmpty(t, p.Bytes, p.Name)
			require.NotEmpty(t, p.Flops, p.Name)
			for _, q := range p.Params {
				o := k.Origin(q.Name)
				require.NotNil(t, o, "%s: %s", p.Name, q.Name)
				if o.Kind == FromValue || o.Kind == FromScales {
					require.True(t, o.Argument != nil || o.Result != nil, "%s: %s is neither operand nor result", p.Name, q.Name)
				}
			}
		}
	}
}

func TestEqualBuildsAreEqualBytes(t *testing.T) {
	target, _ := targets.Find("h20")
	var first map[string][]byte
	for range 2 {
		b, err := NewBuild(lowered(t, "deepseek-v4-nano", target, 2, ""), target)
		require.NoError(t, err)
		files, err := b.Files()
		require.NoError(t, err)
		if first == nil {
			first = files
		}
		require.Equal(t, first, files)
	}
}

// TestCosts holds expressions against figures found by hand: a product of one row reads its weight once, with a scale
// for each block, and experts are as many as slots can name.
func TestCosts(t *testing.T) {
	target, _ := targets.Find("h20")
	m := lowered(t, "deepseek-v4-flash", target, 8, "")
	b, err := NewBuild(m, target)
	require.NoError(t, err)
	cost := map[string]*tile.Program{}
	for _, p := range b.Programs() {
		cost[p.Name] = p
	}
	env := map[string]int{"b": 1, "s": 1, "p": 65535, "m": 65536}
	value := func(text string) int {
		n, err := tile.EvalExpr(text, env)
		require.NoError(t, err)
		return n
	}
	// wo_b: 4096 x 1024 codes, 32 x 8 scales; 1024 bf16 in, which it quantises, 4096 sums out.
	require.Equal(t, 4096*1024+32*8+1024*2+4096*4, value(cost["wo_b_decode"].Bytes))
	require.Equal(t, 2*4096*1024+3*1024, value(cost["wo_b_decode"].Flops))
	// Of 32 local experts one token of six slots names six of 256: one here, as whole ones count.
	require.Less(t, value(cost["experts_w1_w3_decode"].Bytes), 2*2*2048*4096)
	require.Greater(t, value(cost["experts_w1_w3_decode"].Bytes), 2*2048*4096)
}

func TestNamesAreKeptApart(t *testing.T) {
	n := newNames()
	require.Equal(t, "a_decode", n.unique("a_decode"))
	require.Equal(t, "a_decode_b", n.unique("a_decode"))
	require.Equal(t, "A_decode_c", n.unique("A_decode"), "files of equal names but for their case are one on some systems")
	require.Equal(t, "torch_ops_b", n.unique("torch_ops"))
	require.Equal(t, "conftest_b", n.unique("conftest"), "a file that is written beside")
	require.Equal(t, []string{"b", "z", "bb", "bz", "cb"}, []string{letters(0), letters(24), letters(25), letters(49), letters(50)})
}

// TestFailures holds how what is missing is told: every reason once, with the line, the limit and the remedy.
func TestFailures(t *testing.T) {
	target, _ := targets.Find("h20")
	m := lowered(t, "deepseek-v4-nano", target, 1, "")
	var f failures
	require.NoError(t, f.err(target))
	f.missing(m, m.Kernels[0], fmt.Errorf("kernel %s: no rule yields rows of %%x", m.Kernels[0].FullName()))
	for _, k := range m.Kernels[1:12] {
		f.illegal(m, k, Violation{Kernel: Identifier(k.FullName()), Rule: "grid", Found: "b = 9 programs", Limit: "at most 4 programs",
			Source: "a document", Remedy: "let each program take several ids"})
	}
	f.illegal(m, m.Kernels[2], Violation{Kernel: Identifier(m.Kernels[2].FullName()), Rule: "warps", Found: "64 warps",
		Limit: "at most 32 warps", Source: "a document", Remedy: "launch fewer warps"})
	golden.Check(t, "testdata/failures.golden", diag.RenderAll(f.err(target), nil))
}

// TestOpsOutsideOfKernels builds a module that no kernels were made of.
func TestOpsOutsideOfKernels(t *testing.T) {
	target, _ := targets.Find("h20")
	m := lowered(t, "deepseek-v4-nano", target, 1, "")
	loose := m.Inline()
	loose.Memory = m.Memory
	_, err := NewBuild(loose, target)
	require.ErrorContains(t, err, "rms_norm of ")
	require.ErrorContains(t, err, "is in no kernel (run the pass fuse before, which makes kernels of all ops)")
	loose.Memory = nil
	_, err = NewBuild(loose, target)
	require.ErrorContains(t, err, "need a memory plan")
}

// BenchmarkBuild lowers all kernels of Flash for 8 ranks, makes them legal and prints them.
func BenchmarkBuild(b *testing.B) {
	target, _ := targets.Find("h20")
	m := lowered(b, "deepseek-v4-flash", target, 8, "")
	for b.Loop() {
		built, err := NewBuild(m, target)
		require.NoError(b, err)
		_, err = built.Files()
		require.NoError(b, err)
	}
}

// BenchmarkPrint prints all kernels of Flash for 8 ranks: well under a second.
func BenchmarkPrint(b *testing.B) {
	target, _ := targets.Find("h20")
	built, err := NewBuild(lowered(b, "deepseek-v4-flash", target, 8, ""), target)
	require.NoError(b, err)
	for b.Loop() {
		_, err := built.Files()
		require.NoError(b, err)
	}
}
