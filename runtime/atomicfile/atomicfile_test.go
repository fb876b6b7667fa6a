package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// names lists a folder, temporaries included.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	require.NoError(t, WriteFile(path, []byte("one"), 0o644))
	require.NoError(t, WriteFile(path, []byte("two"), 0o600))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "two", string(got))
	require.Equal(t, []string{"a.json"}, names(t, dir))
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode())
	}
}

func TestTargetUntouchedUntilCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	f, err := Create(path)
	require.NoError(t, err)
	require.Equal(t, path, f.Target())
	_, err = f.WriteAt([]byte("new"), 0)
	require.NoError(t, err)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(got))
	require.Len(t, names(t, dir), 2)
	require.NoError(t, f.Commit())
	require.NoError(t, f.Abort(), "nothing to do")
	require.ErrorContains(t, f.Commit(), "already committed or aborted")
	got, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "new", string(got))
	require.Equal(t, []string{"a"}, names(t, dir))
}

func TestAbort(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "a"))
	require.NoError(t, err)
	require.NoError(t, f.Abort())
	require.NoError(t, f.Abort())
	require.Empty(t, names(t, dir))
}

func TestFailuresLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	err := WriteFile(filepath.Join(dir, "no", "a"), nil, 0o644)
	require.ErrorContains(t, err, "cannot create a temporary")
	// A folder in the target's place refuses the rename.
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "taken", "x"), 0o755))
	require.ErrorContains(t, WriteFile(filepath.Join(dir, "taken"), nil, 0o644), "cannot write")
	require.Equal(t, []string{"taken"}, names(t, dir))
	require.Error(t, SyncDir(filepath.Join(dir, "no")))
}
