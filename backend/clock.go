package backend

import (
	"math"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// A server's clock can be wrong, and be set right later. What was stored
// meanwhile then has times in the future, or an end that is too far off. No such
// time is believed for longer than the thing can last.

// clockTolerance is how far the clocks of two nodes may be apart without any
// consequence: a new leader goes on with what the former one has stored.
const clockTolerance = 5 * time.Second

func isFuture(now, t time.Time) bool { return t.After(now.Add(clockTolerance)) }

// elapsed is how long ago t was. A time in the future was written by a wrong
// clock, and counts as very long ago.
func elapsed(now, t time.Time) time.Duration {
	if isFuture(now, t) {
		return math.MaxInt64
	}
	return now.Sub(t)
}

// isWithin reports whether until is still to come, and no further off than
// longest, which is the longest that it can have been set ahead.
func isWithin(now, until time.Time, longest time.Duration) bool {
	return until.After(now) && !isFuture(now, until.Add(-longest))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// isOfWrongClock reports whether a wrong clock wrote when the token was minted.
// How long it lives is not known then, so nobody gets it any more, also when its
// times look right again later.
func (t *token) isOfWrongClock(now time.Time) bool {
	if isFuture(now, t.rec.IssuedAt) || t.rec.ExpiresAt.Sub(now) > zoho.MaxLife+clockTolerance {
		t.ofWrongClock.Store(true)
	}
	return t.ofWrongClock.Load()
}

// correct takes what a wrong clock has written of requests for something of this
// moment: the requests were sent, and nobody knows when.
func (q *quota) correct(now time.Time, config *Config) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rec = q.rec.clone()
	for i, r := range q.rec.Requests {
		if isFuture(now, r.At) {
			q.rec.Requests[i].At = now
		}
		q.rec.Requests[i].Until = earlier(r.Until, now.Add(zoho.MaxLife+2*margin))
	}
	for i, at := range q.rec.Refusals {
		if isFuture(now, at) {
			q.rec.Refusals[i] = now
		}
	}
	if f := q.rec.Throttled; f != nil {
		corrected := *f
		corrected.RetryAt = earlier(f.RetryAt, now.Add(config.RequestWindow))
		q.rec.Throttled = &corrected
	}
}
