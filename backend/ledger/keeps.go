package ledger

import (
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// Keeps is for how long a role wants the token kept when a lease of it has ended, by
// role: the next reader gets it then. A role that is not in it does not. The ledger has
// when leases ended, and no delay, so a delay that is changed counts at once.
type Keeps map[string]time.Duration

// isKeptLocked reports whether the token is kept if nobody holds it. The longest of the
// roles counts, as if each lease of theirs were that much longer.
func (l *Ledger) isKeptLocked(now time.Time, keeps Keeps) bool {
	for role, keep := range keeps {
		if left := l.roles[role]; !left.IsZero() && clock.Elapsed(now, left) < keep {
			return true
		}
	}
	return false
}
