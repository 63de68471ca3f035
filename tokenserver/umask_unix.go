//go:build unix

package tokenserver

import (
	"io/fs"
	"syscall"
)

// withUmask sets the process's umask until restore is called. It is for the
// program's start, when nothing else makes files.
func withUmask(mask fs.FileMode) (restore func()) {
	former := syscall.Umask(int(mask))
	return func() { syscall.Umask(former) }
}
