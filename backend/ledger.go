package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
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

// A ledger is kept in segments: entries of some dozen records, the last of
// which is written again with each commit until it is full. So a commit is one
// write of bounded size, however many holders there are, and a token's records
// are deleted with the token.
const segmentRecords = 64

// maxBatch bounds a commit, in changes: about a quarter of the 1 MiB that
// Vault's raft storage takes.
const maxBatch = 1000

// commitLimit bounds the time of one commit.
const commitLimit = 20 * time.Second

// ledger knows who holds one access token, and alone decides when the token
// has to end: when its last holder goes, or when it is superseded and has none.
//
// Memory runs ahead of storage: a change counts from the moment it is asked
// for, and is taken back if it cannot be written. Whoever asked for it is told
// only when it is written.
type ledger struct {
	store   store
	tokenID string
	spawn   func(func()) bool // starts a goroutine that the engine waits for; false when it is closing

	mu       sync.Mutex
	holders  map[string]Holder
	released bool      // a holder has left
	ending   time.Time // when it was decided that the token has to end; zero: not yet

	// The writer: one goroutine at a time, running while there is a queue.
	queue   []*change
	writing bool
	segment int    // number of the open segment
	open    []byte // its records, a line each
	records int    // how many
}

// record is one line of a segment: exactly one field is set.
type record struct {
	Hold    *Holder    `json:"hold,omitempty"`
	Release string     `json:"release,omitempty"`
	Ending  *time.Time `json:"ending,omitempty"`
}

// change is what one caller wants written.
type change struct {
	records []record
	undo    func() // takes the change out of memory; called with mu held
	written chan error
}

func (e *Engine) newLedger(tokenID string) *ledger {
	return &ledger{store: e.store, tokenID: tokenID, spawn: e.spawn, holders: make(map[string]Holder)}
}

// hold adds a holder. When it returns nil the holder is in storage. It fails
// with errEnding if the token's end was decided before.
func (l *ledger) hold(ctx context.Context, h Holder) error {
	l.mu.Lock()
	if !l.ending.IsZero() {
		l.mu.Unlock()
		return errEnding
	}
	l.holders[h.ID] = h
	c := l.commit([]record{{Hold: &h}}, func() { delete(l.holders, h.ID) })
	l.mu.Unlock()

	select {
	case err := <-c.written:
		return err
	case <-ctx.Done():
		// The reader is gone before its lease began; the holder must not stay.
		l.spawn(func() {
			if <-c.written == nil {
				l.withdraw(h.ID)
			}
		})
		return ctx.Err()
	}
}

// withdraw takes out a holder whose lease never began. It decides nothing:
// the token was not used, so there is nothing to end.
func (l *ledger) withdraw(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.holders[id]
	if !ok {
		return
	}
	delete(l.holders, id)
	l.commit([]record{{Release: id}}, func() { l.holders[id] = h })
}

// release takes out a holder whose lease has ended, and reports whether the
// token has to end. A holder that is not there has been taken out before.
func (l *ledger) release(ctx context.Context, id string, now time.Time) (ending bool, err error) {
	l.mu.Lock()
	h, ok := l.holders[id]
	if !ok {
		defer l.mu.Unlock()
		return !l.ending.IsZero(), nil
	}
	delete(l.holders, id)
	before := l.released
	l.released = true
	records := []record{{Release: id}}
	last := len(l.holders) == 0
	if last {
		l.ending = now
		records = append(records, record{Ending: &now})
	}
	c := l.commit(records, func() {
		l.holders[id] = h
		l.released = before
		if last {
			l.ending = time.Time{}
		}
	})
	l.mu.Unlock()
	return last, l.wait(ctx, c)
}

// endIfUnheld decides that the token has to end, unless somebody holds it. It
// is for tokens that no role can hand out any more.
func (l *ledger) endIfUnheld(ctx context.Context, now time.Time) (ending bool, err error) {
	l.mu.Lock()
	if len(l.holders) > 0 || !l.ending.IsZero() {
		defer l.mu.Unlock()
		return !l.ending.IsZero(), nil
	}
	l.ending = now
	c := l.commit([]record{{Ending: &now}}, func() { l.ending = time.Time{} })
	l.mu.Unlock()
	return true, l.wait(ctx, c)
}

func (l *ledger) wait(ctx context.Context, c *change) error {
	select {
	case err := <-c.written:
		return err
	case <-ctx.Done():
		return ctx.Err()
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

func (l *ledger) isHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.holders) > 0
}

// list returns the holders, the oldest first.
func (l *ledger) list() []Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.holders), func(a, b Holder) int { return a.Since.Compare(b.Since) })
}

// commit queues records for the writer; mu is held.
func (l *ledger) commit(records []record, undo func()) *change {
	c := &change{records: records, undo: undo, written: make(chan error, 1)}
	switch {
	case l.writing:
		l.queue = append(l.queue, c)
	case l.spawn(l.write):
		l.writing = true
		l.queue = append(l.queue, c)
	default:
		undo()
		c.written <- errClosed
	}
	return c
}

// write empties the queue: what has gathered while one write ran goes into the
// next one together. It runs under no caller's context, since several callers
// share a write.
func (l *ledger) write() {
	for {
		l.mu.Lock()
		n := min(len(l.queue), maxBatch)
		batch := l.queue[:n:n]
		l.queue = l.queue[n:]
		if n == 0 {
			l.writing = false
			l.mu.Unlock()
			return
		}
		segment, open, records := l.segment, l.open, l.records
		l.mu.Unlock()

		if records >= segmentRecords {
			segment, open, records = segment+1, nil, 0
		}
		open, records, err := appendRecords(slices.Clone(open), records, batch)
		if err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
			err = l.store.Put(ctx, &logical.StorageEntry{Key: l.segmentKey(segment), Value: open})
			cancel()
		}

		l.mu.Lock()
		if err == nil {
			l.segment, l.open, l.records = segment, open, records
		}
		// The last change is undone first, so that each finds what it left.
		for _, c := range slices.Backward(batch) {
			if err != nil {
				c.undo()
			}
			c.written <- err
		}
		l.mu.Unlock()
	}
}

func appendRecords(open []byte, records int, batch []*change) ([]byte, int, error) {
	for _, c := range batch {
		for _, r := range c.records {
			line, err := json.Marshal(r)
			if err != nil {
				return nil, 0, err
			}
			open = append(append(open, line...), '\n')
			records++
		}
	}
	return open, records, nil
}

func (l *ledger) prefix() string { return prefixHolders + l.tokenID + "/" }

func (l *ledger) segmentKey(n int) string { return fmt.Sprintf("%s%08d", l.prefix(), n) }

// load reads the ledger from storage into a new one.
func (l *ledger) load(ctx context.Context) error {
	keys, err := l.store.List(ctx, l.prefix())
	if err != nil {
		return err
	}
	slices.Sort(keys)
	for _, key := range keys {
		entry, err := l.store.Get(ctx, path.Join(l.prefix(), key))
		if err != nil {
			return err
		}
		if entry == nil {
			continue
		}
		if _, err := fmt.Sscanf(key, "%d", &l.segment); err != nil {
			return fmt.Errorf("the stored entry %q has an unexpected name", l.prefix()+key)
		}
		if err := l.replay(entry.Value); err != nil {
			return fmt.Errorf("the stored entry %q cannot be decoded", l.prefix()+key)
		}
	}
	return nil
}

func (l *ledger) replay(segment []byte) error {
	l.open, l.records = segment, 0
	for decoder := json.NewDecoder(bytes.NewReader(segment)); ; l.records++ {
		var r record
		switch err := decoder.Decode(&r); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case r.Hold != nil:
			l.holders[r.Hold.ID] = *r.Hold
		case r.Release != "":
			delete(l.holders, r.Release)
			l.released = true
		case r.Ending != nil:
			l.ending = *r.Ending
		}
	}
}

// erase deletes the ledger from storage, when the token is gone.
func (l *ledger) erase(ctx context.Context) error {
	keys, err := l.store.List(ctx, l.prefix())
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := l.store.Delete(ctx, path.Join(l.prefix(), key)); err != nil {
			return err
		}
	}
	return nil
}
