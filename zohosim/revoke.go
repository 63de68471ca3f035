package zohosim

import "net/http"

// legacyRevoke answers POST /oauth/v2/token/revoke, which asks for no client
// credentials. A second revocation is refused like an unknown token.
// Source: zoho.com/accounts/protocol/oauth/revoke-refresh-token.html ("Both
// access tokens and refresh tokens can be revoked")
func (s *Sim) legacyRevoke(c *call) answer {
	if c.r.Method != http.MethodPost {
		return bareBadRequest("server error")
	}
	value := c.param("token")
	if token := s.tokens.refresh[value]; token != nil && token.dc == c.dc.location {
		s.tokens.killRefresh(value)
		return revoked()
	}
	token := s.tokens.access[value]
	if token == nil || token.dc != c.dc.location || s.opts.LegacyRevokeRefusesAccessTokens {
		return notRevoked("invalid_token")
	}
	s.tokens.killAccess(value)
	return revoked()
}

// revoke answers POST /oauth/v2/revoke/token. The client's credentials must
// come in a Basic header, and token_type must be right: it defaults to
// refresh_token.
// Source: zoho.com/developer/oauth/revoke-oauth-token.html
func (s *Sim) revoke(c *call) answer {
	if c.r.Method != http.MethodPost {
		return bareBadRequest("server error")
	}
	id, secret := c.basicAuth()
	client, ok := s.enabledClient(id, c.dc.location)
	if !ok || secret != client.secrets[c.dc.location] {
		return notRevoked("invalid_client")
	}
	value := c.param("token")
	switch orDefault(c.param("token_type"), "refresh_token") {
	case "refresh_token":
		token := s.tokens.refresh[value]
		if token != nil && token.client == client && token.dc == c.dc.location {
			s.tokens.killRefresh(value)
			return revoked()
		}
	case "access_token":
		token := s.tokens.access[value]
		if token != nil && token.client == client && token.dc == c.dc.location {
			s.tokens.killAccess(value)
			return revoked()
		}
	}
	return notRevoked("invalid_token")
}

// revoked is documented for the older endpoint only; the newer one's body is
// not documented.
func revoked() answer {
	return jsonAnswer(http.StatusOK, map[string]string{"status": "success"})
}

// notRevoked has a documented status and a body that is not documented.
func notRevoked(word string) answer {
	return refuseWith(http.StatusBadRequest, word)
}
