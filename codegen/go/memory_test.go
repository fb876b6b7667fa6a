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

// tokens is a test of a generated program, in its own folder: what decoded tokens take from the heap.
const tokens = `package main

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"deepseek_v4/runtime/collective"
	"deepseek_v4/runtime/host"
	"deepseek_v4/runtime/safetensors"
)

var ranks = %s

const timeout = time.Minute

func TestTokensAllocateNothing(t *testing.T) {
	// With more processors, Go's own records of waiting goroutines pile up at some of them and are made anew at others.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	c, err := safetensors.OpenCheckpoint(%q)
	if err != nil {
		t.Fatal(err)
	}
	models := make([]*Model, len(ranks))
	for i, r := range ranks {
		models[i] = load(host.NewBinder(c, r), 2)
		defer models[i].Close()
	}
	allocations := func(tokens int) uint64 {
		var before, after runtime.MemStats
		var done sync.WaitGroup
		runtime.ReadMemStats(&before)
		for i, r := range ranks {
			done.Go(func() {
				_, err := host.Run(models[i], V, host.Request{Prompt: [][]int32{{1, 2, 3}}, MaxNew: tokens, MaxSeq: 300,
					MTP: true, Temperature: 0.8, TopP: 0.9, Rank: r})
				if err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	allocations(4)
	var few, many uint64
	for range 10 { // a busy machine makes Go start threads of its own now and then, which it keeps
		if few, many = allocations(4), allocations(260); few == many {
			return
		}
	}
	t.Errorf("a run of 4 tokens makes %%d allocations, one of 260 tokens %%d", few, many)
}
`

// TestTokensAllocateNothing holds that a program has all its memory before its first token, on one rank and on
// several: past windows and blocks of either compressor a token takes nothing from the heap, nor does choosing the next.
func TestTokensAllocateNothing(t *testing.T) {
	for tp, ranks := range map[int]string{1: "[]*collective.Rank{nil}", 2: "collective.Local(mesh, timeout)"} {
		t.Run(fmt.Sprint("tp", tp), func(t *testing.T) {
			m, config := goldens.Builtin(t, "deepseek-v4-nano")
			checkpoint := filepath.Join(t.TempDir(), "w")
			require.NoError(t, weights.Make(m, []byte(config), checkpoint, weights.MakeOptions{}))
			_, err := passes.Run(m, passes.Options{Target: targets.CPU, TP: tp}, "")
			require.NoError(t, err)
			dir := write(t, m, map[string]string{"tokens_test.go": fmt.Sprintf(tokens, ranks, checkpoint)})
			toolchain(t, dir, "test", "-count=1", ".")
		})
	}
}
