package tokenserver

import (
	"context"
	"slices"
	"sync"
	"time"
)

// state is that of a role's lease; the package's documentation has them.
type state string

const (
	stateNone  state = "none"
	stateFresh state = "fresh"
	stateDue   state = "due"
	stateShort state = "short"
	stateOver  state = "over"

	stateDoubted state = "doubted"
)

// role is what the server holds for one role.
type role struct {
	name string
	// slot is held by whoever reads or revokes leases of the role, so that a lease
	// which is given back is not read anew at the same moment.
	slot chan struct{}

	mu         sync.Mutex
	current    *Lease
	former     []*Lease  // replaced, and not over
	next       time.Time // when the lease is to be read again
	triedWith  int       // the Vault token of the latest reading, by its number
	inUseUntil time.Time // until when a caller may have a token from here
	stopTimer  func()
	isNamed    bool          // by the operator, with -role
	latest     error         // of the latest reading
	isRead     bool          // at least once
	pause      time.Duration // between the tries until then
	warned     string        // the latest warning in the log

	callers callers
	trust   trust
	doubted string // the token that a caller has found dead, until another one was asked for
}

func newRole(name string) *role {
	return &role{name: name, slot: make(chan struct{}, 1), stopTimer: func() {}}
}

// acquire takes the slot, or gives up when ctx ends.
func (r *role) acquire(ctx context.Context) error {
	select {
	case r.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *role) release() { <-r.slot }

// look returns the lease with its state. vaultToken is the number of the Vault
// token that there is now: a lease that was read with another may have ended
// with that.
func (r *role) look(now time.Time, vaultToken int) (*Lease, state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.current
	switch {
	case l == nil:
		return nil, stateNone
	case !l.isUsable(now):
		return l, stateOver
	case r.doubted != "" && r.doubted == l.TokenID:
		return l, stateDoubted
	case vaultToken != r.triedWith:
		return l, stateShort
	case now.Before(r.next):
		return l, stateFresh
	case l.isShort(now):
		return l, stateShort
	default:
		return l, stateDue
	}
}

func (r *role) isInUse(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.inUseUntil)
}

// install makes l the current lease, and returns it. A lease with the same ID
// comes from the cache of a Vault Agent: it counts from when it was first read, and is
// not given back for being a former one, too.
//
// It returns the warning that Vault gave with it, if that is a new one.
func (r *role) install(l *Lease, now time.Time, vaultToken int, spread float64) (current *Lease, warning string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	former := r.current
	said := l.warning
	if former != nil && former.ID == l.ID {
		l = former
		l.warning = said
		r.next = now.Add(l.untilRetry(now, spread))
	} else {
		if former != nil {
			r.former = append(r.former, former)
		}
		r.current, r.next = l, l.readAt.Add(l.untilRead(spread))
	}
	r.triedWith, r.latest, r.isRead = vaultToken, nil, true
	for _, f := range r.former {
		// The present lease holds the token, if it lasts: the role's ttl may be another now.
		if f.ID != l.ID && f.Token.Equal(l.Token) && !f.promised.After(l.end()) {
			l.promise(f.promised)
			f.unwanted = true
		}
	}
	if said != r.warned {
		r.warned, warning = said, said
	}
	return l, warning
}

// warning is what Vault said of the token that callers get now.
func (r *role) warning(now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.current.isUsable(now) {
		return ""
	}
	return r.current.warning
}

// promised is until when the token of a lease that is held was promised to a caller.
func (r *role) promised() (until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range append([]*Lease{r.current}, r.former...) {
		if l != nil && l.promised.After(until) {
			until = l.promised
		}
	}
	return until
}

// failed notes a reading that has failed, and when to try again.
func (r *role) failed(err error, now time.Time, vaultToken int, spread float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.triedWith, r.latest = vaultToken, err
	if r.current != nil {
		r.next = now.Add(r.current.untilRetry(now, spread))
	}
}

// forget stops handing the current lease out. It is kept until its end, since
// callers may have its token.
func (r *role) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		r.former = append(r.former, r.current)
		r.current = nil
	}
}

// discard makes leases unwanted: those that match stop being handed out. It reports
// whether there were any. If none is left to hand out, nobody counts as a user.
func (r *role) discard(match func(*Lease) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil && match(r.current) {
		r.former = append(r.former, r.current)
		r.current = nil
	}
	found := false
	for _, l := range r.former {
		if match(l) {
			l.unwanted, found = true, true
		}
	}
	if found && r.current == nil {
		r.inUseUntil = time.Time{}
	}
	return found
}

// unwanted returns the leases that are to be given back, and drops those that
// have ended by themselves.
func (r *role) unwanted(now time.Time) (leases []*Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.former = slices.DeleteFunc(r.former, func(l *Lease) bool { return l.left(now) <= 0 })
	for _, l := range r.former {
		if l.unwanted {
			leases = append(leases, l)
		}
	}
	return leases
}

// givenBack drops a lease that Vault has revoked.
func (r *role) givenBack(l *Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.former = slices.DeleteFunc(r.former, func(f *Lease) bool { return f == l })
}

func (r *role) isEmpty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current == nil && len(r.former) == 0
}

// holds reports whether a lease of the role has the token.
func (r *role) holds(match func(*Lease) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current != nil && match(r.current) || slices.ContainsFunc(r.former, match)
}
