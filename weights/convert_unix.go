//go:build darwin || freebsd || linux

package weights

import (
	"os"
	"syscall"
)

// lockFile takes the file for this process alone, until it is closed or the process ends; taken is false where
// another has it.
func lockFile(f *os.File) (taken bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}

// freeBytes is how much a user without privileges can still write where path is.
func freeBytes(path string) (int64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
