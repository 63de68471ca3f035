package zohosim

import (
	"slices"
	"time"
)

// A refreshToken lives until it is revoked or pushed out by newer ones. It has
// no expiry.
type refreshToken struct {
	value  string
	client *Client
	dc     string
	user   string
	scopes []string
}

// An accessToken is dead once it expires, and as soon as it is removed from
// the store. There is no grace period: no document mentions one.
type accessToken struct {
	value   string
	client  *Client
	dc      string
	owner   string // user, or soid for client_credentials
	scopes  []string
	family  string // what the cap counts over; "" for a token of an online code
	expires time.Time
}

// A grantCode is good for one exchange.
type grantCode struct {
	client      *Client
	dc          string
	user        string
	scopes      []string
	redirectURI string
	withRefresh bool
	expires     time.Time
}

// A tokenStore holds what is alive. A dead token is absent from it: Zoho's
// answers do not tell a dead token from one that never was. It is guarded by
// Sim.mu.
type tokenStore struct {
	refresh   map[string]*refreshToken
	access    map[string]*accessToken
	codes     map[string]*grantCode
	users     map[userKey][]string // refresh tokens, oldest first
	families  map[string][]string  // access tokens, oldest first
	consented map[userKey]bool
}

// A userKey names a user's consent to a client.
type userKey struct{ dc, clientID, user string }

func newTokenStore() *tokenStore {
	return &tokenStore{
		refresh:   map[string]*refreshToken{},
		access:    map[string]*accessToken{},
		codes:     map[string]*grantCode{},
		users:     map[userKey][]string{},
		families:  map[string][]string{},
		consented: map[userKey]bool{},
	}
}

// addRefresh keeps a new refresh token, and silently kills the user's oldest
// ones beyond the limit, whether or not they are in use.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html
func (t *tokenStore) addRefresh(token *refreshToken, limit int) {
	key := userKey{token.dc, token.client.ID, token.user}
	t.consented[key] = true
	t.refresh[token.value] = token
	t.users[key] = append(t.users[key], token.value)
	for len(t.users[key]) > limit {
		t.killRefresh(t.users[key][0])
	}
}

// addAccess keeps a new access token, and silently kills the oldest ones of
// its family beyond the limit. A negative limit is none.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html
func (t *tokenStore) addAccess(token *accessToken, limit int) {
	t.access[token.value] = token
	if token.family == "" {
		return
	}
	t.families[token.family] = append(t.families[token.family], token.value)
	for limit >= 0 && len(t.families[token.family]) > limit {
		t.killAccess(t.families[token.family][0])
	}
}

// killRefresh kills a refresh token and all access tokens made from it.
// Source: zoho.com/accounts/protocol/oauth/revoke-refresh-token.html
func (t *tokenStore) killRefresh(value string) {
	token, ok := t.refresh[value]
	if !ok {
		return
	}
	for _, access := range slices.Clone(t.families[value]) {
		t.killAccess(access)
	}
	delete(t.refresh, value)
	key := userKey{token.dc, token.client.ID, token.user}
	t.users[key] = without(t.users[key], value)
}

// killAccess kills one access token. Its refresh token stays: nothing in
// Zoho's documents says otherwise.
func (t *tokenStore) killAccess(value string) {
	token, ok := t.access[value]
	if !ok {
		return
	}
	delete(t.access, value)
	if token.family == "" {
		return
	}
	t.families[token.family] = without(t.families[token.family], value)
	if len(t.families[token.family]) == 0 {
		delete(t.families, token.family)
	}
}

func (t *tokenStore) killClient(client *Client, dc string) {
	for value, token := range t.refresh {
		if token.client == client && token.dc == dc {
			t.killRefresh(value)
		}
	}
}

// expire drops what has run out, so that it neither counts against a cap nor
// answers to its name.
func (t *tokenStore) expire(now time.Time) {
	for value, token := range t.access {
		if !now.Before(token.expires) {
			t.killAccess(value)
		}
	}
	for value, code := range t.codes {
		if !now.Before(code.expires) {
			delete(t.codes, value)
		}
	}
}

func without(values []string, value string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == value })
}
