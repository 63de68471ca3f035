package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/errgroup"
)

// A ledger is kept in segments: entries of some dozen records, the last of
// which is written again with each commit until it is full. So a commit is one
// write of bounded size, however many holders there are, and a token's records
// are deleted with the token.
const segmentRecords = 64

// maxBatch bounds a commit: so many changes that somebody waits for, and as many
// records that nobody does. Of some 300 bytes each they are a third of the 1 MiB
// that Vault's raft storage takes.
const maxBatch = 500

// deletionsAtOnce bounds the writes with which a ledger is erased. Storage takes
// several in the time of one.
const deletionsAtOnce = 8

// commitLimit bounds the time of one commit.
const commitLimit = 20 * time.Second

// commit queues a change for the writer; mu is held.
func (l *ledger) commit(c *change) *change {
	c.written = make(chan struct{})
	if !l.startWriter() {
		c.done(errClosed)
		return c
	}
	l.queue = append(l.queue, c)
	l.hasten()
	return c
}

// commitBehind leaves records to the writer; mu is held.
func (l *ledger) commitBehind(records []record) {
	if !l.closed {
		l.behind = append(l.behind, records...)
		l.startWriter()
	}
}

// flush gives what could not be written behind another try.
func (l *ledger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mustWrite() {
		l.startWriter()
	}
}

// mustWrite reports whether there is something to write; mu is held.
func (l *ledger) mustWrite() bool {
	return len(l.queue) > 0 || !l.closed && (len(l.behind) > 0 || l.places.isOpen())
}

// startWriter reports whether a writer runs; mu is held.
func (l *ledger) startWriter() bool {
	if l.writing == nil && l.spawn(l.write) {
		l.writing = make(chan struct{})
	}
	return l.writing != nil
}

// write empties the queue: what has gathered while one write ran goes into the
// next one together, and what nobody waits for with it, or else at a measured
// pace. It runs under no caller's context, since several callers share a write.
func (l *ledger) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		close(l.writing)
		l.writing = nil
	}()
	if l.isRested() {
		l.places.hurry = 0
	}
	for failed := false; l.mustWrite() && (len(l.queue) > 0 || !failed); {
		l.pause()
		changes := l.queue[:min(len(l.queue), maxBatch)]
		behind := l.behind[:min(len(l.behind), maxBatch)]
		l.queue, l.behind = l.queue[len(changes):], l.behind[len(behind):]
		err := l.writeBatch(changes, behind)
		l.rest = l.pacing.after(pace)
		if failed = err != nil; failed {
			l.behind = append(slices.Clone(behind), l.behind...)
		}
		// The last change is undone first, so that each finds what it left.
		for _, c := range slices.Backward(changes) {
			c.done(err)
		}
		l.letGo()
	}
}

// letGo lets those wait no longer who have come during a write and whose places
// it has reserved; mu is held.
func (l *ledger) letGo() {
	l.queue = slices.DeleteFunc(l.queue, func(c *change) bool {
		if c.place == 0 || !l.places.isReserved(c.place) {
			return false
		}
		l.behind = append(l.behind, c.records...)
		c.done(nil)
		return true
	})
}

// writeBatch adds records to the open segment, or to a new one if that is full.
// mu is held, but not during the write.
func (l *ledger) writeBatch(changes []*change, behind []record) error {
	batch := slices.Clone(behind)
	for _, c := range changes {
		batch = append(batch, c.records...)
	}
	var reserve *reservation
	if len(l.behind) == 0 && len(l.queue) == 0 && !l.closed { // otherwise somebody stays unnamed
		reserve = l.places.nextReservation()
	}
	if reserve != nil {
		batch = append(batch, record{Reserve: reserve})
	}
	if len(batch) == 0 {
		return nil
	}
	segment, open, records := l.segment, slices.Clone(l.open), l.records
	if records >= segmentRecords {
		segment, open, records = segment+1, nil, 0
	}
	open, err := l.putSegment(segment, open, batch)
	if err != nil {
		return err
	}
	l.segment, l.open, l.records = segment, open, records+len(batch)
	if reserve != nil {
		l.places.confirm(*reserve)
	}
	return nil
}

// putSegment stores what a segment has and batch; mu is held, but not meanwhile.
func (l *ledger) putSegment(segment int, has []byte, batch []record) (all []byte, err error) {
	l.mu.Unlock()
	defer l.mu.Lock()
	for _, r := range batch {
		line, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		has = append(append(has, line...), '\n')
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
	defer cancel()
	return has, l.store.Put(ctx, &logical.StorageEntry{Key: l.segmentKey(segment), Value: has})
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
	var reserved reservation
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
		if err := l.replay(entry.Value, &reserved); err != nil {
			return fmt.Errorf("the stored entry %q cannot be decoded", l.prefix()+key)
		}
	}
	return nil
}

// replay carries out the records of a segment. reserved is the reservation that
// stands.
func (l *ledger) replay(segment []byte, reserved *reservation) error {
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
			delete(l.unnamed, r.Hold.ID)
			l.sawReader(*r.Hold)
		case r.Release != "":
			delete(l.holders, r.Release)
			delete(l.unnamed, r.Release)
			l.released = true
		case r.Reserve != nil:
			l.replayReservation(*reserved, *r.Reserve)
			*reserved = *r.Reserve
		case r.Ending != nil:
			l.ending = *r.Ending
		}
	}
}

// erase closes the ledger and deletes it from storage, when the token is gone.
// A write that is under way is waited for: it would come back after the
// deletion.
func (l *ledger) erase(ctx context.Context) error {
	l.mu.Lock()
	l.closed, l.behind = true, nil
	l.hasten()
	writing := l.writing
	l.mu.Unlock()
	if writing != nil {
		select {
		case <-writing:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	keys, err := l.store.List(ctx, l.prefix())
	if err != nil {
		return err
	}
	// The token is dead, so it does not matter which segments a crash leaves.
	var group errgroup.Group
	group.SetLimit(deletionsAtOnce)
	for _, key := range keys {
		group.Go(func() error { return l.store.Delete(ctx, path.Join(l.prefix(), key)) })
	}
	return group.Wait()
}
