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
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-cleanhttp"

	"vault-plugin-secrets-zoho/backend/secret"
)

// maxAnswer bounds what is read of an answer, in bytes. Real ones have some
// hundred.
const maxAnswer = 64 << 10

// App is a client registered in Zoho's API console, at one Accounts server.
type App struct {
	AccountsURL  string
	ClientID     string
	ClientSecret secret.Value
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
}

// reply is an answer as it came: its status and at most maxAnswer of its body.
type reply struct {
	status int
	body   []byte
}

// post sends form to endpoint once. Its only errors are of Kind Unreachable
// and BadAnswer: what the answer says is for the caller to read.
func (c *Client) post(ctx context.Context, call call, endpoint string, form url.Values, auth func(*http.Request)) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return reply{}, errorUnreachable(call, "the accounts URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// Zoho translates its error texts; English ones are at least searchable.
	req.Header.Set("Accept-Language", "en")
	req.Header.Set("User-Agent", c.userAgent)
	if auth != nil {
		auth(req)
	}

	started := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		failed := errorUnreachable(call, networkReason(ctx, err, started))
		var network *net.OpError
		failed.unsent = errors.As(err, &network) && network.Op == "dial"
		return reply{}, failed
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return reply{}, errorUnreachable(call, networkReason(ctx, err, started))
	case err != nil:
		return reply{}, errorBadAnswer(call, resp.StatusCode, "an answer that was cut off")
	case len(body) > maxAnswer:
		return reply{}, errorBadAnswer(call, resp.StatusCode, "more than 64 KiB")
	}
	return reply{status: resp.StatusCode, body: body}, nil
}

// networkReason says what went wrong without the URL, which http's errors
// repeat.
func networkReason(ctx context.Context, err error, started time.Time) string {
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
	return err.Error()
}
