//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package safetensors

import (
	"os"
	"syscall"
)

// mapFile returns the content of a file without reading it, and how to release it.
func mapFile(f *os.File, size int) ([]byte, func() error, error) {
	if size == 0 { // cannot be mapped
		return nil, func() error { return nil }, nil
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return b, func() error { return syscall.Munmap(b) }, nil
}
