package tokenserver

import (
	"context"
	"net"
	"net/http"
)

type callerKey struct{}

// withCaller notes who is at the other end of a connection, for the log.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	caller := c.RemoteAddr().String()
	if unix, ok := c.(*net.UnixConn); ok {
		caller = peerOf(unix)
	}
	return context.WithValue(ctx, callerKey{}, caller)
}

func callerOf(r *http.Request) string {
	if caller, ok := r.Context().Value(callerKey{}).(string); ok {
		return caller
	}
	return r.RemoteAddr
}
