package tokenserver

import (
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
)

// A Lease is one reading of creds/<role>.
type Lease struct {
	ID        string
	Role      string
	Token     secret.Value
	TokenID   string
	TokenType string
	APIDomain string

	warning  string // with which Vault has answered
	readAt   time.Time
	duration time.Duration // from readAt on; nobody may use the token for longer
	promised time.Time     // until when callers were told that the token is good; zero: nobody was
	unwanted bool          // to be given back as soon as Vault takes it
}

// maxMargin is how much sooner than it ends a token is said to end, for the time
// that an answer and a last request of the caller are under way.
const maxMargin = 10 * time.Second

func (l *Lease) margin() time.Duration { return min(maxMargin, l.duration/20) }

// left is how long the lease lasts. A machine that was suspended has stopped
// one of its two clocks, and a clock that was set has moved the other; the one
// that says that more time has passed is believed.
func (l *Lease) left(now time.Time) time.Duration {
	passed := max(now.Sub(l.readAt), now.Round(0).Sub(l.readAt.Round(0)))
	return l.duration - passed
}

// promise notes until when a caller was told that the token is good.
func (l *Lease) promise(until time.Time) {
	if until.After(l.promised) {
		l.promised = until
	}
}

func (l *Lease) end() time.Time { return l.readAt.Add(l.duration) }

// expiresIn is what a caller is told at most: the whole seconds that are left, less the
// margin.
func (l *Lease) expiresIn(now time.Time) int {
	return int((l.left(now) - l.margin()) / time.Second)
}

// isUsable reports whether a caller can do anything with the token.
func (l *Lease) isUsable(now time.Time) bool { return l != nil && l.expiresIn(now) >= 1 }

// isShort reports whether a caller should rather get another token.
func (l *Lease) isShort(now time.Time) bool { return l.left(now) < l.duration/10 }

const (
	// maxUntilRead is the longest that a lease is not read again. That is how long it
	// takes to see that its token was revoked by an operator: leases and tokens are
	// shared, so reading often is cheap.
	maxUntilRead = 5 * time.Minute
	maxRetry     = 30 * time.Second
	minRetry     = time.Second
)

// untilRead is when a lease is read again after it was read: a little after half
// of it, because by then the engine has minted the next token. spread, between 0
// and 1, keeps many servers from asking at the same moment.
func (l *Lease) untilRead(spread float64) time.Duration {
	longest := min(l.duration*6/10, maxUntilRead)
	return longest - time.Duration(float64(longest)*0.15*spread)
}

// untilRetry is when a reading that failed is tried again.
func (l *Lease) untilRetry(now time.Time, spread float64) time.Duration {
	longest := max(minRetry, min(l.left(now)/8, maxRetry))
	return longest - time.Duration(float64(longest)*0.15*spread)
}
