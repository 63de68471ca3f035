package tokenserver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

const (
	// checkEvery is how often Vault is asked about the Vault token at most, however
	// often somebody wants to know whether the server is ready.
	checkEvery   = 10 * time.Second
	checkTimeout = 3 * time.Second
)

// Start reads a lease of each role that the operator has named, so that whatever is wrong
// is in the log before a caller meets it. What fails is tried again until it has
// worked once. Without names it only asks whether Vault accepts the Vault token.
func (s *Leases) Start(names []string) {
	for _, name := range names {
		r, err := s.role(name)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.isNamed = true
		r.mu.Unlock()
		s.read(name)
	}
	if len(names) > 0 {
		return
	}
	s.flights.DoChan("", func() (any, error) { // no role has this name
		if err := s.checkVault(s.readings); err != nil {
			s.log.Warn("Vault does not accept this server, so callers get no access token", "error", err)
		}
		return nil, nil
	})
}

// untilNextTry needs the role's mutex. An operator has time; so has whoever reads the log.
func (r *role) untilNextTry() time.Duration {
	r.pause = min(max(2*r.pause, minRetry), maxUntilRead)
	return r.pause
}

// Unready says why a caller would get no token now; nothing if it would get one.
func (s *Leases) Unready(ctx context.Context) (reasons []string) {
	err := s.checkVault(ctx)
	now, served := s.clock.Now(), 0
	all := s.all()
	slices.SortFunc(all, func(a, b *role) int { return strings.Compare(a.name, b.name) })
	for _, r := range all {
		reason, isServed := r.unready(now)
		if isServed {
			served++
		}
		if reason != "" {
			reasons = append(reasons, reason)
		}
	}
	// While Vault is away, what is leased lasts. With the Vault token it ends.
	if err != nil && (endsLease(err) || served == 0) {
		reasons = append(reasons, err.Error())
	}
	return reasons
}

// unready says why there is no token of a role that the operator has named, and whether
// there is one at hand.
func (r *role) unready(now time.Time) (reason string, isServed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.current.isUsable(now):
		return "", true
	case !r.isNamed:
		return "", false
	case r.latest != nil:
		return "role " + r.name + ": " + r.latest.Error(), false
	case !r.isRead:
		return "role " + r.name + ": no lease was read yet", false
	default: // it ran out because nobody has asked
		return "", false
	}
}

// vaultCheck is what came of asking whether Vault accepts the Vault token.
type vaultCheck struct {
	slot    chan struct{} // for whoever asks, or reads what is below
	at      time.Time     // zero: nobody has asked
	failure error
}

// checkVault asks whether Vault accepts the Vault token, unless it was asked that a moment
// ago.
func (s *Leases) checkVault(ctx context.Context) error {
	c := &s.check
	select {
	case c.slot <- struct{}{}:
		defer func() { <-c.slot }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !c.at.IsZero() && s.clock.Now().Sub(c.at) < checkEvery {
		return c.failure
	}
	// Not the caller's context: whoever asks next wants to know, too.
	ctx, cancel := context.WithTimeout(s.readings, checkTimeout)
	defer cancel()
	c.failure = s.vault.Check(ctx)
	c.at = s.clock.Now()
	s.outcome(c.failure)
	return c.failure
}

// Health says in a word how the latest request to Vault went.
func (s *Leases) Health() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failure *Error
	switch {
	case !s.asked:
		return "not asked yet"
	case errors.As(s.latest, &failure):
		return string(failure.Kind)
	case s.latest != nil:
		return string(Unavailable)
	default:
		return "ok"
	}
}

// Warnings is what Vault said of the tokens that callers get now. It names no role.
func (s *Leases) Warnings() (warnings []string) {
	now := s.clock.Now()
	for _, r := range s.all() {
		if warning := r.warning(now); warning != "" && !slices.Contains(warnings, warning) {
			warnings = append(warnings, warning)
		}
	}
	slices.Sort(warnings)
	return warnings
}
