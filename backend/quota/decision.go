package quota

import "time"

// Verdict is whether a token request may be sent.
type Verdict int

// The verdicts: see the package comment.
const (
	Go       Verdict = iota
	Silent           // Zoho has throttled
	Used             // the budget is used up
	Reserved         // what is left of the budget is kept for readers who have no token
	Full             // one token more, and Zoho would kill one that somebody holds

	// Of a Claim:

	RoleUsed    // the role has had its share
	GuessesUsed // secrets that never worked have had theirs
	CodesUsed   // the client has exchanged as many codes as Zoho allows
)

// Decision is what may be done now.
type Decision struct {
	Verdict Verdict
	Until   time.Time // when it makes sense to ask again; zero with Go
	Silence *Silence  // with Silent
	Live    int       // with Full: how many tokens may be alive
	End     []Ending  // with Go: the tokens that have to be ended before

	// Of a Claim: what has been reached.

	Most int
	In   time.Duration
}

// Ending is a token that has to be ended.
type Ending struct {
	Token string // token_id

	// MustDie: an older token is held, so it does not suffice that nobody gets this one
	// any more: Zoho would kill the older one first. It has to be dead at Zoho.
	MustDie bool
}

// Request decides whether a token request may be sent, as far as requests go.
func (r *Record) Request(now time.Time, limits Limits) Decision {
	if r.Throttled.Forbids(now, limits) {
		return Decision{Verdict: Silent, Until: r.Throttled.Until(now), Silence: r.Throttled}
	}
	if used, free := r.used(now, limits, limits.Budget); used >= limits.Budget {
		return Decision{Verdict: Used, Until: free}
	}
	if used, free := r.used(now, limits, limits.Unreserved()); used >= limits.Unreserved() {
		return Decision{Verdict: Reserved, Until: free}
	}
	return Decision{}
}

// Room decides whether one more token may live, beside at most room-1 others. At the cap
// Zoho silently kills the oldest token of a quota, which may only be one that nobody
// holds. A request whose outcome is unknown counts as a token that may live.
//
// So it goes from the oldest on: what nobody holds is ended, so that no reader gets a
// token that Zoho is about to kill; the first one that is held must not be reached by
// the eviction. After that only tokens that are dead at Zoho make room.
//
// known reports whether there is a token of a token_id, and whether somebody holds it.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html.
func (r *Record) Room(now time.Time, limits Limits, room int, known func(tokenID string) (exists, held bool)) Decision {
	live := r.Live(now)
	missing := len(live) + 1 - room
	var decision Decision
	var oldestHeld *Request
	for i, sent := range live {
		if missing <= 0 {
			break
		}
		exists, held := known(sent.Token)
		switch {
		case !exists && oldestHeld == nil:
			missing--
		case !exists:
		case held && oldestHeld == nil:
			oldestHeld = &live[i]
		case held:
		default:
			decision.End = append(decision.End, Ending{Token: sent.Token, MustDie: oldestHeld != nil})
			missing--
		}
	}
	if missing <= 0 {
		return decision
	}
	full := Decision{Verdict: Full, Until: now.Add(limits.Timeout), Live: len(live)}
	if oldestHeld != nil {
		full.Until = oldestHeld.until(now)
	}
	return full
}
