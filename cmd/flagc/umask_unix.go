//go:build unix

package main

import (
	"os"
	"syscall"
)

// umask is the mask that new files get. It can only be read by setting it; nothing else runs then.
func umask() os.FileMode {
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	return os.FileMode(mask)
}
