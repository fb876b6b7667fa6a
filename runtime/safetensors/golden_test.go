package safetensors

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// golden holds two small checkpoints with what the official code computes on them. It is not part of
// the repository; the tests above cover the package without it.
const golden = "../../../shared/golden"

func TestGoldenCheckpoints(t *testing.T) {
	for _, c := range []struct {
		model  string
		shards int
		bytes  int64
	}{
		{"nano-flash", 9, 18522878},
		{"nano-pro", 8, 15702488},
	} {
		dir := filepath.Join(golden, c.model)
		if _, err := os.Stat(dir); err != nil {
			t.Skip("the golden checkpoints are not beside this repository: " + err.Error())
		}
		ckpt, err := OpenCheckpoint(filepath.Join(dir, "checkpoint"))
		require.NoError(t, err)
		require.Len(t, ckpt.Files(), c.shards)
		require.Equal(t, c.bytes, ckpt.TotalBytes())
		require.Equal(t, map[string]string{"format": "pt"}, ckpt.Files()[0].Metadata())
		embed, ok := ckpt.Tensor("embed.weight")
		require.True(t, ok)
		values, err := embed.Float32s()
		require.NoError(t, err)
		require.Len(t, values, embed.Shape[0]*embed.Shape[1])
		ids, ok := ckpt.Tensor("layers.0.ffn.gate.tid2eid")
		require.True(t, ok)
		_, err = ids.Int32s()
		require.NoError(t, err)
		require.NoError(t, ckpt.Close())

		exact, err := Open(filepath.Join(dir, "exact.safetensors"))
		require.NoError(t, err)
		prompt, ok := exact.Tensor("long.prompt")
		require.True(t, ok)
		require.Equal(t, []int{1, 250}, prompt.Shape)
		require.NoError(t, exact.Close())
	}
}

// Writing a real shard again gives tensors with the same bytes.
func TestGoldenRewrite(t *testing.T) {
	path := filepath.Join(golden, "nano-pro", "checkpoint", "model-00002-of-00008.safetensors")
	if _, err := os.Stat(path); err != nil {
		t.Skip("the golden checkpoints are not beside this repository: " + err.Error())
	}
	from, err := Open(path)
	require.NoError(t, err)
	defer from.Close()
	var all []Data
	for _, tensor := range from.Tensors() {
		all = append(all, Data{Spec{tensor.Name, tensor.DType, tensor.Shape}, tensor.Data})
	}
	copied := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, WriteFile(copied, from.Metadata(), all))
	to, err := Open(copied)
	require.NoError(t, err)
	defer to.Close()
	require.Equal(t, from.Metadata(), to.Metadata())
	for i, tensor := range to.Tensors() {
		require.Equal(t, from.Tensors()[i].Data, tensor.Data)
		require.Equal(t, from.Tensors()[i].Shape, tensor.Shape)
	}
}
