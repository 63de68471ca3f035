package zohosim

import (
	"maps"
	"slices"
	"time"
)

// A refreshToken lives until it is revoked or pushed out by newer ones. It has
// no expiry.
type refreshToken struct {
	value  string
	client *Client
	dc     string
	owner  owner
	user   string // who agreed to it
	scopes []string
}

// An accessToken is dead once it expires, and as soon as it is removed from
// the store. There is no grace period: no document mentions one.
type accessToken struct {
	value   string
	client  *Client
	dc      string
	owner   owner
	user    string // who agreed to it; "" for client_credentials
	scopes  []string
	family  string // what the cap counts over; "" for a token of an online code
	expires time.Time
}

// A grantCode is good for one exchange.
type grantCode struct {
	client      *Client
	dc          string
	owner       owner
	user        string
	scopes      []string
	redirectURI string
	withRefresh bool
	expires     time.Time
}

// A consent is what an owner has given to a client.
type consent struct {
	owner    owner
	clientID string
}

// A refreshLimit is how many refresh tokens an owner may have.
type refreshLimit struct {
	most       int
	allClients bool // they are counted over all clients
}

// A tokenStore holds what is alive. A dead token is absent from it: Zoho's
// answers do not tell a dead token from one that never was. It is guarded by
// Sim.mu.
type tokenStore struct {
	refresh   map[string]*refreshToken
	access    map[string]*accessToken
	codes     map[string]*grantCode
	owners    map[owner][]string  // refresh tokens for all clients, oldest first
	families  map[string][]string // access tokens, oldest first
	consented map[consent]bool
	evicted   []Token // what was pushed out, oldest first; at most evictedSize
}

// evictedSize is the most evictions that the store remembers.
const evictedSize = 1000

func newTokenStore() *tokenStore {
	return &tokenStore{
		refresh:   map[string]*refreshToken{},
		access:    map[string]*accessToken{},
		codes:     map[string]*grantCode{},
		owners:    map[owner][]string{},
		families:  map[string][]string{},
		consented: map[consent]bool{},
	}
}

// addRefresh keeps a new refresh token, and silently kills the owner's oldest
// ones beyond the limit, whether or not they are in use.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html
func (t *tokenStore) addRefresh(token *refreshToken, limit refreshLimit) {
	t.consented[consent{token.owner, token.client.ID}] = true
	t.refresh[token.value] = token
	t.owners[token.owner] = append(t.owners[token.owner], token.value)
	counted := t.countedWith(token.owner, token.client, limit)
	for _, oldest := range counted[:max(0, len(counted)-limit.most)] {
		t.evict(describeRefresh(t.refresh[oldest], len(t.families[oldest])))
		t.killRefresh(oldest)
	}
}

// countedWith returns the owner's refresh tokens that count together with one
// of the client, oldest first.
func (t *tokenStore) countedWith(of owner, client *Client, limit refreshLimit) []string {
	return slices.DeleteFunc(slices.Clone(t.owners[of]), func(value string) bool {
		return !limit.allClients && t.refresh[value].client != client
	})
}

// evict remembers what is about to be pushed out. The access tokens that a
// refresh token takes along are not listed.
func (t *tokenStore) evict(token Token) {
	t.evicted = append(t.evicted, token)
	if len(t.evicted) > evictedSize {
		t.evicted = slices.Delete(t.evicted, 0, evictedSize/10)
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
		oldest := t.families[token.family][0]
		t.evict(describeAccess(t.access[oldest]))
		t.killAccess(oldest)
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
	t.owners[token.owner] = without(t.owners[token.owner], value)
	if len(t.owners[token.owner]) == 0 {
		delete(t.owners, token.owner)
	}
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

// killUser kills what belongs to a user, in all data centres, and tells how many
// refresh tokens that were. What the user agreed to for an organisation belongs
// to the organisation.
// Source: zoho.com/accounts/protocol/oauth/instance-level-oauth.html ("tokens
// remain valid even if the administrator who authorized it is later removed").
func (t *tokenStore) killUser(name string) int {
	isTheirs := func(of owner) bool { return of.name == name && !of.organisation }
	killed := 0
	for value, token := range t.refresh {
		if isTheirs(token.owner) {
			t.killRefresh(value)
			killed++
		}
	}
	for value, token := range t.access {
		if isTheirs(token.owner) {
			t.killAccess(value)
		}
	}
	maps.DeleteFunc(t.codes, func(_ string, code *grantCode) bool { return isTheirs(code.owner) })
	maps.DeleteFunc(t.consented, func(given consent, _ bool) bool { return isTheirs(given.owner) })
	return killed
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
