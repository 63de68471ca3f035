package zohosim

import (
	"net/http"
	"strings"
)

// token answers POST /oauth/v2/token. The checks go from the throttle to the
// client, its secret and then the grant.
// Source: the error table of Zoho's Accounts documentation gives the meanings;
// the order is inferred from them.
func (s *Sim) token(c *call) answer {
	if c.r.Method != http.MethodPost {
		return bareBadRequest("server error")
	}
	if !s.allowTokenRequest(c) {
		return throttleAnswer(s.opts.Throttle)
	}
	// Source: the OAuth page of Zoho Books ("does not support sending params
	// as a JSON object").
	if c.jsonBody {
		return refuse("invalid_client")
	}
	grantType := c.param("grant_type")
	if grantType == "" {
		return bareBadRequest("")
	}
	id, secret := c.clientCredentials()
	client, ok := s.enabledClient(id, c.dc.location)
	if !ok {
		return refuse("invalid_client")
	}
	grant, ok := s.grantOf(grantType)
	if !ok {
		return refuse("invalid_client")
	}
	if secret != client.secrets[c.dc.location] {
		return refuse("invalid_client_secret")
	}
	return grant(c, client)
}

// grantOf has no unsupported_grant_type: Zoho answers invalid_client.
func (s *Sim) grantOf(grantType string) (func(*call, *Client) answer, bool) {
	switch grantType {
	case "authorization_code":
		return s.exchangeCode, true
	case "refresh_token":
		return s.refreshAccess, true
	case "client_credentials":
		return s.clientAccess, true
	}
	return nil, false
}

// exchangeCode turns a grant code into tokens. Presenting a code uses it up,
// even when the redirect URI is wrong or the user gets no further refresh token;
// Zoho's documents do not say, so the stricter reading holds. A Self Client has
// no redirect URI and must send none.
// Source: help.zoho.com, "Why am I getting invalid code and invalid redirect
// URI error?"
func (s *Sim) exchangeCode(c *call, client *Client) answer {
	value := c.param("code")
	code := s.tokens.codes[value]
	if code == nil || code.client != client || code.dc != c.dc.location {
		return refuse("invalid_code")
	}
	delete(s.tokens.codes, value)
	if c.param("redirect_uri") != code.redirectURI {
		return refuse("invalid_redirect_uri")
	}
	access := &accessToken{
		value:   newToken(client.prefix(code.owner)),
		client:  client,
		dc:      code.dc,
		owner:   code.owner,
		user:    code.user,
		scopes:  code.scopes,
		expires: c.now.Add(s.opts.TokenLife),
	}
	if code.withRefresh {
		if !s.allowRefreshToken(c, client, code.owner) {
			return throttleAnswer(s.opts.Throttle)
		}
		if s.refusesExcess(client, code.owner) {
			return tooManyRefreshTokens()
		}
		access.family = s.addRefreshToken(client, code.owner, code.user, code.scopes)
	}
	s.tokens.addAccess(access, s.opts.MaxLiveTokens)
	return s.tokenAnswer(c, newTokens{access: access, refresh: access.family, idToken: s.idToken(c, access)})
}

func (s *Sim) addRefreshToken(client *Client, of owner, user string, scopes []string) string {
	token := &refreshToken{value: newToken(client.prefix(of)), client: client, dc: of.dc, owner: of, user: user, scopes: scopes}
	s.tokens.addRefresh(token, s.refreshLimit())
	return token.value
}

// refreshAccess mints an access token "for the same set of scopes": a scope
// parameter changes nothing. The refresh token stays, and is not repeated.
// Source: zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html
func (s *Sim) refreshAccess(c *call, client *Client) answer {
	refresh := s.tokens.refresh[c.param("refresh_token")]
	if refresh == nil || refresh.client != client || refresh.dc != c.dc.location {
		return refuse("invalid_code") // not invalid_grant
	}
	access := &accessToken{
		value:   newToken(client.prefix(refresh.owner)),
		client:  client,
		dc:      refresh.dc,
		owner:   refresh.owner,
		user:    refresh.user,
		scopes:  refresh.scopes,
		family:  refresh.value,
		expires: c.now.Add(s.opts.TokenLife),
	}
	s.tokens.addAccess(access, s.opts.MaxLiveTokens)
	s.journal.minted(refresh.value)
	return s.tokenAnswer(c, newTokens{access: access})
}

// clientAccess mints an access token of an organisation, without a user. The
// documents name no error for a client of another kind; invalid_client is the
// one they give for a grant type that does not fit.
// Source: zoho.com/accounts/protocol/oauth/self-client/client-credentials-flow.html
func (s *Sim) clientAccess(c *call, client *Client) answer {
	if client.Kind != SelfClient {
		return refuse("invalid_client")
	}
	scopes, ok := client.parseScopes(c.param("scope"))
	if !ok {
		return refuse("invalid_scope")
	}
	soid := c.param("soid")
	if (client.spec.RequireSOID || soid != "") && !wellFormedSOID(soid) {
		return refuse("missing_org_info")
	}
	access := &accessToken{
		value:   newToken(usualPrefix),
		client:  client,
		dc:      c.dc.location,
		owner:   owner{dc: c.dc.location, name: soid, organisation: true},
		scopes:  scopes,
		family:  "client " + c.dc.location + " " + client.ID,
		expires: c.now.Add(s.opts.TokenLife),
	}
	s.tokens.addAccess(access, s.opts.MaxClientTokens)
	return s.tokenAnswer(c, newTokens{access: access, withScope: true})
}

// wellFormedSOID tells whether soid is {service name}.{organisation ID}, for
// example ZohoCRM.600123434.
func wellFormedSOID(soid string) bool {
	service, org, _ := strings.Cut(soid, ".")
	return service != "" && org != "" && strings.Trim(org, "0123456789") == ""
}
