package weights

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/runtime/safetensors"
)

// smallConfig has every kind of layer, sizes that are made of tiles, and can be split over two ranks.
const smallConfig = `{
  "vocab_size": 48, "hidden_size": 128, "num_hidden_layers": 4, "num_nextn_predict_layers": 1,
  "compress_ratios": [0, 4, 4, 128, 0], "num_attention_heads": 4, "head_dim": 64, "q_lora_rank": 128,
  "o_groups": 2, "o_lora_rank": 128, "index_n_heads": 4, "index_head_dim": 64, "n_routed_experts": 4,
  "num_experts_per_tok": 2, "moe_intermediate_size": 128, "num_hash_layers": 2, "hc_mult": 4
}
`

// small is a checkpoint of smallConfig, in a folder that a test may damage.
func small(t *testing.T) (dir string) {
	dir = filepath.Join(t.TempDir(), "source")
	require.NoError(t, Make(testModule(t, []byte(smallConfig)), []byte(smallConfig), dir, MakeOptions{Seed: 3}))
	return dir
}

// patch writes bytes into a tensor of a checkpoint or of single files.
func patch(t *testing.T, dir, name string, at int64, value ...byte) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	require.NoError(t, err)
	for _, path := range paths {
		f, err := safetensors.Open(path)
		require.NoError(t, err)
		tensor, ok := f.Tensor(name)
		require.NoError(t, f.Close())
		if !ok {
			continue
		}
		out, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = out.WriteAt(value, tensor.Offset+at)
		require.NoError(t, err)
		require.NoError(t, out.Close())
		return
	}
	t.Fatalf("no tensor %s in %s", name, dir)
}

// TestWrongValuesStopAConversion damages single values of the source. The error names the tensor, and nothing of the
// final name is left.
func TestWrongValuesStopAConversion(t *testing.T) {
	inf, minusInf, nan32 := []byte{0x80, 0x7F}, []byte{0x80, 0xFF}, []byte{1, 0, 0xC0, 0x7F}
	for _, c := range []struct {
		name, tensor string
		at           int64
		value        []byte
		fp4, fp8     ir.Elem
		want         string
	}{
		{"NaN scale of experts kept", "layers.1.ffn.experts.2.w1.scale", 5, []byte{255}, storedFP4, storedFP8, "scale [1 1] is byte 255, which means NaN"},
		{"NaN scale of experts recast", "layers.1.ffn.experts.2.w1.scale", 0, []byte{255}, storedFP8, storedFP8, "which means NaN"},
		{"NaN scale of experts widened", "layers.1.ffn.experts.2.w1.scale", 0, []byte{255}, plainBF16, storedFP8, "which means NaN"},
		{"NaN scale of a linear", "layers.0.attn.wq_b.scale", 1, []byte{255}, storedFP4, storedFP8, "scale [1 0] is byte 255"},
		{"NaN code", "layers.0.attn.wq_b.weight", 130, []byte{0x7F}, storedFP4, storedFP8, "element [1 2] is code 0x7F, which means NaN"},
		{"negative NaN code, widened", "mtp.0.e_proj.weight", 0, []byte{0xFF}, storedFP4, plainBF16, "code 0xFF, which means NaN"},
		{"infinite bf16", "embed.weight", 256, inf, storedFP4, storedFP8, "element [1 0] is not a finite number"},
		{"negative infinite bf16", "layers.2.attn_norm.weight", 2, minusInf, storedFP4, storedFP8, "element [1] is not a finite number"},
		{"NaN f32", "layers.3.ffn.gate.bias", 4, nan32, storedFP4, storedFP8, "element [1] is not a finite number"},
		{"NaN sink", "layers.0.attn.attn_sink", 0, nan32, storedFP4, storedFP8, "not a finite number"},
		{"expert that does not exist", "layers.0.ffn.gate.tid2eid", 0, []byte{4}, storedFP4, storedFP8, "names expert 4 in column 0, but the layer has 4 experts"},
		{"negative expert", "layers.0.ffn.gate.tid2eid", 0, []byte{255, 255, 255, 255, 255, 255, 255, 255}, storedFP4, storedFP8, "names expert -1"},
		{"huge expert", "layers.1.ffn.gate.tid2eid", 7, []byte{0x40}, storedFP4, storedFP8, "but the layer has 4 experts"},
		{"scale too small for bf16", "layers.0.attn.wkv.scale", 0, []byte{2}, storedFP4, plainBF16, "fit bf16 exactly for 3 to 246 only"},
		{"scale too large for bf16", "layers.0.attn.wkv.scale", 0, []byte{247}, storedFP4, plainBF16, "the scale at row 0, column 0 is the byte 247"},
		{"FP4 scale too large for bf16", "layers.3.ffn.experts.1.w2.scale", 3, []byte{253}, plainBF16, storedFP8, "the scale at row 0, column 96 is the byte 253"},
		{"spread beyond FP8", "layers.3.ffn.experts.1.w2.scale", 3, []byte{160}, storedFP8, storedFP8, "tile 0,0: scale exponents spread over"},
		{"MTP spread beyond FP8", "mtp.0.ffn.experts.3.w3.scale", 9, []byte{1}, storedFP8, storedFP8, "keep the experts in FP4 (w4a8)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := small(t)
			patch(t, dir, c.tensor, c.at, c.value...)
			src, err := safetensors.OpenCheckpoint(dir)
			require.NoError(t, err)
			defer src.Close()
			for _, layout := range FileLayouts {
				plan, err := NewPlan(lowered(t, smallConfig, c.fp4, c.fp8, 2), layout)
				require.NoError(t, err)
				dst := filepath.Join(t.TempDir(), "out")
				_, err = Convert(plan, src, dst, ConvertOptions{About: about()})
				require.ErrorContains(t, err, c.want)
				require.ErrorContains(t, err, strings.TrimSuffix(strings.TrimSuffix(c.tensor, "scale"), "weight"))
				require.NoDirExists(t, dst)
			}
		})
	}
}

// write replaces a file of a folder.
func write(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, name))) }
}

// rewrite replaces text in a file.
func rewrite(name, old, new string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Contains(t, string(text), old)
		write(name, strings.Replace(string(text), old, new, 1))(t, dir)
	}
}

// both does two things, the first of which usually takes the hashes away, so that others must find the damage.
func both(a, b func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) { a(t, dir); b(t, dir) }
}

func patched(name string, at int64, value ...byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) { patch(t, dir, name, at, value...) }
}

func truncated(name string, by int64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, info.Size()-by))
	}
}

// TestDamagedConversionsAreFound damages results of a conversion; verification names what is wrong.
func TestDamagedConversionsAreFound(t *testing.T) {
	const shard, rank0, rank1 = "model-00002-of-00007.safetensors", "rank-00000-of-00002.safetensors", "rank-00001-of-00002.safetensors"
	unhashed := remove(sumsName)
	for _, c := range []struct {
		name   string
		layout FileLayout
		edit   func(*testing.T, string)
		want   string
	}{
		{"shard gone", Release, remove(shard), "the index names this file, but it does not exist"},
		{"shard cut", Release, truncated(shard, 1), "1 bytes are missing"},
		{"byte changed", Release, patched("layers.0.attn.wq_a.weight", 7, 1), "the file was changed or damaged"},
		{"scale changed, no hashes", Release, both(unhashed, patched("layers.0.attn.wq_a.scale", 0, 9)), "layers.0.attn.wq_a.scale: row 0 is not that of the source"},
		{"widened value changed, no hashes", Release, both(unhashed, patched("layers.0.ffn.experts.1.w1.weight", 256, 0x12, 0x34)),
			"layers.0.ffn.experts.1.w1.weight: element [1 0] is"},
		{"NaN, no hashes", Release, both(unhashed, patched("layers.0.ffn.experts.1.w1.weight", 0, 0xC0, 0x7F)), "not a finite number"},
		{"index gone", Release, remove(safetensors.IndexName), "neither"},
		{"index total", Release, rewrite(safetensors.IndexName, `"total_size": `, `"total_size": 1`), "metadata.total_size is 1"},
		{"index names another file", Release, rewrite(safetensors.IndexName, shard, "model-00003-of-00007.safetensors"), "the index places it in"},
		{"index leaves the folder", Release, rewrite(safetensors.IndexName, shard, "../"+shard), "is not a plain file name"},
		{"index names an absolute path", Release, rewrite(safetensors.IndexName, shard, "/etc/passwd"), "is not a plain file name"},
		{"stranger", Release, write("notes.txt", "x"), "notes.txt is not listed in SHA256SUMS"},
		{"README changed", Release, write(readName, "x"), "README.md: its SHA-256 is"},
		{"plan changed", Release, both(unhashed, rewrite(planName, `"offset":0`, `"offset":1`)), "is not the plan that this configuration, target and precision give"},
		{"plan is a link", Release, both(remove(planName), func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, planName)))
		}), "is no regular file"},
		{"sums list what is not there", Release, remove(readName), "SHA256SUMS lists README.md"},
		{"sums leave the folder", Release, rewrite(sumsName, "  "+readName, "  ../README.md"), "expected a SHA-256, two spaces and a file in the folder"},
		{"sums absolute", Release, rewrite(sumsName, "  "+readName, "  /etc/passwd"), "expected a SHA-256"},
		{"sums no hash", Release, write(sumsName, "abc  x\n"), "line 1: expected a SHA-256"},
		{"sums no name", Release, write(sumsName, strings.Repeat("a", 64)+"\n"), "line 1: expected a SHA-256"},
		{"sums upper case", Release, write(sumsName, strings.Repeat("A", 64)+"  x\n"), "line 1: expected a SHA-256"},
		{"sums twice", Release, write(sumsName, strings.Repeat(strings.Repeat("a", 64)+"  x\n", 2)), "line 2: x is listed twice"},
		{"sums endless line", Release, write(sumsName, strings.Repeat("a", 1<<20)), "token too long"},
		{"rank gone", Ranks, remove(rank1), "no such file"},
		{"rank cut", Ranks, truncated(rank0, 5), "5 bytes are missing"},
		{"ranks exchanged", Ranks, func(t *testing.T, dir string) {
			a, b := filepath.Join(dir, rank0), filepath.Join(dir, rank1)
			require.NoError(t, os.Rename(a, a+"x"))
			require.NoError(t, os.Rename(b, a))
			require.NoError(t, os.Rename(a+"x", b))
		}, `its rank is "1", expected "0"`},
		{"rank header claims too much", Ranks, func(t *testing.T, dir string) { flip(t, filepath.Join(dir, rank0), 6) }, "more than the limit"},
		{"rank of another precision", Ranks, rewrite(rank1, `"dtype":"BF16","shape":[128,128]`, `"dtype":"F16", "shape":[128,128]`), "expected BF16"},
		{"rank with another shape", Ranks, rewrite(rank1, `"dtype":"BF16","shape":[128,128]`, `"dtype":"BF16","shape":[64, 256]`), "expected BF16 [128 128], found BF16 [64 256]"},
		{"rank value changed", Ranks, both(unhashed, patched("layers.2.attn.wo_b.weight", 1, 3)), "layers.2.attn.wo_b.weight: row 0 is not that of the source"},
		{"rank NaN", Ranks, both(unhashed, patched("layers.1.hc_ffn_fn", 0, 0, 0, 0xC0, 0x7F)), "layers.1.hc_ffn_fn: element [0 0] is not a finite number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, err := safetensors.OpenCheckpoint(small(t))
			require.NoError(t, err)
			defer src.Close()
			m := lowered(t, smallConfig, plainBF16, storedFP8, 2)
			plan, err := NewPlan(m, c.layout)
			require.NoError(t, err)
			dst := filepath.Join(t.TempDir(), "out")
			_, err = Convert(plan, src, dst, ConvertOptions{About: about()})
			require.NoError(t, err)
			c.edit(t, dst)
			_, err = Verify(plan, m, dst, VerifyOptions{Against: src})
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestDamagedAboutsAreRefused reads what a converted folder says of itself.
func TestDamagedAboutsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                        "unexpected end",
		"[]":                                      "cannot unmarshal",
		`{"layout": "release", "tp": 0}`:          `layout "release" for 0 ranks is none`,
		`{"layout": "ranks", "tp": -1}`:           "for -1 ranks",
		`{"layout": "tape", "tp": 1}`:             `layout "tape" for 1 ranks is none that flagc writes`,
		`{"layout": "release", "tp": "one"}`:      "cannot unmarshal",
		`{"layout": "release", "tp": 1e99}`:       "cannot unmarshal",
		strings.Repeat("[", 1<<21):                "more than the 1048576 that one can have",
		strings.Repeat("[", 1<<19):                "exceeded max depth",
		`{"layout": "release", "tp": 1} and more`: "after top-level value",
	} {
		dir := t.TempDir()
		write(aboutName, text)(t, dir)
		_, err := ReadAbout(dir)
		require.ErrorContains(t, err, want)
	}
	_, err := ReadAbout(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestPlansThatCannotBe asks for parts and encodings that no file can hold.
func TestPlansThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		`weight x: fp8<128x128>[A=512,D=96] from "x" in fp4<1x32>`:        "512×96 is not made of 128×128 tiles",
		`weight x: fp8<128x128>[A=100,D=128] from "x" in fp4<1x32>`:       "100×128 is not made of 128×128 tiles",
		`weight x: fp4<1x32>[A=128,D=128] from "x" in fp8<128x128>`:       "no conversion from fp8<128x128> to fp4<1x32> is known to be exact",
		`weight x: f32[A=128] from "x" in bf16`:                           "no conversion from bf16 to f32",
		`weight x: fp4<1x32>[A=128,D=31] from "x"`:                        "fp4 codes lie in pairs",
		`weight x: fp4<1x32>[A=128] from "x"`:                             "scale blocks need a matrix",
		`weight x: fp8<128x128>[A|2=64,D=128] from "x"`:                   "a part has 64 of 128 rows, no multiple of the scale block of 128",
		`weight x: fp4<1x32>[A=64,D|2=16] from "x"`:                       "a part has 16 of 32 columns, no multiple of the scale block of 32",
		`weight x: bf16[A=64,B|2=16,D=8] from "x"`:                        "its axis B is split, and the rows of such a part do not lie together",
		`weight x: fp8<128x128>[E|2=2,A=64,D=96] from "x.*" in fp4<1x32>`: "64×96 is not made of 128×128 tiles",
	} {
		m := parse(t, "module test from \"test.flag\"\nmesh tp=2\nparams main {\n  "+text+"\n}\n")
		_, err := NewPlan(m, Ranks)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "cannot plan weight x", text)
	}
	_, err := NewPlan(parse(t, "module test from \"test.flag\"\n"), Release)
	require.ErrorContains(t, err, "has no weights to convert")
}

// FuzzJournal reads any bytes as the journal of an interrupted conversion: whatever it holds, reading it ends, and
// what it takes as done is what whole lines say.
func FuzzJournal(f *testing.F) {
	head := journalHead{Version: journalVersion, Plan: "p"}
	f.Add([]byte("00000000 {}\n"))
	for _, text := range []string{
		`{"journal":2,"plan":"p","source":null}`, `{"units":[[0,3],[4,9]],"tiles":{"spread":{"3":1}}}`, `{"units":[[0,1000000000000]]}`,
	} {
		f.Add(journalFramed([]byte(text)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		j := &journal{units: 9, done: map[int]bool{}, hashes: map[string]string{}}
		_ = j.read(text, head)
		require.LessOrEqual(t, j.at, int64(len(text)))
		require.LessOrEqual(t, len(j.done), 9)
		// The same as a line with the checksum that it should have, behind a head.
		line := append(journalFramed([]byte(`{"journal":2,"plan":"p","source":null}`)), journalFramed(text)...)
		j = &journal{units: 9, done: map[int]bool{}, hashes: map[string]string{}}
		_ = j.read(line, head)
		require.LessOrEqual(t, len(j.done), 9)
	})
}

// FuzzSums reads any bytes as SHA256SUMS: names that come out stay inside the folder.
func FuzzSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64) + "  x\n"))
	f.Add([]byte(strings.Repeat("0", 64) + "  ../x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, _ := parseSums(text)
		for name := range sums {
			require.True(t, filepath.IsLocal(filepath.FromSlash(name)))
		}
	})
}

// FuzzConfig edits any bytes as a configuration: what comes out of what is accepted can be read again.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(smallConfig))
	f.Add([]byte(`{"num_hidden_layers":0,"compress_ratios":[],"a":{"b":[1,2]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if out, err := WithoutMTP(text); err == nil {
			again, err := WithoutMTP(out)
			require.NoError(t, err)
			require.Equal(t, out, again)
		}
	})
}
