// Command zoho-sim runs a simulated Zoho data centre on a loopback address, with
// a client and a refresh token ready for use. See package zohosim for what it
// simulates, and /sim/ of the running program for what can be changed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "zoho-sim:", err)
		os.Exit(1)
	}
}

// settings are the program's flags.
type settings struct {
	listen      string
	dataCenter  string
	redirectURI string
	env         string
	hardest     bool
	options     zohosim.Options
}

const usage = `zoho-sim simulates Zoho's OAuth server (one data centre) on this machine, with a
small resource API behind it that checks tokens. It listens on loopback
addresses only, and stops on Ctrl-C.

It registers a client, lets a simulated user consent, and writes what a program
needs to use them, one assignment per line:

  ACCOUNTS_URL, API_DOMAIN, ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET,
  ZOHO_REFRESH_TOKEN

Try it:

  zoho-sim -env sim.env & sleep 1; . ./sim.env
  curl -d grant_type=refresh_token -d client_id=$ZOHO_CLIENT_ID \
    -d client_secret=$ZOHO_CLIENT_SECRET -d refresh_token=$ZOHO_REFRESH_TOKEN \
    $ACCOUNTS_URL/oauth/v2/token

See what it has seen, and how to make it fail:

  curl $ACCOUNTS_URL/sim/

Flags:

`

func parseFlags(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("zoho-sim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.listen, "listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 takes a free one")
	flags.StringVar(&s.dataCenter, "data-center", "us", "`location` to simulate: "+strings.Join(zohosim.DataCenters(), ", "))
	flags.DurationVar(&s.options.TokenLife, "token-life", time.Hour, "life of an access token")
	flags.DurationVar(&s.options.Latency, "latency", 0, "delay of each answer")
	flags.DurationVar(&s.options.Throttle.Block, "block", 10*time.Minute, "how long an eleventh token request in ten minutes blocks its refresh token")
	flags.BoolVar(&s.options.RealDomains, "real-domains", false, "name Zoho's real hosts in api_domain, accounts-server and serverinfo, as Zoho does;\na program that follows them leaves this machine")
	limitFlags(flags, &s)
	flags.StringVar(&s.redirectURI, "redirect-uri", "", "make the client a server-based one with this redirect `URI`, for the consent\npage; without it the client is a Self Client, which may use client_credentials")
	flags.StringVar(&s.env, "env", "", "`file` for the assignments (mode 0600); default: standard output")
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, usage) // if this fails there is nobody to tell
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	o := &s.options
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	case !slices.Contains(zohosim.DataCenters(), s.dataCenter):
		return s, fmt.Errorf("-data-center %q is none of %s", s.dataCenter, strings.Join(zohosim.DataCenters(), ", "))
	case o.TokenLife <= 0, o.Throttle.Block <= 0, o.Latency < 0:
		return s, errors.New("-token-life and -block must be positive, -latency not negative")
	case o.RefreshTokensPerMinute < 0, o.RefreshTokensPerTenMinutes < 0, o.CodesPerMinute < 0:
		return s, errors.New("a number of tokens or codes must not be negative")
	}
	if s.hardest {
		return s, s.takeHardest(flags)
	}
	return s, nil
}

// run is the program until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	listener, err := listenLoopback(s.listen)
	if err != nil {
		return err
	}
	clock := zohosim.RunningClock()
	s.options.Clock = clock.Now
	sim := zohosim.New(s.options)
	defer sim.Close()

	client := newClient(sim, s.redirectURI)
	server := &http.Server{
		Handler:           withControl(sim, clock, client, s.dataCenter),
		ReadHeaderTimeout: 10 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	defer func() { _ = server.Close() }() // whatever is left has had its second

	url := "http://" + listener.Addr().String()
	if err := writeAssignments(s.env, stdout, assignments(sim, client, s.dataCenter, url)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stderr, "zoho-sim: data centre %s on %s, control surface on %s/sim/\n", s.dataCenter, url, url); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	sim.Close() // lets go of requests that hang
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := server.Shutdown(grace); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// listenLoopback refuses what others could reach: the simulator hands out
// tokens to whoever asks. A name is checked by where it leads.
func listenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("-listen %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("-listen %q is not a loopback address; use 127.0.0.1:PORT, [::1]:PORT or localhost:PORT", address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		_ = listener.Close()
		return nil, fmt.Errorf("-listen %q leads to %s, which is not a loopback address", address, listener.Addr())
	}
	return listener, nil
}
