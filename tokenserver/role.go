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

// handedOut notes that a caller may use the token until the lease ends.
func (r *role) handedOut(l *Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if end := l.readAt.Add(l.duration); end.After(r.inUseUntil) {
		r.inUseUntil = end
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
func (r *role) install(l *Lease, now time.Time, vaultToken int, spread float64) *Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	former := r.current
	if former != nil && former.ID == l.ID {
		l = former
		r.next = now.Add(l.untilRetry(now, spread))
	} else {
		if former != nil {
			r.former = append(r.former, former)
		}
		r.current, r.next = l, l.readAt.Add(l.untilRead(spread))
	}
	r.triedWith = vaultToken
	for _, f := range r.former {
		f.unwanted = f.unwanted || f.ID != l.ID && f.Token.Equal(l.Token)
	}
	return l
}

// failed notes a reading that has failed, and when to try again.
func (r *role) failed(now time.Time, vaultToken int, spread float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.triedWith = vaultToken
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
