package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"flagc/internal/tritoncheck"
	"flagc/ir/roles"
	"flagc/runtime/atomicfile"
)

// version is that of the judgement: of inputs, interpreters and bounds. It is raised when one of them changes, so that
// no earlier result stands.
const version = 8

// kept is cells by everything that they depend on. Without a folder it is empty and stays so.
type kept struct{ dir string }

func openKept(o Options) kept {
	switch {
	case o.NoCache:
		return kept{}
	case o.Cache != "":
		return kept{o.Cache}
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return kept{}
	}
	return kept{filepath.Join(dir, "flagc", "verify")}
}

// key is that of a check of a subject: the ops, the programs, the inputs and what the target does with masks.
func (s *Subject) key(c Check) string {
	sum := sha256.New()
	fmt.Fprintln(sum, version, c, s.Module.Mesh, roles.ExpertAxis(s.Module), s.options(0), s.Cases)
	fmt.Fprintln(sum, s.Kernel.Func.Print(s.Module))
	for _, p := range s.Kernel.Programs {
		fmt.Fprintln(sum, p)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (c kept) path(key string) string { return filepath.Join(c.dir, key[:2], key+".json") }

// get reads an earlier result; one that cannot be read is found out again.
func (c kept) get(key string) (cell tritoncheck.Cell, ok bool) {
	if c.dir == "" {
		return cell, false
	}
	text, err := os.ReadFile(c.path(key))
	return cell, err == nil && json.Unmarshal(text, &cell) == nil
}

// put keeps a result that does not depend on what this machine has. A cache that cannot be written is no failure.
func (c kept) put(key string, cell tritoncheck.Cell) {
	if c.dir == "" || cell.State == tritoncheck.NotPossible {
		return
	}
	text, err := json.Marshal(cell)
	if err != nil || os.MkdirAll(filepath.Dir(c.path(key)), 0o755) != nil {
		return
	}
	_ = atomicfile.WriteFile(c.path(key), text, 0o644)
}
