package quota

import "time"

// MaxLife is how long Zoho's access tokens live.
const MaxLife = time.Hour

// Limits are what Zoho allows of one quota, as an operator has written them.
type Limits struct {
	Budget  int           // token requests in Window
	Window  time.Duration // and how long to wait after Zoho has throttled
	Timeout time.Duration // of one request
	MaxLive int           // live access tokens
}

// countedFor is how long a request counts: a timeout longer than Zoho's window, because a
// request can reach Zoho that much later than it was counted here.
func (l Limits) countedFor() time.Duration { return l.Window + l.Timeout }

// Reserve is the part of the budget that is kept for readers who have no token.
func (l Limits) Reserve() int { return min(max(1, l.Budget*3/10), l.Budget-1) }

// Unreserved is the rest of the budget.
func (l Limits) Unreserved() int { return l.Budget - l.Reserve() }

// UnreservedLive is how many tokens may live when none of those readers waits.
func (l Limits) UnreservedLive() int { return l.MaxLive - l.MaxLive*3/10 }

// LongestBackoff is the longest pause after failures that may pass.
const LongestBackoff = 2 * time.Minute

// Backoff is how long Zoho is left alone after n failures in a row that may pass. It
// reaches two minutes, so an outage of any length costs about the budget at the most,
// and is noticed to be over soon.
func Backoff(n int) time.Duration {
	const first = 4 * time.Second
	return min(first<<min(n-1, 10), LongestBackoff)
}

// LongestDoubt is the longest pause after answers of which nobody knows whether they
// pass.
const LongestDoubt = 30 * time.Minute

// Doubt is how long Zoho is left alone after n of them in a row. It grows as fast as
// Backoff, from a minute on: if it was an outage, it is noticed to be over after as long
// again at the most, and if it is for good, it costs two requests an hour.
func Doubt(n int) time.Duration { return min(time.Minute<<min(n-1, 10), LongestDoubt) }
