// Package house holds the rules of the architecture as tests: who may import whom, how large files grow, and
// which words stay out of which rooms.
package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// leaves may be imported from everywhere: they hold formats, files and messages, and know nothing of models.
var leaves = []string{"flagc/internal/diag", "flagc/runtime/formats", "flagc/runtime/strictjson", "flagc/runtime/atomicfile"}

// rooms lists what each room may import beside the standard library, itself and the leaves. A pattern ends in
// "..." to cover a tree.
var rooms = map[string][]string{
	"ir":                  {"github.com/alecthomas/participle/v2..."},
	"ir/ops":              {"flagc/ir"},
	"ir/eval":             {"flagc/ir", "gonum.org/v1/gonum..."},
	"ir/roles":            {"flagc/ir", "flagc/ir/ops"},
	"ir/tile":             {"flagc/ir"},
	"codegen/triton":      {"flagc/codegen/triton/py", "flagc/ir", "flagc/ir/ops", "flagc/ir/roles", "flagc/ir/tile", "flagc/targets"},
	"codegen/triton/py":   {},
	"frontend":            {"flagc/ir", "flagc/ir/ops", "github.com/alecthomas/participle/v2..."},
	"passes":              {"flagc/ir", "flagc/ir/ops", "flagc/targets"},
	"fit":                 {"flagc/ir", "flagc/passes", "flagc/targets"},
	"targets":             {},
	"codegen/go":          {"flagc/ir", "flagc/ir/ops", "flagc/targets", "flagc/runtime", "github.com/dave/jennifer..."},
	"runtime":             {},
	"runtime/formats":     {},
	"runtime/strictjson":  {},
	"runtime/atomicfile":  {},
	"runtime/safetensors": {},
	"runtime/cpu":         {},
	"runtime/collective":  {},
	"runtime/host":        {"flagc/runtime/safetensors", "flagc/runtime/cpu", "flagc/runtime/collective"},
	"weights":             {"flagc/ir", "flagc/runtime/safetensors", "golang.org/x/sync..."},
	"models/deepseekv4":   {},
	"internal/diag":       {},
}

// open lists folders that may import everything.
var open = []string{"cmd/flagc", "internal"}

func TestImportsFollowTheTable(t *testing.T) {
	eachGoFile(t, func(path string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		room := filepath.ToSlash(filepath.Dir(path))
		allowed, ok := rooms[room]
		if !ok {
			require.True(t, within(room, open), "folder %s is in no room: add it to the table", room)
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			name := strings.Trim(spec.Path.Value, `"`)
			standard := !strings.Contains(strings.SplitN(name, "/", 2)[0], ".") && !strings.HasPrefix(name, "flagc/")
			if standard || name == "flagc/"+room || matches(name, leaves) || matches(name, allowed) {
				continue
			}
			t.Errorf("%s imports %s, which the room %s may not", path, name, room)
		}
	})
}

// TestRuntimeNeedsOnlyTheStandardLibrary holds what lets a generated program build offline: its sources import
// the standard library and each other.
func TestRuntimeNeedsOnlyTheStandardLibrary(t *testing.T) {
	eachGoFile(t, func(path string) {
		if !strings.HasPrefix(path, "runtime/") || strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			name := strings.Trim(spec.Path.Value, `"`)
			first := strings.SplitN(name, "/", 2)[0]
			if strings.Contains(first, ".") || first == "flagc" && !strings.HasPrefix(name, "flagc/runtime/") {
				t.Errorf("%s imports %s", path, name)
			}
		}
	})
}

// TestPackagesAreDocumented asks every package for a package comment.
func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	eachGoFile(t, func(path string) {
		dir := filepath.Dir(path)
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ParseComments|parser.PackageClauseOnly)
		require.NoError(t, err)
		documented[dir] = documented[dir] || file.Doc != nil
	})
	for dir, ok := range documented {
		require.True(t, ok, "package %s has no package comment", dir)
	}
}

func eachGoFile(t *testing.T, f func(path string)) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && rel != ".") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); d.IsDir() && rel != "." && err == nil {
			return filepath.SkipDir // a module of its own, such as the program that a demo left here
		}
		if strings.HasSuffix(path, ".go") {
			found++
			f(filepath.ToSlash(rel))
		}
		return nil
	})
	require.NoError(t, err)
	require.NotZero(t, found)
}

func within(room string, folders []string) bool {
	for _, f := range folders {
		if room == f || strings.HasPrefix(room, f+"/") {
			return true
		}
	}
	return false
}

func matches(name string, patterns []string) bool {
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "..."); ok && strings.HasPrefix(name, prefix) || name == p {
			return true
		}
	}
	return false
}

// TestUpdateReachesEveryPackage holds that `go test ./... -update` is understood by every package with tests.
func TestUpdateReachesEveryPackage(t *testing.T) {
	knows := map[string]bool{}
	eachGoFile(t, func(path string) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		dir := filepath.Dir(path)
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			knows[dir] = knows[dir] || spec.Path.Value == `"flagc/internal/golden"`
		}
		knows[dir] = knows[dir] || dir == "internal/golden"
	})
	for dir, ok := range knows {
		require.True(t, ok, "the tests of %s do not know -update: add an update_test.go as its neighbours have", dir)
	}
}

// vendors are words that belong into targets/ alone: elsewhere code asks for a trait.
var vendors = regexp.MustCompile(`(?i)ascend|hygon|metax|kunlun|iluvatar|mthreads|moore ?threads|zhenwu|t-head|nvidia`)

// orders are words that hold a vendor's name by accident.
var orders = regexp.MustCompile(`(?i)ascending|descend`)

func TestVendorsAreNamedInTargetsOnly(t *testing.T) {
	eachGoFile(t, func(path string) {
		if strings.HasSuffix(path, "_test.go") || !within(path, []string{"passes", "codegen", "ir", "frontend", "runtime"}) {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		for i, line := range strings.Split(string(text), "\n") {
			if word := vendors.FindString(orders.ReplaceAllString(line, "")); word != "" {
				t.Errorf("%s:%d names %q", path, i+1, word)
			}
		}
	})
}

// fileLimit is the length above which a file is several rooms in one.
const fileLimit = 450

func TestFilesStaySmall(t *testing.T) {
	eachGoFile(t, func(path string) {
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		if lines := strings.Count(string(text), "\n"); lines > fileLimit && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %d lines, more than %d", path, lines, fileLimit)
		}
	})
}
