package zohosim

import (
	"slices"
	"time"
)

// Requests returns what has arrived, oldest first, requests without an answer
// included. It remembers the last 9,000 at least.
func (s *Sim) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := make([]Request, 0, len(s.journal.entries))
	for _, entry := range s.journal.entries {
		request := *entry
		request.Params = slices.Clone(entry.Params)
		requests = append(requests, request)
	}
	return requests
}

// Count tells how many requests an endpoint has got, in all data centres and
// in whatever state it was.
func (s *Sim) Count(endpoint Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.byPath[endpoint]
}

// MintCount tells how many access tokens have been made by refreshing with a
// refresh token, which may be dead by now.
func (s *Sim) MintCount(refreshToken string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.mints[fingerprint(refreshToken)]
}

// TokenRequests tells how many token requests have named a refresh token, with
// or without success.
func (s *Sim) TokenRequests(refreshToken string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.requests[fingerprint(refreshToken)]
}

// Alive tells whether an access or refresh token is good, in its own data
// centre.
func (s *Sim) Alive(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.expire(s.clock())
	return s.tokens.refresh[token] != nil || s.tokens.access[token] != nil
}

// LiveTokens tells how many access tokens of a refresh token are alive.
func (s *Sim) LiveTokens(refreshToken string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.expire(s.clock())
	return len(s.tokens.families[refreshToken])
}

// A Token describes a live token without giving it away.
type Token struct {
	Fingerprint string
	Kind        string // "refresh" or "access"
	DataCenter  string
	ClientID    string
	Owner       string // user, or the soid of an organisation
	ConsentedBy string // the user who agreed, as the owner or for the organisation; "" for client_credentials
	Scopes      []string
	Expires     time.Time // zero for a refresh token
	LiveTokens  int       // of a refresh token
}

// Tokens describes what is alive, in no particular order.
func (s *Sim) Tokens() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.expire(s.clock())
	var all []Token
	for value, token := range s.tokens.refresh {
		all = append(all, describeRefresh(token, len(s.tokens.families[value])))
	}
	for _, token := range s.tokens.access {
		all = append(all, describeAccess(token))
	}
	return all
}

// RefreshTokens returns a user's refresh tokens that are alive in a data centre,
// oldest first: those of a client, or with nil those of all clients.
func (s *Sim) RefreshTokens(client *Client, dataCenter, user string) []string {
	return s.refreshTokensOf(client, userOf(mustDataCenter(dataCenter).location, user))
}

// OrganisationRefreshTokens is the same for an organisation; without a soid it
// is the only one of the data centre.
func (s *Sim) OrganisationRefreshTokens(client *Client, dataCenter, soid string) []string {
	return s.refreshTokensOf(client, organisationOf(mustDataCenter(dataCenter).location, soid))
}

func (s *Sim) refreshTokensOf(client *Client, of owner) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.countedWith(of, client, refreshLimit{allClients: client == nil})
}

// Evicted describes what newer tokens have pushed out, oldest first: refresh
// tokens beyond MaxRefreshTokens (the access tokens that died with them are not
// listed) and access tokens beyond MaxLiveTokens or MaxClientTokens. It
// remembers the last 900 at least.
func (s *Sim) Evicted() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens.evicted)
}

func describeRefresh(token *refreshToken, liveTokens int) Token {
	return Token{
		Fingerprint: fingerprint(token.value), Kind: "refresh", DataCenter: token.dc, ClientID: token.client.ID,
		Owner: token.owner.name, ConsentedBy: token.user, Scopes: slices.Clone(token.scopes), LiveTokens: liveTokens,
	}
}

func describeAccess(token *accessToken) Token {
	return Token{
		Fingerprint: fingerprint(token.value), Kind: "access", DataCenter: token.dc, ClientID: token.client.ID,
		Owner: token.owner.name, ConsentedBy: token.user, Scopes: slices.Clone(token.scopes), Expires: token.expires,
	}
}
