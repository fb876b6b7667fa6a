package host

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"flagc/runtime/collective"
	"flagc/runtime/safetensors"
	"flagc/runtime/strictjson"
)

// Weights says which weights a program takes. Converted ones name the plan that their files follow; the official
// checkpoint names none.
type Weights struct {
	Precision string // the policy that the program was built for; "" if nobody knows
	Official  bool   // the official checkpoint serves as it is
	Release   string // SHA-256 of the plan of a release
	Ranks     string // SHA-256 of the plan of files for each rank
	Flags     string // with which flagc weights convert makes them
}

// store is an open folder of weights: whole tensors, of which each rank takes its part, or files that hold the parts.
type store struct {
	whole *safetensors.Checkpoint
	ranks map[int]*safetensors.File // by rank, those that were opened
}

// openStore opens a folder for some ranks of a program, by their numbers.
func openStore(p Program, dir string, ranks []int) (*store, error) {
	c, err := readConversion(dir)
	if err != nil {
		return nil, err
	}
	if err := c.serves(p, dir); err != nil {
		return nil, err
	}
	if c == nil || c.layout == releaseLayout {
		whole, err := safetensors.OpenCheckpoint(dir)
		return &store{whole: whole}, err
	}
	s := &store{ranks: map[int]*safetensors.File{}}
	for _, rank := range ranks {
		if err := s.open(p, dir, rank); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// open opens the file of one rank.
func (s *store) open(p Program, dir string, rank int) error {
	n := p.Mesh.Ranks()
	f, err := safetensors.Open(filepath.Join(dir, safetensors.RankName(rank, n)))
	if err != nil {
		return err
	}
	s.ranks[rank] = f
	return f.CheckRank(rank, n, p.Mesh.String())
}

// binder binds a rank's part of the weights; r is nil where there is one rank.
func (s *store) binder(p Program, r *collective.Rank) *Binder {
	b := NewBinder(s.whole, r)
	if s.whole == nil {
		number := 0
		if r != nil {
			number = r.Number()
		}
		b.tensors, b.parts = s.ranks[number], true
	}
	b.wants = p.Weights
	return b
}

// Close releases the files.
func (s *store) Close() error {
	var errs []error
	if s.whole != nil {
		errs = append(errs, s.whole.Close())
	}
	for _, f := range s.ranks {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// conversion is what a converted checkpoint says of itself.
type conversion struct {
	layout, target, precision, plan string
	tp                              int64
	mtp                             bool
	flags                           []string // about splits, beside these
}

const (
	releaseLayout = "release"
	ranksLayout   = "ranks"
	maxConversion = 1 << 20
)

// readConversion reads what a folder says of itself; nil for one that was not converted.
func readConversion(dir string) (*conversion, error) {
	path := filepath.Join(dir, safetensors.ConversionName)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, noRanks(dir)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxConversion:
		return nil, fmt.Errorf("%s is no regular file of at most %d bytes", path, maxConversion)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	doc, err := strictjson.Parse(text, strictjson.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	c, err := parseConversion(doc)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return c, nil
}

// parseConversion takes what a program needs to know; the first thing that is wrong is the error.
func parseConversion(doc strictjson.Value) (c *conversion, err error) {
	note := func(other error) { err = cmp.Or(err, other) }
	text := func(v strictjson.Value) string {
		s, err := v.Str()
		note(err)
		return s
	}
	c = &conversion{layout: text(doc.Get("layout")), target: text(doc.Get("target")), precision: text(doc.Get("precision")),
		plan: text(doc.Get("plan"))}
	for key, value := range doc.Get("flags").Fields() {
		c.flags = append(c.flags, fmt.Sprintf(" --%s=%s", key, text(value)))
	}
	var other error
	c.tp, other = doc.Get("tp").Int()
	note(other)
	c.mtp, other = doc.Get("mtp").Bool()
	note(other)
	if c.layout != releaseLayout && c.layout != ranksLayout {
		note(doc.Get("layout").Errorf("%q is neither %s nor %s", c.layout, releaseLayout, ranksLayout))
	}
	return c, err
}

// noRanks fails if a folder holds the file of a rank: it then lacks what says which ranks those are.
func noRanks(dir string) error {
	found, err := filepath.Glob(filepath.Join(dir, "rank-*-of-*.safetensors"))
	if err != nil || len(found) == 0 {
		return nil // a folder whose name is a bad pattern is opened as a checkpoint
	}
	return fmt.Errorf("%s holds %s without %s: copy that file of the conversion as well", dir, filepath.Base(found[0]),
		safetensors.ConversionName)
}

// serves fails if a converted checkpoint is not what a program takes.
func (c *conversion) serves(p Program, dir string) error {
	w := p.Weights
	if c == nil || w.Precision == "" {
		return nil
	}
	if plan := map[string]string{releaseLayout: w.Release, ranksLayout: w.Ranks}[c.layout]; c.plan == plan {
		return nil
	}
	what, convert, build := "a release", "", ""
	if c.layout == ranksLayout {
		what = fmt.Sprintf("files for %d ranks", c.tp)
		if c.tp == 1 {
			what = "the file for 1 rank"
		}
		convert, build = " --layout ranks", fmt.Sprintf(" --tp %d", c.tp)
	}
	if !c.mtp {
		what += " without the MTP block"
	}
	flags := strings.Join(c.flags, "")
	return fmt.Errorf("%s holds %s at precision %s, converted for %s%s, which is not what this program takes: "+
		"convert the official checkpoint with flagc weights convert SRC -o DIR%s %s, "+
		"or build for these weights with flagc build MODEL --config %s%s --precision %s%s",
		dir, what, c.precision, c.target, flags,
		convert, w.Flags,
		filepath.Join(dir, "config.json"), build, c.precision, flags)
}
