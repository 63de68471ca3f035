package tokenserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// peerOf names the process that has connected, as the kernel knows it.
func peerOf(c *net.UnixConn) string {
	who, err := peerCredentials(c)
	if err != nil { // a connection that is closed has no peer
		return "unix"
	}
	return fmt.Sprintf("uid=%d pid=%d", who.Uid, who.Pid)
}

// CheckListener reports whether the program that listens at the other end is one of
// this user's or of root's. Systemd is one of root's.
func CheckListener(c *net.UnixConn) error {
	who, err := peerCredentials(c)
	if err != nil {
		return err
	}
	if own := os.Geteuid(); int(who.Uid) != own && who.Uid != 0 {
		return fmt.Errorf("the program that listens there is one of the user with ID %d, and this is one of %d", who.Uid, own)
	}
	return nil
}

func peerCredentials(c *net.UnixConn) (who *syscall.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := raw.Control(func(fd uintptr) {
		who, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) // #nosec G115 -- a descriptor is small
	})
	return who, errors.Join(failed, err)
}
