package tokenserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// The protocol of sd_listen_fds(3).
const (
	envListenPID    = "LISTEN_PID"
	envListenFDs    = "LISTEN_FDS"
	firstListenFD   = 3
	maxInheritedFDs = 16 // more than anybody has addresses for one program
)

// inherit returns the sockets that systemd has passed in. They stay open in systemd
// while the program is started again, so that nobody else can have their addresses;
// callers wait in their queues.
func inherit() (listeners []net.Listener, err error) {
	count, err := strconv.Atoi(os.Getenv(envListenFDs))
	if err != nil || count < 1 || count > maxInheritedFDs || os.Getenv(envListenPID) != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("-listen %s: no sockets were passed in; start the .socket unit, and name it in the service's Requires=", Inherited)
	}
	for fd := firstListenFD; fd < firstListenFD+count; fd++ {
		file := os.NewFile(uintptr(fd), fmt.Sprintf("socket %d", fd-firstListenFD+1))
		l, err := net.FileListener(file) // has a copy that is closed on exec
		if err = errors.Join(err, file.Close()); err == nil {
			listeners = append(listeners, l)
			err = checkInherited(l)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("-listen %s, %s: %w", Inherited, file.Name(), err), CloseAll(listeners))
		}
	}
	return listeners, errors.Join(os.Unsetenv(envListenPID), os.Unsetenv(envListenFDs))
}

// checkInherited asks of a socket what Listen sees to with its own.
func checkInherited(l net.Listener) error {
	switch addr := l.Addr().(type) {
	case *net.TCPAddr:
		if !addr.IP.IsLoopback() {
			return fmt.Errorf("%s is not a loopback address, and other machines must not reach the token server", addr)
		}
		return nil
	case *net.UnixAddr:
		if err := checkSocketName(addr.Name); err != nil {
			return err
		}
		return checkDir(filepath.Dir(addr.Name))
	default:
		return fmt.Errorf("it is a socket of the kind %s", addr.Network())
	}
}
