//go:build unix

package main

import (
	"context"
	"time"
)

// watchEvery is short, so that it is seen early that a token is dead.
const watchEvery = 20 * time.Millisecond

// watcher looks at every token that was handed out, also when nobody holds it any more, until ctx ends.
func (w *world) watcher(ctx context.Context) {
	for wait(ctx, watchEvery) {
		for mark, token := range w.h.living() {
			if !w.sim.Alive(token) {
				w.h.noteDead(mark)
			}
		}
	}
}

// living are the tokens, by mark, that nobody has seen dead.
func (h *history) living() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	living := map[string]string{}
	for _, l := range h.leases {
		if _, dead := h.dead[l.mark]; !dead {
			living[l.mark] = l.token
		}
	}
	return living
}

func (h *history) noteDead(mark string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead[mark] = time.Now()
	h.noteLocked("token %s is dead", mark)
}

// deadBefore reports whether a lease's token was dead before the read was sent, which only a restored
// snapshot excuses: what an operator ends is noted before Zoho is asked to end it.
func (h *history) deadBefore(l *lease) (since time.Time, dead bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since, dead = h.dead[l.mark]
	if !dead || !since.Before(l.sent) {
		return since, false
	}
	for _, a := range h.acts {
		if a.restore && a.excuses(l, l.got) {
			return since, false
		}
	}
	return since, true
}
