package weights

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/models/deepseekv4"
	"flagc/runtime/safetensors"
)

// flashOf is the configuration of Flash with fewer layers and experts: tensors of its real shapes.
func flashOf(t testing.TB, layers, experts int) string {
	config, ok := deepseekv4.Config("deepseek-v4-flash")
	require.True(t, ok)
	all, err := settings([]byte(config))
	require.NoError(t, err)
	ratios := []int{0, 0, 4, 128, 4, 128, 4, 128}
	for key, value := range map[string]any{
		"num_hidden_layers": layers, "n_routed_experts": experts, "num_nextn_predict_layers": 0,
		"compress_ratios": ratios[:layers], "num_hash_layers": 0,
	} {
		all, err = set(all, key, value)
		require.NoError(t, err)
	}
	text, err := configText(all)
	require.NoError(t, err)
	return string(text)
}

// benchExperts is how many experts each of the two layers has that BenchmarkConvert converts: 32 make 3 GB, 256 make 9.
var benchExperts = flag.Int("experts", 32, "experts in each of the two layers of BenchmarkConvert")

// BenchmarkConvert measures conversions of Flash's tensors against cp of the same bytes, both flushed to the same
// disk, one after the other: of-cp is the share of cp's rate that converting reaches, in written bytes, and
// hashed-of-cp that of the whole, with reading back for SHA256SUMS. anon-MB is the memory that the process has at the
// end, mapped files not counted.
func BenchmarkConvert(b *testing.B) {
	const layers = 2
	config := flashOf(b, layers, *benchExperts)
	dir := b.TempDir()
	source := filepath.Join(dir, "source")
	require.NoError(b, Make(testModule(b, []byte(config)), []byte(config), source, MakeOptions{}))
	src, err := safetensors.OpenCheckpoint(source)
	require.NoError(b, err)
	defer src.Close()
	for _, c := range []struct {
		name     string
		fp4, fp8 ir.Elem
		layout   FileLayout
		ranks    int
	}{
		{"keep", storedFP4, storedFP8, Release, 1},
		{"slice8", storedFP4, storedFP8, Ranks, 8},
		{"fp4-to-fp8", storedFP8, storedFP8, Release, 1},
		{"bf16", plainBF16, plainBF16, Release, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			plan, err := NewPlan(lowered(b, config, c.fp4, c.fp8, c.ranks), c.layout)
			require.NoError(b, err)
			var streaming, hashing, copying time.Duration
			written := int64(0)
			for i := range b.N {
				syscall.Sync()
				dst := filepath.Join(dir, fmt.Sprint(c.name, i))
				done, err := Convert(plan, src, dst, ConvertOptions{About: about()})
				require.NoError(b, err)
				streaming, hashing, written = streaming+done.Streaming, hashing+done.Hashing, written+done.Written
				syscall.Sync()
				copying += copyFolder(b, dst, dst+"-copy")
				require.NoError(b, os.RemoveAll(dst))
				require.NoError(b, os.RemoveAll(dst+"-copy"))
			}
			b.SetBytes(written / int64(b.N))
			b.ReportMetric(copying.Seconds()/streaming.Seconds(), "of-cp")
			b.ReportMetric(copying.Seconds()/(streaming+hashing).Seconds(), "hashed-of-cp")
			b.ReportMetric(float64(written)/streaming.Seconds()/1e6, "MB/s-streaming")
			b.ReportMetric(anonymous(b), "anon-MB")
		})
	}
}

// copyFolder is how long cp takes for a folder, its files flushed.
func copyFolder(b *testing.B, from, to string) time.Duration {
	start := time.Now()
	text, err := exec.Command("cp", "-r", from, to).CombinedOutput()
	require.NoError(b, err, string(text))
	files, err := os.ReadDir(to)
	require.NoError(b, err)
	for _, f := range files {
		file, err := os.OpenFile(filepath.Join(to, f.Name()), os.O_RDWR, 0)
		require.NoError(b, err)
		require.NoError(b, file.Sync())
		require.NoError(b, file.Close())
	}
	return time.Since(start)
}

// anonymous is the resident memory of the process that no file backs, 0 where the system does not tell.
func anonymous(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "RssAnon:") {
			var kb float64
			_, err := fmt.Sscanf(strings.TrimPrefix(line, "RssAnon:"), "%f", &kb)
			require.NoError(b, err)
			return kb / 1024
		}
	}
	return 0
}

// BenchmarkPlanPro plans a conversion of Pro for 16 ranks: the time that a person waits before anything is touched.
func BenchmarkPlanPro(b *testing.B) {
	config, _ := deepseekv4.Config("deepseek-v4-pro")
	m := lowered(b, config, storedFP8, storedFP8, 16)
	for b.Loop() {
		plan, err := NewPlan(m, Ranks)
		require.NoError(b, err)
		plan.Report(0)
		_, err = plan.JSON()
		require.NoError(b, err)
	}
}
