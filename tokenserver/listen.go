package tokenserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
)

const (
	unixPrefix = "unix:"
	// Inherited is the address of the sockets that a service manager passes in.
	Inherited = "systemd"
	localhost = "localhost"
)

// IsUnix reports whether an address is that of a Unix socket.
func IsUnix(address string) bool { return strings.HasPrefix(address, unixPrefix) }

// Listen listens on a Unix socket (unix:PATH), which gets the mode, on a loopback
// address (HOST:PORT), on all loopback addresses (localhost:PORT), or on the sockets
// that systemd passes in (systemd). It refuses what other machines can reach, since
// the answers are access tokens.
func Listen(ctx context.Context, address string, mode fs.FileMode) (listeners []net.Listener, err error) {
	path, isUnix := strings.CutPrefix(address, unixPrefix)
	switch {
	case address == Inherited:
		return inherit()
	case os.Getenv(envListenPID) == fmt.Sprint(os.Getpid()):
		return nil, fmt.Errorf("systemd has passed in sockets that nobody would answer; give -listen=%s instead of -listen=%s", Inherited, address)
	case isUnix:
		var l net.Listener
		if l, err = listenUnix(ctx, path, mode); err != nil {
			return nil, fmt.Errorf("-listen %s: %w", address, err)
		}
		return []net.Listener{l}, nil
	}
	return listenTCP(ctx, address)
}

// listenTCP listens on each loopback address that the host stands for. If another
// program has one of them, it listens on none: a caller may try that one first, and
// send it the client secret.
func listenTCP(ctx context.Context, address string) (listeners []net.Listener, err error) {
	addresses, err := loopbackAddresses(ctx, address)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	for _, a := range addresses {
		if a.Port() == 0 && len(listeners) > 0 { // all get the port that the first one got
			first, _ := listeners[0].Addr().(*net.TCPAddr)
			a = netip.AddrPortFrom(a.Addr(), first.AddrPort().Port())
		}
		l, err := config.Listen(ctx, "tcp", a.String())
		if err != nil {
			return nil, errors.Join(explainTaken(address, err), CloseAll(listeners))
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// loopbackAddresses returns what an address HOST:PORT stands for. For localhost these
// are both loopback addresses, and what else the machine's configuration says:
// programs differ in what they take the name for.
func loopbackAddresses(ctx context.Context, address string) ([]netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("-listen %q: %w", address, err)
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, fmt.Errorf("-listen %q: %w", address, err)
	}
	var addresses []netip.Addr
	if host == localhost {
		found, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host) // a machine need not know the name
		addresses = append([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, found...)
		addresses = slices.DeleteFunc(addresses, func(ip netip.Addr) bool { return isAbsent(ctx, ip) })
	} else if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		addresses = []netip.Addr{ip}
	}
	var distinct []netip.AddrPort
	for _, ip := range addresses {
		if ip = ip.Unmap(); !ip.IsLoopback() { // names lead where the machine's configuration says
			return nil, fmt.Errorf("-listen %q leads to %s, which is not a loopback address, and other machines must not reach the token server", address, ip)
		}
		if a := netip.AddrPortFrom(ip, uint16(number)); !slices.Contains(distinct, a) { // #nosec G115 -- a port
			distinct = append(distinct, a)
		}
	}
	if len(distinct) == 0 {
		return nil, fmt.Errorf("-listen %q is neither a loopback address nor a Unix socket, and other machines must not reach the token server; use unix:PATH, 127.0.0.1:PORT, [::1]:PORT, or localhost:PORT for both of these", address)
	}
	return distinct, nil
}

// Targets returns what a client has to try that wants to reach a server which listens
// on an address.
func Targets(ctx context.Context, address string) (targets []net.Addr, err error) {
	if path, isUnix := strings.CutPrefix(address, unixPrefix); isUnix {
		return []net.Addr{&net.UnixAddr{Name: path, Net: "unix"}}, nil
	}
	if address == Inherited {
		return nil, fmt.Errorf("name the socket with -listen, such as unix:PATH: -listen=%s is for the server itself", Inherited)
	}
	addresses, err := loopbackAddresses(ctx, address)
	for _, a := range addresses {
		targets = append(targets, net.TCPAddrFromAddrPort(a))
	}
	return targets, err
}

// isAbsent reports whether the machine does not have an address, such as ::1 without
// IPv6: then no other program can listen there either.
func isAbsent(ctx context.Context, ip netip.Addr) bool {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", netip.AddrPortFrom(ip, 0).String())
	if err == nil {
		_ = l.Close() // nobody knows it
	}
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

func explainTaken(address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("-listen %s: %w; if that is not a program of yours, callers may have sent it the client secret: delete the client file, and start the callers again with the new one", address, err)
	}
	return fmt.Errorf("-listen %s: %w", address, err)
}

// CloseAll closes listeners.
func CloseAll(listeners []net.Listener) error {
	errs := make([]error, len(listeners))
	for i, l := range listeners {
		errs[i] = l.Close()
	}
	return errors.Join(errs...)
}

// IsTCP reports whether a listener is no Unix socket.
func IsTCP(l net.Listener) bool { return l.Addr().Network() == "tcp" }

// OpenTo says that every user of the machine can connect to a listener, if so.
func OpenTo(l net.Listener) string {
	addr, ok := l.Addr().(*net.UnixAddr)
	if !ok {
		return "every user of this machine can connect to " + l.Addr().String()
	}
	info, err := os.Stat(addr.Name)
	if err != nil || info.Mode().Perm()&0o002 != 0 { // systemd's default is 0666
		return "every user of this machine can connect to " + addr.Name + ", which has the mode for that"
	}
	return ""
}
