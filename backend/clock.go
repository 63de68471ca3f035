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

// isOfWrongClock reports whether a wrong clock wrote when the token was minted.
// How long it lives is not known then, so nobody gets it any more, also when its
// times look right again later.
func (t *token) isOfWrongClock(now time.Time) bool {
	if t.isInFuture(now) {
		t.ofWrongClock.Store(true)
	}
	return t.ofWrongClock.Load()
}

func (t *token) isInFuture(now time.Time) bool {
	return isFuture(now, t.rec.IssuedAt) || t.rec.ExpiresAt.Sub(now) > zoho.MaxLife+clockTolerance
}

// isOver reports whether the token has expired. While its times are in the future
// they say nothing, and it is over a token's life after that was seen. When they are
// past again, it was the clock of that moment that was wrong, and they count.
func (t *token) isOver(now time.Time) bool {
	if !t.isInFuture(now) || t.rec.SeenInFuture.IsZero() {
		return !t.rec.ExpiresAt.After(now)
	}
	return !isFuture(now, t.rec.SeenInFuture) && now.Sub(t.rec.SeenInFuture) >= zoho.MaxLife
}

// at is when the request was sent. A time in the future says nothing, and the
// moment counts in which that was seen first. When it is past again, it was the clock
// of that moment that was wrong, and the time counts.
func (r request) at(now time.Time) time.Time {
	switch {
	case !isFuture(now, r.At):
		return r.At
	case r.Seen.IsZero() || isFuture(now, r.Seen):
		return now
	default:
		return r.Seen
	}
}

// until is when no token of the request lives any longer.
func (r request) until(now time.Time) time.Time { return r.at(now).Add(r.Until.Sub(r.At)) }

// seeFuture notes of all times in the future when that was seen first.
func (q *quota) seeFuture(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rec = q.rec.clone()
	for i, r := range q.rec.Requests {
		if isFuture(now, r.At) && (r.Seen.IsZero() || isFuture(now, r.Seen)) {
			q.rec.Requests[i].Seen = now
		}
	}
	if f := q.rec.Throttled; f != nil && isFuture(now, f.At) && (f.Seen.IsZero() || isFuture(now, f.Seen)) {
		seen := *f
		seen.Seen = now
		q.rec.Throttled = &seen
	}
}

// retryAt is until when Zoho is to be left alone; zero if a wrong clock wrote that.
func (f *failure) retryAt(now time.Time) time.Time {
	switch {
	case !isFuture(now, f.At):
		return f.RetryAt
	case f.Seen.IsZero() || isFuture(now, f.Seen):
		return time.Time{}
	default:
		return f.Seen.Add(f.RetryAt.Sub(f.At))
	}
}
