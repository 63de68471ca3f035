package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// maxBatch bounds a commit, in bytes. It applies twice: to the changes for which a caller
// waits, and to those for which nobody waits. With what the segment has before, an entry stays below
// 300 KiB. Vault's raft storage takes 1 MiB, and Consul's half of that.
const maxBatch = 128 << 10

// A write for which nobody waits follows the one before after pauseTimes the time that
// one took, so naming the holders costs storage at most a twentieth of its time. The bounds
// keep what a crash leaves in doubt small, and the writes of a fast storage few beside
// Vault's own.
const (
	pauseTimes    = 20
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
)

// pauseAfter is the pause after a write that took so long.
func pauseAfter(took time.Duration) time.Duration {
	return min(max(pauseTimes*took, shortestPause), longestPause)
}

// change is what one caller wants written. The decision to end a token may have
// several who wait for it.
type change struct {
	records []record
	size    int           // in bytes, at most
	undo    func()        // takes the change out of memory; called with mu held
	written chan struct{} // closed when it is written, or could not be
	err     error         // of the write; to be read when written is closed
	waiting int           // guarded by the ledger's mu
	place   int           // of a holder; 0: the change is something else
}

// newChange returns a change that has an error already if it is one that no
// write would ever take.
func (l *Ledger) newChange(records ...record) *change {
	c := &change{records: records, written: make(chan struct{})}
	alone, err := segment{}.with(l.places.series, records)
	if c.size, c.err = len(alone.text), err; err == nil && c.size > maxBatch {
		c.err = fmt.Errorf("a token's ledger takes no record of %d bytes", c.size)
	}
	return c
}

// done tells everybody who waits.
func (c *change) done(err error) {
	if err != nil {
		c.undo()
	}
	c.err = err
	close(c.written)
}

// commitLimit bounds the time of one commit.
const commitLimit = 20 * time.Second

// commitLocked queues a change for the writer.
func (l *Ledger) commitLocked(c *change) {
	if c.err == nil && !l.startWriterLocked() {
		c.err = l.options.Closed
	}
	if c.err != nil {
		c.done(c.err)
		return
	}
	l.queue = append(l.queue, c)
	l.endPauseLocked()
}

// deferLocked leaves a change to the writer. One that no write
// would take is dropped, since it would keep back all those that come after it.
func (l *Ledger) deferLocked(c *change) {
	switch {
	case l.closed:
	case c.err != nil:
		l.options.Log().Error("dropped what storage can never take of a token's holders", "token_id", l.options.TokenID, "error", c.err)
	default:
		l.deferred = append(l.deferred, c)
		l.startWriterLocked()
	}
}

// Flush gives what could not be written, and for which nobody waits, another try.
func (l *Ledger) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mustWriteLocked() {
		l.startWriterLocked()
	}
}

// mustWriteLocked reports whether there is something to write.
func (l *Ledger) mustWriteLocked() bool {
	return len(l.queue) > 0 || !l.closed && (len(l.deferred) > 0 || l.places.isOpen())
}

// startWriterLocked reports whether a writer runs.
func (l *Ledger) startWriterLocked() bool {
	if l.writing == nil && l.options.Go(l.write) {
		l.writing = make(chan struct{})
	}
	return l.writing != nil
}

// write empties the queue: what has gathered while one write ran goes into the
// next one together, and what nobody waits for with it, or else at a measured
// pace. It runs under no caller's context, since several callers share a write.
func (l *Ledger) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		close(l.writing)
		l.writing = nil
	}()
	if l.isPauseOverLocked() {
		l.places.arrivals = 0
	}
	for failed := false; l.mustWriteLocked() && (len(l.queue) > 0 || !failed); {
		l.pauseLocked()
		changes, deferred := fitting(l.queue), fitting(l.deferred)
		l.queue, l.deferred = l.queue[len(changes):], l.deferred[len(deferred):]
		began := l.options.Now()
		err := l.writeBatchLocked(changes, deferred)
		l.writePause = l.options.After(pauseAfter(l.options.Now().Sub(began)))
		if failed = err != nil; failed {
			l.deferred = append(slices.Clone(deferred), l.deferred...)
		}
		// The last change is undone first, so that each finds what it left.
		for _, c := range slices.Backward(changes) {
			c.done(err)
		}
		l.completeReservedLocked()
	}
}

// fitting returns as many changes, from the first on, as one commit takes: one
// at least, if there are any.
func fitting(changes []*change) []*change {
	room := maxBatch
	for i, c := range changes {
		if room -= c.size; room < 0 && i > 0 {
			return changes[:i]
		}
	}
	return changes
}

// completeReservedLocked lets those wait no longer who have come during a write and whose places
// it has reserved.
func (l *Ledger) completeReservedLocked() {
	l.queue = slices.DeleteFunc(l.queue, func(c *change) bool {
		if c.place == 0 || !l.places.isReserved(c.place) {
			return false
		}
		l.deferred = append(l.deferred, c)
		c.done(nil)
		return true
	})
}

// writeBatchLocked adds records to the open segment, or to a new one if that is full.
// The lock is released during the write.
func (l *Ledger) writeBatchLocked(changes, deferred []*change) error {
	var batch []record
	for _, c := range slices.Concat(deferred, changes) {
		batch = append(batch, c.records...)
	}
	var reserve *reservation
	if len(l.deferred) == 0 && len(l.queue) == 0 && !l.closed { // otherwise somebody stays unnamed
		reserve = l.places.nextReservation()
	}
	if reserve != nil {
		batch = append(batch, record{reserve: reserve})
	}
	if len(batch) == 0 {
		return nil
	}
	open := l.open
	if len(open.text) >= fullSegment {
		open = segment{number: open.number + 1}
	}
	open, err := l.putSegmentLocked(open, batch)
	if err != nil {
		return err
	}
	l.open = open
	if slices.Contains(changes, l.decision) {
		l.endingIn = open.number
	}
	if reserve != nil {
		l.places.confirm(*reserve)
	}
	return nil
}

// putSegmentLocked stores a segment with more records. The lock is released meanwhile.
func (l *Ledger) putSegmentLocked(s segment, batch []record) (segment, error) {
	series := l.places.series
	l.mu.Unlock()
	defer l.mu.Lock()
	s, err := s.with(series, batch)
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
	defer cancel()
	return s, l.options.Storage.Put(ctx, &logical.StorageEntry{Key: l.segmentKey(s.number), Value: s.text})
}

// pauseLocked waits until the next write is due; at once if somebody waits for it. mu
// is held, but not during the wait.
func (l *Ledger) pauseLocked() {
	if len(l.queue) > 0 || l.closed || l.isPauseOverLocked() {
		return
	}
	select {
	case <-l.wake: // by somebody who has been served since
	default:
	}
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-l.writePause:
	case <-l.wake:
	case <-l.options.Closing:
	}
}

// isPauseOverLocked reports whether the pause after the latest write is over, and notes
// that it is.
func (l *Ledger) isPauseOverLocked() bool {
	select {
	case <-l.writePause:
		l.writePause = nil
	default:
	}
	return l.writePause == nil
}

// endPauseLocked ends a pause.
func (l *Ledger) endPauseLocked() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
