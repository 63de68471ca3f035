package tokenserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"
)

const unixPrefix = "unix:"

// IsUnix reports whether an address is that of a Unix socket.
func IsUnix(address string) bool { return strings.HasPrefix(address, unixPrefix) }

// Listen listens on a loopback address (HOST:PORT) or a Unix socket (unix:PATH),
// which gets the mode. It refuses anything that other machines can reach, since
// the answers are access tokens in clear.
func Listen(ctx context.Context, address string, mode fs.FileMode) (net.Listener, error) {
	if path, isUnix := strings.CutPrefix(address, unixPrefix); isUnix {
		return listenUnix(ctx, path, mode)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("-listen %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("-listen %q is neither a loopback address nor a Unix socket, and other machines must not reach the token server; use 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or unix:PATH", address)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	// Names lead where the machine's configuration says.
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("-listen %q leads to %s, which is not a loopback address", address, listener.Addr()), listener.Close())
	}
	return listener, nil
}

func listenUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	// An abstract socket (@...) has no mode: everybody may connect.
	if path == "" || strings.HasPrefix(path, "@") {
		return nil, fmt.Errorf("-listen %s%s: name a file, whose mode protects the token server", unixPrefix, path)
	}
	if err := removeLeftover(ctx, path); err != nil {
		return nil, fmt.Errorf("-listen %s%s: %w", unixPrefix, path, err)
	}
	// The mode is there from the beginning: a chmod afterwards would leave a moment.
	defer withUmask(0o777 &^ mode.Perm())()
	var config net.ListenConfig
	return config.Listen(ctx, "unix", path)
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
