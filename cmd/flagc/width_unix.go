//go:build darwin || linux

package main

import (
	"os"
	"syscall"
	"unsafe"
)

// terminalWidth is how many columns the terminal has that w writes to; 0 if it is none, or does not say.
func terminalWidth(w any) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	var size struct{ rows, columns, x, y uint16 }
	_, _, err := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if err != 0 {
		return 0
	}
	return int(size.columns)
}
