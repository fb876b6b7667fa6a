package weights

import (
	"io"
	"io/fs"
	"os"

	"flagc/runtime/atomicfile"
)

// fileSystem is what a conversion asks of the system for everything that it reads and writes in bulk. Tests put
// one with faults in its place.
type fileSystem interface {
	Open(path string) (inFile, error)
	// Create opens a file for writing, as it is if it is there already.
	Create(path string) (outFile, error)
	ReadFile(path string) ([]byte, error)
	Rename(from, to string) error
	SyncDir(path string) error
	// Free is how many bytes can still be written where path is; ok is false where the system does not tell.
	Free(path string) (bytes int64, ok bool)
}

type inFile interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

type outFile interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// system is the file system of the machine.
type system struct{}

func (system) Open(path string) (inFile, error) { return os.Open(path) }

func (system) Create(path string) (outFile, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
}

func (system) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }
func (system) Rename(from, to string) error         { return os.Rename(from, to) }
func (system) SyncDir(path string) error            { return atomicfile.SyncDir(path) }
func (system) Free(path string) (int64, bool)       { return freeBytes(path) }
