package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/tokenserver"
)

// probe is the path that -check asks for.
func (s settings) probe() string {
	if s.ready {
		return "/readyz"
	}
	return "/healthz"
}

// maxHealth is more than a token server ever says of itself.
const maxHealth = 64 << 10

// checkTime is how long a check of one address may take.
const checkTime = 5 * time.Second

// check asks the token server that listens there whether it is well, or ready. It is for those
// who watch it where nothing else can reach it, such as the kubelet. An answer counts
// only if it comes from a program that knows the pair or, on a Unix socket without one,
// from a program of this user or root.
func check(ctx context.Context, s settings, stdout io.Writer) error {
	pair, err := s.knownPair()
	if err != nil {
		return err
	}
	targets, err := tokenserver.Targets(ctx, s.listen)
	if err != nil {
		return err
	}
	for _, target := range targets {
		health, err := s.checkOne(ctx, target, pair)
		if err != nil {
			return fmt.Errorf("-check %s: %w", target, err)
		}
		if _, err := fmt.Fprintln(stdout, health); err != nil {
			return err
		}
	}
	return nil
}

// checkOne returns what the token server at one address says of itself.
func (s settings) checkOne(ctx context.Context, target net.Addr, pair *tokenserver.Pair) (health string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, target.Network(), target.String())
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }() // nothing is under way on it
	unix, isUnix := c.(*net.UnixConn)
	switch {
	case pair == nil && isUnix:
		if err := tokenserver.CheckListener(unix); err != nil {
			return "", err
		}
	case pair == nil:
		return "", fmt.Errorf("without the client ID and secret nobody can tell whose program listens there: name its file with -client-file, or set %s and %s", tokenserver.EnvClientID, tokenserver.EnvClientSecret)
	case s.tlsCert != "" && !isUnix:
		if c, err = s.handshake(ctx, c); err != nil {
			return "", err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://token-server"+s.probe(), nil) // #nosec G704 -- one of two paths
	if err != nil {
		return "", err
	}
	var challenge *tokenserver.Challenge
	if pair != nil {
		challenge = pair.Challenge(target)
		challenge.Ask(req.Header)
	}
	said, err := roundTrip(req, c)
	switch {
	case err != nil:
		return "", err
	case challenge != nil && !challenge.Holds(said.header):
		return "", errors.New("what listens there does not know the client secret: it is another program, or a token server with another client file")
	case said.status != http.StatusOK:
		return "", fmt.Errorf("HTTP %d: %q", said.status, said.body)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, said.body); err != nil {
		return "", errors.New("the answer is no JSON")
	}
	return plainASCII(compact.String()), nil
}

// reply is an answer that has been read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// roundTrip sends a request on a connection.
func roundTrip(req *http.Request, c net.Conn) (*reply, error) {
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return c, nil },
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 16 << 10,
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	return &reply{status: resp.StatusCode, header: resp.Header, body: body}, err
}

// handshake begins TLS with a server that has the key of the certificate in -tls-cert.
// Who has signed that does not matter here.
func (s settings) handshake(ctx context.Context, c net.Conn) (net.Conn, error) {
	content, err := os.ReadFile(s.tlsCert) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", s.tlsCert)
	}
	ours, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.tlsCert, err)
	}
	encrypted := tls.Client(c, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // #nosec G402 -- VerifyConnection wants this very certificate
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || !state.PeerCertificates[0].Equal(ours) {
				return errors.New("its certificate is not the one in -tls-cert")
			}
			return nil
		},
	})
	return encrypted, encrypted.HandshakeContext(ctx)
}

// plainASCII escapes what may steer a terminal, as JSON does in strings.
func plainASCII(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r >= ' ' && r <= '~' || r == '\n':
			b.WriteRune(r)
		case r > 0xffff:
			b.WriteRune('?')
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
