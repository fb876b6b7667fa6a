// Package golden compares what a test got with a file that a person has read and accepted. It is the one home
// of the -update flag: `go test ./... -update` rewrites every such file, and a clean tree afterwards means that
// nothing changed.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests got")

// Updating reports whether the tests run with -update, for goldens that are not whole files.
func Updating() bool { return *update }

// Check requires that the file at path, relative to the test's folder, holds exactly got. With -update it
// writes the file instead.
func Check(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update to create the file")
	require.Equal(t, string(want), got, "%s differs; run the test with -update and read the diff", path)
}
