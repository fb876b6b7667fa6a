package main

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"flagc/internal/golden"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"flagc": func() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs flagc as people type it. Each script in testdata/script names what it shows.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: golden.Updating(),
		Setup: func(e *testscript.Env) error {
			// The Go tool finds its caches through these; the programs that scripts compile need nothing else.
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOROOT", "HOME"} {
				if v := goEnv(name); v != "" {
					e.Setenv(name, v)
				}
			}
			// The folder that flagc itself lies in: a machine without anything else.
			tool, _, _ := strings.Cut(e.Getenv("PATH"), string(os.PathListSeparator))
			e.Setenv("FLAGC_ONLY", tool)
			return nil
		},
	})
}
