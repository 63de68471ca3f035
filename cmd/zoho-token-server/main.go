// Command zoho-token-server runs beside a program that insists on refreshing its
// access tokens by itself. It answers as Zoho's Accounts server does, with access
// tokens that it leases from Vault. See package tokenserver, and docs/using.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"vault-plugin-secrets-zoho/tokenserver"
)

// Version is set by scripts/build.
var Version = "v0.1.0"

const (
	// requestGrace is how long requests that are under way may take at the end.
	requestGrace = 5 * time.Second
	// leaseGrace is how long giving leases back may take.
	leaseGrace = 15 * time.Second
)

// memoryLimit is from where on the garbage collector runs more often. What callers can
// make the program use is less; a flood of them leaves garbage.
const memoryLimit = 48 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "zoho-token-server:", plainASCII(err.Error()))
		os.Exit(1)
	}
}

// run is the program until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	switch {
	case s.version:
		_, err := fmt.Fprintln(stdout, Version)
		return err
	case s.check:
		return check(ctx, s, stdout)
	}
	clock, log := tokenserver.SystemClock(), slog.New(slog.NewTextHandler(stderr, nil))
	vault, err := tokenserver.NewVault(s.mount, s.tokenFile, clock)
	if err != nil {
		return err
	}
	listeners, pair, err := s.open(ctx, clock, log)
	if err != nil {
		return err
	}
	leases := tokenserver.NewLeases(vault, clock, log)
	leases.MaxAge = s.answers.maxAge
	server := &tokenserver.Server{
		Leases: leases, Pair: pair, Roles: s.roles, PlainAPIDomain: s.answers.plainAPIDomain, Version: Version, Log: log, Clock: clock,
	}
	stopMetrics, err := s.serveMetrics(ctx, server, clock, log)
	if err != nil {
		return errors.Join(err, tokenserver.CloseAll(listeners))
	}
	defer stopMetrics()
	for _, l := range listeners {
		log.Info("listening", "address", l.Addr().String(), "version", Version)
	}
	leases.Start(s.roles)
	return errors.Join(serve(ctx, server.HTTPServer(), listeners), end(leases, s.answers.revokeOnExit, log))
}

// serveMetrics serves the metrics, if there is an address for them, until stop is called.
func (s settings) serveMetrics(ctx context.Context, server *tokenserver.Server, clock tokenserver.Clock, log *slog.Logger) (stop func(), err error) {
	if s.metrics == "" {
		return func() {}, nil
	}
	listeners, err := tokenserver.Listen(ctx, s.metrics, s.socketMode)
	if err != nil {
		return nil, fmt.Errorf("-metrics: %w", err)
	}
	server.Metrics = tokenserver.NewMetrics(server.Leases, server.Version)
	metrics := server.Metrics.HTTPServer(log)
	var serving sync.WaitGroup
	for _, l := range tokenserver.Bound(listeners, clock, log) {
		log.Info("the metrics are at", "metrics_address", l.Addr().String())
		serving.Go(func() {
			if err := metrics.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				log.Warn("the metrics can be read no more", "error", err)
			}
		})
	}
	return func() {
		_ = metrics.Close() // they are about to end anyway
		serving.Wait()
	}, nil
}

// open begins to listen, and then gets the pair: whoever finds the client file finds
// the server.
func (s settings) open(ctx context.Context, clock tokenserver.Clock, log *slog.Logger) ([]net.Listener, *tokenserver.Pair, error) {
	sockets, err := tokenserver.Listen(ctx, s.listen, s.socketMode)
	if err != nil {
		return nil, nil, err
	}
	pair, err := s.pair(sockets)
	listeners := tokenserver.Bound(sockets, clock, log)
	if err == nil && s.tlsCert != "" {
		listeners, err = s.encrypt(listeners, log)
	}
	if err != nil {
		return nil, nil, errors.Join(err, tokenserver.CloseAll(sockets))
	}
	return listeners, pair, nil
}

// encrypt has the TCP listeners speak TLS.
func (s settings) encrypt(listeners []net.Listener, log *slog.Logger) ([]net.Listener, error) {
	if !slices.ContainsFunc(listeners, tokenserver.IsTCP) {
		return nil, errors.New("-tls-cert, -tls-key: there is no TCP listener, and a Unix socket needs no TLS")
	}
	certificate, err := tokenserver.NewCertificate(s.tlsCert, s.tlsKey, log)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert, -tls-key: %w", err)
	}
	return certificate.Encrypt(listeners), nil
}

// serve serves until ctx ends, or one of the listeners.
func serve(ctx context.Context, server *http.Server, listeners []net.Listener) error {
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	if err := notifyReady(ctx); err != nil {
		return errors.Join(err, server.Close())
	}
	select {
	case err := <-failed:
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return server.Close() // whatever is left has had its time
	}
	return nil
}

// end gives back what nobody relies on, or all. The rest ends by itself, with its
// access token.
func end(leases *tokenserver.Leases, revoke bool, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaseGrace)
	defer cancel()
	promised, err := leases.Close(ctx, revoke)
	switch {
	case err != nil:
		return fmt.Errorf("not every lease could be given back; what is left ends with its access token, within the hour: %w", err)
	case promised.IsZero():
		log.Info("ended, and gave every lease back")
	default:
		log.Info("ended, and left the leases on access tokens that callers may still use; they end by themselves", "promised_until", promised.UTC().Format(time.RFC3339))
	}
	return nil
}

// notifyReady tells systemd that the program listens, and has written the client's
// file, so that what is ordered after it may start.
func notifyReady(ctx context.Context) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unixgram", socket)
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	_, err = c.Write([]byte("READY=1"))
	return errors.Join(err, c.Close())
}
