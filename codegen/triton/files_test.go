package triton

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
	"flagc/ir/tile"
)

func allSamples() []*tile.Program {
	var out []*tile.Program
	for _, sample := range samples {
		out = append(out, sample())
	}
	return out
}

func TestFiles(t *testing.T) {
	files, err := Files("h100", "3.6.0", allSamples())
	require.NoError(t, err)
	require.Len(t, files, len(samples)+2)
	golden.Check(t, "testdata/kernels.json.golden", string(files[ManifestFile]))
	golden.Check(t, "testdata/torch_ops.py.golden", string(files[TorchFile]))
	again, err := Files("h100", "3.6.0", allSamples())
	require.NoError(t, err)
	require.Equal(t, files, again, "equal programs, in another order, give equal bytes")
}

func TestFilesRefusesTwoOfAName(t *testing.T) {
	_, err := Files("h100", "", []*tile.Program{turns(), turns()})
	require.EqualError(t, err, "two kernels are called turns: give each specialisation a name of its own")
}

// TestPrintedTextIsPython asks Python itself.
func TestPrintedTextIsPython(t *testing.T) {
	files, err := Files("h100", "", allSamples())
	require.NoError(t, err)
	requirePython(t, files)
}

// requirePython has Python's parser read each .py file; without Python on this machine the test is skipped.
func requirePython(t *testing.T, files map[string][]byte) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here: the printed text was not parsed")
	}
	texts := map[string]string{}
	for name, text := range files {
		if strings.HasSuffix(name, ".py") {
			texts[name] = string(text)
		}
	}
	in, err := json.Marshal(texts)
	require.NoError(t, err)
	cmd := exec.Command(python, "-c", "import ast, json, sys\nfor f, s in json.load(sys.stdin).items(): ast.parse(s, f)")
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
