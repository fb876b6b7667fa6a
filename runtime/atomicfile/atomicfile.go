// Package atomicfile writes files that exist either completely or not at all.
//
// Content goes to a temporary name in the folder of the target, is flushed to the disk, and takes the
// target's name in one rename; then the folder is flushed, so that the name survives a power cut too.
// Readers see the old file or the new one. It must not know what is written.
//
// Invariants: an error or Abort leaves the target as it was and no temporary behind. Only a process
// that is killed leaves one; its name is the target's with a leading dot and ".tmp" and a number added.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// File is a file under its temporary name. Write, WriteAt, Truncate and the like come from os.File;
// Close must not be called: end with Commit or Abort.
type File struct {
	*os.File
	target string
	done   bool
}

// Create begins a file that will replace or become path. Its permissions are 0666 less the umask.
// Follow it by "defer f.Abort()", which does nothing after Commit.
func Create(path string) (*File, error) { return create(path, 0o666) }

func create(path string, perm fs.FileMode) (*File, error) {
	const attempts = 1000
	dir, base := filepath.Split(path)
	var err error
	for range attempts {
		name := filepath.Join(dir, fmt.Sprintf(".%s.tmp%d", base, rand.Uint32()))
		var f *os.File
		// os.CreateTemp would create with 0600 and so lose the umask's say.
		f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if err == nil {
			return &File{File: f, target: path}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return nil, fmt.Errorf("cannot create a temporary file beside %s: %w", path, err)
}

// Target returns the path that Commit will give the file.
func (f *File) Target() string { return f.target }

// Commit flushes the file and gives it its name. After an error the temporary is gone and the target
// untouched, unless only the last step failed, the flush of the folder, which the error then says.
func (f *File) Commit() error {
	if f.done {
		return fmt.Errorf("%s: already committed or aborted", f.target)
	}
	f.done = true
	err := f.Sync()
	err = errors.Join(err, f.File.Close())
	if err == nil {
		err = os.Rename(f.Name(), f.target)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: %w", f.target, err), os.Remove(f.Name()))
	}
	if err := SyncDir(filepath.Dir(f.target)); err != nil {
		return fmt.Errorf("%s is written, but its folder could not be flushed: %w", f.target, err)
	}
	return nil
}

// Abort removes the temporary. It does nothing after Commit or a first Abort.
func (f *File) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(f.File.Close(), os.Remove(f.Name()))
}

// WriteFile writes data to path with permissions perm less the umask, replacing what is there.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	f, err := create(path, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: %w", path, err), f.Abort())
	}
	return f.Commit()
}

// SyncDir flushes the names in a folder to the disk where the system can do that.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		return nil // folders cannot be opened for flushing there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // a file system without flushable folders
	}
	return errors.Join(err, d.Close())
}
