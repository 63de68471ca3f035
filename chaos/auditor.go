//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// stale is how old what a node answers may be: one that was frozen, or is being cut off, answers from its memory until
// it notices that it is not the active one any more.
const stale = 10 * time.Second

// auditor is rule 8: it asks the engine again and again how many hold a token, until ctx ends.
func (w *world) auditor(ctx context.Context, rng *rand.Rand) {
	for wait(ctx, between(rng, 100*time.Millisecond, 700*time.Millisecond)) {
		node, held := rng.IntN(nodeCount), w.h.held()
		if len(held) == 0 {
			continue
		}
		l := held[rng.IntN(len(held))]
		limited, cancel := context.WithTimeout(ctx, callLimit)
		sent := time.Now()
		answer, err := w.clients[node].Logical().ReadWithContext(limited, "zoho/tokens/"+l.tokenID)
		cancel()
		if outcomeOf(err) == unclear {
			continue
		}
		counted := 0
		if err == nil && answer != nil {
			if counted, err = strconv.Atoi(fmt.Sprint(answer.Data["holder_count"])); err != nil {
				w.fail("tokens/%s has no holder_count: %v", l.tokenID, err)
				return
			}
		}
		w.totals.add("times that holders were counted", 1)
		if w.h.excuse(l, time.Now()) != "" {
			continue
		}
		if known := w.h.holders(l.tokenID, sent.Add(-stale), time.Now()); counted < known {
			w.fail("rule 8: the engine counts %d holders of token %s, and %d are known (answer: %v, error: %v)\n%s", counted, l.mark, known, answer != nil, err,
				w.h.story(l.mark, l.sent.Add(-w.life), time.Now(), w.sim.Requests()))
		}
	}
}

// holders counts who holds a token since a moment at least, and still does at another.
func (h *history) holders(tokenID string, since, at time.Time) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.leases {
		if l.tokenID == tokenID && l.got.Before(since) && l.backFrom.IsZero() && l.end.After(at.Add(time.Second)) {
			n++
		}
	}
	return n
}
