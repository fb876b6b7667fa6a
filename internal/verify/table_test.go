package verify

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/internal/tritoncheck"
)

// someKernels are enough for what a table is.
var someKernels = []string{"hc_post.prefill", "index_score.decode", "embed.prefill"}

// TestTable holds that a table has every cell, is the same on a second run and then comes from the cache.
func TestTable(t *testing.T) {
	m, target := lowered(t, "deepseek-v4-nano", "h200", 2, "")
	o := Options{Checks: []Check{Tiles}, Kernels: someKernels, Cache: t.TempDir()}
	first, err := Verify(t.Context(), m, target, o)
	require.NoError(t, err)
	failed, notPossible := first.Failed()
	require.Zero(t, failed+notPossible)
	require.Len(t, first.Rows, len(someKernels))

	second, err := Verify(t.Context(), m, target, o)
	require.NoError(t, err)
	a, err := first.JSON()
	require.NoError(t, err)
	b, err := second.JSON()
	require.NoError(t, err)
	require.Equal(t, string(a), string(b))

	// What the cache says counts, even what no check would.
	require.NoError(t, filepath.WalkDir(o.Cache, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return os.WriteFile(path, bytes.ReplaceAll(text, []byte(`"passed"`), []byte(`"failed"`)), 0o644)
	}))
	third, err := Verify(t.Context(), m, target, o)
	require.NoError(t, err)
	failed, _ = third.Failed()
	require.Equal(t, len(someKernels), failed)

	var text bytes.Buffer
	require.NoError(t, first.Print(&text))
	require.Contains(t, text.String(), "hc_post.prefill")
	require.Contains(t, text.String(), "passed")
}

// TestTextEqualsTiles runs printed kernels under Triton's interpreter.
func TestTextEqualsTiles(t *testing.T) {
	tritonInterpreter(t)
	m, target := lowered(t, "deepseek-v4-nano", "h200", 2, "")
	table, err := Verify(t.Context(), m, target, Options{Checks: []Check{Text}, NoCache: true,
		Kernels: append([]string{"sparse_attention.1.decode", "wq_b.decode"}, someKernels...)})
	require.NoError(t, err)
	for _, r := range table.Rows {
		require.Equal(t, tritoncheck.Passed, r.Cells[Text].State, "%s: %s", r.Kernel, r.Cells[Text].Why)
	}
}

var shared struct {
	sync.Once
	*tritoncheck.Interpreter
	error
}

// tritonInterpreter is that of all tests. Where Triton is missing it skips the test and says so; in CI it must be there.
func tritonInterpreter(t testing.TB) *tritoncheck.Interpreter {
	t.Helper()
	shared.Do(func() { shared.Interpreter, shared.error = tritoncheck.NewInterpreter(context.Background()) })
	var missing *tritoncheck.Unavailable
	if errors.As(shared.error, &missing) && os.Getenv("CI") != "true" {
		t.Skipf("not checked: %s", missing)
	}
	require.NoError(t, shared.error)
	return shared.Interpreter
}

// TestMain ends at once under -update: nothing here is recorded, and the tests take minutes.
func TestMain(m *testing.M) {
	flag.Parse()
	if golden.Updating() {
		os.Exit(0)
	}
	code := m.Run()
	if shared.Interpreter != nil {
		shared.Close()
	}
	os.Exit(code)
}
