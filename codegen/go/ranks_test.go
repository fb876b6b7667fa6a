package gohost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/compare"
	"flagc/internal/goldens"
	"flagc/internal/record"
	"flagc/ir"
	"flagc/ir/eval"
	"flagc/passes"
	"flagc/runtime/safetensors"
	"flagc/targets"
	"flagc/weights"
)

// grid is a way to split a model over ranks.
type grid struct {
	tp     int
	groups passes.Groups
	scores passes.Choice
}

func (g grid) String() string { return fmt.Sprintf("tp%d%s%s", g.tp, g.groups, g.scores) }

// grids are all degrees and strategies that the small models allow, by their recorded results.
var grids = map[string][]grid{
	"nano-flash": {{2, "", passes.Split}, {4, "", passes.Auto}, {8, passes.Gather, passes.Auto}, {8, passes.Reduce, passes.Split},
		{16, passes.Gather, passes.Auto}},
	"nano-pro": {{2, "", passes.Auto}, {4, "", passes.Split}},
}

// shard makes a module the program of one of several ranks.
func shard(t *testing.T, m *ir.Module, g grid) *ir.Module {
	t.Helper()
	m = m.Clone()
	_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: g.tp, OGroups: g.groups, Scores: g.scores}, "")
	require.NoError(t, err)
	require.Equal(t, g.tp, m.Mesh.Ranks())
	return m
}

// both runs a program on goroutines and on processes, whose logits files must be the same bytes, and returns the
// file and what was printed.
func both(t *testing.T, program string, args ...string) (logits, stdout string) {
	t.Helper()
	var files, outputs []string
	for _, way := range []string{"goroutines", "processes"} {
		path := filepath.Join(t.TempDir(), way)
		out := start(t, program, append(args, "--ranks", way, "--logits", path)...)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		files, outputs = append(files, string(text)), append(outputs, string(out))
		logits = path
	}
	require.True(t, files[0] == files[1], "goroutines and processes differ")
	require.Equal(t, outputs[0], outputs[1])
	return logits, outputs[0]
}

// TestRanksMatchRecordedResults holds programs for several ranks to the bounds of one rank. The tokens that they
// choose are those of the official code.
func TestRanksMatchRecordedResults(t *testing.T) {
	for _, name := range goldens.Names {
		for _, grid := range grids[name] {
			t.Run(fmt.Sprintf("%s/%s", name, grid), func(t *testing.T) {
				g := goldens.Open(t, name)
				m := shard(t, g.Module(t, nil), grid)
				program := build(t, m, nil)
				runs := []string{"batch"}
				if grid.scores == passes.Split { // of each kind of grid one shows every value of a long run
					runs = []string{"long"}
				}
				for _, run := range runs {
					checkRun(t, g, program, run)
				}
				fed := g.Tokens(t, "greedy.fed")
				logits, stdout := both(t, program, "--weights", g.Checkpoint, "--prompt", tokenFile(t, g.Tokens(t, "greedy.prompt")),
					"--max-new", fmt.Sprint(len(fed[0])))
				require.Equal(t, printed(fed), stdout)
				checkLaunches(t, program, m, g.Checkpoint)
				checkLogits(t, logits, g.Run("greedy"), "greedy", g.Noise(t))
			})
		}
	}
}

// checkLaunches holds what a program counts on a decoded token, on goroutines and on processes, against what the passes
// count in the module.
func checkLaunches(t *testing.T, program string, m *ir.Module, checkpoint string) {
	t.Helper()
	counts := passes.CountLaunches(m)
	own := map[string]passes.FunctionLaunches{}
	for _, f := range counts.Functions {
		own[f.Function] = f
	}
	entry := slices.IndexFunc(counts.Entries, func(e passes.EntryLaunches) bool { return e.Function == "main.decode" })
	want := fmt.Sprintf("launches per decoded token: %d, by kind of layer: %s", counts.Entries[entry].Launches,
		byKind(m, func(f *ir.Func) int { return own[f.FullName()].Launches }))
	if n := counts.Entries[entry].Collectives; n > 0 {
		want += fmt.Sprintf("\ncollectives per decoded token: %d, by kind of layer: %s", n,
			byKind(m, func(f *ir.Func) int { return own[f.FullName()].Collectives }))
	}
	for _, way := range []string{"goroutines", "processes"} {
		cmd := exec.Command(program, "--weights", checkpoint, "--prompt", "1,2,3", "--max-new", "3", "--launches", "--ranks", way)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), "\n"+want+"\n", way)
	}
}

// byKind lists what main.decode and the layers that it calls count: "block_hca 2 x 11, main 4".
func byKind(m *ir.Module, count func(*ir.Func) int) string {
	main := m.Func("main.decode")
	layers, sums := map[*ir.Params]int{}, map[*ir.Params]int{main.Params: count(main)}
	for _, in := range main.Body {
		if in.Callee != nil {
			layers[in.Callee.Params]++
			sums[in.Callee.Params] += count(in.Callee)
		}
	}
	var out []string
	for _, p := range m.Params {
		switch n := sums[p]; {
		case n == 0:
		case p == main.Params:
			out = append(out, fmt.Sprintf("%s %d", p.Name, n))
		default:
			out = append(out, fmt.Sprintf("%s %d x %d", p.Name, layers[p], n/layers[p]))
		}
	}
	return strings.Join(out, ", ")
}

// printed is what a program prints of tokens.
func printed(rows [][]int32) string {
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(strings.Trim(strings.ReplaceAll(fmt.Sprint(row), " ", ","), "[]") + "\n")
	}
	return b.String()
}

// TestSplitSharedExpertsRun needs no recorded data: its model has shared experts wide enough to be split, and is
// judged by the interpreter, with two sequences and the draft.
func TestSplitSharedExpertsRun(t *testing.T) {
	_, config := goldens.Builtin(t, "deepseek-v4-nano")
	wide := strings.Replace(config, `"moe_intermediate_size": 128`, `"moe_intermediate_size": 512`, 1)
	require.NotEqual(t, config, wide)
	m := goldens.Elaborate(t, wide, nil)
	checkpoint := filepath.Join(t.TempDir(), "wide")
	require.NoError(t, weights.Make(m, []byte(wide), checkpoint, weights.MakeOptions{Seed: 1}))
	tokens := [][]int32{prompt(7, 512), prompt(9, 512)[2:]}
	feed := [][]int32{{1, 2, 3, 4, 5, 6}, {10, 20, 30, 40, 50, 60}}
	want, err := eval.Generate(m, source(t, m, checkpoint), eval.Request{Prompt: tokens, Feed: feed, MTP: true})
	require.NoError(t, err)
	exact := filepath.Join(t.TempDir(), "exact.safetensors")
	require.NoError(t, safetensors.WriteFile(exact, nil, record.Logits(want)))
	for _, tp := range []int{2, 4} {
		split := shard(t, m, grid{tp: tp, scores: passes.Split})
		require.Contains(t, split.String(), fmt.Sprintf("[F|%d, D] from \"ffn.shared_experts.w1.weight\"", tp))
		logits, _ := both(t, build(t, split, nil), "--weights", checkpoint, "--prompt", tokenFile(t, tokens),
			"--feed", tokenFile(t, feed), "--mtp")
		requireNear(t, exact, logits, 5)
	}
}

// requireNear holds a logits file of n tensors against an exact one.
func requireNear(t *testing.T, exact, logits string, n int) {
	t.Helper()
	a, err := safetensors.Open(exact)
	require.NoError(t, err)
	defer a.Close()
	b, err := safetensors.Open(logits)
	require.NoError(t, err)
	defer b.Close()
	report := compare.Files(a.Tensors(), b.Tensors())
	require.Empty(t, report.OnlyA)
	require.Empty(t, report.OnlyB)
	require.Len(t, report.Tensors, n)
	for _, r := range report.Tensors {
		require.Empty(t, r.Mismatch, r.Name)
		require.LessOrEqual(t, r.RelL2, nanoDrift, r.Name)
	}
}
