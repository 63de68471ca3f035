package zohosim

import "time"

// SetOptions changes the options, from the next request on. Requests stay
// counted, and a block that has begun keeps its end. Changes of Clock and Wait
// have no effect.
func (s *Sim) SetOptions(change func(*Options)) {
	s.set(func() {
		change(&s.opts)
		s.opts = s.opts.withDefaults()
	})
}

// SetTokenLife sets the life of access tokens made from now on.
func (s *Sim) SetTokenLife(d time.Duration) {
	s.set(func() { s.opts.TokenLife = orDefault(d, time.Hour) })
}

// SetLatency delays answers from now on; see Options.Latency.
func (s *Sim) SetLatency(d time.Duration) { s.set(func() { s.opts.Latency = d }) }

// SetAnswer changes the shape of successful token answers.
func (s *Sim) SetAnswer(shape Answer) { s.set(func() { s.opts.Answer = shape }) }

// SetThrottle changes the throttle's rule. Requests stay counted, and a block
// that has begun keeps its end.
func (s *Sim) SetThrottle(rule Throttle) { s.set(func() { s.opts.Throttle = rule.withDefaults() }) }

// SetMaxLiveTokens changes the cap per refresh token, from the next mint on;
// zero restores the default.
func (s *Sim) SetMaxLiveTokens(n int) { s.set(func() { s.opts.MaxLiveTokens = orDefault(n, 10) }) }

// SetMissing changes which endpoints answer 404.
func (s *Sim) SetMissing(endpoints ...Endpoint) { s.set(func() { s.opts.Missing = endpoints }) }

// SetLegacyRevokeRefusesAccessTokens changes the option of that name.
func (s *Sim) SetLegacyRevokeRefusesAccessTokens(refuse bool) {
	s.set(func() { s.opts.LegacyRevokeRefusesAccessTokens = refuse })
}

// SetUser says who sits in front of the consent page: a user of a data centre,
// which need not be that of the page. Zoho then sends the browser back with the
// user's own data centre, and the code is good only there. By default it is
// user@example.com of the page's data centre.
func (s *Sim) SetUser(name, homeDataCenter string) {
	mustDataCenter(homeDataCenter)
	s.set(func() { s.user = browserUser{name: name, home: homeDataCenter} })
}

// Kill ends a refresh or access token without a word, as happens when a user
// removes the client from the connected apps, or another program revokes it.
// A refresh token takes its access tokens along. It reports whether there was
// something to kill.
func (s *Sim) Kill(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.expire(s.clock())
	alive := s.tokens.refresh[token] != nil || s.tokens.access[token] != nil
	s.tokens.killRefresh(token)
	s.tokens.killAccess(token)
	return alive
}

// RemoveUser takes a user out of the organisation, in all data centres, and
// tells how many refresh tokens have died of it: those of the user's own consents.
// What the user agreed to as an administrator, for the organisation, lives on.
func (s *Sim) RemoveUser(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.killUser(name)
}

func (s *Sim) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}
