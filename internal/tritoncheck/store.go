package tritoncheck

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"flagc/runtime/atomicfile"
)

// store keeps results of compilers in the user's cache, by everything that they depend on.
type store struct{ dir string }

func newStore(name string) (store, error) {
	dir, err := cacheDir(name)
	return store{dir}, err
}

// keyOf is the content key of a question: the parts, the script that answers it and the releases it uses.
func keyOf(env *environment, script string, parts ...any) (string, error) {
	sum := sha256.New()
	for _, name := range slices.Concat(env.requirements, []string{script, "kernels.py"}) {
		text, err := scripts.ReadFile("py/" + name)
		if err != nil {
			return "", err
		}
		parts = append(parts, string(text))
	}
	if err := json.NewEncoder(sum).Encode(parts); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (s store) path(key, kind string) string { return filepath.Join(s.dir, key[:2], key+kind) }

// get reads an earlier result. One that is missing or cannot be read is made again.
func (s store) get(key string, result any) (artefact []byte, ok bool) {
	text, err := os.ReadFile(s.path(key, ".json"))
	if err != nil || json.Unmarshal(text, result) != nil {
		return nil, false
	}
	artefact, err = os.ReadFile(s.path(key, ".bin"))
	return artefact, err == nil
}

// put keeps a result; the artefact is written first, so that a result without one does not exist.
func (s store) put(key string, result any, artefact []byte) error {
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path(key, "")), 0o755); err != nil {
		return err
	}
	if err := atomicfile.WriteFile(s.path(key, ".bin"), artefact, 0o644); err != nil {
		return err
	}
	return atomicfile.WriteFile(s.path(key, ".json"), text, 0o644)
}
