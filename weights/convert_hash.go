package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// fullFiles hashes files as they become complete. Files of ranks are complete all at once, in the end.
type fullFiles struct {
	c     *converter
	left  []int      // units that each file of a release waits for
	queue chan int   // files that are complete; it has room for all
	done  chan error // of the goroutine that hashes
}

func (c *converter) newFullFiles() *fullFiles {
	f := &fullFiles{c: c, left: make([]int, len(c.plan.Files)), queue: make(chan int, len(c.plan.Files)), done: make(chan error, 1)}
	for i, u := range c.units {
		if !c.journal.done[i] && u.item.File >= 0 {
			f.left[u.item.File]++
		}
	}
	go func() {
		var err error
		for i := range f.queue {
			if err == nil {
				err = c.hashOne(c.plan.Files[i])
			}
		}
		f.done <- err
	}()
	return f
}

// add takes units that are safe on disk.
func (f *fullFiles) add(units []int) {
	for _, i := range units {
		file := f.c.units[i].item.File
		if file < 0 {
			continue
		}
		if f.left[file]--; f.left[file] == 0 {
			f.queue <- file
		}
	}
}

// hash computes the SHA-256 of every file of tensors that has none yet, reading each back.
func (c *converter) hash() error {
	var mu sync.Mutex
	progress := Progress{Phase: "hash"}
	for _, f := range c.plan.Files {
		progress.Total += f.Bytes
	}
	var group errgroup.Group
	group.SetLimit(jobsOrDefault(c.opts.Jobs))
	for _, f := range c.plan.Files {
		group.Go(func() error {
			if err := c.hashOne(f); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			c.result.Written += f.Bytes
			progress.Done, progress.Where = progress.Done+f.Bytes, f.Name
			if c.opts.Progress != nil {
				c.opts.Progress(progress)
			}
			return nil
		})
	}
	return group.Wait()
}

// hashOne computes the hash of a file, unless it is known, and makes it safe.
func (c *converter) hashOne(f PlanFile) error {
	if _, have := c.journal.hash(f.Name); have {
		return nil
	}
	sum, err := c.hashFile(c.resultPath(f.Name), f.Bytes)
	if err != nil {
		return err
	}
	return c.journal.setHash(f.Name, sum)
}

func (c *converter) hashFile(path string, bytes int64) (string, error) {
	f, err := c.sys.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, stoppable{c, io.NewSectionReader(f, 0, bytes)}, make([]byte, chunkBytes))
	if errors.Is(err, errInterrupted) {
		return "", err
	}
	if err == nil && n != bytes {
		err = fmt.Errorf("it has %d bytes of %d", n, bytes)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read back %s: %w", strings.TrimPrefix(path, c.work), err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// stoppable reads until the conversion is to end.
type stoppable struct {
	c *converter
	r io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if s.c.stopped() {
		return 0, errInterrupted
	}
	return s.r.Read(p)
}
