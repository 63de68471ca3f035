package tokenserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

type callerKey struct{}

type caller struct {
	name string // for the log
	conn *conn  // nil in tests without a listener
}

// withCaller notes who is at the other end of a connection.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	if encrypted, ok := c.(*tls.Conn); ok {
		c = encrypted.NetConn()
	}
	who := caller{name: callerAt(c)}
	if bounded, ok := c.(*conn); ok {
		who = caller{name: callerAt(bounded.Conn), conn: bounded}
	}
	return context.WithValue(ctx, callerKey{}, who)
}

// callerAt names who is at the other end: an address, or on a Unix socket the user
// and the process.
func callerAt(c net.Conn) string {
	if unix, ok := c.(*net.UnixConn); ok {
		return peerOf(unix)
	}
	return c.RemoteAddr().String()
}

func callerOf(r *http.Request) string {
	if who, ok := r.Context().Value(callerKey{}).(caller); ok {
		return who.name
	}
	return r.RemoteAddr
}

// connOf returns the connection of a request; nil in tests without one.
func connOf(r *http.Request) *conn {
	who, _ := r.Context().Value(callerKey{}).(caller)
	return who.conn
}
