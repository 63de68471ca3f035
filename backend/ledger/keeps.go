package ledger

import (
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// Keeps is for how long a role wants the token kept when a lease of it has ended, by
// role: the next reader gets it then. A role that is not in it does not. The ledger has
// when leases ended, and no delay, so a delay that is changed counts at once.
type Keeps map[string]time.Duration

// keptUntilLocked is until when the token is kept if nobody holds it; zero if it is not.
// The longest of the roles counts, as if each lease of theirs were that much longer.
func (l *Ledger) keptUntilLocked(now time.Time, keeps Keeps) (until time.Time) {
	for role, keep := range keeps {
		left := l.roles[role]
		if !left.IsZero() && clock.Elapsed(now, left) < keep && left.Add(keep).After(until) {
			until = left.Add(keep)
		}
	}
	return until
}

func (l *Ledger) isKeptLocked(now time.Time, keeps Keeps) bool {
	return !l.keptUntilLocked(now, keeps).IsZero()
}

// KeptUntil is when the token ends if nobody comes; zero if it is held, or not kept.
func (l *Ledger) KeptUntil(now time.Time, keeps Keeps) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isIdleLocked() {
		return time.Time{}
	}
	return l.keptUntilLocked(now, keeps)
}
