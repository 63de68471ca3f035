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

// auditor is rule 8: it asks the engine again and again who holds a token, until ctx ends.
func (w *world) auditor(ctx context.Context, rng *rand.Rand) {
	for wait(ctx, between(rng, 100*time.Millisecond, 700*time.Millisecond)) {
		node, held := rng.IntN(nodeCount), w.h.held()
		if len(held) > 0 {
			w.audit(ctx, node, held[rng.IntN(len(held))])
		}
	}
}

// audit looks for the holders of a lease's token that the engine has forgotten. Counts alone would not
// show them: after a crash others are counted that are none any more.
func (w *world) audit(ctx context.Context, node int, l *lease) {
	sent := time.Now()
	named, unnamed, err := w.askHolders(ctx, node, l.tokenID)
	if outcomeOf(err) == unclear {
		return
	}
	w.totals.add("times that holders were compared", 1)
	now := time.Now()
	if w.h.excuse(l, now) != "" {
		return
	}
	known, forgotten := w.h.holders(l.tokenID, sent.Add(-stale), now), []string(nil)
	for _, other := range known {
		if !named[other.requestID] {
			forgotten = append(forgotten, fmt.Sprintf("reader %d, who got it at %s", other.reader, clock(other.got)))
		}
	}
	if len(forgotten) > unnamed {
		w.fail("rule 8: %d of the %d known holders of token %s are not known to the engine: %v; it knows %d by name, and %d without one (error: %v)\n%s",
			len(forgotten), len(known), l.mark, forgotten, len(named), unnamed, err, w.h.story(l.mark, l.sent.Add(-w.life), now, w.sim.Requests()))
	}
}

// askHolders asks the engine who holds a token: the requests of those whose names it knows, and how many others.
func (w *world) askHolders(ctx context.Context, node int, tokenID string) (named map[string]bool, unnamed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	named = map[string]bool{}
	answer, err := w.clients[node].Logical().ReadWithContext(ctx, "zoho/tokens/"+tokenID)
	if err != nil || answer == nil {
		return named, 0, err
	}
	holders, _ := answer.Data["holders"].([]any)
	for _, holder := range holders {
		if fields, ok := holder.(map[string]any); ok {
			named[fmt.Sprint(fields["request_id"])] = true
		}
	}
	unnamed, err = strconv.Atoi(fmt.Sprint(answer.Data["unnamed_count"]))
	return named, unnamed, err
}

// holders are those who hold a token since a moment at least, and still do at another.
func (h *history) holders(tokenID string, since, at time.Time) (known []*lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.leases {
		if l.tokenID == tokenID && l.got.Before(since) && l.backFrom.IsZero() && l.end.After(at.Add(time.Second)) {
			known = append(known, l)
		}
	}
	return known
}
