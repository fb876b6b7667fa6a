// Package golden compares what a test got with a file that a person has read and accepted. It is the one home
// of the -update flag: `go test ./... -update` rewrites every such file, and a clean tree afterwards means that
// nothing changed.
package golden

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests got")

// Updating reports whether the tests run with -update, for goldens that are not whole files.
func Updating() bool { return *update }

// Unrecorded ends a test under -update that takes long and records nothing.
func Unrecorded(t testing.TB) {
	t.Helper()
	if *update {
		t.Skip("nothing is recorded here")
	}
}

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
	if string(want) != got {
		t.Fatalf("%s differs; run the test with -update and read the diff. %s", path, firstDifference(string(want), got))
	}
}

// firstDifference names the first line that differs: golden files are too long to be printed whole.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := 0; i < len(w) && i < len(g); i++ {
		if w[i] != g[i] {
			return fmt.Sprintf("First in line %d:\n-%s\n+%s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("The file has %d lines, the test got %d.", len(w), len(g))
}
