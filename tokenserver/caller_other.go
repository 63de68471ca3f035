//go:build !linux

package tokenserver

import (
	"errors"
	"net"
)

func peerOf(*net.UnixConn) string { return "unix" }

// CheckListener cannot tell on this system whose program listens.
func CheckListener(*net.UnixConn) error {
	return errors.New("this system does not tell whose program listens there; give the token server a client file, and name it here, too")
}
