package zohosim

import (
	"bytes"
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
		content, _ := io.ReadAll(body)
		c.jsonBody = !isEmptyObject(content)
	}
	return c
}

// isEmptyObject tells whether a body of JSON says nothing. Programs that call
// axios.post(url, {}, {params}) send such a body beside parameters in the query, and
// Zoho gives them tokens.
// Source: at least five public programs and a connector that work.
func isEmptyObject(body []byte) bool {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return true
	}
	inside, isObject := bytes.CutPrefix(body, []byte("{"))
	inside, isClosed := bytes.CutSuffix(inside, []byte("}"))
	return isObject && isClosed && len(bytes.TrimSpace(inside)) == 0
}

// param returns a parameter, untrimmed: a stray newline makes it wrong.
func (c *call) param(name string) string {
	if c.query.Has(name) {
		return c.query.Get(name)
	}
	return c.form.Get(name)
}

// basicAuth returns the client's ID and secret of a Basic header. RFC 6749, section 2.3.1,
// has clients encode both as in a form, and some also encode the dot of 1000., so both
// spellings are understood. (None that Zoho gives has a percent sign or a plus.)
func (c *call) basicAuth() (id, secret string) {
	id, secret, _ = c.r.BasicAuth()
	for _, part := range []*string{&id, &secret} {
		if decoded, err := url.QueryUnescape(*part); err == nil {
			*part = decoded
		}
	}
	return id, secret
}

// clientCredentials reads the client's ID and secret, for which the Basic
// header may be used too.
func (c *call) clientCredentials() (id, secret string) {
	basicID, basicSecret := c.basicAuth()
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
