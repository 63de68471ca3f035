//go:build !linux

package tokenserver

import "net"

func peerOf(*net.UnixConn) string { return "unix" }
