package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"flagc/runtime/collective"
	"flagc/runtime/cpu"
	"flagc/runtime/safetensors"
)

// grid is six ranks in three groups of two lanes.
var grid = collective.Mesh{{Name: "group", Size: 3}, {Name: "lane", Size: 2}}

// random is n random bytes below a bound, which keeps codes and scales finite.
func random(seed uint64, n, below int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]byte, n)
	for i := range x {
		x[i] = byte(r.IntN(below))
	}
	return x
}

// rankBinders are the binders of all ranks of a mesh for one checkpoint.
func rankBinders(t *testing.T, dir string, m collective.Mesh) []*Binder {
	t.Helper()
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	var out []*Binder
	for _, r := range collective.Local(m, time.Minute) {
		out = append(out, NewBinder(c, r))
	}
	return out
}

// TestPartsOfMatricesAreTheirElements cuts matrices of every encoding along rows, rows in groups, columns, and two of
// them, and looks for each element of a part in the whole.
func TestPartsOfMatricesAreTheirElements(t *testing.T) {
	const n, k = 6 * 256, 6 * 128
	dir := checkpoint(t,
		newData("fp8.weight", "F8_E4M3", random(1, n*k, 120), n, k),
		newData("fp8.scale", "F8_E8M0", random(2, n/128*k/128, 200), n/128, k/128),
		newData("fp4.weight", "I8", random(3, n*k/2, 256), n, k/2), newData("fp4.scale", "F8_E8M0", random(4, n*k/32, 200), n, k/32),
		newData("bf16", "BF16", random(5, 2*n*k, 120), n, k), newData("f32", "F32", random(6, 4*n*k, 120), n, k))
	encodings := map[string]cpu.Encoding{"fp8.weight": cpu.FP8, "fp4.weight": cpu.FP4, "bf16": cpu.BF16, "f32": cpu.F32}
	type place struct{ row, column int }
	for name, c := range map[string]struct {
		cut func(b *Binder) *Binder
		n   int // rows and columns of a part
		k   int
		at  func(rank, row, column int) place
	}{
		"rows": {func(b *Binder) *Binder { return b.Rows("group") }, n / 3, k,
			func(rank, row, column int) place { return place{rank/2*n/3 + row, column} }},
		"rows in groups": {func(b *Binder) *Binder { return b.RowsIn(2, "") }, n / 6, k,
			func(rank, row, column int) place { return place{row/128*n/2 + rank*128 + row%128, column} }},
		"columns": {func(b *Binder) *Binder { return b.Columns("lane") }, n, k / 2,
			func(rank, row, column int) place { return place{row, rank%2*k/2 + column} }},
		"rows and columns": {func(b *Binder) *Binder { return b.Rows("group").Columns("lane") }, n / 3, k / 2,
			func(rank, row, column int) place { return place{rank/2*n/3 + row, rank%2*k/2 + column} }},
		"rows of rows": {func(b *Binder) *Binder { return b.Rows("group").RowsIn(2, "lane") }, n / 6, k,
			func(rank, row, column int) place {
				return place{rank/2*n/3 + row/128*256 + rank%2*128 + row%128, column}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			for tensor, enc := range encodings {
				whole := bind(t, dir).Matrix(tensor, enc, n, k)
				want, got := make([]float32, k), make([]float32, c.k)
				for rank, b := range rankBinders(t, dir, grid) {
					part := c.cut(b).Matrix(tensor, enc, n, k)
					require.Empty(t, b.problems)
					require.Equal(t, []int{c.n, c.k}, []int{part.N, part.K})
					for _, row := range []int{0, 1, 127, c.n / 2, c.n - 1} {
						part.Row(got, row)
						whole.Row(want, c.at(rank, row, 0).row)
						for _, column := range []int{0, 1, 31, 32, c.k / 2, c.k - 1} {
							require.Equal(t, want[c.at(rank, row, column).column], got[column], "%s rank %d [%d,%d]", tensor, rank, row, column)
						}
					}
				}
			}
		})
	}
}

func TestPartsOfOtherTensors(t *testing.T) {
	ids := make([]byte, 4*12)
	for i := range 12 {
		ids[4*i] = byte(i)
	}
	tensors := []safetensors.Data{newData("sink", "BF16", random(7, 12, 120), 6), newData("ids", "I32", ids, 6, 2)}
	for e := range 6 {
		tensors = append(tensors, newData(fmt.Sprintf("e.%d.weight", e), "I8", random(uint64(e), 2*16, 256), 2, 16),
			newData(fmt.Sprintf("e.%d.scale", e), "F8_E8M0", []byte{127, 127}, 2, 1))
	}
	dir := checkpoint(t, tensors...)
	one := bind(t, dir)
	sink, experts := one.Floats("sink", "BF16", 6), one.Experts("e.*.weight", cpu.FP4, 6, 2, 32)
	for rank, b := range rankBinders(t, dir, grid) {
		require.Equal(t, sink[rank:rank+1], b.Rows("").Floats("sink", "BF16", 6))
		require.Equal(t, []int32{int32(rank / 2 * 4), int32(rank/2*4 + 1), int32(rank/2*4 + 2), int32(rank/2*4 + 3)},
			b.Rows("group").Indices("ids", "I32", 12, 6, 2))
		own := b.Own("group").Experts("e.*.weight", cpu.FP4, 6, 2, 32)
		require.Equal(t, rank/2*2, own.First)
		require.Len(t, own.W, 2)
		require.Equal(t, experts.W[own.First].Data, own.W[0].Data)
		require.NoError(t, b.Err(), "the experts of other ranks are known")
		table := b.Rows("").Matrix("e.0.weight", cpu.FP4, 2, 32)
		require.ErrorContains(t, b.Err(), "2 rows in 1 groups cannot be divided among 6 ranks")
		require.Equal(t, 2, table.N)
	}
}

func TestPartsThatCutScaleBlocksAreRefused(t *testing.T) {
	dir := checkpoint(t, newData("q.weight", "F8_E4M3", make([]byte, 384*192), 384, 192),
		newData("q.scale", "F8_E8M0", make([]byte, 6), 3, 2),
		newData("e.0.weight", "I8", make([]byte, 2*16), 2, 16), newData("e.0.scale", "F8_E8M0", make([]byte, 2), 2, 1))
	b := rankBinders(t, dir, grid)[0]
	b.Rows("group").Matrix("q.weight", cpu.FP8, 384, 192)
	require.Empty(t, b.problems, "three blocks of rows")
	b.Rows("lane").Matrix("q.weight", cpu.FP8, 384, 192)
	b.Columns("lane").Matrix("q.weight", cpu.FP8, 384, 192)
	b.Columns("lane").Matrix("e.0.weight", cpu.FP4, 2, 32)
	b.Own("lane").Experts("e.*.weight", cpu.FP4, 1, 2, 32)
	err := b.Err()
	for _, want := range []string{
		"384 rows in 1 groups cannot be divided among 2 ranks in whole scale blocks of 128",
		"192 columns cannot be divided among 2 ranks in whole scale blocks of 128",
		"32 columns cannot be divided among 2 ranks in whole scale blocks of 32",
		`1 experts of "e.*.weight" cannot be divided among 2 ranks`,
	} {
		require.ErrorContains(t, err, want)
	}
}

// meeting is a fake of which each rank has a part: the logits are right only if all ranks add theirs.
type meeting struct {
	fake
	comm *collective.Comm
}

func (m *meeting) add(logits []float32) []float32 {
	parts := make([]float64, len(logits))
	for i, v := range logits {
		parts[i] = float64(v) / 6
	}
	m.comm.AllReduce(logits, parts, false)
	return logits
}

func (m *meeting) Prefill(ids []int32) []float32       { return m.add(m.fake.Prefill(ids)) }
func (m *meeting) Decode(ids []int32, p int) []float32 { return m.add(m.fake.Decode(ids, p)) }

// meetingProgram runs on six ranks. Rank lacking misses a tensor, unless it is below 0.
func meetingProgram(lacking int) Program {
	return Program{Name: "fake", Source: "fake.flag", Target: "cpu", Vocab: fakeVocab, Mesh: grid,
		Load: func(b *Binder, threads int) Model {
			if b.rank.Number() == lacking {
				b.Floats("gone", "F32", 1)
			}
			b.used["x"] = true
			return &meeting{comm: b.Comm("")}
		}}
}

func TestRanksRunInGoroutines(t *testing.T) {
	dir := checkpoint(t, newData("x", "F32", make([]byte, 4), 1))
	logits := filepath.Join(t.TempDir(), "logits")
	var out, errs bytes.Buffer
	require.Equal(t, ExitOK, Main(meetingProgram(-1), []string{"--help"}, &out, &errs))
	require.Contains(t, errs.String(), "It runs on 6 ranks (group=3 lane=2)")
	args := []string{"--weights", dir, "--prompt", "1;2", "--max-new", "3", "--json", "--logits", logits}
	code := Main(meetingProgram(-1), args, &out, &errs)
	require.Equal(t, ExitOK, code, errs.String())
	var got report
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Equal(t, [][]int32{{2, 3, 4}, {3, 4, 5}}, got.Tokens)
	require.Equal(t, 6, got.Ranks)
	file, err := safetensors.Open(logits)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	for _, lacking := range []int{0, 4} {
		out.Reset()
		errs.Reset()
		code := Main(meetingProgram(lacking), []string{"--weights", dir, "--prompt", "1"}, &out, &errs)
		require.Equal(t, ExitError, code)
		require.Contains(t, errs.String(), `tensor "gone" is missing`)
		require.Equal(t, lacking > 0, strings.Contains(errs.String(), "rank 4: "), errs.String())
		require.Empty(t, out.String())
	}
}

// byHand starts one Main for each rank, with further arguments for one of them, as people would in several
// terminals, and returns exit codes and what they said.
func byHand(t *testing.T, p Program, odd int, more ...string) (codes [6]int, outs, errs [6]string) {
	t.Helper()
	dir := checkpoint(t, newData("x", "F32", make([]byte, 4), 1))
	folder, err := os.MkdirTemp("", "ranks")
	require.NoError(t, err)
	defer os.RemoveAll(folder)
	socket := filepath.Join(folder, "s")
	var wg sync.WaitGroup
	for rank := range 6 {
		args := []string{"--weights", dir, "--prompt", "1", "--max-new", "3", "--rank-timeout", "3s",
			"--rank", fmt.Sprint(rank), "--socket", socket}
		if rank == odd {
			args = append(args, more...)
		}
		wg.Go(func() {
			var out, err bytes.Buffer
			codes[rank] = Main(p, args, &out, &err)
			outs[rank], errs[rank] = out.String(), err.String()
		})
	}
	wg.Wait()
	_, err = os.Stat(socket)
	require.True(t, errors.Is(err, os.ErrNotExist), "the socket is left behind")
	return codes, outs, errs
}

func TestRanksStartedByHandMeet(t *testing.T) {
	codes, outs, errs := byHand(t, meetingProgram(-1), -1)
	require.Equal(t, [6]int{}, codes, "%q", errs)
	require.Equal(t, [6]string{0: "2,3,4\n"}, outs)
	for _, said := range errs[1:] {
		require.Empty(t, said)
	}
}

func TestOneFailingRankEndsAll(t *testing.T) {
	for name, c := range map[string]struct {
		lacking int
		more    []string
		want    string
	}{
		"tensor": {4, nil, `tensor "gone" is missing`},
		"seed":   {-1, []string{"--seed", "7"}, `rank 4 was started otherwise than rank 0: it has "seed 7", rank 0 has "seed 0"`},
		"prompt": {-1, []string{"--prompt", "2"}, `rank 4 was started otherwise than rank 0: it has "prompt 1×1`},
	} {
		t.Run(name, func(t *testing.T) {
			codes, outs, errs := byHand(t, meetingProgram(c.lacking), 4, c.more...)
			for rank := range 6 {
				require.Equal(t, ExitError, codes[rank])
				require.Empty(t, outs[rank])
				if rank == 0 || rank == 4 || !strings.Contains(errs[rank], "rank 0 did not listen") { // it came too late
					require.Contains(t, errs[rank], c.want, "rank %d", rank)
				}
			}
		})
	}
}

func TestFlagsOfRanks(t *testing.T) {
	one := Program{Name: "fake", Vocab: fakeVocab}
	for want, c := range map[string]struct {
		p    Program
		args []string
	}{
		"--ranks threads: expected goroutines or processes":      {meetingProgram(-1), []string{"--ranks", "threads"}},
		"--rank and --socket belong together":                    {meetingProgram(-1), []string{"--rank", "1"}},
		"--rank 6: this program has 6 ranks, 0 to 5":             {meetingProgram(-1), []string{"--rank", "6", "--socket", "s"}},
		"--rank -1: this program has 6 ranks":                    {meetingProgram(-1), []string{"--rank", "-1", "--socket", "s"}},
		"this program has one rank: --rank and --socket are for": {one, []string{"--rank", "0", "--socket", "s"}},
		"--rank-timeout must be above 0":                         {meetingProgram(-1), []string{"--rank-timeout", "0s"}},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, ExitUsage, Main(c.p, append(c.args, "--weights", "w", "--prompt", "1"), &out, &errs))
		require.Contains(t, errs.String(), want)
	}
}

func TestThreadsAreShared(t *testing.T) {
	share := func(m collective.Mesh, threads int) int {
		return (&job{options: &options{threads: threads}, program: Program{Mesh: m}}).share()
	}
	require.Equal(t, 5, share(nil, 5))
	require.Equal(t, 0, share(nil, 0), "one for each processor")
	require.Equal(t, 2, share(grid, 12))
	require.Equal(t, 1, share(grid, 3), "no rank goes without")
}

func TestTailsKeepTheLastLine(t *testing.T) {
	var x tail
	require.Empty(t, x.last())
	for i := range 1000 {
		fmt.Fprintf(&x, "line %d\n", i)
	}
	require.Equal(t, "line 999", x.last())
	require.LessOrEqual(t, len(x.text), tailSize)
}
