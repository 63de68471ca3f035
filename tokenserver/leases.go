package tokenserver

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"vault-plugin-secrets-zoho/backend/secret"
)

const (
	// readTimeout bounds one reading, the tries of Vault's client included.
	readTimeout = 30 * time.Second
	// patience is how long a caller waits for a reading while there is a token for it, and
	// Close for one that is under way.
	patience = 2 * time.Second
	// tokenCheck is how often the file with the Vault token is looked at.
	tokenCheck = 5 * time.Second
)

// Leases holds one lease for each role that somebody asks for.
type Leases struct {
	vault  *Vault
	clock  Clock
	log    *slog.Logger
	spread func() float64 // between 0 and 1

	flights     singleflight.Group // readings, by role
	readings    context.Context    // what all of them end with
	endReadings context.CancelFunc

	mu        sync.Mutex
	roles     map[string]*role
	closed    bool
	latest    error // of the latest reading
	asked     bool
	stopCheck func()
}

// NewLeases returns an empty holder of leases. Close gives them back.
func NewLeases(vault *Vault, clock Clock, log *slog.Logger) *Leases {
	spread := rand.Float64 // #nosec G404 -- it spreads load, and protects nothing
	s := &Leases{vault: vault, clock: clock, log: log, spread: spread, roles: make(map[string]*role), stopCheck: func() {}}
	s.readings, s.endReadings = context.WithCancel(context.Background())
	if vault.token.file != "" {
		s.checkVaultToken(vault.token.number())
	}
	return s
}

// Token returns a lease whose token can be used now. Its errors are an *Error,
// or that of ctx.
func (s *Leases) Token(ctx context.Context, name string) (*Lease, error) {
	r, err := s.role(name)
	if err != nil {
		return nil, err
	}
	l, state := r.look(s.clock.Now(), s.vault.token.number())
	switch state {
	case stateFresh:
	case stateDue:
		s.read(name)
	case stateShort:
		waiting, enough := context.WithCancel(ctx)
		defer enough()
		defer s.clock.AfterFunc(patience, enough)()
		another, err := s.await(waiting, s.read(name))
		switch {
		case another != nil:
			l = another
		case endsLease(err) || ctx.Err() != nil || !l.isUsable(s.clock.Now()):
			return nil, err
		}
	case stateNone, stateOver:
		if l, err = s.await(ctx, s.read(name)); err != nil {
			return nil, err
		}
		if !l.isUsable(s.clock.Now()) {
			return nil, &Error{Kind: Unavailable, Text: "Vault has leased an access token that is nearly over."}
		}
	}
	// Looked up anew: a reading that was refused has dropped the former one.
	if r, err = s.role(name); err != nil {
		return nil, err
	}
	r.handedOut(l)
	return l, nil
}

func (s *Leases) await(ctx context.Context, flight <-chan singleflight.Result) (*Lease, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-flight:
		l, _ := result.Val.(*Lease)
		return l, result.Err
	}
}

// read reads the role's lease, once for all who want that now. It goes on when
// a caller leaves, because the others wait for it.
func (s *Leases) read(name string) <-chan singleflight.Result {
	return s.flights.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(s.readings, readTimeout)
		defer cancel()
		r, err := s.role(name)
		if err != nil {
			return nil, err
		}
		if err := r.acquire(ctx); err != nil {
			return nil, &Error{Kind: Unavailable, Text: "Vault takes too long.", cause: err}
		}
		defer r.release()
		// Whoever had the slot may have closed everything, or a reading may have ended
		// between a caller's look and this one.
		if l, state := r.look(s.clock.Now(), s.vault.token.number()); state == stateFresh {
			return l, nil
		}
		if _, err := s.role(name); err != nil {
			return nil, err
		}
		return s.readLocked(ctx, r)
	})
}

// readLocked needs the role's slot.
func (s *Leases) readLocked(ctx context.Context, r *role) (*Lease, error) {
	number := s.vault.token.number()
	l, err := s.vault.Read(ctx, r.name)
	if err == nil && r.holds(func(f *Lease) bool { return f.unwanted && f.ID == l.ID }) {
		l, err = s.readPastCache(ctx, r)
	}
	now := s.clock.Now()
	s.outcome(err)
	if err != nil {
		if endsLease(err) {
			r.forget()
		}
		r.failed(now, number, s.spread())
		s.log.Warn("a lease could not be read", "role", s.nameForLog(r), "error", err)
		s.watch(r)
		s.dropIfEmpty(r)
		return nil, err
	}
	l = r.install(l, now, number, s.spread())
	s.log.Info("read a lease", "role", r.name, "token_id", l.TokenID, "seconds_left", l.expiresIn(now))
	s.watch(r)
	if err := s.giveBackLocked(ctx, r); err != nil {
		s.log.Warn("a former lease could not be given back; it is tried again", "role", r.name, "error", err)
	}
	return l, nil
}

// readPastCache reads again after the cache of a Vault Agent has repeated a lease that
// nobody wants any more. The Agent forgets it when it is given back.
func (s *Leases) readPastCache(ctx context.Context, r *role) (*Lease, error) {
	if err := s.giveBackLocked(ctx, r); err != nil {
		return nil, &Error{Kind: Unavailable, Text: "A lease that was revoked is repeated by a cache, and could not be given back yet.", cause: err}
	}
	return s.vault.Read(ctx, r.name)
}

// watch reads the lease again when it is time, if it is in use then. Without a lease
// it tries again to give back what Vault has not taken.
func (s *Leases) watch(r *role) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopTimer()
	r.stopTimer = func() {}
	switch now := s.clock.Now(); {
	case closed:
	case r.current != nil:
		r.stopTimer = s.clock.AfterFunc(max(r.next.Sub(now), 0), func() {
			if r.isInUse(s.clock.Now()) {
				s.read(r.name)
			}
		})
	case slices.ContainsFunc(r.former, func(l *Lease) bool { return l.unwanted }):
		r.stopTimer = s.clock.AfterFunc(maxRetry, func() { s.giveBackAgain(r) })
	}
}

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

// Close gives back every lease. Whoever asks from now on gets an error.
func (s *Leases) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.stopCheck()
	s.mu.Unlock()
	// A reading that is answered soon brings a lease, which is given back, too. One that
	// hangs must not keep Close from the lease that the role has.
	defer s.endReadings()
	defer s.clock.AfterFunc(patience, s.endReadings)()
	_, err := s.revokeFrom(ctx, s.all(), func(*Lease) bool { return true })
	return err
}
