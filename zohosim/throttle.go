package zohosim

import "time"

// A limiter counts requests by key. It is guarded by Sim.mu.
type limiter struct {
	recent map[string]*recentRequests
}

type recentRequests struct {
	times        []time.Time
	blockedUntil time.Time
}

func newLimiter() *limiter {
	return &limiter{recent: map[string]*recentRequests{}}
}

// allow counts a request and tells whether it may be answered.
func (l *limiter) allow(key string, now time.Time, rule Throttle) bool {
	if rule.Limit < 0 {
		return true
	}
	seen := l.recent[key]
	if seen == nil {
		seen = &recentRequests{}
		l.recent[key] = seen
	}
	if now.Before(seen.blockedUntil) {
		if !rule.FixedBlock {
			seen.blockedUntil = now.Add(rule.Block)
		}
		return false
	}
	seen.times = after(seen.times, now.Add(-rule.Window))
	switch {
	case len(seen.times) < rule.Limit:
	case rule.Block == 0: // requests are refused only until the window has moved on
		return false
	default:
		seen.times = nil
		seen.blockedUntil = now.Add(rule.Block)
		return false
	}
	seen.times = append(seen.times, now)
	return true
}

// after drops the times that are not after start; times are in order.
func after(times []time.Time, start time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(start) {
		times = times[1:]
	}
	return times
}

// allowTokenRequest counts a request to the token endpoint, whatever becomes
// of it. The key is the refresh token as it was sent, so wrong ones are
// limited too; a request without one counts for its client.
func (s *Sim) allowTokenRequest(c *call) bool {
	id, _ := c.clientCredentials()
	key := c.dc.location + " client " + id
	perClient := s.opts.Throttle.PerClient && id != ""
	if token := c.param("refresh_token"); token != "" && !perClient && !countsPerClient(c.param("grant_type")) {
		key = c.dc.location + " refresh " + fingerprint(token)
	} else if id == "" {
		return true // nobody to count for
	}
	return s.tokenRequests.allow(key, c.now, s.opts.Throttle) && s.allowExchange(c, id)
}

// countsPerClient names the grants that use no refresh token, so that sending
// one along does not evade the limit.
func countsPerClient(grantType string) bool {
	return grantType == "authorization_code" || grantType == "client_credentials"
}
