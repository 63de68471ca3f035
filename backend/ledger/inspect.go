package ledger

// Pending is what a ledger has not written yet, for tests and for whoever looks for a
// ledger that cannot write.
type Pending struct {
	Changes  int  // that wait for the writer
	Writing  bool // the writer runs, or waits for its pause to end
	Deciding int  // callers who wait for the decision to end the token to be stored
	Closed   bool // the token is gone, and nothing is written any more
}

// Pending tells what the ledger has not written yet.
func (l *Ledger) Pending() Pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := Pending{Changes: len(l.queue) + len(l.deferred), Writing: l.writing != nil, Closed: l.closed}
	if l.decision != nil {
		p.Deciding = l.decision.waiting
	}
	return p
}
