package weights

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"flagc/runtime/safetensors"
)

// About is what a converted checkpoint says of itself, in the file conversion.json. It holds no time and no path, so
// that equal conversions give equal bytes.
type About struct {
	Flagc     string     `json:"flagc"` // version
	Layout    FileLayout `json:"layout"`
	Model     string     `json:"model"`
	Target    string     `json:"target"`
	Precision string     `json:"precision"`
	TP        int        `json:"tp"`
	// Flags are the others that say how weights are split, for whoever makes the same plan again.
	Flags  map[string]string `json:"flags,omitempty"`
	MTP    bool              `json:"mtp"`
	Plan   string            `json:"plan"` // SHA-256 of weights.json
	Source FromSource        `json:"source"`
	Work   []Traffic         `json:"conversions"`
	Tiles  TileCounts        `json:"fp4_to_fp8_tiles,omitzero"`
}

// FromSource names what was converted.
type FromSource struct {
	Config string `json:"config_sha256"`
	Index  string `json:"index_sha256,omitempty"`
	Files  int    `json:"files"`
	Amount
}

// Names of files of a converted checkpoint beside those of tensors.
const (
	aboutName = safetensors.ConversionName
	planName  = "weights.json"
	sumsName  = "SHA256SUMS"
	readName  = "README.md"
)

// maxCompanion bounds the files that are copied along: the official tokenizer has 6 MB.
const maxCompanion = 256 << 20

// copied are the files and folders of a checkpoint that go with its tensors as they are.
var copied = []string{"generation_config.json", "tokenizer.json", "tokenizer_config.json", "encoding", "LICENSE"}

// ReadAbout reads what a converted checkpoint says of itself. For a folder without it the error is one of
// fs.ErrNotExist.
func ReadAbout(dir string) (*About, error) {
	path := filepath.Join(dir, aboutName)
	text, err := readBounded(path, chunkBytes)
	if err != nil {
		return nil, err
	}
	a := &About{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !slices.Contains(FileLayouts, a.Layout) || a.TP < 1 {
		return nil, fmt.Errorf("%s: layout %q for %d ranks is none that flagc writes", path, a.Layout, a.TP)
	}
	return a, nil
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; put the file itself in its place", path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that one can have", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

// companions writes everything of the result that is not tensors.
func (c *converter) companions() error {
	config, err := readBounded(filepath.Join(c.src.Dir(), configName), maxCompanion)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	if err := c.about(files, config); err != nil {
		return err
	}
	if !c.opts.About.MTP {
		if config, err = WithoutMTP(config); err != nil {
			return err
		}
	}
	if files[configName], err = c.plan.config(config); err != nil {
		return err
	}
	for _, name := range copied {
		before := len(files)
		if err := collect(files, c.src.Dir(), name); err != nil {
			return err
		}
		if len(files) == before {
			c.result.Lacking = append(c.result.Lacking, name)
		}
	}
	files[readName] = []byte(c.readme(config, files[configName]))
	if c.plan.Layout == Release {
		if files[safetensors.IndexName], err = c.plan.indexText(); err != nil {
			return err
		}
	}
	for _, name := range sortedNames(files) {
		if err := c.writeCompanion(name, files[name]); err != nil {
			return err
		}
	}
	return c.writeCompanion(sumsName, c.sums(files))
}

func sortedNames(files map[string][]byte) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// writeCompanion writes a file in place: a crash leaves nothing that another run would not write over.
func (c *converter) writeCompanion(name string, text []byte) error {
	path := c.resultPath(filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := c.sys.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	err = errors.Join(err, f.Truncate(int64(len(text))), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return c.sys.SyncDir(filepath.Dir(path))
}

// about adds the plan, and what was done by it.
func (c *converter) about(files map[string][]byte, config []byte) error {
	a := &c.opts.About
	a.Layout, a.Model, a.Tiles = c.plan.Layout, c.plan.Model, c.result.Tiles
	a.Work = c.plan.Report(1).Kinds
	a.Source = FromSource{Config: digestOf(config), Files: len(c.src.Files())}
	a.Source.Amount = Amount{len(c.src.Names()), c.src.TotalBytes()}
	index, err := readBounded(filepath.Join(c.src.Dir(), safetensors.IndexName), maxCompanion)
	if err == nil {
		a.Source.Index = digestOf(index)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	files[aboutName] = append(text, '\n')
	files[planName], err = c.plan.JSON()
	return err
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// collect reads a file, or the files of a folder, if it is there.
func collect(files map[string][]byte, dir, name string) error {
	root := filepath.Join(dir, name)
	if _, err := os.Lstat(root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)], err = readBounded(path, maxCompanion)
		return err
	})
}

// indexText is the index of a release.
func (p *Plan) indexText() ([]byte, error) {
	where, total := map[string]string{}, int64(0)
	for _, it := range p.Items {
		for _, part := range it.Parts {
			for i := range it.Count() {
				where[part.named(i)] = p.Files[it.File].Name
			}
		}
		total += p.written(it).Bytes
	}
	return safetensors.IndexText(where, total)
}

// sums is the content of SHA256SUMS, as sha256sum -c reads it.
func (c *converter) sums(files map[string][]byte) []byte {
	sums := map[string]string{}
	for name, sum := range c.journal.hashes {
		sums[name] = sum
	}
	for name, text := range files {
		sums[name] = digestOf(text)
	}
	names := make([]string, 0, len(sums))
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range names {
		fmt.Fprintf(&b, "%s  %s\n", sums[name], name)
	}
	return b.Bytes()
}

// readme says what was done, for people; config.json was before and is now after.
func (c *converter) readme(before, after []byte) string {
	a := c.opts.About
	var b strings.Builder
	fmt.Fprintf(&b, "# %s, precision %s\n\n", a.Model, a.Precision)
	fmt.Fprintf(&b, "Converted from the official checkpoint by flagc %s for target %s", a.Flagc, a.Target)
	if a.Layout == Ranks {
		fmt.Fprintf(&b, ", one file for each of %s", plural(c.plan.Ranks(), "rank"))
	}
	b.WriteString(". Every number is the one of the source: conversions are exact or refused.\n\n")
	for _, w := range a.Work {
		fmt.Fprintf(&b, "- %s: %s, %s read, %s written\n",
			w.Name, plural(w.Read.Tensors, "tensor"), size(w.Read.Bytes), size(w.Written.Bytes))
	}
	if n := a.Tiles.Tiles(); n > 0 {
		most := 0
		for spread := range a.Tiles.Spread {
			most = max(most, spread)
		}
		fmt.Fprintf(&b, "- %s recast from FP4 to FP8, each proved exact; scales in a tile spread over at most %d powers of two\n",
			plural(int(n), "tile"), most)
	}
	if !a.MTP {
		b.WriteString("- the MTP block was left out, as asked\n")
	}
	for _, change := range changes(before, after) {
		fmt.Fprintf(&b, "- `%s`: %s\n", configName, change)
	}
	if len(c.result.Lacking) > 0 {
		fmt.Fprintf(&b, "- the source had none of these, so they are not here: %s\n", strings.Join(c.result.Lacking, ", "))
	}
	fmt.Fprintf(&b, "\n`%s` says where every tensor comes from, `%s` what was converted, `%s` the hash of every file\n"+
		"(`sha256sum -c %s`). `flagc weights verify` reads everything again.\n", planName, aboutName, sumsName, sumsName)
	if a.Layout == Release {
		b.WriteString("The official inference code in `inference/` is not copied: its converter expects the official files.\n")
	}
	return b.String()
}
