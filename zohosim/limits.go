package zohosim

import "net/http"

func (s *Sim) refreshLimit() refreshLimit {
	return refreshLimit{most: s.opts.MaxRefreshTokens, allClients: s.opts.RefreshTokensPerUser}
}

// refusesExcess tells whether the owner has so many refresh tokens that another
// one is refused.
func (s *Sim) refusesExcess(client *Client, of owner) bool {
	limit := s.refreshLimit()
	return s.opts.RefuseExcessRefreshTokens && len(s.tokens.countedWith(of, client, limit)) >= limit.most
}

// tooManyRefreshTokens has the words of the Projects FAQ. The rest of the body
// is a guess: the throttle's without its description, which speaks of requests.
func tooManyRefreshTokens() answer {
	out := jsonAnswer(http.StatusBadRequest, map[string]string{"error": "Access Denied", "status": "failure"})
	out.word = "Access Denied"
	return out
}
