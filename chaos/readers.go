//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

// checkEvery is how often somebody who holds a token looks whether it lives.
const checkEvery = 150 * time.Millisecond

// usage is what a reader is going to do, as its random numbers say.
type usage struct {
	role string
	node int
	hold time.Duration
	keep bool // leaves the lease to Vault: it runs out, or is revoked at the end of the round
	back int  // the node through which it is given back

	patience time.Duration // how long the reader waits for the answer
}

// reader reads and holds until ctx ends.
func (w *world) reader(ctx, run context.Context, n int, rng *rand.Rand) {
	for wait(ctx, between(rng, 50*time.Millisecond, 1500*time.Millisecond)) {
		uses := []usage{w.nextUsage(rng)}
		if rng.IntN(5) == 0 { // a crowd reads the same role at the same time
			w.totals.add("crowds", 1)
			for range 2 + rng.IntN(6) {
				next := w.nextUsage(rng)
				next.role = uses[0].role
				uses = append(uses, next)
			}
		}
		var crowd sync.WaitGroup
		for _, use := range uses {
			crowd.Go(func() { w.use(ctx, run, n, use) })
		}
		crowd.Wait()
	}
}

// hurriedReader reads one role all the time, and gives the lease back at once, or keeps it if something is about to happen.
func (w *world) hurriedReader(ctx, run context.Context, n int, rng *rand.Rand) {
	var kept sync.WaitGroup
	defer kept.Wait()
	for wait(ctx, between(rng, time.Millisecond, 100*time.Millisecond)) {
		use := w.nextUsage(rng)
		use.role, use.keep, use.hold = hurriedRole, false, between(rng, time.Millisecond, 100*time.Millisecond)
		w.use(ctx, run, n, use)
		for wait(ctx, time.Millisecond) && w.inRush() {
			held := use // of its own for each goroutine
			held.keep, held.hold = true, time.Hour
			var reads sync.WaitGroup
			for range crowdSize {
				reads.Go(func() {
					l := w.read(run, n, held)
					kept.Go(func() { w.hold(ctx, run, l, held) })
				})
			}
			reads.Wait()
		}
	}
}

// rush lets the hurried readers read without a pause, so that what is about to happen meets some of them.
func (w *world) rush(ctx context.Context, rng *rand.Rand) {
	w.rushUntil.Store(time.Now().Add(time.Second).UnixNano())
	wait(ctx, between(rng, 200*time.Millisecond, 600*time.Millisecond))
}

func (w *world) inRush() bool { return time.Now().UnixNano() < w.rushUntil.Load() }

func (w *world) nextUsage(rng *rand.Rand) usage {
	use := usage{role: readRoles()[rng.IntN(len(readRoles()))], node: rng.IntN(nodeCount), back: rng.IntN(nodeCount), patience: callLimit}
	if rng.IntN(20) == 0 { // the reader gives up, often in the middle of the answer
		use.patience = time.Millisecond << rng.IntN(10)
	}
	kind := rng.IntN(100)
	if use.role == shortRole {
		kind += 35
	}
	switch {
	case kind < 45:
		use.hold = between(rng, 100*time.Millisecond, 3*time.Second)
	case kind < 85:
		use.hold = between(rng, 3*time.Second, 25*time.Second)
	default:
		use.hold, use.keep = time.Hour, true // as long as the lease
	}
	return use
}

// use is one lease: read, held, given back.
func (w *world) use(ctx, run context.Context, n int, use usage) {
	w.hold(ctx, run, w.read(run, n, use), use)
}

func (w *world) hold(ctx, run context.Context, l *lease, use usage) {
	if l == nil {
		return
	}
	until, tries := l.got.Add(use.hold), nodeCount
	for w.look(l) && time.Now().Before(until) && time.Now().Before(l.end) && wait(ctx, checkEvery) {
		if node, times, recalled := w.h.recalledTo(l); recalled {
			use.back, use.keep, tries = node, false, times
			break
		}
	}
	switch {
	case w.failure() != nil:
	case !time.Now().Before(l.end):
		w.totals.add("leases that ran out", 1)
	case use.keep:
	default:
		w.giveBack(run, l, use.back, tries)
	}
}

// read asks for a token; nil if there was none.
func (w *world) read(ctx context.Context, n int, use usage) *lease {
	ctx, cancel := context.WithTimeout(ctx, use.patience)
	defer cancel()
	sent := time.Now()
	answer, err := w.clients[use.node].Logical().ReadWithContext(ctx, "zoho/creds/"+use.role)
	got := time.Now()
	if err == nil && (answer == nil || answer.LeaseID == "") {
		err = errors.New("an answer without a lease")
	}
	switch outcomeOf(err) {
	case refused:
		w.totals.add("reads that Vault refused", 1)
		return nil
	case unclear:
		if use.patience < callLimit && errors.Is(err, context.DeadlineExceeded) {
			w.totals.add("reads whose reader gave up", 1)
		} else {
			w.totals.add("reads without an answer", 1)
		}
		w.h.addFailed(attempt{role: use.role, sent: sent, fail: got})
		w.h.note("reader %d got no answer of role %s through node %d, sent %s: %.120q", n, use.role, use.node+1, clock(sent), err.Error())
		return nil
	case done:
	}
	text := func(key string) string { return fmt.Sprint(answer.Data[key]) }
	l := &lease{
		reader: n, role: use.role, node: fmt.Sprintf("node%d", use.node+1), id: answer.LeaseID, requestID: answer.RequestID, tokenID: text("token_id"), token: text("access_token"),
		sent: sent, got: got, end: sent.Add(time.Duration(answer.LeaseDuration) * time.Second),
	}
	if l.expires, err = time.Parse(time.RFC3339, text("expires_at")); err != nil {
		w.fail("an answer has no expires_at: %v", err)
		return nil
	}
	l.mark = zohosim.Fingerprint(l.token)
	l.owner = w.ownerOf(l.mark)
	w.totals.add("leases", 1)
	w.h.addLease(l)
	if since, dead := w.h.deadBefore(l); dead {
		w.fail("rule 1: reader %d was given token %s (token_id %s) of role %s at %s, which was dead at %s, before the read was sent at %s\n%s",
			n, l.mark, l.tokenID, l.role, clock(got), clock(since), clock(sent), w.h.story(l.mark, l.sent.Add(-w.life), got, w.sim.Requests()))
	}
	return l
}

func (w *world) ownerOf(mark string) string {
	for _, token := range w.sim.Tokens() {
		if token.Fingerprint == mark {
			return token.Owner
		}
	}
	return ""
}

// look is rule 1: it reports whether it is worth looking again.
func (w *world) look(l *lease) bool {
	alive, at := w.sim.Alive(l.token), time.Now()
	w.totals.add("looks at a held token", 1)
	if alive || !at.Before(l.end) {
		return true
	}
	if excuse := w.h.excuse(l, at); excuse != "" {
		w.totals.add("held tokens ended by an operator's word", 1)
		w.h.note("reader %d sees that %s is dead, after %s", l.reader, l.mark, excuse)
		return false
	}
	w.h.note("reader %d sees that %s is DEAD", l.reader, l.mark)
	w.fail("rule 1: token %s (token_id %s) of role %s is dead at %s, and its lease ends at %s\n%s",
		l.mark, l.tokenID, l.role, clock(at), clock(l.end), w.h.story(l.mark, l.sent.Add(-w.life), at, w.sim.Requests()))
	return false
}

// giveBack revokes a lease, and waits for it, but leaves those of one role to Vault, which goes on by itself. What
// fails is left to the end of the round.
func (w *world) giveBack(ctx context.Context, l *lease, node, tries int) {
	w.h.beginGiveBack(l)
	sync := l.role != shortRole
	for try := range tries {
		switch _, err := w.write(ctx, (node+try)%nodeCount, "sys/leases/revoke", map[string]any{"lease_id": l.id, "sync": sync}); {
		case err == nil && sync:
			w.h.endGiveBack(l)
			w.totals.add("leases given back", 1)
			return
		case err == nil:
			w.totals.add("leases left to Vault to revoke", 1)
			return
		}
		w.totals.add("revocations that failed at first", 1)
		if !wait(ctx, time.Second) {
			return
		}
	}
}
