package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// probe is the path that -check asks for.
func (s settings) probe() string {
	if s.ready {
		return "/readyz"
	}
	return "/healthz"
}

// check asks the token server that listens there whether it answers, or is ready. It is for
// those who watch it where nothing else can reach it, such as the kubelet.
func check(ctx context.Context, listen, probe string, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	network, address := "tcp", listen
	if path, isUnix := strings.CutPrefix(listen, "unix:"); isUnix {
		network, address = "unix", path
	}
	var dialer net.Dialer
	transport := &http.Transport{ // no proxy: it is on this machine
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		DisableKeepAlives: true,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://token-server"+probe, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("-check: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("-check: HTTP %d from %s: %q", resp.StatusCode, listen, body)
	}
	_, err = fmt.Fprintln(stdout, string(body))
	return err
}
