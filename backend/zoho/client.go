// Package zoho speaks to Zoho's OAuth server, the Accounts server. It is the
// only package that knows HTTP and Zoho's words; what it returns is a token or
// an *Error with a Kind.
//
// It makes one attempt per call: Zoho counts requests, so whether another one
// is worth it is the caller's decision. Secrets travel in the form body or the
// Authorization header, never in a URL, and redirects are not followed, so
// they reach no server but the one they were written for.
package zoho

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-cleanhttp"

	"vault-plugin-secrets-zoho/backend/secret"
)

// What is read of an answer, in bytes. Real ones have some hundred in the body, and
// a few thousand in the header, most of them cookies and security policies. The bound of
// the header is that of the interim responses before it, too, together: net/http counts
// them so, and would read 10 MB otherwise.
const (
	maxAnswer = 64 << 10
	maxHeader = 64 << 10
)

// App is a client registered in Zoho's API console, at one Accounts server.
type App struct {
	AccountsURL  string       `json:"accounts_url"`
	ClientID     string       `json:"client_id"`
	ClientSecret secret.Value `json:"-"`
}

// Is reports whether other is the same client with the same secret.
func (a App) Is(other App) bool {
	return a.AccountsURL == other.AccountsURL && a.ClientID == other.ClientID && a.ClientSecret.Equal(other.ClientSecret)
}

// Client calls Accounts servers. It is safe for concurrent use.
type Client struct {
	http      *http.Client
	userAgent string
}

// NewClient returns a Client with a connection pool of its own. caCert, PEM,
// replaces the system's certificate authorities; it is for on-premises servers.
func NewClient(userAgent, caCert string) (*Client, error) {
	transport := cleanhttp.DefaultPooledTransport()
	transport.MaxResponseHeaderBytes = maxHeader
	if caCert != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(caCert)) {
			return nil, errors.New("ca_cert holds no certificate; write the PEM text, from -----BEGIN CERTIFICATE----- on")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &Client{
		userAgent: userAgent,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call names one request in errors: where it went and what it was for.
type call struct {
	accounts string
	what     string
	form     url.Values // what it sent, or knew, and nothing that is shown may repeat
}

// sent reports whether word is, or is part of, something that was sent.
func (c call) sent(word string) bool {
	for name := range c.form {
		if strings.Contains(strings.ToLower(c.form.Get(name)), strings.ToLower(word)) {
			return true
		}
	}
	return false
}

// repeatsSecret reports whether text contains a secret that was sent. Hosts are
// case-insensitive, so this is, too.
func (c call) repeatsSecret(text string) bool {
	for _, name := range []string{"client_secret", "refresh_token", "code", "token"} {
		if value := c.form.Get(name); value != "" && strings.Contains(strings.ToLower(text), strings.ToLower(value)) {
			return true
		}
	}
	return false
}

// reply is an answer as it came: its status and at most maxAnswer of its body.
type reply struct {
	status int
	body   []byte
}

// post sends the call's form to endpoint once; see send.
func (c *Client) post(ctx context.Context, call call, endpoint string, auth func(*http.Request)) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(call.form.Encode()))
	if err != nil {
		failed := errorUnreachable(call, "the accounts URL cannot be used")
		failed.unsent = true
		return reply{}, failed
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if auth != nil {
		auth(req)
	}
	return c.send(ctx, call, req)
}

// send makes a request once. Its only errors are of Kind Unreachable and BadAnswer:
// what the answer says is for the caller to read.
func (c *Client) send(ctx context.Context, call call, req *http.Request) (reply, error) {
	req.Header.Set("Accept", "application/json")
	// Zoho translates its error texts; English ones are at least searchable.
	req.Header.Set("Accept-Language", "en")
	req.Header.Set("User-Agent", c.userAgent)

	// Whatever fails before there is a connection - DNS, proxy, TLS, a firewall
	// that drops packets - cannot have minted a token.
	var connected atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}))

	started := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		failed := errorUnreachable(call, networkReason(ctx, err, started, connected.Load()))
		failed.unsent = !connected.Load()
		return reply{}, failed
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return reply{}, errorUnreachable(call, networkReason(ctx, err, started, true))
	case err != nil:
		return reply{}, errorBadAnswer(call, resp.StatusCode, "an answer that was cut off")
	case len(body) > maxAnswer:
		return reply{}, errorBadAnswer(call, resp.StatusCode, "more than 64 KiB")
	}
	return reply{status: resp.StatusCode, body: body}, nil
}

// networkReason says what went wrong without the URL, which http's errors
// repeat, and, once a request may have arrived, without anything that the
// server could have put into it: http also repeats bad status lines and
// Location headers. Before that, a server or proxy has had no secret to repeat,
// but it chooses the names in its certificate and the proxy's status line.
func networkReason(ctx context.Context, err error, started time.Time, connected bool) string {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s (request_timeout)", time.Since(started).Round(time.Second/10))
	case ctx.Err() != nil:
		return "the request was cancelled"
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var network *net.OpError
	switch {
	case !connected, errors.As(err, &network):
		const longest = 300
		return clip(printable(err.Error()), longest)
	case strings.Contains(err.Error(), "response header"): // net/http has no error value for it
		return "the answer has a header of more than 64 KiB"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before an answer came"
	default:
		return "the connection broke, or what came was not an HTTP answer"
	}
}
