//go:build unix

package tokenserver

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// withUmask sets the process's umask until restore is called. It is for the
// program's start, when nothing else makes files.
func withUmask(mask fs.FileMode) (restore func()) {
	former := syscall.Umask(int(mask))
	return func() { syscall.Umask(former) }
}

// ownerOf returns the ID of the user to whom a file belongs.
func ownerOf(info fs.FileInfo) (uid int, known bool) {
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return int(stat.Uid), true
}

// lockFile makes a file, and keeps it locked against others that use lockFile until
// unlock is called or the process ends. The file stays. Nobody else may open it, or
// could keep the lock.
func lockFile(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil { // #nosec G115 -- a descriptor is small
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil // which unlocks it
}

// limitReceiveBuffer bounds what the kernel keeps of a connection's data before the
// server reads it. It counts that as the program's memory.
func limitReceiveBuffer(l *net.TCPListener, bytes int) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) { // connections inherit it
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes) // #nosec G115 -- a descriptor is small
	})
	return errors.Join(failed, err)
}
