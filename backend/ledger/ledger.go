package ledger

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"
)

// ErrEnding says that the token's end was decided before, or may have been.
var ErrEnding = errors.New("the access token is being revoked")

// Options are what a ledger is made of.
type Options struct {
	Storage logical.Storage
	Prefix  string      // of its entries in storage, with a slash at the end
	TokenID string      // for log lines
	First   Reservation // what the token's entry has: see Ledger.Reserve
	Log     func() hclog.Logger

	// Go starts a goroutine that is waited for at the end; false when none may begin.
	Go func(func()) bool

	// After makes the pauses between writes, whose length follows how long a write takes by
	// Now; Closing ends them for good. Closed is the error of a change that cannot be written
	// any more.
	Now     func() time.Time
	After   func(time.Duration) <-chan time.Time
	Closing <-chan struct{}
	Closed  error
}

// Ledger knows who holds one access token, and alone decides when the token
// has to end: when its last holder goes, or when it is superseded and has none.
//
// Memory runs ahead of storage: a change counts from the moment it is asked
// for. Whoever needs it to be stored waits until it is, and it is taken back if
// it cannot be; what nobody waits for is tried again with the next write.
type Ledger struct {
	options Options

	mu       sync.Mutex
	holders  map[string]Holder
	unnamed  map[string]bool // places that a crash has left reserved: perhaps a lease is in them; damage counts as one
	readers  map[readerKey]*Readership
	roles    map[string]time.Time // of the readers: when a lease of one that wants the token kept ended last
	released bool                 // a holder has left
	ending   time.Time            // when it was decided that the token has to end; zero: not yet
	endingIn int                  // the segment that has it
	decision *change              // that decision, if it was made since the ledger was loaded
	damaged  bool                 // a part of what is stored cannot be read

	places places

	// The writer: one goroutine at a time, running while there is something to
	// write, or a reservation to give back.
	queue      []*change
	deferred   []*change        // for the next commit; nobody waits for them
	writing    chan struct{}    // closed when the writer stops; nil if none runs
	open       segment          // to which the next write adds
	writePause <-chan time.Time // ends with the pause after the latest write; nil: it is over
	wake       chan struct{}    // ends it early
	closed     bool             // the token is gone: nothing is written any more
}

// New returns the ledger of an access token, without what is stored of it.
func New(options Options) (*Ledger, error) {
	series, err := uuid.GenerateUUID()
	if err != nil {
		return nil, err
	}
	return &Ledger{
		options: options,
		holders: make(map[string]Holder), unnamed: make(map[string]bool), readers: make(map[readerKey]*Readership), roles: make(map[string]time.Time),
		places: newPlaces(series), wake: make(chan struct{}, 1),
	}, nil
}

// Hold adds a holder, and names it. When it returns without an error storage
// counts the holder: by its name, or as one of a reservation. It fails with
// ErrEnding if the token's end was decided before, or may have been.
func (l *Ledger) Hold(ctx context.Context, h Holder) (string, error) {
	l.mu.Lock()
	if !l.canBeHeldLocked() {
		l.mu.Unlock()
		return "", ErrEnding
	}
	place, id := l.places.take()
	h.ID, h.Requester = id, h.Bounded()
	h.Since, h.Until = h.Since.Truncate(time.Millisecond), h.Until.Truncate(time.Millisecond)
	c := l.newChange(record{hold: &h})
	if c.err != nil {
		l.mu.Unlock()
		return "", c.err
	}
	l.holders[id] = h
	l.countReaderLocked(h)
	if l.places.isReserved(place) {
		l.deferLocked(c)
		l.mu.Unlock()
		return id, nil
	}
	c.place, c.undo = place, func() { delete(l.holders, id) }
	l.commitLocked(c)
	l.mu.Unlock()

	select {
	case <-c.written:
		return id, c.err
	case <-ctx.Done():
		// The reader is gone before its lease began; the holder must not stay.
		l.options.Go(func() {
			<-c.written
			l.Withdraw(id)
		})
		return "", ctx.Err()
	}
}

// Withdraw takes out a holder whose lease never began. It decides nothing:
// the token was not used, so there is nothing to end.
func (l *Ledger) Withdraw(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.holders[id]; ok {
		delete(l.holders, id)
		l.deferLocked(l.newChange(record{release: id}))
	}
}

// Release takes out a holder whose lease has ended, and reports whether the
// token has to end. A holder that is not there has been taken out before.
//
// Only the last one waits for storage, since its decision must be there before
// Zoho is asked, and, if the token is kept for the next reader, since a holder that a
// crash brings back would keep it for longer. The others leave the write to the writer:
// what a crash takes back is a holder too many, and Vault need not wait for a write that
// can only be missed on the safe side.
func (l *Ledger) Release(ctx context.Context, id string, now time.Time, keeps Keeps) (ending bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, held := l.holders[id]
	if l.closed || !held && !l.unnamed[id] {
		return l.waitForDecisionLocked(ctx, l.decision)
	}
	delete(l.holders, id)
	delete(l.unnamed, id)
	before, left := l.released, l.roles[h.Role]
	l.released = true
	gone := record{release: id}
	if keeps[h.Role] > 0 {
		gone.at, l.roles[h.Role] = now, now
	}
	undo := func() {
		if held {
			l.holders[id], l.roles[h.Role] = h, left
		} else {
			l.unnamed[id] = true
		}
		l.released = before
	}
	switch {
	case l.heldLocked() > 0:
		l.deferLocked(l.newChange(gone))
		return false, nil
	case !l.ending.IsZero(): // decided before, for another reason
		l.deferLocked(l.newChange(gone))
		return l.waitForDecisionLocked(ctx, l.decision)
	case l.isKeptLocked(now, keeps):
		c := l.newChange(gone)
		c.undo = undo
		l.commitLocked(c)
		_, err := l.waitForDecisionLocked(ctx, c)
		return false, err
	default:
		return l.waitForDecisionLocked(ctx, l.decideLocked(now, []record{gone}, undo))
	}
}

// ReleaseDeferred takes out a holder for whose release nobody will ask again, and
// waits for nothing. If it is the last, the token IsDue.
func (l *Ledger) ReleaseDeferred(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, held := l.holders[id]; held || l.unnamed[id] {
		delete(l.holders, id)
		delete(l.unnamed, id)
		l.released = true
		l.deferLocked(l.newChange(record{release: id}))
		return
	}
	c := l.decision
	if c == nil {
		return
	}
	select {
	case <-c.written:
	default: // release is being written; if it fails the holder comes back
		l.options.Go(func() {
			<-c.written
			l.ReleaseDeferred(id)
		})
	}
}

// EndIfUnheld decides that the token has to end, unless somebody holds it, and reports
// whether its end is decided: now, or before, whoever holds it.
func (l *Ledger) EndIfUnheld(ctx context.Context, now time.Time) (ending bool, err error) {
	return l.endIf(ctx, now, func() bool { return l.heldLocked() == 0 })
}

// End decides that the token has to end, whoever holds it: an operator wants
// it dead. Its leases stay until they end; there is nothing left for them to
// give up.
func (l *Ledger) End(ctx context.Context, now time.Time) error {
	_, err := l.endIf(ctx, now, func() bool { return true })
	return err
}

// endIf asks condition with mu held.
func (l *Ledger) endIf(ctx context.Context, now time.Time, condition func() bool) (ending bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending.IsZero() && !l.closed && condition() {
		return l.waitForDecisionLocked(ctx, l.decideLocked(now, nil, func() {}))
	}
	return l.waitForDecisionLocked(ctx, l.decision)
}

// decideLocked makes the decision that the token ends.
func (l *Ledger) decideLocked(now time.Time, records []record, undo func()) *change {
	l.ending = now
	c := l.newChange(append(records, record{ending: now})...)
	c.undo = func() {
		l.ending, l.decision = time.Time{}, nil
		// Storage may have the decision all the same. Who holds the token from now
		// on has to be stored instead.
		l.places.close()
		undo()
	}
	if l.commitLocked(c); !l.ending.IsZero() { // otherwise c has failed already
		l.decision = c
	}
	return c
}

// waitForDecisionLocked reports whether the token has to end. Whoever asks gets the answer
// when it is in storage: Zoho must not be asked before. c is the decision, nil
// if there is none or it was loaded. The lock is released during the wait.
func (l *Ledger) waitForDecisionLocked(ctx context.Context, c *change) (ending bool, err error) {
	if c == nil {
		return !l.ending.IsZero(), nil
	}
	c.waiting++
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-c.written:
		return true, c.err
	case <-ctx.Done():
		return true, ctx.Err()
	}
}
