package tokenserver

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
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

	// MaxAge caps for how long callers are told that a token is good. 0: as long as it lives.
	MaxAge time.Duration

	flights     singleflight.Group // readings, by role
	readings    context.Context    // what all of them end with
	endReadings context.CancelFunc

	check   vaultCheck
	metrics *Metrics // nil: nobody counts

	mu        sync.Mutex
	roles     map[string]*role
	closed    bool
	latest    error // of the latest request
	asked     bool
	stopCheck func()
}

// NewLeases returns an empty holder of leases, until Close.
func NewLeases(vault *Vault, clock Clock, log *slog.Logger) *Leases {
	spread := rand.Float64 // #nosec G404 -- it spreads load, and protects nothing
	s := &Leases{vault: vault, clock: clock, log: log, spread: spread, roles: make(map[string]*role), stopCheck: func() {}}
	s.check.slot = make(chan struct{}, 1)
	s.readings, s.endReadings = context.WithCancel(context.Background())
	if vault.token.file != "" {
		s.checkVaultToken(vault.token.number())
	}
	return s
}

// An Answer is what a caller gets.
type Answer struct {
	*Lease
	ExpiresIn int // seconds
}

// Token returns a token that can be used now, for a process; "" if nobody knows
// which one asks. Its errors are an *Error, or that of ctx.
func (s *Leases) Token(ctx context.Context, name, process string) (Answer, error) {
	r, err := s.role(name)
	if err != nil {
		return Answer{}, err
	}
	r.cameBack(process, s.clock.Now())
	l, err := s.lease(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	// Looked up anew: a reading that was refused has dropped the former one.
	if r, err = s.role(name); err != nil {
		return Answer{}, err
	}
	now := s.clock.Now()
	expiresIn := max(l.expiresIn(now), 1)
	if s.MaxAge > 0 {
		expiresIn = min(expiresIn, int(s.MaxAge/time.Second))
	}
	r.handOut(l, process, now, now.Add(time.Duration(expiresIn)*time.Second))
	return Answer{Lease: l, ExpiresIn: expiresIn}, nil
}

// lease returns a lease with a token for a caller.
func (s *Leases) lease(ctx context.Context, r *role) (*Lease, error) {
	l, state := r.look(s.clock.Now(), s.vault.token.number())
	switch state {
	case stateFresh:
	case stateDue:
		s.read(r.name)
	case stateShort, stateDoubted:
		waiting, enough := context.WithCancel(ctx)
		defer enough()
		defer s.clock.AfterFunc(patience, enough)()
		another, err := s.await(waiting, s.read(r.name))
		switch {
		case another != nil:
			l = another
		case endsLease(err) || ctx.Err() != nil || !l.isUsable(s.clock.Now()):
			return nil, err
		}
	case stateNone, stateOver:
		var err error
		if l, err = s.await(ctx, s.read(r.name)); err != nil {
			return nil, err
		}
		if !l.isUsable(s.clock.Now()) {
			return nil, &Error{Kind: Unavailable, Text: "Vault has leased an access token that is nearly over."}
		}
	}
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
		l, err := s.readLocked(ctx, r)
		if err == nil && r.doubt() == l.TokenID { // a caller has come back meanwhile
			return s.readLocked(ctx, r)
		}
		return l, err
	})
}

// readLocked needs the role's slot.
func (s *Leases) readLocked(ctx context.Context, r *role) (*Lease, error) {
	number := s.vault.token.number()
	l, err := s.readUndoubted(ctx, r)
	if err == nil && r.holds(func(f *Lease) bool { return f.unwanted && f.ID == l.ID }) {
		l, err = s.readPastCache(ctx, r)
	}
	now := s.clock.Now()
	s.outcome(err)
	s.metrics.read(err)
	if err != nil {
		if endsLease(err) {
			r.forget()
		}
		r.failed(err, now, number, s.spread())
		s.log.Warn("a lease could not be read", "role", s.nameForLog(r), "error", err)
		s.watch(r)
		s.dropIfEmpty(r)
		return nil, err
	}
	l, warning := r.install(l, now, number, s.spread())
	s.log.Info("read a lease", "role", r.name, "token_id", l.TokenID, "seconds_left", l.expiresIn(now))
	if warning != "" {
		s.log.Warn("Vault warns of the access token", "role", r.name, "token_id", l.TokenID, "warning", warning)
	}
	s.watch(r)
	if err := s.giveBackLocked(ctx, r); err != nil {
		s.log.Warn("a former lease could not be given back; it is tried again", "role", r.name, "error", err)
	}
	return l, nil
}

// readUndoubted reads another token than the one that a caller has found dead, if it has.
// If there is no other, callers get what there is: it may be good, and where it is
// not they hear so from Zoho.
func (s *Leases) readUndoubted(ctx context.Context, r *role) (*Lease, error) {
	reject := r.doubt()
	l, err := s.vault.Read(ctx, r.name, reject)
	if reject == "" {
		return l, err
	}
	another := err == nil && l.TokenID != reject
	r.doubtEnds(another, s.clock.Now())
	switch {
	case another:
		s.log.Warn("a caller came back long before the end of its access token, which may be dead, and another one was read", "role", r.name, "token_id", reject, "another", l.TokenID)
	case err == nil:
		s.log.Warn("a caller's access token may be dead, and Vault has leased the same one; is the secrets engine an older version?", "role", r.name, "token_id", reject)
	default:
		s.log.Warn("a caller's access token may be dead, and there is no other", "role", r.name, "token_id", reject, "error", err)
	}
	if isRefused(err) { // which says nothing about the token that there is
		return s.vault.Read(ctx, r.name, "")
	}
	return l, err
}

// readPastCache reads again after the cache of a Vault Agent has repeated a lease that
// nobody wants any more. The Agent forgets it when it is given back.
func (s *Leases) readPastCache(ctx context.Context, r *role) (*Lease, error) {
	if err := s.giveBackLocked(ctx, r); err != nil {
		return nil, &Error{Kind: Unavailable, Text: "A lease that was revoked is repeated by a cache, and could not be given back yet.", cause: err}
	}
	return s.vault.Read(ctx, r.name, "")
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
	case r.isNamed && !r.isRead:
		r.stopTimer = s.clock.AfterFunc(r.untilNextTry(), func() { s.read(r.name) })
	}
}
