package weights

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"flagc/runtime/safetensors"
)

// ConvertOptions are the choices of Convert beside the plan.
type ConvertOptions struct {
	Jobs   int   // units converted at a time; 0 for one per processor
	Limit  int64 // bytes read in a second; 0 for no limit
	Resume bool  // take up an interrupted conversion
	About  About // what is written down about the result

	// Stop, when it is closed, ends the conversion early: what is done is kept. It may be nil.
	Stop <-chan struct{}

	// Progress hears how far the work is, from one goroutine at a time; nil for nobody.
	Progress func(Progress)

	sys fileSystem // nil for the machine's own
}

// Progress is how far a conversion is.
type Progress struct {
	Phase   string `json:"phase"` // "convert", then "hash"
	Done    int64  `json:"done"`  // bytes: read in the first phase, hashed in the second
	Total   int64  `json:"total"`
	Tensors int    `json:"tensors"` // touched so far, of all
	All     int    `json:"tensors_total"`
	Where   string `json:"where"` // the layer or file at hand
}

// Converted is what a conversion did.
type Converted struct {
	Read    int64      `json:"read"`    // bytes of the checkpoint, in this run
	Written int64      `json:"written"` // bytes of files, headers included
	Resumed int64      `json:"resumed"` // bytes that an interrupted run had read already
	Tiles   TileCounts `json:"tiles"`   // of FP4 recast to FP8
	Already bool       `json:"already"` // the result was there, complete, from an earlier run
	Lacking []string   `json:"lacking"` // files that go with weights and that the source has not

	Streaming time.Duration `json:"-"` // what converting took, flushing included
	Hashing   time.Duration `json:"-"` // what reading back for SHA256SUMS took
}

// converter is one conversion at work.
type converter struct {
	plan  *Plan
	src   *safetensors.Checkpoint
	dst   string // the folder that the result becomes
	work  string // the folder beside it that holds the work in progress
	opts  ConvertOptions
	sys   fileSystem
	units []unit

	lock    *os.File
	journal *journal
	in      map[string]inFile // by path
	states  []sourceState     // of src.Files() when the conversion began
	out     []outFile         // parallel to plan.Files
	result  Converted
}

// Names inside the folder of work in progress.
const (
	lockName    = "lock"
	journalName = "journal"
	resultName  = "result" // the folder that takes the destination's name in the end
)

// workFolder is the folder for work on dst: beside it, so that the last step is a rename.
func workFolder(dst string) string {
	parent, base := filepath.Split(filepath.Clean(dst))
	return filepath.Join(parent, "."+base+".flagc")
}

// Convert writes the checkpoint src, converted by plan, into the new folder dst, in bounded memory: every byte is
// read once and written once. The folder appears complete or not at all. An interrupted conversion, whatever
// ended it, goes on with opts.Resume and gives the same bytes.
func Convert(plan *Plan, src *safetensors.Checkpoint, dst string, opts ConvertOptions) (*Converted, error) {
	c := &converter{plan: plan, src: src, dst: filepath.Clean(dst), opts: opts, sys: opts.sys, in: map[string]inFile{}}
	c.work = workFolder(dst)
	if c.sys == nil {
		c.sys = system{}
	}
	err := c.convert()
	for _, f := range c.in {
		err = errors.Join(err, f.Close())
	}
	for _, f := range c.out {
		err = errors.Join(err, f.Close())
	}
	if c.journal != nil {
		err = errors.Join(err, c.journal.file.Close())
	}
	if c.lock != nil {
		err = errors.Join(err, c.lock.Close())
	}
	if err != nil {
		return nil, c.explain(err)
	}
	return &c.result, nil
}

func (c *converter) convert() error {
	steps := []func() error{c.acquire, c.open, c.room, timed(&c.result.Streaming, c.stream), c.unchanged,
		timed(&c.result.Hashing, c.hash), c.companions, c.finish}
	digest, err := c.plan.Digest()
	if err != nil {
		return err
	}
	c.opts.About.Plan = digest
	for _, step := range steps {
		if c.stopped() {
			return errInterrupted
		}
		err := step()
		if errors.Is(err, errInterrupted) { // once, however many workers say so
			return errInterrupted
		}
		if err != nil || c.result.Already {
			return err
		}
	}
	return nil
}

var errInterrupted = errors.New("interrupted")

// stopped reports whether the conversion is to end.
func (c *converter) stopped() bool {
	select {
	case <-c.opts.Stop:
		return true
	default:
		return false
	}
}

// timed measures a step.
func timed(took *time.Duration, step func() error) func() error {
	return func() error {
		start := time.Now()
		err := step()
		*took = time.Since(start)
		return err
	}
}

// acquire takes the folder of work for this process, and decides whether there is anything to do.
func (c *converter) acquire() error {
	_, err := os.Stat(c.work)
	begun := err == nil
	if done, err := c.complete(); err != nil || done && !begun {
		c.result.Already = done
		return err
	}
	if err := os.MkdirAll(c.work, 0o777); err != nil {
		return err
	}
	if c.lock, err = os.OpenFile(filepath.Join(c.work, lockName), os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return err
	}
	switch taken, err := lockFile(c.lock); {
	case err != nil:
		return fmt.Errorf("cannot lock %s: %w", c.lock.Name(), err)
	case !taken:
		return refusal{fmt.Errorf("another conversion to %s is at work; wait for it, or choose another folder", c.dst)}
	}
	// The other conversion may have ended between the look and the lock.
	if done, err := c.complete(); err != nil || done {
		c.result.Already = done
		return errors.Join(err, os.RemoveAll(c.work))
	}
	if _, err := os.Stat(filepath.Join(c.work, journalName)); err == nil && !c.opts.Resume {
		return refusal{fmt.Errorf("an interrupted conversion to %s is in %s: go on with --resume, or remove that folder",
			c.dst, c.work)}
	}
	return os.MkdirAll(filepath.Join(c.work, resultName), 0o777)
}

// complete reports whether dst is there as this conversion would make it. Anything else there is an error.
func (c *converter) complete() (bool, error) {
	if c.opts.Resume {
		about, err := ReadAbout(c.dst)
		if err == nil && about.Plan == c.opts.About.Plan {
			return true, nil
		}
	}
	if err := refuseContent(c.dst); err != nil {
		return false, refusal{err}
	}
	return false, nil
}

// open looks at the source, reads or begins the journal, and lays the files out.
func (c *converter) open() error {
	digest, head := c.opts.About.Plan, journalHead{Version: journalVersion}
	head.Plan = digest
	for _, f := range c.src.Files() {
		in, err := c.sys.Open(f.Path())
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		c.in[f.Path()] = in
		info, err := in.Stat()
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		head.Source = append(head.Source, sourceState{filepath.Base(f.Path()), info.Size(), info.ModTime().UnixNano()})
	}
	c.states = head.Source
	c.units = c.plan.units()
	var err error
	if c.journal, err = openJournal(c.sys, filepath.Join(c.work, journalName), head, len(c.units)); err != nil {
		return fmt.Errorf("cannot go on in %s: %w; remove that folder to begin anew", c.work, err)
	}
	c.result.Tiles.add(c.journal.tiles)
	for i, u := range c.units {
		if c.journal.done[i] {
			c.result.Resumed += u.bytes()
		}
	}
	return c.layFiles()
}

// layFiles writes headers and gives the files their lengths. On a file that an earlier run has begun it changes
// nothing.
func (c *converter) layFiles() error {
	for i, f := range c.plan.Files {
		header, err := c.plan.header(i)
		if err != nil {
			return err
		}
		out, err := c.sys.Create(c.resultPath(f.Name))
		if err != nil {
			return err
		}
		c.out = append(c.out, out)
		if _, err = out.WriteAt(header, 0); err == nil {
			err = out.Truncate(f.Bytes)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return c.sys.SyncDir(filepath.Join(c.work, resultName))
}

// resultPath is the path of a file of the result while it is made.
func (c *converter) resultPath(name string) string { return filepath.Join(c.work, resultName, name) }

// room refuses to begin what the disk cannot take.
func (c *converter) room() error {
	total, need := int64(0), int64(0)
	for _, it := range c.plan.Items {
		total += it.read().Bytes
	}
	for _, f := range c.plan.Files {
		need += f.Bytes
	}
	if total > 0 {
		need = int64(float64(need) * float64(total-c.result.Resumed) / float64(total))
	}
	if free, ok := c.sys.Free(c.work); ok && free < need {
		if c.result.Resumed == 0 { // nothing was done that would be worth going on with
			_ = os.RemoveAll(c.work)
		}
		return refusal{fmt.Errorf("%s needs %s of disk and %s are free: make room, or choose a folder on another disk",
			c.dst, size(need), size(free))}
	}
	return nil
}

// unchanged fails if a file of the source is not what it was when the conversion began.
func (c *converter) unchanged() error {
	for i, f := range c.src.Files() {
		path, before := f.Path(), c.states[i]
		opened, err := c.in[path].Stat()
		if err != nil {
			return err
		}
		now, err := os.Stat(path)
		if err == nil && (!os.SameFile(opened, now) || now.Size() != before.Bytes || now.ModTime().UnixNano() != before.Time) {
			err = errors.New("it is not the file that was read")
		}
		if err != nil {
			return refusal{fmt.Errorf("the source %s has changed during the conversion: %w; remove %s and begin anew",
				path, err, c.work)}
		}
	}
	return nil
}

// finish gives the result its name. From then on it is complete, whatever becomes of the folder of work.
func (c *converter) finish() error {
	result := filepath.Join(c.work, resultName)
	if err := c.sys.SyncDir(result); err != nil {
		return err
	}
	if err := os.Remove(c.dst); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty folder at most
		return err
	}
	if err := c.sys.Rename(result, c.dst); err != nil {
		return err
	}
	if err := c.sys.SyncDir(filepath.Dir(c.dst)); err != nil {
		return err
	}
	return os.RemoveAll(c.work)
}

// refusal is an error that says itself all there is to say.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// explain adds to an error what became of the work, and how to go on.
func (c *converter) explain(err error) error {
	var refused refusal
	if errors.As(err, &refused) {
		return err
	}
	advice := "what is done is kept"
	if diskFull(err) {
		advice = "the disk is full; " + advice + ": make room"
	}
	return fmt.Errorf("cannot convert to %s: %w (%s; go on with --resume)", c.dst, err, advice)
}
