// Package clock says how far a stored time is believed. A server's clock can be wrong,
// and be set right later: what was stored meanwhile then has times in the future, or an
// end that is too far off. No such time is believed for longer than the thing can last.
package clock

import (
	"math"
	"time"
)

// Tolerance is how far the clocks of two nodes may be apart without any consequence: a
// new leader goes on with what the former one has stored.
const Tolerance = 5 * time.Second

// IsFuture reports whether a time was written by a clock that was ahead.
func IsFuture(now, t time.Time) bool { return t.After(now.Add(Tolerance)) }

// Elapsed is how long ago t was. A time in the future counts as very long ago.
func Elapsed(now, t time.Time) time.Duration {
	if IsFuture(now, t) {
		return math.MaxInt64
	}
	return now.Sub(t)
}

// IsWithin reports whether until is still to come, and no further off than longest,
// which is the longest that it can have been set ahead.
func IsWithin(now, until time.Time, longest time.Duration) bool {
	return until.After(now) && !IsFuture(now, until.Add(-longest))
}
