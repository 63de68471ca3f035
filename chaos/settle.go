//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

const (
	// endLimit is how long all leases may take to be revoked when everything is well.
	endLimit = 2 * time.Minute
	// quickGrace is for what goes on behind an answer.
	quickGrace = 5 * time.Second
	// tickGrace is for what the background work does, once a minute, which begins anew with each new active node.
	tickGrace = 75 * time.Second
)

// settle ends the round: all leases are revoked, and the rules are checked that hold then.
func (w *world) settle(ctx context.Context) error {
	if err := w.checkIrrevocable(ctx); err != nil { // before all are revoked, which ends irrevocable ones, too
		return err
	}
	if err := w.revokeAll(ctx); err != nil {
		return err
	}
	found, err := w.logs.look()
	if err != nil || len(found) > 0 {
		return errors.Join(err, errors.New(strings.Join(found, "\n")))
	}
	w.totals.set("log bytes searched", int(w.logs.bytes))
	w.totals.add("changes of the active node that nobody asked for", w.h.addChanges(w.logs.changes))
	if err := w.checkTheDead(ctx); err != nil {
		return err
	}
	return w.checkTraffic()
}

// revokeAll revokes all leases that are left, and waits until Vault has none.
func (w *world) revokeAll(ctx context.Context) error {
	for _, l := range w.h.held() {
		w.h.beginGiveBack(l)
	}
	w.h.note("operator revokes all leases")
	for begun := time.Now(); ; {
		left, err := w.revokeOnce(ctx)
		if left == 0 && err == nil {
			w.h.note("all leases are gone")
			return nil
		}
		w.h.note("%d leases are left: %v", left, err)
		if time.Since(begun) > endLimit || !wait(ctx, time.Second) {
			return fmt.Errorf("rule 5: %d leases are left %s after everything is well: %w\n%s", left, endLimit, err, w.h.story("", w.h.begun, time.Now(), w.sim.Requests()))
		}
	}
}

// revokeOnce revokes the leases of each role, and counts those that are left.
func (w *world) revokeOnce(ctx context.Context) (left int, err error) {
	for _, g := range w.grants {
		for _, role := range g.roles {
			_, failed := w.write(ctx, 0, "sys/leases/revoke-prefix/zoho/creds/"+role, map[string]any{"sync": true})
			n, alsoFailed := w.leasesOf(ctx, role)
			left, err = left+n, errors.Join(err, failed, alsoFailed)
		}
	}
	return left, err
}

func (w *world) leasesOf(ctx context.Context, role string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	answer, err := w.clients[0].Logical().ListWithContext(ctx, "sys/leases/lookup/zoho/creds/"+role)
	if err != nil || answer == nil {
		return 0, err
	}
	keys, _ := answer.Data["keys"].([]any)
	return len(keys), nil
}

func (w *world) checkIrrevocable(ctx context.Context) error {
	answer, err := w.clients[0].Logical().ReadWithDataWithContext(ctx, "sys/leases/count", map[string][]string{"type": {"irrevocable"}})
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(fmt.Sprint(answer.Data["lease_count"]))
	if err != nil {
		return err
	}
	if w.totals.add(irrevocable, n); n > 0 {
		return fmt.Errorf("rule 5: %d leases are irrevocable\n%s", n, w.h.story("", w.h.begun, time.Now(), nil))
	}
	return nil
}

// checkTheDead is rule 4.
func (w *world) checkTheDead(ctx context.Context) error {
	begun := time.Now()
	living := map[string]string{} // by mark; the token
	seen := map[string]bool{}
	for _, l := range w.h.leases {
		if !seen[l.mark] {
			seen[l.mark] = true
			w.totals.add("tokens handed out", 1)
			w.countEnd(l, living)
		}
	}
	for ; len(living) > 0; wait(ctx, 100*time.Millisecond) {
		for mark, token := range living {
			if !w.sim.Alive(token) {
				delete(living, mark)
				continue
			}
			grace := quickGrace
			if w.h.mayBeLate(mark, w.sim.Requests()) {
				grace = tickGrace
			}
			if time.Since(begun) > grace {
				changed, err := w.lastChange()
				if err != nil {
					return err
				}
				if changed.After(begun) { // the background work has begun anew
					begun = changed
					continue
				}
				if w.answersLost(ctx, mark) {
					w.h.note("%s may live until it expires: all who hold it hung up while their answer was on its way", mark)
					w.totals.add("tokens that lived on since an answer was lost", 1)
					delete(living, mark)
					continue
				}
				return fmt.Errorf("rule 4: token %s lives %s after all leases are gone\n%s", mark, grace, w.h.story(mark, w.h.begun, time.Now(), w.sim.Requests()))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// lastChange is when a node became the active one last.
func (w *world) lastChange() (at time.Time, err error) {
	found, err := w.logs.look()
	if err != nil || len(found) > 0 {
		return at, errors.Join(err, errors.New(strings.Join(found, "\n")))
	}
	for _, change := range w.logs.changes {
		if change.After(at) {
			at = change
		}
	}
	return at, nil
}

// countEnd sorts a token by how it ends, into living if it still has to.
func (w *world) countEnd(l *lease, living map[string]string) {
	why := ""
	if w.sim.Alive(l.token) {
		why = w.h.mayLive(l.mark)
	}
	switch {
	case !w.sim.Alive(l.token):
		return
	case why != "":
		w.h.note("%s may live until it expires: %s", l.mark, why)
		w.totals.add("tokens that lived on by the crash rule", 1)
	case w.h.isLost(l.mark):
		w.totals.add("tokens that a restored snapshot did not know", 1)
	default:
		w.totals.add("tokens that died after all leases were gone", 1)
		living[l.mark] = l.token
	}
}

func (w *world) tokenRequests(since time.Time) (n int) {
	for _, r := range w.sim.Requests() {
		if r.Endpoint == zohosim.EndpointToken && !r.Time.Before(since) {
			n++
		}
	}
	return n
}
