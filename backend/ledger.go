package backend

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Holder is one lease on an access token, with what an auditor asks about it.
// Vault gives a lease its ID only after the engine has answered, so a holder
// has an ID of its own, which the lease carries.
type Holder struct {
	ID          string    `json:"id"`
	Role        string    `json:"role"`
	EntityID    string    `json:"entity_id,omitempty"`
	DisplayName string    `json:"display_name,omitempty"`
	RequestID   string    `json:"request_id,omitempty"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
}

// ledger knows who holds one access token, and alone decides when the token
// has to end: when its last holder goes, or when it is superseded and has none.
//
// Memory runs ahead of storage: a change counts from the moment it is asked
// for. Whoever needs it to be stored waits until it is, and it is taken back if
// it cannot be; what is written behind is tried again with the next commit.
type ledger struct {
	store   store
	tokenID string
	spawn   func(func()) bool // starts a goroutine that the engine waits for; false when it is closing

	mu       sync.Mutex
	holders  map[string]Holder
	readers  map[readerKey]*Readership
	released bool      // a holder has left
	ending   time.Time // when it was decided that the token has to end; zero: not yet
	decision *change   // that decision, if it was made since the ledger was loaded

	// The writer: one goroutine at a time, running while there is a queue.
	queue   []*change
	behind  []record      // for the next commit; nobody waits for them
	writing chan struct{} // closed when the writer stops; nil if none runs
	segment int           // number of the open segment
	open    []byte        // its records, a line each
	records int           // how many
	closed  bool          // the token is gone: nothing is written any more
}

// record is one line of a segment: exactly one field is set.
type record struct {
	Hold    *Holder    `json:"hold,omitempty"`
	Release string     `json:"release,omitempty"`
	Ending  *time.Time `json:"ending,omitempty"`
}

// change is what one caller wants written. The decision to end a token may have
// several who wait for it.
type change struct {
	records []record
	undo    func()        // takes the change out of memory; called with mu held
	written chan struct{} // closed when it is written, or could not be
	err     error         // of the write; to be read when written is closed
	waiting int           // guarded by the ledger's mu
}

// done tells everybody who waits; mu is held.
func (c *change) done(err error) {
	if err != nil {
		c.undo()
	}
	c.err = err
	close(c.written)
}

func (e *Engine) newLedger(tokenID string) *ledger {
	return &ledger{store: e.store, tokenID: tokenID, spawn: e.spawn, holders: make(map[string]Holder), readers: make(map[readerKey]*Readership)}
}

// hold adds a holder. When it returns nil the holder is in storage. It fails
// with errEnding if the token's end was decided before.
func (l *ledger) hold(ctx context.Context, h Holder) error {
	l.mu.Lock()
	if !l.ending.IsZero() || l.closed {
		l.mu.Unlock()
		return errEnding
	}
	l.holders[h.ID] = h
	l.sawReader(h)
	c := l.commit([]record{{Hold: &h}}, func() { delete(l.holders, h.ID) })
	l.mu.Unlock()

	select {
	case <-c.written:
		return c.err
	case <-ctx.Done():
		// The reader is gone before its lease began; the holder must not stay.
		l.spawn(func() {
			<-c.written
			l.withdraw(h.ID)
		})
		return ctx.Err()
	}
}

// withdraw takes out a holder whose lease never began. It decides nothing:
// the token was not used, so there is nothing to end.
func (l *ledger) withdraw(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.holders[id]; ok {
		delete(l.holders, id)
		l.commitBehind([]record{{Release: id}})
	}
}

// release takes out a holder whose lease has ended, and reports whether the
// token has to end. A holder that is not there has been taken out before.
//
// Only the last one waits for storage, since its decision must be there before
// Zoho is asked. The others are written behind: what a crash takes back is a
// holder too many, and Vault need not wait for a write that can only be missed
// on the safe side.
func (l *ledger) release(ctx context.Context, id string, now time.Time) (ending bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, held := l.holders[id]
	switch {
	case !held || l.closed:
		return l.decided(ctx, l.decision)
	case len(l.holders) > 1:
		delete(l.holders, id)
		l.released = true
		l.commitBehind([]record{{Release: id}})
		return false, nil
	case !l.ending.IsZero(): // decided before, for another reason
		delete(l.holders, id)
		l.released = true
		l.commitBehind([]record{{Release: id}})
		return l.decided(ctx, l.decision)
	}
	delete(l.holders, id)
	before := l.released
	l.released = true
	return l.decided(ctx, l.decide(now, []record{{Release: id}}, func() {
		l.holders[id] = h
		l.released = before
	}))
}

// endIfUnheld decides that the token has to end, unless somebody holds it. It
// is for tokens that no role can hand out any more.
func (l *ledger) endIfUnheld(ctx context.Context, now time.Time) (ending bool, err error) {
	return l.endIf(ctx, now, func() bool { return len(l.holders) == 0 })
}

// end decides that the token has to end, whoever holds it: an operator wants
// it dead. Its leases stay until they end; there is nothing left for them to
// give up.
func (l *ledger) end(ctx context.Context, now time.Time) error {
	_, err := l.endIf(ctx, now, func() bool { return true })
	return err
}

// endIf asks condition with mu held.
func (l *ledger) endIf(ctx context.Context, now time.Time, condition func() bool) (ending bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending.IsZero() && !l.closed && condition() {
		return l.decided(ctx, l.decide(now, nil, func() {}))
	}
	return l.decided(ctx, l.decision)
}

// decide makes the decision that the token ends; mu is held.
func (l *ledger) decide(now time.Time, records []record, undo func()) *change {
	l.ending = now
	c := l.commit(append(records, record{Ending: &now}), func() {
		l.ending, l.decision = time.Time{}, nil
		undo()
	})
	if !l.ending.IsZero() { // otherwise the mount is closing, and c has failed already
		l.decision = c
	}
	return c
}

// decided reports whether the token has to end. Whoever asks gets the answer
// when it is in storage: Zoho must not be asked before. c is the decision, nil
// if there is none or it was loaded. mu is held, but not during the wait.
func (l *ledger) decided(ctx context.Context, c *change) (ending bool, err error) {
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

func (l *ledger) isEnding() bool { return !l.endingSince().IsZero() }

// endingSince is when the token's end was decided; zero if it was not.
func (l *ledger) endingSince() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ending
}

// isDue reports whether the token's last holder is gone although nobody
// decided its end: a holder that was being written when the last but one left
// was withdrawn.
func (l *ledger) isDue() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.released && len(l.holders) == 0
}

func (l *ledger) isHeld() bool { return l.count() > 0 }

func (l *ledger) holder(id string) (h Holder, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, held = l.holders[id]
	return h, held
}

// count is the number of holders.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.holders)
}

// overdue names the holders whose leases should have ended by then. It does
// without list's order, since it is asked of every token once a minute.
func (l *ledger) overdue(then time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for id, h := range l.holders {
		if !h.Until.After(then) {
			ids = append(ids, id)
		}
	}
	return ids
}

// list returns the holders, the oldest first.
func (l *ledger) list() []Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.holders), func(a, b Holder) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
}

// cursor sorts as list does.
func (h Holder) cursor() string {
	return h.Since.UTC().Format("20060102T150405.000000000") + "-" + h.ID
}
