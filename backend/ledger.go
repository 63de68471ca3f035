package backend

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-uuid"
)

// Holder is one lease on an access token, with what an auditor asks about it.
// Vault gives a lease its ID only after the engine has answered, so a holder
// has an ID of its own, which the lease carries: the name of its place.
type Holder struct {
	ID          string    `json:"id"`
	Role        string    `json:"role"`
	EntityID    string    `json:"entity_id,omitempty"`
	DisplayName string    `json:"display_name,omitempty"`
	RequestID   string    `json:"request_id,omitempty"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
}

// maxText is how many bytes of a text from outside a holder keeps. Vault's IDs
// have 36. A display name is as long as whoever made the reader's Vault token
// likes, so that without a bound two of them would fill an entry of storage.
const maxText = 256

// bounded is h with the texts that come from outside cut to maxText, and made
// valid UTF-8: storage keeps nothing else.
func (h Holder) bounded() Holder {
	for _, text := range []*string{&h.EntityID, &h.DisplayName, &h.RequestID} {
		*text = cutText(*text)
	}
	return h
}

func (r Requester) bounded() Requester {
	return Requester{EntityID: cutText(r.EntityID), DisplayName: cutText(r.DisplayName), RequestID: cutText(r.RequestID)}
}

func cutText(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.Clone(text[:end]) // the rest need not stay in memory
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
	log     func() hclog.Logger
	spawn   func(func()) bool // starts a goroutine that the engine waits for; false when it is closing
	pacing  pacing

	mu       sync.Mutex
	holders  map[string]Holder
	unnamed  map[string]bool // places that a crash has left reserved: perhaps a lease is in them; damage counts as one
	readers  map[readerKey]*Readership
	released bool      // a holder has left
	ending   time.Time // when it was decided that the token has to end; zero: not yet
	decision *change   // that decision, if it was made since the ledger was loaded
	damaged  bool      // a part of what is stored cannot be read

	places places

	// The writer: one goroutine at a time, running while there is something to
	// write, or a reservation to give back.
	queue   []*change
	behind  []*change        // for the next commit; nobody waits for them
	writing chan struct{}    // closed when the writer stops; nil if none runs
	segment int              // number of the open segment
	open    []byte           // its records, a line each
	rest    <-chan time.Time // ends with the pause after the latest write; nil: it is over
	wake    chan struct{}    // ends it early
	closed  bool             // the token is gone: nothing is written any more
}

func (e *Engine) newLedger(tokenID string) (*ledger, error) {
	series, err := uuid.GenerateUUID()
	if err != nil {
		return nil, err
	}
	return &ledger{
		store: e.store, tokenID: tokenID, log: e.log, spawn: e.work.Go, pacing: e.pacing,
		holders: make(map[string]Holder), unnamed: make(map[string]bool), readers: make(map[readerKey]*Readership),
		places: newPlaces(series), wake: make(chan struct{}, 1),
	}, nil
}

// hold adds a holder, and names it. When it returns without an error storage
// counts the holder: by its name, or as one of a reservation. It fails with
// errEnding if the token's end was decided before, or may have been.
func (l *ledger) hold(ctx context.Context, h Holder) (string, error) {
	l.mu.Lock()
	if !l.canBeHeldLocked() {
		l.mu.Unlock()
		return "", errEnding
	}
	place, id := l.places.take()
	h.ID = id
	c := newChange(record{Hold: &h})
	if c.err != nil {
		l.mu.Unlock()
		return "", c.err
	}
	l.holders[id] = h
	l.sawReader(h)
	if l.places.isReserved(place) {
		l.commitBehind(c)
		l.mu.Unlock()
		return id, nil
	}
	c.place, c.undo = place, func() { delete(l.holders, id) }
	l.commit(c)
	l.mu.Unlock()

	select {
	case <-c.written:
		return id, c.err
	case <-ctx.Done():
		// The reader is gone before its lease began; the holder must not stay.
		l.spawn(func() {
			<-c.written
			l.withdraw(id)
		})
		return "", ctx.Err()
	}
}

// withdraw takes out a holder whose lease never began. It decides nothing:
// the token was not used, so there is nothing to end.
func (l *ledger) withdraw(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.holders[id]; ok {
		delete(l.holders, id)
		l.commitBehind(newChange(record{Release: id}))
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
	if l.closed || !held && !l.unnamed[id] {
		return l.decided(ctx, l.decision)
	}
	delete(l.holders, id)
	delete(l.unnamed, id)
	before := l.released
	l.released = true
	switch {
	case l.held() > 0:
		l.commitBehind(newChange(record{Release: id}))
		return false, nil
	case !l.ending.IsZero(): // decided before, for another reason
		l.commitBehind(newChange(record{Release: id}))
		return l.decided(ctx, l.decision)
	}
	return l.decided(ctx, l.decide(now, []record{{Release: id}}, func() {
		if held {
			l.holders[id] = h
		} else {
			l.unnamed[id] = true
		}
		l.released = before
	}))
}

// releaseBehind takes out a holder for whose release nobody will ask again, and
// waits for nothing. If it is the last, the token isDue.
func (l *ledger) releaseBehind(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, held := l.holders[id]; held || l.unnamed[id] {
		delete(l.holders, id)
		delete(l.unnamed, id)
		l.released = true
		l.commitBehind(newChange(record{Release: id}))
		return
	}
	c := l.decision
	if c == nil {
		return
	}
	select {
	case <-c.written:
	default: // release is being written; if it fails the holder comes back
		l.spawn(func() {
			<-c.written
			l.releaseBehind(id)
		})
	}
}

// endIfUnheld decides that the token has to end, unless somebody holds it. It
// is for tokens that no role can hand out any more.
func (l *ledger) endIfUnheld(ctx context.Context, now time.Time) (ending bool, err error) {
	return l.endIf(ctx, now, func() bool { return l.held() == 0 })
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
	c := newChange(append(records, record{Ending: &now})...)
	c.undo = func() {
		l.ending, l.decision = time.Time{}, nil
		// Storage may have the decision all the same. Who holds the token from now
		// on has to be stored in its stead.
		l.places.close()
		undo()
	}
	if l.commit(c); !l.ending.IsZero() { // otherwise c has failed already
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
