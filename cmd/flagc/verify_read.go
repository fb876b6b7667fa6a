package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"flagc/codegen/triton"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/passes"
	"flagc/targets"
)

// openBuild is a build read back from its folder. Nothing in it is trusted: the kernels are made again from its IR and
// must be those that lie in the folder, so that what is checked is what a user would run.
type openBuild struct {
	dir    string
	info   buildInfo
	target targets.Target
	module *ir.Module
	built  *triton.Build
}

// openBuildAt reads a build for its kernels.
func (a *app) openBuildAt(dir string) (*openBuild, error) {
	info, err := readBuildInfo(dir)
	if err != nil {
		return nil, err
	}
	b := &openBuild{dir: dir, info: *info}
	var ok bool
	if b.target, ok = targets.Find(info.Target); !ok {
		return nil, fmt.Errorf("%s is for the target %q, which this flagc does not know: there are %s", dir, info.Target,
			strings.Join(targets.Names(), ", "))
	}
	if b.target.Host.Executes {
		return nil, fmt.Errorf("%s is for %s and has no kernels of its own to verify: flagc run and flagc compare hold its program against flagc eval",
			dir, info.Target)
	}
	if err := b.readModule(a); err != nil {
		return nil, err
	}
	if err := b.lower(); err != nil {
		return nil, err
	}
	return b, b.intact()
}

// readBuildInfo reads build.json of a folder that should be a build.
func readBuildInfo(dir string) (*buildInfo, error) {
	path := filepath.Join(dir, buildFile)
	text, err := readSmall(path, "build description")
	if err != nil {
		return nil, fmt.Errorf("%s is not a build: %w (flagc build MODEL -o %s makes one)", dir, err, dir)
	}
	info := &buildInfo{}
	if err := json.Unmarshal([]byte(text), info); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; build it again", path, err)
	}
	return info, nil
}

// readModule reads the IR after the last pass.
func (b *openBuild) readModule(a *app) error {
	names := passes.Names()
	last := len(names) - 1
	file := fmt.Sprintf("ir/%02d-%s.ir", last, names[last])
	text, err := readSmall(filepath.Join(b.dir, filepath.FromSlash(file)), "IR")
	if err != nil {
		return fmt.Errorf("%w; build it again", err)
	}
	a.sources[file] = text
	if b.module, err = ir.ParseModule(text, file, ops.All); err != nil {
		return err
	}
	return b.module.Verify()
}

// lower makes the kernels again. IR that passes every check and still trips the generator is told as what it is.
func (b *openBuild) lower() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("BUG: the kernels of %s cannot be made from its IR: %v", b.dir, r)
		}
	}()
	b.built, err = triton.NewBuild(b.module, b.target)
	return err
}

// shown is how many names a message lists.
const shown = 5

// intact holds the files of the kernels against what the IR yields.
func (b *openBuild) intact() error {
	files := map[string][]byte{}
	if err := kernelFiles(b.built, files); err != nil {
		return err
	}
	var missing, other []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text, err := os.ReadFile(filepath.Join(b.dir, filepath.FromSlash(name)))
		switch {
		case err != nil:
			missing = append(missing, name)
		case !bytes.Equal(text, files[name]):
			other = append(other, name)
		}
	}
	switch {
	case missing != nil:
		return fmt.Errorf("%s lacks %s: build it again", b.dir, listOf(missing))
	case other != nil:
		return fmt.Errorf("%s: %s: not what its IR yields; edited since, or written by another flagc: build it again", b.dir, listOf(other))
	}
	return nil
}

func listOf(names []string) string {
	text := strings.Join(names[:min(shown, len(names))], ", ")
	if len(names) > shown {
		text += fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return text
}
