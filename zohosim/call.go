package zohosim

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxBody bounds what is read of a request.
const maxBody = 64 << 10

// A call is one request as the endpoints see it.
type call struct {
	r        *http.Request
	dc       dataCenter
	endpoint Endpoint
	base     string // the URL by which this data centre was reached
	now      time.Time
	query    url.Values
	form     url.Values
	jsonBody bool

	contentType string
}

// readCall reads a request. Parameters may come in the query string, as an
// urlencoded form or as multipart form data; a body of any other type is not
// looked into.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html
func readCall(w http.ResponseWriter, r *http.Request, dc dataCenter, base string) *call {
	c := &call{r: r, dc: dc, base: base, endpoint: endpointOf(r.URL.Path), query: r.URL.Query(), form: url.Values{}}
	if c.base == "" {
		c.base = "http://" + r.Host
		if r.TLS != nil {
			c.base = "https://" + r.Host
		}
	}
	// Read to the end: only then does net/http notice that a caller leaves.
	body := http.MaxBytesReader(w, r.Body, maxBody)
	defer func() { _, _ = io.Copy(io.Discard, body) }()

	c.contentType, _, _ = mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch c.contentType {
	case "application/x-www-form-urlencoded":
		r.Body = body
		if r.ParseForm() == nil {
			c.form = r.PostForm
		}
	case "multipart/form-data":
		r.Body = body
		if r.ParseMultipartForm(maxBody) == nil {
			c.form = r.MultipartForm.Value
		}
	case "application/json":
		first, _ := io.ReadAll(io.LimitReader(body, 1))
		c.jsonBody = len(first) > 0
	}
	return c
}

// param returns a parameter, untrimmed: a stray newline makes it wrong.
func (c *call) param(name string) string {
	if c.query.Has(name) {
		return c.query.Get(name)
	}
	return c.form.Get(name)
}

// clientCredentials reads the client's ID and secret, for which the Basic
// header may be used too.
func (c *call) clientCredentials() (id, secret string) {
	basicID, basicSecret, _ := c.r.BasicAuth()
	return orDefault(c.param("client_id"), basicID), orDefault(c.param("client_secret"), basicSecret)
}

// bearer returns the token of the Authorization header. Both schemes are in
// Zoho's documents, each with exactly this spelling; the query is no place for
// a token.
// Sources: the OAuth page of Zoho Books ("Strictly follow this format") for
// Zoho-oauthtoken, the Accounts documentation for Bearer.
func (c *call) bearer() (scheme, token string) {
	scheme, token, _ = strings.Cut(c.r.Header.Get("Authorization"), " ")
	if scheme != "Zoho-oauthtoken" && scheme != "Bearer" {
		return scheme, ""
	}
	return scheme, token
}
