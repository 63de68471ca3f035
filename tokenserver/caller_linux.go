package tokenserver

import (
	"fmt"
	"net"
	"syscall"
)

// peerOf names the process that has connected, as the kernel knows it.
func peerOf(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return "unix"
	}
	peer := "unix"
	_ = raw.Control(func(fd uintptr) { // a connection that is closed by now has no peer
		if who, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil { // #nosec G115 -- a descriptor is small
			peer = fmt.Sprintf("uid=%d pid=%d", who.Uid, who.Pid)
		}
	})
	return peer
}
