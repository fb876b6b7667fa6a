package gohost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/goldens"
)

func TestX(t *testing.T) {
	for _, n := range goldens.Names {
		g := goldens.Open(t, n)
		m := g.Module(t, nil)
		files, err := Generate(m, Options{})
		require.NoError(t, err)
		dir := "/tmp/gen/" + n
		os.RemoveAll(dir)
		for name, text := range files {
			p := filepath.Join(dir, name)
			os.MkdirAll(filepath.Dir(p), 0o755)
			require.NoError(t, os.WriteFile(p, text, 0o644))
		}
	}
}
