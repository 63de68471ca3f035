package quota

import (
	"slices"
	"time"
)

// Quotas are where the token requests of one grant count. An operator says which with
// count_requests_per; nothing else decides by it.
type Quotas struct {
	Own      *Record // in which the grant's access tokens live
	Requests *Record // Own, or the client's where Zoho counts all requests for the client
}

// Mint is a request for an access token.
type Mint struct {
	// Waiting names the roles whose readers have no token that their role's own min_ttl
	// accepts, and whose credentials have worked: the reserve is kept for them.
	Waiting []string

	// Alone reports whether no other role whose requests count with those of one has ever got
	// a token.
	Alone func(role string) bool

	// Claim is set if the credentials never worked and their requests count for a client.
	Claim *Claim
}

// Mint decides whether Zoho may be asked for an access token, and as what the request has to
// be counted.
func (q Quotas) Mint(now time.Time, limits Limits, m Mint) (Decision, Request) {
	if s := q.Own.Throttled; s.Forbids(now, limits) {
		return Decision{Verdict: Silent, Until: s.Until(now), Silence: s}, Request{}
	}
	if m.Claim != nil {
		return q.Requests.Claim(now, limits, *m.Claim), Request{ClaimOf: m.Claim.Role, Guess: m.Claim.Guess}
	}
	decision := q.Requests.Request(now, limits)
	if decision.Verdict == Reserved {
		if role := q.reserveRole(now, limits, m); role != "" {
			return Decision{}, Request{ReserveOf: role}
		}
	}
	return decision, Request{}
}

// reserveRole picks the role for whose readers a request is taken from the reserve; empty if
// there is none. In one window a role has one of them, unless it is alone. So nobody who reads
// one role uses up what is kept for others.
func (q Quotas) reserveRole(now time.Time, limits Limits, m Mint) string {
	for _, role := range m.Waiting {
		if !q.Requests.hasTakenReserve(role, now, limits) {
			return role
		}
	}
	if i := slices.IndexFunc(m.Waiting, m.Alone); i >= 0 {
		return m.Waiting[i]
	}
	return ""
}

// Silence is Zoho's latest throttle answer, to the grant's requests or to the client's; nil if
// there is none.
func (q Quotas) Silence() *Silence {
	own, all := q.Own.Throttled, q.Requests.Throttled
	if all == nil || own != nil && own.At.After(all.At) {
		return own
	}
	return all
}
