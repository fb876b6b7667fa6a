package weights

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/models/deepseekv4"
	"flagc/runtime/safetensors"
)

// splitAxes are the axes that tensor parallelism splits, by the weight's name (spec v4_checkpoint §5).
var splitAxes = map[string]int{
	"embed.weight": 0, "head.weight": 0, "attn.wq_b.weight": 0, "attn.indexer.wq_b.weight": 0, "attn.wo_a.weight": 0,
	"attn.attn_sink": 0, "attn.indexer.weights_proj.weight": 0, "attn.wo_b.weight": 1,
}

// lowered is the module of a configuration after a policy, fp4 and fp8 being what becomes of these, on n ranks.
func lowered(t testing.TB, config string, fp4, fp8 ir.Elem, n int) *ir.Module {
	m := testModule(t, []byte(config))
	for _, set := range m.Params {
		for _, w := range set.Weights {
			was := w.Value.Type.Elem
			to := map[ir.DType]ir.Elem{ir.FP4: fp4, ir.FP8: fp8}
			if elem, quantised := to[was.DType]; quantised && elem != was {
				w.From, w.Value.Type.Elem = was, elem
			}
			axis, split := splitAxes[w.Tensor]
			if w.IsMany() {
				axis, split = 0, true
			}
			if split {
				w.Value.Type.Dims[axis] = w.Value.Type.Dims[axis].Part(n)
			}
		}
	}
	if n > 1 {
		m.Mesh = ir.Mesh{{Name: "tp", Size: n}}
	}
	return m
}

var (
	storedFP4 = ir.Quantised(ir.FP4, 1, 32)
	storedFP8 = ir.Quantised(ir.FP8, 128, 128)
	plainBF16 = ir.Plain(ir.BF16)
)

// made is a checkpoint of random weights of the built-in small model.
func made(t testing.TB) (config string, c *safetensors.Checkpoint) {
	config, ok := deepseekv4.Config("deepseek-v4-nano")
	require.True(t, ok)
	return config, madeOf(t, config)
}

func madeOf(t testing.TB, config string) *safetensors.Checkpoint {
	dir := filepath.Join(t.TempDir(), "source")
	require.NoError(t, Make(testModule(t, []byte(config)), []byte(config), dir, MakeOptions{Seed: 3}))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("{}\n"), 0o666))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "encoding"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "encoding", "encode.py"), []byte("pass\n"), 0o666))
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func about() About { return About{Flagc: "test", Target: "cpu", Precision: "test", TP: 1, MTP: true} }

// folder reads all files of a tree.
func folder(t testing.TB, dir string) map[string][]byte {
	out := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		out[rel], err = os.ReadFile(path)
		return err
	}))
	return out
}

func requireSameFolder(t testing.TB, want map[string][]byte, dir string) {
	t.Helper()
	got := folder(t, dir)
	for name, text := range want {
		require.True(t, bytes.Equal(text, got[name]), "%s differs", name)
	}
	require.Equal(t, len(want), len(got), "files")
}

// TestConvertAndVerify converts to every combination of encodings, degree and layout; the independent verification
// finds every value equal, and one flipped bit anywhere is found.
func TestConvertAndVerify(t *testing.T) {
	nano, nanoSource := made(t)
	smallSource := madeOf(t, smallConfig)
	for _, fp4 := range []ir.Elem{storedFP4, storedFP8, plainBF16} {
		for _, fp8 := range []ir.Elem{storedFP8, plainBF16} {
			for _, layout := range FileLayouts {
				for _, n := range []int{1, 2, 4} {
					t.Run(fmt.Sprintf("%s,%s/%s/%d", fp4, fp8, layout, n), func(t *testing.T) {
						config, src := smallConfig, smallSource
						if n == 4 {
							config, src = nano, nanoSource
						}
						m := lowered(t, config, fp4, fp8, n)
						plan, err := NewPlan(m, layout)
						require.NoError(t, err)
						dst := filepath.Join(t.TempDir(), "out")
						done, err := Convert(plan, src, dst, ConvertOptions{About: about()})
						require.NoError(t, err)
						require.Equal(t, src.TotalBytes(), done.Read, "every byte once")
						require.NoDirExists(t, workFolder(dst))
						v, err := Verify(plan, m, dst, VerifyOptions{Against: src})
						require.NoError(t, err)
						require.Equal(t, plan.Report(1).Written, Amount{v.Tensors, v.Bytes})
						if n == 2 {
							requireFlipsAreFound(t, plan, m, dst, src)
						}
					})
				}
			}
		}
	}
}

// requireFlipsAreFound changes one byte in the middle of each of some tensors; verification without hashes tells.
func requireFlipsAreFound(t *testing.T, plan *Plan, m *ir.Module, dst string, src *safetensors.Checkpoint) {
	require.NoError(t, os.Remove(filepath.Join(dst, sumsName)))
	for _, name := range []string{"layers.2.ffn.experts.3.w2.weight", "layers.3.attn.wo_b.weight", "layers.1.attn.attn_sink"} {
		var file *PlanFile
		at := int64(0)
		for _, it := range plan.Items {
			for index := range it.Index.Size {
				rank := 0
				for ; rank < plan.Ranks(); rank++ {
					if first, last := it.Index.Range(plan.Mesh, rank); first <= index && index < last {
						break
					}
				}
				if it.Parts[0].named(index) == name {
					first, _ := it.Index.Range(plan.Mesh, rank)
					file = &plan.Files[plan.file(it, rank)]
					at = file.Data + it.Parts[0].Offset + int64(index-first)*it.Parts[0].Bytes + it.Parts[0].Bytes/2
				}
			}
		}
		require.NotNil(t, file, name)
		flip(t, filepath.Join(dst, file.Name), at)
		_, err := Verify(plan, m, dst, VerifyOptions{Against: src})
		require.ErrorContains(t, err, name)
		flip(t, filepath.Join(dst, file.Name), at)
	}
}

func flip(t *testing.T, path string, at int64) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	require.NoError(t, err)
	b[0] ^= 0x11
	_, err = f.WriteAt(b[:], at)
	require.NoError(t, err)
}

// TestPlacesAreAligned holds the law of the files: without gaps, each tensor begins at a multiple of the largest power
// of two, up to a page, that divides its length.
func TestPlacesAreAligned(t *testing.T) {
	for _, name := range []string{"deepseek-v4-nano", "deepseek-v4-pro"} {
		config, _ := deepseekv4.Config(name)
		for _, layout := range FileLayouts {
			plan, err := NewPlan(lowered(t, config, storedFP8, storedFP8, 4), layout)
			require.NoError(t, err)
			for f, file := range plan.Files {
				require.Zero(t, file.Data%dataAlign)
				total := file.Data
				for _, p := range plan.placed(f) {
					require.Zero(t, (file.Data+p.part.Offset)%alignment(p.part.Bytes), p.part.Name)
					total += p.part.Bytes * int64(p.it.Count())
				}
				require.Equal(t, file.Bytes, total)
			}
		}
	}
}

// TestProIsPlanned holds what a plan of Pro for 16 ranks says.
func TestProIsPlanned(t *testing.T) {
	config, _ := deepseekv4.Config("deepseek-v4-pro")
	plan, err := NewPlan(lowered(t, config, storedFP8, storedFP8, 16), Ranks)
	require.NoError(t, err)
	require.Equal(t, Amount{145_116, 864_704_792_696}, plan.Report(0).Read)
	require.Less(t, plan.Report(maxJobs).Memory, int64(1<<30))
}

// TestRateIsHeld reads a known number of bytes with a limit.
func TestRateIsHeld(t *testing.T) {
	l := &limiter{rate: 1 << 20}
	start := time.Now()
	for range 5 {
		l.wait(64 << 10)
	}
	require.GreaterOrEqual(t, time.Since(start), 4*64*time.Second/1024, "the first is free, the others wait")
}

// TestInexactTilesAreNamed spreads the scales of one tile beyond what FP8 holds.
func TestInexactTilesAreNamed(t *testing.T) {
	config, src := made(t)
	const codes, scales = "layers.4.ffn.experts.11.w1.weight", "layers.4.ffn.experts.11.w1.scale"
	for name, at := range map[string]int{codes: 0, scales: 0} {
		tensor, ok := src.Tensor(name)
		require.True(t, ok)
		f, err := os.OpenFile(tensor.File, os.O_RDWR, 0)
		require.NoError(t, err)
		value := byte(0x11) // halves
		if name == scales {
			value = tensor.Data[1] - 20
		}
		_, err = f.WriteAt([]byte{value}, tensor.Offset+int64(at))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	plan, err := NewPlan(lowered(t, config, storedFP8, storedFP8, 1), Release)
	require.NoError(t, err)
	_, err = Convert(plan, src, filepath.Join(t.TempDir(), "out"), ConvertOptions{About: about()})
	require.ErrorContains(t, err, "tensor "+codes+": tile 0,0: scale exponents spread over 2")
	require.ErrorContains(t, err, "row 0 holds codes that FP8 cannot take exactly there; keep the experts in FP4 (w4a8)")
}

// TestConfigSaysWhatIsStored corrects a configuration for each combination.
func TestConfigSaysWhatIsStored(t *testing.T) {
	config, _ := deepseekv4.Config("deepseek-v4-nano")
	for _, c := range []struct {
		fp4, fp8       ir.Elem
		expert, quants bool
	}{{storedFP4, storedFP8, true, true}, {storedFP8, storedFP8, false, true}, {storedFP4, plainBF16, true, false}, {plainBF16, plainBF16, false, false}} {
		plan, err := NewPlan(lowered(t, config, c.fp4, c.fp8, 1), Release)
		require.NoError(t, err)
		text, err := plan.config([]byte(config))
		require.NoError(t, err)
		require.Equal(t, c.expert, strings.Contains(string(text), `"expert_dtype"`))
		require.Equal(t, c.quants, strings.Contains(string(text), `"quantization_config"`))
		if c.expert && c.quants {
			require.Equal(t, config, string(text), "the very bytes")
		}
	}
	text, err := WithoutMTP([]byte(config))
	require.NoError(t, err)
	require.Contains(t, string(text), `"num_nextn_predict_layers": 0`)
	for _, bad := range []string{"", "[]", `{"a":`, `{"num_hidden_layers": 3, "compress_ratios": [0]}`, `{"num_hidden_layers": -1}`} {
		_, err := WithoutMTP([]byte(bad))
		require.Error(t, err, bad)
	}
}

// TestGridsOfRanks converts for a mesh of two axes, where wo_a is cut along rows by one and along columns by the other,
// wo_b along columns by the first alone, so that it is stored twice, and heads by both. Put together again, the ranks'
// parts are the source.
func TestGridsOfRanks(t *testing.T) {
	config, src := made(t)
	for _, fp8 := range []ir.Elem{storedFP8, plainBF16} {
		m := lowered(t, config, storedFP8, fp8, 4)
		m.Mesh = ir.Mesh{{Name: "group", Size: 2}, {Name: "lane", Size: 2}}
		for _, set := range m.Params {
			for _, w := range set.Weights {
				dims := w.Value.Type.Dims
				switch w.Tensor {
				case "attn.wo_a.weight":
					dims[0] = dims[0].Whole().PartOver(2, "group")
					dims[2] = dims[2].PartOver(2, "lane")
				case "attn.wo_b.weight":
					dims[1] = dims[1].Whole().PartOver(2, "group")
				}
			}
		}
		plan, err := NewPlan(m, Ranks)
		require.NoError(t, err)
		dst := filepath.Join(t.TempDir(), "out")
		_, err = Convert(plan, src, dst, ConvertOptions{About: about()})
		require.NoError(t, err)
		_, err = Verify(plan, m, dst, VerifyOptions{Against: src})
		require.NoError(t, err)
		requireFlipsAreFound(t, plan, m, dst, src)
		ranks, err := OpenRanks(plan, dst)
		require.NoError(t, err)
		for _, it := range plan.Items {
			if it.Conversion != Keep {
				continue
			}
			for _, part := range it.Parts {
				whole, ok := src.Tensor(part.named(0))
				require.True(t, ok)
				got, ok := ranks.Tensor(part.named(0))
				require.True(t, ok)
				require.Equal(t, whole.Shape, got.Shape)
				require.True(t, bytes.Equal(whole.Data, got.Data), part.Name)
			}
		}
		require.NoError(t, ranks.Close())
	}
}
