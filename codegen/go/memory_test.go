package gohost

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
	"flagc/passes"
	"flagc/targets"
	"flagc/weights"
)

// growth is a test of a generated program, in its own folder: what a decoded token takes from the heap.
const growth = `package main

import (
	"runtime"
	"testing"

	"deepseek_v4/runtime/host"
	"deepseek_v4/runtime/safetensors"
)

func TestTokensTakeNoBuffers(t *testing.T) {
	c, err := safetensors.OpenCheckpoint(%q)
	if err != nil {
		t.Fatal(err)
	}
	m := load(host.NewBinder(c, nil), 1)
	m.Reset(1, 300)
	m.Prefill([]int32{1, 2, 3})
	m.Decode([]int32{7}, 3)
	var before, after runtime.MemStats
	for p := 4; p < 260; p += 128 {
		runtime.ReadMemStats(&before)
		for i := range 128 {
			m.Decode([]int32{7}, p+i)
		}
		runtime.ReadMemStats(&after)
		if bytes := (after.TotalAlloc - before.TotalAlloc) / 128; bytes > %d {
			t.Errorf("a token from position %%d on took %%d bytes", p, bytes)
		}
	}
}
`

// closures is what the loop bodies that kernels hand to threads take on the heap for one token of the small model:
// about 240 of 100 bytes, wherever the token stands.
const closures = 32 << 10

// TestDecodingTakesNoBuffers holds that a program has all the memory of values and states before its first token: past
// windows and blocks of either compressor a token still takes no more than what its closures do.
func TestDecodingTakesNoBuffers(t *testing.T) {
	m, config := goldens.Builtin(t, "deepseek-v4-nano")
	checkpoint := filepath.Join(t.TempDir(), "w")
	require.NoError(t, weights.Make(m, []byte(config), checkpoint, weights.MakeOptions{}))
	_, err := passes.Run(m, passes.Options{Target: targets.CPU}, "")
	require.NoError(t, err)
	dir := write(t, m, map[string]string{"growth_test.go": fmt.Sprintf(growth, checkpoint, closures)})
	toolchain(t, dir, "test", "-count=1", ".")
}
