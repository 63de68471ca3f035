package zohosim

import (
	"net/http"
	"time"
)

// Hardest returns the options with every reading of Zoho's documents that is
// harder on the caller, as far as they can be combined. That the 21st refresh
// token is refused contradicts that it pushes out the oldest, which is what the
// zero Options do.
func Hardest() Options {
	return Options{
		// Source: the OAuth pages of Zoho Inventory, Backstage and Payments (60
		// seconds).
		CodeLife:                        time.Minute,
		Throttle:                        Throttle{PerClient: true},
		RefreshTokensPerUser:            true,
		RefuseExcessRefreshTokens:       true,
		RefreshTokensPerMinute:          5,
		RefreshTokensPerTenMinutes:      20,
		CodesPerMinute:                  4,
		LegacyRevokeRefusesAccessTokens: true,
		DeviceSlowDown:                  5 * time.Second,
	}
}

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

// allowRefreshToken counts a refresh token that an exchange is about to give.
func (s *Sim) allowRefreshToken(c *call, client *Client, of owner) bool {
	perMinute := Throttle{Limit: unlimitedUnlessSet(s.opts.RefreshTokensPerMinute), Window: time.Minute}
	perClient := Throttle{Limit: unlimitedUnlessSet(s.opts.RefreshTokensPerTenMinutes), Window: 10 * time.Minute}
	return s.refreshTokens.allow(of.key(), c.now, perMinute) &&
		s.refreshTokens.allow(of.dc+" client "+client.ID, c.now, perClient)
}

// allowCode counts a grant code that a user is about to make on the consent
// page of a data centre.
// Source: zoho.com/crm/developer/docs/api/v8/token-validity.html (10 grant codes
// in 10 minutes per client, then access_denied "for the remaining time"); see
// Options.CodesPerMinute for the other.
func (s *Sim) allowCode(c *call, client *Client, user string) bool {
	perClient := Throttle{FixedBlock: true}.withDefaults()
	perMinute := s.codesPerMinute()
	perMinute.FixedBlock, perMinute.Block = true, 10*time.Minute
	return s.grantCodes.allow(c.dc.location+client.ID, c.now, perClient) &&
		s.grantCodes.allow(c.dc.location+client.ID+" user "+user, c.now, perMinute)
}

// allowExchange counts a token request of a client that exchanges a grant code.
func (s *Sim) allowExchange(c *call, clientID string) bool {
	return c.param("grant_type") != "authorization_code" ||
		s.exchanges.allow(c.dc.location+clientID, c.now, s.codesPerMinute())
}

func (s *Sim) codesPerMinute() Throttle {
	rule := s.opts.Throttle
	rule.Limit, rule.Window = unlimitedUnlessSet(s.opts.CodesPerMinute), time.Minute
	return rule
}

// unlimitedUnlessSet turns the zero of an option into the limiter's word for no
// limit.
func unlimitedUnlessSet(limit int) int {
	if limit <= 0 {
		return -1
	}
	return limit
}
