package tokenserver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
)

func (s *Leases) giveBackAgain(r *role) {
	ctx, cancel := context.WithTimeout(s.readings, readTimeout)
	defer cancel()
	if _, err := s.revoke(ctx, r, func(*Lease) bool { return false }); err != nil {
		s.log.Warn("a lease could not be given back; it is tried again", "role", r.name, "error", err)
	}
}

// giveBackLocked gives back what nobody wants any more. It needs the role's slot.
func (s *Leases) giveBackLocked(ctx context.Context, r *role) error {
	var errs []error
	for _, l := range r.unwanted(s.clock.Now()) {
		if err := s.vault.Revoke(ctx, l.ID); err != nil {
			errs = append(errs, err)
			continue
		}
		r.givenBack(l)
		s.log.Info("gave a lease back", "role", r.name, "token_id", l.TokenID)
	}
	return errors.Join(errs...)
}

// RevokeToken gives back all leases on an access token, which roles may share, and
// reports whether there were any.
func (s *Leases) RevokeToken(ctx context.Context, token secret.Value) (found bool, err error) {
	match := func(l *Lease) bool { return l.Token.Equal(token) }
	roles := slices.DeleteFunc(s.all(), func(r *role) bool { return !r.holds(match) })
	return s.revokeFrom(ctx, roles, match)
}

// RevokeRole gives back all leases of a role, and reports whether there were any.
func (s *Leases) RevokeRole(ctx context.Context, name string) (found bool, err error) {
	s.mu.Lock()
	r := s.roles[name]
	s.mu.Unlock()
	if r == nil {
		return false, nil
	}
	return s.revoke(ctx, r, func(*Lease) bool { return true })
}

// revokeFrom revokes at all roles at once: one whose reading hangs holds up no other.
func (s *Leases) revokeFrom(ctx context.Context, roles []*role, match func(*Lease) bool) (bool, error) {
	found, errs := make([]bool, len(roles)), make([]error, len(roles))
	var wg sync.WaitGroup
	for i, r := range roles {
		wg.Go(func() { found[i], errs[i] = s.revoke(ctx, r, match) })
	}
	wg.Wait()
	return slices.Contains(found, true), errors.Join(errs...)
}

func (s *Leases) revoke(ctx context.Context, r *role, match func(*Lease) bool) (bool, error) {
	defer s.watch(r) // also if its time is up: at the end no timer is left
	if err := r.acquire(ctx); err != nil {
		return false, err
	}
	defer r.release()
	found := r.discard(match)
	return found, s.giveBackLocked(ctx, r)
}

// Close gives back the leases on tokens that no caller was promised any longer, or all
// of them with revoke. It reports until when the promises last that it keeps. Whoever asks
// from now on gets an error.
func (s *Leases) Close(ctx context.Context, revoke bool) (promised time.Time, err error) {
	s.mu.Lock()
	s.closed = true
	s.stopCheck()
	s.mu.Unlock()
	// A reading that is answered soon brings a lease, which is given back, too. One that
	// hangs must not keep Close from the lease that the role has.
	defer s.endReadings()
	defer s.clock.AfterFunc(patience, s.endReadings)()
	now := s.clock.Now()
	_, err = s.revokeFrom(ctx, s.all(), func(l *Lease) bool { return revoke || !l.promised.After(now) })
	for _, r := range s.all() {
		if until := r.promised(); until.After(promised) {
			promised = until
		}
	}
	return promised, err
}
