package safetensors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bytesTensor is a tensor of n bytes.
func bytesTensor(name string, n int) Data {
	return Data{Spec{name, "U8", []int{n}}, make([]byte, n)}
}

// twoShards writes a good checkpoint: a and b in x1, c in x2, 9 bytes.
func twoShards(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, WriteFile(filepath.Join(dir, "x1"), nil,
		[]Data{bytesTensor("b", 2), bytesTensor("a", 3)}))
	require.NoError(t, WriteFile(filepath.Join(dir, "x2"), nil, []Data{bytesTensor("c", 4)}))
	require.NoError(t, WriteIndex(dir, map[string]string{"a": "x1", "b": "x1", "c": "x2"}, 9))
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
}

func TestOpenCheckpoint(t *testing.T) {
	dir := twoShards(t)
	write(t, dir, "consolidated.safetensors", "not part of it")
	c, err := OpenCheckpoint(dir)
	require.NoError(t, err)
	require.Equal(t, dir, c.Dir())
	require.Equal(t, []string{"a", "b", "c"}, c.Names())
	require.Equal(t, int64(9), c.TotalBytes())
	require.Len(t, c.Files(), 2)
	require.Equal(t, filepath.Join(dir, "x1"), c.Files()[0].Path())
	b, ok := c.Tensor("b")
	require.True(t, ok)
	require.Equal(t, filepath.Join(dir, "x1"), b.File)
	require.Len(t, b.Data, 2)
	_, ok = c.Tensor("d")
	require.False(t, ok)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
}

func TestOpenCheckpointSingleFile(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenCheckpoint(dir)
	require.EqualError(t, err,
		"checkpoint "+dir+": neither model.safetensors.index.json nor model.safetensors exists there")
	require.NoError(t, WriteFile(filepath.Join(dir, SingleName), nil, []Data{bytesTensor("a", 3)}))
	c, err := OpenCheckpoint(dir)
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, []string{"a"}, c.Names())
	require.Equal(t, int64(3), c.TotalBytes())
	require.NoError(t, os.Truncate(filepath.Join(dir, SingleName), 5))
	_, err = OpenCheckpoint(dir)
	require.ErrorContains(t, err, "truncated: 3 bytes of the header length are missing")
}

const stay = "shards must lie in the folder of the index"

const goodMap = `"a":"x1","b":"x1","c":"x2"`

func TestHostileIndexes(t *testing.T) {
	for _, c := range []struct{ name, index, want string }{
		{"empty", ``, `1:1: expected a value, found end of the document`},
		{"a list", `[]`, `1:1: weight_map: expected an object that maps tensor names to files`},
		{"no map", `{"metadata":{}}`, `1:1: weight_map: expected an object that maps tensor names to files`},
		{"empty map", `{"weight_map":{}}`,
			`1:15: weight_map: expected an object that maps tensor names to files`},
		{"duplicate", `{"weight_map":{"a":"x1","a":"x2"}}`,
			`1:25: weight_map: key "a" occurs twice in this object`},
		{"number", `{"weight_map":{"a":1}}`, `1:20: weight_map.a: expected a string, found a number`},
		{"absolute", `{"weight_map":{"a":"/etc/passwd"}}`,
			`1:20: weight_map.a: "/etc/passwd" is not a plain file name; ` + stay},
		{"parent", `{"weight_map":{"a":".."}}`,
			`1:20: weight_map.a: ".." is not a plain file name; ` + stay},
		{"parent's file", `{"weight_map":{"a":"../x1"}}`,
			`1:20: weight_map.a: "../x1" is not a plain file name; ` + stay},
		{"other separator", `{"weight_map":{"a":"..\\x1"}}`,
			`1:20: weight_map.a: "..\\x1" is not a plain file name; ` + stay},
		{"drive", `{"weight_map":{"a":"c:x1"}}`,
			`1:20: weight_map.a: "c:x1" is not a plain file name; ` + stay},
		{"no name", `{"weight_map":{"a":""}}`,
			`1:20: weight_map.a: "" is not a plain file name; ` + stay},
		{"NUL", `{"weight_map":{"a":"x\u0000"}}`,
			`1:20: weight_map.a: "x\x00" is not a plain file name; ` + stay},
		{"size as text", `{"metadata":{"total_size":"9"},"weight_map":{` + goodMap + `}}`,
			`1:27: metadata.total_size: expected a number, found a string`},
		{"negative size", `{"metadata":{"total_size":-9},"weight_map":{` + goodMap + `}}`,
			`1:27: metadata.total_size: expected a number of bytes, found -9`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := twoShards(t)
			write(t, dir, IndexName, c.index)
			_, err := OpenCheckpoint(dir)
			require.EqualError(t, err, filepath.Join(dir, IndexName)+": "+c.want)
		})
	}
}

func TestDisagreements(t *testing.T) {
	for _, c := range []struct{ name, index, want string }{
		{"wrong size", `{"metadata":{"total_size":8},"weight_map":{` + goodMap + `}}`,
			`model.safetensors.index.json: metadata.total_size is 8, the tensors have 9 bytes`},
		{"missing file", `{"weight_map":{` + goodMap + `,"d":"x9"}}`,
			`x9: the index names this file, but it does not exist`},
		{"a folder", `{"weight_map":{` + goodMap + `,"d":"sub"}}`, `sub: not a regular file`},
		{"tensor nowhere", `{"weight_map":{` + goodMap + `,"d":"x2"}}`,
			`tensor "d": the index places it in x2, which does not hold it`},
		{"tensor elsewhere", `{"weight_map":{"a":"x1","b":"x2","c":"x2"}}`,
			`tensor "b": the index places it in x2, but it is in x1`},
		{"not listed", `{"weight_map":{"a":"x1","c":"x2"}}`, `tensor "b" is in x1, but not in the index`},
		{"in two shards", `{"weight_map":{` + goodMap + `,"z":"x3"}}`,
			`tensor "c" is in x2 and in x3; it must be in one file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := twoShards(t)
			require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
			require.NoError(t, WriteFile(filepath.Join(dir, "x3"), nil,
				[]Data{bytesTensor("c", 4), bytesTensor("z", 1)}))
			write(t, dir, IndexName, c.index)
			_, err := OpenCheckpoint(dir)
			require.EqualError(t, err, "checkpoint "+dir+": "+c.want)
		})
	}
}

func TestProblemsAreCountedAndCut(t *testing.T) {
	dir := twoShards(t)
	var extra strings.Builder
	for i := range 13 {
		fmt.Fprintf(&extra, `,"t%02d":"x1"`, i)
	}
	write(t, dir, IndexName, `{"weight_map":{`+goodMap+extra.String()+`,"u":"gone"}}`)
	_, err := OpenCheckpoint(dir)
	var problems *CheckpointError
	require.True(t, errors.As(err, &problems))
	require.Len(t, problems.Problems, 14)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 12)
	require.Equal(t, "checkpoint "+dir+": 14 problems", lines[0])
	require.Equal(t, "  gone: the index names this file, but it does not exist", lines[1])
	require.Equal(t, `  tensor "t00": the index places it in x1, which does not hold it`, lines[2])
	require.Equal(t, "  and 4 more", lines[11])
}

func TestLinks(t *testing.T) {
	dir := twoShards(t)
	outside := filepath.Join(t.TempDir(), "y")
	require.NoError(t, os.Rename(filepath.Join(dir, "x2"), outside))
	if err := os.Symlink(outside, filepath.Join(dir, "x2")); err != nil {
		t.Skip("this system makes no symbolic links: " + err.Error())
	}
	_, err := OpenCheckpoint(dir)
	require.ErrorContains(t, err, "x2: the link leaves the folder, for ")
	require.NoError(t, os.Remove(filepath.Join(dir, "x2")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "x2")))
	_, err = OpenCheckpoint(dir)
	require.ErrorContains(t, err, "x2: the link cannot be followed")
	// A link to a file of the same folder is harmless.
	require.NoError(t, os.Rename(outside, filepath.Join(dir, "real")))
	require.NoError(t, os.Remove(filepath.Join(dir, "x2")))
	require.NoError(t, os.Symlink("real", filepath.Join(dir, "x2")))
	c, err := OpenCheckpoint(dir)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":9},"weight_map":{` + goodMap + `}}`))
	f.Add([]byte(`{"weight_map":{"a":"..\\x1"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		idx, err := parseIndex(text)
		if err != nil {
			return
		}
		require.NotEmpty(t, idx.files)
		for _, file := range idx.files {
			require.Equal(t, file, filepath.Base(file))
			require.Equal(t, "d", filepath.Dir(filepath.Join("d", file)))
		}
	})
}
