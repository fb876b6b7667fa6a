package tritoncheck

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCompileAheadOfTime(t *testing.T) {
	c, err := NewCompiler(t.Context())
	need(t, err)
	defer c.Close()
	m, err := ReadManifest(kernelDir)
	require.NoError(t, err)
	results, err := c.CompileAll(t.Context(), m, Devices, nil)
	require.NoError(t, err)
	require.Len(t, results, len(m.Kernels)*len(Devices))

	// The first release with e4m3 in hardware is sm_89; before it the type does not exist.
	noFP8 := []string{"fp8_gemv", "fp8_matmul", "act_quant"}
	for _, r := range results {
		t.Logf("%-18s %-7s %3d registers, %d spilled, %6d shared, %5d bytes, %.2f s %s",
			r.Kernel, r.Device, r.Registers, r.SpillBytes, r.Shared, r.Bytes, r.Seconds, r.Error)
		if r.Device == "sm_80" && slices.Contains(noFP8, r.Kernel) {
			require.False(t, r.OK)
			require.Regexp(t, `^line \d+: .*type fp8e4nv not supported in this architecture`, r.Error)
			require.Equal(t, NotPossible, r.Cell().State)
			continue
		}
		require.True(t, r.OK, "%s for %s: %s", r.Kernel, r.Device, r.Error)
		require.NotZero(t, r.Registers)
		require.Zero(t, r.SpillBytes)
		require.True(t, bytes.HasPrefix(r.Object, []byte("\x7fELF")))
		require.False(t, bytes.Contains(r.Object, []byte("testdata")), "an object must not name where its source was")
	}
	matmul := results[slices.IndexFunc(results, func(r *Compiled) bool { return r.Kernel == "bf16_matmul" && r.Device == "sm_90" })]
	require.NotZero(t, matmul.Shared)

	second, err := NewCompiler(t.Context())
	require.NoError(t, err)
	again, err := second.CompileAll(t.Context(), m, Devices, nil)
	require.NoError(t, err)
	require.Equal(t, results, again)
	for range workers {
		require.Nil(t, <-second.pool.idle, "the second run comes from the cache, without a compiler")
	}

	dir := t.TempDir()
	require.NoError(t, Export([]*Compiled{matmul}, dir))
	text, err := os.ReadFile(filepath.Join(dir, "sm_90", "bf16_matmul.json"))
	require.NoError(t, err)
	var launch struct {
		Name          string
		Shared        int
		Warps         int  `json:"num_warps"`
		GlobalScratch *int `json:"global_scratch_size"`
		Target        deviceJSON
	}
	require.NoError(t, json.Unmarshal(text, &launch))
	require.Equal(t, "bf16_matmul", launch.Name)
	require.Equal(t, matmul.Shared, launch.Shared)
	require.Equal(t, 4, launch.Warps)
	require.Equal(t, 0, *launch.GlobalScratch)
	require.Equal(t, deviceJSON{"cuda", "90", 32}, launch.Target)
	object, err := os.ReadFile(filepath.Join(dir, "sm_90", "bf16_matmul.cubin"))
	require.NoError(t, err)
	require.Equal(t, matmul.Object, object)
}

func TestCompileRefuses(t *testing.T) {
	c, err := NewCompiler(t.Context())
	need(t, err)
	defer c.Close()
	dir := t.TempDir()
	write := func(name, body string) {
		head := "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef " + name + "(x, n, B: tl.constexpr = 64):\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".py"), []byte(head+body), 0o644))
	}
	write("not_a_power", "    tl.store(x + tl.arange(0, 48), 1.0)\n")
	write("too_much_shared", strings.Join([]string{
		"    i = tl.arange(0, 256)", "    a = tl.load(x + i[:, None] * 256 + i[None, :]).to(tl.float32)",
		"    tl.store(x + i[:, None] * 256 + i[None, :], tl.dot(a, a, input_precision=\"ieee\"))", "",
	}, "\n"))
	m := &Manifest{Dir: dir}
	try := func(name string, d string) *Compiled {
		device, ok := DeviceNamed(d)
		require.True(t, ok)
		k := &Kernel{Name: name, File: name + ".py", Constants: map[string]int{"B": 64}, Warps: 4, Stages: 1, Params: []Param{
			{Name: "x", Kind: "pointer", DType: "f32", Access: "inout"}, {Name: "n", Kind: "scalar", DType: "i32"},
		}}
		r, err := c.Compile(t.Context(), m, k, device)
		require.NoError(t, err)
		return r
	}
	r := try("not_a_power", "sm_90")
	require.False(t, r.OK)
	require.Equal(t, Failed, r.Cell().State)
	require.Equal(t, "line 7: ValueError: arange's range must be a power of 2", r.Error)
	require.ErrorContains(t, Export([]*Compiled{r}, dir), "not_a_power does not compile for sm_90")

	r = try("too_much_shared", "gfx942")
	require.False(t, r.OK)
	require.Regexp(t, `needs \d+ bytes of shared memory, gfx942 has 65536`, r.Error)
}

// TestRegistersAreLimited holds that a kernel is compiled for as many registers a thread as its launch names.
func TestRegistersAreLimited(t *testing.T) {
	c, err := NewCompiler(t.Context())
	need(t, err)
	defer c.Close()
	dir := t.TempDir()
	text := strings.Join([]string{
		"import triton", "import triton.language as tl", "", "", "@triton.jit", "def wide(x, n):",
		"    i = tl.arange(0, 8192)", "    v = tl.load(x + i)", "    tl.store(x + i, v / tl.sum(v, axis=0))", "",
	}, "\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wide.py"), []byte(text), 0o644))
	device, _ := DeviceNamed("sm_90")
	registers := func(limit int) int {
		k := &Kernel{Name: "wide", File: "wide.py", Warps: 4, Stages: 1, Registers: limit, Params: []Param{
			{Name: "x", Kind: "pointer", DType: "f32", Access: "inout"}, {Name: "n", Kind: "scalar", DType: "i32"},
		}}
		r, err := c.Compile(t.Context(), &Manifest{Dir: dir}, k, device)
		require.NoError(t, err)
		require.True(t, r.OK, r.Error)
		return r.Registers
	}
	require.Greater(t, registers(0), 40)
	require.LessOrEqual(t, registers(40), 40)
}
