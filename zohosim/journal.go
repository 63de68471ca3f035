package zohosim

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"
)

// journalSize is the most requests that the journal keeps; when it is full, the
// oldest tenth goes. Counts are not affected.
const journalSize = 10_000

// A Request is a journal entry. It holds no secret: tokens and codes appear as
// their Fingerprint.
type Request struct {
	Time       time.Time
	DataCenter string
	Endpoint   Endpoint
	Method     string
	Path       string

	GrantType   string   // "(unknown)" for what Zoho has not got
	ClientID    string   // "(malformed)" for what cannot be one
	Params      []string // names of the parameters, sorted; "(unknown)" as above
	AuthScheme  string   // of the Authorization header
	ContentType string   // without parameters
	// Token is the fingerprint of the refresh token, grant code or access
	// token that the request is about.
	Token string
	// SecretInURL tells that a secret, token or code was in the query string,
	// where proxies and servers log it.
	SecretInURL bool

	Status int       // 0: not answered (yet)
	Error  string    // Zoho's error word
	Fault  FaultKind // the fault that it met; "down" for SetDown
}

// Fingerprint is how the journal names a token: enough to compare, nothing to
// use.
func Fingerprint(token string) string { return fingerprint(token) }

func fingerprint(token string) string {
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:6])
}

// A journal records requests. It is guarded by Sim.mu.
type journal struct {
	entries  []*Request
	byPath   map[Endpoint]int
	requests map[string]int // token requests by fingerprint of the refresh token
	mints    map[string]int // minted access tokens, likewise
}

func newJournal() *journal {
	return &journal{byPath: map[Endpoint]int{}, requests: map[string]int{}, mints: map[string]int{}}
}

// arrived records a call before it is answered, so that a hanging one shows.
func (j *journal) arrived(c *call) *Request {
	entry := &Request{
		Time:        c.now,
		DataCenter:  c.dc.location,
		Endpoint:    c.endpoint,
		Method:      c.r.Method,
		Path:        c.r.URL.Path,
		GrantType:   journalGrantType(c.param("grant_type")),
		ClientID:    journalClientID(c),
		AuthScheme:  journalScheme(c),
		Params:      journalParams(c),
		ContentType: c.contentType,
		Token:       fingerprint(subjectOf(c)),
		SecretInURL: slices.ContainsFunc(secretParams(), c.query.Has),
	}
	j.entries = append(j.entries, entry)
	if len(j.entries) > journalSize {
		j.entries = slices.Delete(j.entries, 0, journalSize/10)
	}
	j.byPath[c.endpoint]++
	if c.endpoint == EndpointToken {
		j.requests[fingerprint(c.param("refresh_token"))]++
	}
	return entry
}

func (j *journal) minted(refreshToken string) {
	j.mints[fingerprint(refreshToken)]++
}

func secretParams() []string {
	return []string{"client_secret", "refresh_token", "access_token", "token", "code", "code_verifier"}
}

// subjectOf finds the token or code that a call is about.
func subjectOf(c *call) string {
	for _, name := range []string{"refresh_token", "code", "token"} {
		if value := c.param(name); value != "" {
			return value
		}
	}
	_, token := c.bearer()
	return token
}

// The journal takes nothing over that it does not know: a caller that mixes up
// its parameters may put a secret anywhere.

func journalGrantType(value string) string {
	switch value {
	case "", "authorization_code", "refresh_token", "client_credentials", "device_request", "device_token":
		return value
	}
	return "(unknown)"
}

// journalParams needs care because a body that is no form is read as one long
// name.
func journalParams(c *call) []string {
	known := append(secretParams(), "grant_type", "client_id", "redirect_uri", "scope", "soid", "token_type",
		"response_type", "state", "access_type", "prompt", "login_hint", "decision", "audience", "user_code",
		"code_challenge", "code_challenge_method")
	var names []string
	for _, name := range slices.Concat(slices.Collect(maps.Keys(c.query)), slices.Collect(maps.Keys(c.form))) {
		if !slices.Contains(known, name) {
			name = "(unknown)"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func journalClientID(c *call) string {
	id, _ := c.clientCredentials()
	if id == "" || wellFormedClientID(id) {
		return id
	}
	return "(malformed)"
}

func journalScheme(c *call) string {
	switch scheme, _ := c.bearer(); scheme {
	case "", "Basic", "Bearer", "Zoho-oauthtoken":
		return scheme
	}
	return "(unknown)"
}
