package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/runtime/safetensors"
)

// tinySHA256 is the digest of all files of the tiny checkpoint with seed 7: Make gives these bytes on every
// machine and with any number of processors. A change of it breaks the promise that a seed names a model.
const tinySHA256 = "c2dc29daead863e707b3d82288f3f79bb418720808a8a40bba69339308f43ddb"

// makeTiny writes the tiny checkpoint into a new folder.
func makeTiny(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	require.NoError(t, Make(tinyModule(t), []byte(tinyConfig), dir, MakeOptions{Seed: 7}))
	return dir
}

func open(t testing.TB, dir string) *safetensors.Checkpoint {
	t.Helper()
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// digest hashes the names and contents of a folder's files.
func digest(t *testing.T, dir string) string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	h := sha256.New()
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		fmt.Fprintf(h, "%s %d\n", e.Name(), len(content))
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestMakeIsDeterministic(t *testing.T) {
	require.Equal(t, tinySHA256, digest(t, makeTiny(t)))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	require.Equal(t, tinySHA256, digest(t, makeTiny(t)))
}

func TestSeedsDiffer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "other")
	require.NoError(t, Make(tinyModule(t), []byte(tinyConfig), dir, MakeOptions{Seed: 8}))
	require.NotEqual(t, tinySHA256, digest(t, dir))
}

// TestMakeLayout holds the split into files and the files beside them.
func TestMakeLayout(t *testing.T) {
	dir := makeTiny(t)
	var files []string
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		files = append(files, e.Name())
	}
	shard := func(i int) string { return fmt.Sprintf("model-%05d-of-00007.safetensors", i) }
	require.Equal(t, []string{
		"config.json", shard(1), shard(2), shard(3), shard(4), shard(5), shard(6), shard(7),
		"model.safetensors.index.json",
	}, files)
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	require.NoError(t, err)
	require.Equal(t, tinyConfig, string(config))

	c := open(t, dir)
	require.Equal(t, Summary(tinyModule(t)).Bytes, c.TotalBytes())
	for _, name := range c.Names() {
		found, _ := c.Tensor(name)
		want := 6 // norm, head, hc_head_*
		var layer int
		switch _, err := fmt.Sscanf(name, "layers.%d.", &layer); {
		case err == nil:
			want = layer + 2
		case name == "embed.weight":
			want = 1
		case strings.HasPrefix(name, "mtp."):
			want = 7
		}
		require.Equal(t, shard(want), filepath.Base(found.File), name)
		size, _ := safetensors.DTypeSize(found.DType)
		require.Zero(t, found.Offset%int64(size), "%s is not aligned", name)
	}
}

func TestMakeSingleFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "one")
	m := tinyModule(t)
	require.NoError(t, Make(m, []byte(tinyConfig), dir, MakeOptions{Seed: 7, Single: true}))
	single, sharded := open(t, dir), open(t, makeTiny(t))
	require.Len(t, single.Files(), 1)
	require.Equal(t, sharded.Names(), single.Names())
	for _, name := range single.Names() {
		a, _ := single.Tensor(name)
		b, _ := sharded.Tensor(name)
		require.Equal(t, b.Data, a.Data, name)
	}
	require.NoError(t, Check(m, single, CheckOptions{Values: true}))
}

func TestMakeRefusesContent(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "precious"), nil, 0o666))
	err := Make(tinyModule(t), nil, dir, MakeOptions{})
	require.ErrorContains(t, err, "is not empty: it holds precious")
	file := filepath.Join(dir, "precious")
	require.Error(t, Make(tinyModule(t), nil, file, MakeOptions{}))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// TestMakeIntoEmptyFolder also looks for temporaries left beside it.
func TestMakeIntoEmptyFolder(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "empty")
	require.NoError(t, os.Mkdir(dir, 0o777))
	require.NoError(t, Make(tinyModule(t), []byte(tinyConfig), dir, MakeOptions{Seed: 7}))
	require.Equal(t, tinySHA256, digest(t, dir))
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestMakeProgress(t *testing.T) {
	var last, total int64
	m := tinyModule(t)
	require.NoError(t, Make(m, nil, filepath.Join(t.TempDir(), "x"), MakeOptions{Progress: func(done, of int64) {
		require.Greater(t, done, last)
		last, total = done, of
	}}))
	require.Equal(t, Summary(m).Bytes, last)
	require.Equal(t, total, last)
}

// TestMakeCannot lists models that Make has no values for; nothing may be left behind.
func TestMakeCannot(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`params p { weight x: i64[a=3,b=2] from "x" }`, "is no table of experts"},
		{`params p { weight x: fp8[a=3,b=2] from "x.weight" }`, "stored as fp8 is not supported"},
		{`params p { weight x: fp8<128x128,f32>[a=3,b=2] from "x.weight" }`, "is not supported"},
		{`params p { weight t: i64[a=3,b=2] from "tid2eid" weight e: f32[c=1,a=3] from "e.*.w" }`,
			"1 experts cannot give 2"},
		{`params p { }`, "has no weights"},
	} {
		m := parse(t, "module m from \"m\"\ndims zz=1\n"+c.text)
		parent := t.TempDir()
		require.ErrorContains(t, Make(m, nil, filepath.Join(parent, "out"), MakeOptions{}), c.want)
		left, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// TestChunksAgree makes one large tensor in pieces and at once: where chunks end must not show.
func TestChunksAgree(t *testing.T) {
	m := parse(t, `module m from "m"
params p {
  weight a: bf16[r=1031,c=1031] from "a.weight"
  weight b: fp8<128x128>[r=1031,c=1031] from "b.weight"
  weight e: fp4<1x32>[n=5,r=1031,c=1056] from "e.*.weight"
  weight t: i64[r=70001,k=3] from "tid2eid"
}`)
	dir := filepath.Join(t.TempDir(), "big")
	require.NoError(t, Make(m, nil, dir, MakeOptions{Seed: 3}))
	c := open(t, dir)
	for _, e := range Expected(m) {
		found, ok := c.Tensor(e.Name)
		require.True(t, ok)
		f, err := newFiller(e, 3)
		require.NoError(t, err)
		whole := make([]byte, (len(found.Data)+f.group()-1)/f.group()*f.group())
		f.fill(whole, 0)
		require.Equal(t, whole[:len(found.Data)], found.Data, e.Name)
	}
	require.NoError(t, Check(m, c, CheckOptions{Values: true}))
}

// TestMagnitudes compares standard deviations of made weights with what the recipes ask for. With n elements
// the estimate errs by 1/√(2n) of itself, and block scales add a little; both stay below 5 % here except
// for FP8, which has few scales.
func TestMagnitudes(t *testing.T) {
	const side = 1024
	m := parse(t, fmt.Sprintf(`module m from "m"
dims n=%d V=512
params p {
  weight embed: bf16[V,n] from "embed.weight"
  weight norm:  bf16[n] from "x_norm.weight"
  weight w:     f32[n,n] from "w.weight"
  weight q:     fp8<128x128>[n=%d,n] from "q.weight"
  weight e:     fp4<1x32>[k=2,n,n] from "ffn.experts.*.w1.weight"
}`, side, side))
	dir := filepath.Join(t.TempDir(), "big")
	require.NoError(t, Make(m, nil, dir, MakeOptions{Seed: 3}))
	s := NewSource(m, open(t, dir))
	fan := 1 / math.Sqrt(side)
	for _, want := range []struct {
		weight                 string
		mean, sigma, tolerance float64
	}{
		{"embed", 0, 1, 0.01},
		{"norm", 1, 0.1, 0.05},
		{"w", 0, fan, 0.01},
		{"q", 0, fan, 0.42}, // the scale is the nearest power of two: up to √2 away
		{"e", 0, 4 * fan, 0.42},
	} {
		tensor, err := s.Tensor("", m.Params[0].Weight(want.weight))
		require.NoError(t, err)
		values := tensor.F
		if tensor.Lazy != nil {
			values = append(slices.Clone(tensor.Slice(0)), tensor.Slice(1)...)
		}
		mean, sigma := moments(values)
		require.InDelta(t, want.mean, mean, 0.1*want.sigma, want.weight)
		require.InEpsilon(t, want.sigma, sigma, want.tolerance, want.weight)
	}
}

func moments(values []float64) (mean, sigma float64) {
	for _, x := range values {
		mean += x
	}
	mean /= float64(len(values))
	for _, x := range values {
		sigma += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(sigma / float64(len(values)))
}

func TestRecipeTables(t *testing.T) {
	for name, counts := range map[string][]int{
		"fp4": fp4Counts, "fp8 scales": fp8Spread.counts, "fp4 scales": fp4Spread.counts,
	} {
		sum := 0
		for _, n := range counts {
			sum += n
		}
		require.Equal(t, 256, sum, name)
	}
	for _, s := range []scaleSpread{fp8Spread, fp4Spread} {
		square := 0.0
		for i, n := range s.counts {
			square += float64(n) / 256 * math.Pow(4, float64(s.lowest+i))
		}
		require.InDelta(t, math.Sqrt(square), s.rms, 0.005)
	}
}

func BenchmarkFill(b *testing.B) {
	m := tinyModule(b)
	for _, dtype := range []string{"I8", "F8_E4M3", "F8_E8M0", "BF16", "F32", "I64"} {
		b.Run(dtype, func(b *testing.B) {
			all := Expected(m)
			f, err := newFiller(all[slices.IndexFunc(all, func(t Tensor) bool { return t.DType == dtype })], 1)
			require.NoError(b, err)
			buffer := make([]byte, chunkBytes/f.group()*f.group())
			b.SetBytes(int64(len(buffer)))
			for b.Loop() {
				f.fill(buffer, 0)
			}
		})
	}
}
