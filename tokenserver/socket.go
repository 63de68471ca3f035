package tokenserver

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// listenUnix listens on a Unix socket in a directory where no other user can put
// one of the same name, be it while the server is started again.
func listenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if err := checkSocketName(path); err != nil {
		return nil, err
	}
	if err := privateDir(filepath.Dir(path), dirModeFor(mode)); err != nil {
		return nil, err
	}
	// Of two that start at once, one must not take the other's new socket for a leftover.
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeLeftover(ctx, path); err != nil {
		return nil, err
	}
	// The mode is there from the beginning: a chmod afterwards would leave a moment.
	defer withUmask(0o777 &^ mode.Perm())()
	var config net.ListenConfig
	return config.Listen(ctx, "unix", path)
}

// checkSocketName refuses an abstract socket (@...), which has no mode: everybody may
// connect.
func checkSocketName(path string) error {
	if path == "" || strings.HasPrefix(path, "@") {
		return errors.New("name a file, whose mode protects the token server")
	}
	return nil
}

// dirModeFor lets a group through to the socket if it may connect.
func dirModeFor(socket fs.FileMode) fs.FileMode {
	if socket.Perm()&0o060 != 0 {
		return 0o750
	}
	return 0o700
}

// removeLeftover removes the socket of a program that was killed. A socket
// that somebody listens on, or a file of another kind, stays.
func removeLeftover(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file of that name, and it is not a socket")
	}
	dialer := net.Dialer{Timeout: time.Second}
	if c, err := dialer.DialContext(ctx, "unix", path); err == nil {
		return errors.Join(errors.New("another program listens there"), c.Close())
	}
	return os.Remove(path)
}
