package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"flagc/runtime/collective"
	"flagc/runtime/cpu"
	"flagc/runtime/safetensors"
	"flagc/runtime/strictjson"
)

// rankFolder makes a converted folder of files for the ranks of a mesh; tensors gives those of each.
func rankFolder(t *testing.T, m collective.Mesh, plan string, tensors func(rank int) []safetensors.Data) string {
	t.Helper()
	dir := t.TempDir()
	for rank := range m.Ranks() {
		path := filepath.Join(dir, safetensors.RankName(rank, m.Ranks()))
		require.NoError(t, safetensors.WriteFile(path, safetensors.RankMetadata(rank, m.Ranks(), m.String()), tensors(rank)))
	}
	about(t, dir, conversionText("ranks", "fp8", plan, m.Ranks()))
	return dir
}

func about(t *testing.T, dir, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, safetensors.ConversionName), []byte(text), 0o666))
}

func conversionText(layout, precision, plan string, tp int) string {
	return fmt.Sprintf(`{"layout": %q, "target": "cpu", "precision": %q, "plan": %q, "tp": %d, "mtp": true, "flags": {"ogroups": "reduce"}}`,
		layout, precision, plan, tp)
}

// TestFilesOfRanksHoldParts writes what each rank binds of whole matrices into a file of its own: bound from there, by
// the same calls, it is the same.
func TestFilesOfRanksHoldParts(t *testing.T) {
	const n, k = 6 * 256, 6 * 128
	dir := checkpoint(t,
		newData("fp8.weight", "F8_E4M3", random(1, n*k, 120), n, k), newData("fp8.scale", "F8_E8M0", random(2, n/128*k/128, 200), n/128, k/128),
		newData("fp4.weight", "I8", random(3, n*k/2, 256), n, k/2), newData("fp4.scale", "F8_E8M0", random(4, n*k/32, 200), n, k/32),
		newData("bf16", "BF16", random(5, 2*n*k, 120), n, k), newData("sink", "F32", random(6, 4*12, 100), 12))
	for name, cut := range map[string]func(b *Binder) *Binder{
		"rows":             func(b *Binder) *Binder { return b.Rows("group") },
		"rows in groups":   func(b *Binder) *Binder { return b.RowsIn(2, "") },
		"columns":          func(b *Binder) *Binder { return b.Columns("lane") },
		"rows and columns": func(b *Binder) *Binder { return b.Rows("group").Columns("lane") },
	} {
		t.Run(name, func(t *testing.T) {
			bound := func(b *Binder) []*cpu.Matrix {
				return []*cpu.Matrix{cut(b).Matrix("fp8.weight", cpu.FP8, n, k), cut(b).Matrix("fp4.weight", cpu.FP4, n, k),
					cut(b).Matrix("bf16", cpu.BF16, n, k)}
			}
			var want [][]*cpu.Matrix
			var sinks [][]float32
			for _, b := range rankBinders(t, dir, grid) {
				want, sinks = append(want, bound(b)), append(sinks, b.Rows("").Floats("sink", "F32", 12))
				require.NoError(t, b.Err())
			}
			folder := rankFolder(t, grid, "p", func(rank int) []safetensors.Data {
				w := want[rank]
				return []safetensors.Data{
					newData("fp8.weight", "F8_E4M3", w[0].Data, w[0].N, w[0].K), newData("fp8.scale", "F8_E8M0", w[0].Scale, w[0].N/128, w[0].K/128),
					newData("fp4.weight", "I8", w[1].Data, w[1].N, w[1].K/2), newData("fp4.scale", "F8_E8M0", w[1].Scale, w[1].N, w[1].K/32),
					newData("bf16", "BF16", w[2].Data, w[2].N, w[2].K), newData("sink", "F32", float32Bytes(sinks[rank]), len(sinks[rank])),
				}
			})
			p := Program{Mesh: grid, Weights: Weights{Precision: "fp8", Ranks: "p"}}
			s, err := openStore(p, folder, []int{0, 1, 2, 3, 4, 5})
			require.NoError(t, err)
			defer s.Close()
			for rank, r := range collective.Local(grid, time.Minute) {
				b := s.binder(p, r)
				require.Equal(t, want[rank], bound(b))
				require.Equal(t, sinks[rank], b.Rows("").Floats("sink", "F32", 12))
				require.NoError(t, b.Err())
			}
		})
	}
}

// TestOneRankOpensItsOwnFile holds that a machine needs the files of its own ranks only.
func TestOneRankOpensItsOwnFile(t *testing.T) {
	dir := rankFolder(t, grid, "p", func(rank int) []safetensors.Data {
		return []safetensors.Data{newData("x", "F32", float32Bytes([]float32{float32(rank)}), 1)}
	})
	p := Program{Mesh: grid, Weights: Weights{Precision: "fp8", Ranks: "p"}}
	for rank := range 6 {
		if rank != 4 {
			require.NoError(t, os.Remove(filepath.Join(dir, safetensors.RankName(rank, 6))))
		}
	}
	s, err := openStore(p, dir, []int{4})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, []float32{4}, s.binder(p, collective.Local(grid, time.Minute)[4]).Floats("x", "F32", 1))
	_, err = openStore(p, dir, []int{4, 0})
	require.ErrorContains(t, err, "rank-00000-of-00006.safetensors")
}

// TestWeightsOfAnotherBuildAreRefused gives a program converted weights that are not its own, and folders that lie
// about themselves.
func TestWeightsOfAnotherBuildAreRefused(t *testing.T) {
	p := Program{Mesh: grid, Weights: Weights{Precision: "fp8", Ranks: "p", Release: "q", Flags: "--tp 6 --precision fp8"}}
	for name, c := range map[string]struct {
		edit func(t *testing.T, dir string)
		want string
	}{
		"ranks": {func(t *testing.T, dir string) { about(t, dir, conversionText("ranks", "bf16", "x", 4)) },
			"holds files for 4 ranks at precision bf16, converted for cpu --ogroups=reduce, which is not what this program takes: convert the " +
				"official checkpoint with flagc weights convert SRC -o DIR --layout ranks --tp 6 --precision fp8, or build for these weights " +
				"with flagc build MODEL --config DIR/config.json --tp 4 --precision bf16 --ogroups=reduce"},
		"release": {func(t *testing.T, dir string) { about(t, dir, conversionText("release", "bf16", "p", 1)) },
			"holds a release at precision bf16"},
		"without MTP": {func(t *testing.T, dir string) {
			about(t, dir, strings.Replace(conversionText("ranks", "fp8", "x", 1), "true", "false", 1))
		}, "holds the file for 1 rank without the MTP block at precision fp8"},
		"exchanged files": {func(t *testing.T, dir string) {
			a, b := filepath.Join(dir, safetensors.RankName(0, 6)), filepath.Join(dir, safetensors.RankName(1, 6))
			require.NoError(t, os.Rename(b, a))
		}, `its rank is "1", expected "0": the file of rank 0 of 6 belongs here`},
		"nothing said": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, safetensors.ConversionName)))
		},
			"holds rank-00000-of-00006.safetensors without conversion.json: copy that file of the conversion as well"},
		"empty":  {func(t *testing.T, dir string) { about(t, dir, "") }, "conversion.json:1:1"},
		"list":   {func(t *testing.T, dir string) { about(t, dir, "[]") }, "layout: missing; expected a string"},
		"layout": {func(t *testing.T, dir string) { about(t, dir, conversionText("tape", "fp8", "p", 6)) }, `layout: "tape" is neither release nor ranks`},
		"depth":  {func(t *testing.T, dir string) { about(t, dir, strings.Repeat("[", 1<<19)) }, "deep"},
		"size":   {func(t *testing.T, dir string) { about(t, dir, strings.Repeat(" ", 1<<21)) }, "no regular file of at most"},
		"twice":  {func(t *testing.T, dir string) { about(t, dir, `{"tp": 6, "tp": 1}`) }, "tp"},
		"link": {func(t *testing.T, dir string) {
			path := filepath.Join(dir, safetensors.ConversionName)
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Symlink("/etc/passwd", path))
		}, "no regular file"},
		"number flag": {func(t *testing.T, dir string) {
			about(t, dir, strings.Replace(conversionText("ranks", "fp8", "p", 6), `"reduce"`, "1", 1))
		}, "flags.ogroups"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := rankFolder(t, grid, "p", func(int) []safetensors.Data { return []safetensors.Data{newData("x", "F32", make([]byte, 4), 1)} })
			c.edit(t, dir)
			_, err := openStore(p, dir, []int{0, 1})
			require.ErrorContains(t, err, strings.ReplaceAll(c.want, "DIR/", dir+"/"))
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// TestOfficialWeightsAreToConvert binds official weights in a program that takes converted ones: one sentence says how
// to convert them.
func TestOfficialWeightsAreToConvert(t *testing.T) {
	dir := checkpoint(t, newData("a.weight", "F8_E4M3", make([]byte, 128*128), 128, 128), newData("a.scale", "F8_E8M0", []byte{127}, 1, 1))
	p := Program{Weights: Weights{Precision: "bf16", Flags: "--tp 1 --precision bf16"}}
	s, err := openStore(p, dir, nil)
	require.NoError(t, err)
	defer s.Close()
	b := s.binder(p, nil)
	b.Matrix("a.weight", cpu.BF16, 128, 128)
	require.EqualError(t, b.Err(), filepath.Join(dir, safetensors.SingleName)+`: tensor "a.weight": expected dtype BF16, found F8_E4M3 (1 tensor is stored `+
		`otherwise than precision bf16 takes it): convert the checkpoint with flagc weights convert `+dir+
		` -o DIR --tp 1 --precision bf16 and give --weights DIR`)
}

// FuzzConversion reads any bytes as what a converted folder says of itself: what is accepted is whole.
func FuzzConversion(f *testing.F) {
	f.Add([]byte(conversionText("ranks", "fp8", "p", 6)))
	f.Add([]byte(`{"layout": "release", "tp": 1e9, "mtp": 0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := strictjson.Parse(text, strictjson.Limits{})
		if err != nil {
			return
		}
		if c, err := parseConversion(doc); err == nil {
			require.Contains(t, []string{releaseLayout, ranksLayout}, c.layout)
		}
	})
}
