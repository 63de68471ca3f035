package quota

import "time"

// Claim is a request that somebody can make up who has nothing that works: the exchange of
// a grant code, or a mint with credentials that never worked. Zoho counts it for the client,
// whatever comes of it, so what one role can claim is less than what the client has.
type Claim struct {
	Role    string // for which it is made
	Code    bool   // it exchanges a grant code
	Guess   bool   // nothing has ever worked with the client's secret
	Readers bool   // the client has readers, for whom the reserve is kept
}

// What Zoho allows of grant codes, for one client, whatever the budget is. Of pages that
// disagree the strictest counts.
// Sources: four in a minute, and then ten minutes of silence: the OAuth FAQ of Zoho
// Projects. Ten in ten minutes: zoho.com/crm/developer/docs/api/v8/token-validity.html.
const (
	CodesInAMinute    = 4
	CodesInTenMinutes = 10
)

// RoleShare is how many claims a role has in a window.
func (l Limits) RoleShare() int { return max(1, min(l.Budget, CodesInTenMinutes)*3/10) }

// GuessShare is how many claims there are in a window for all secrets of a client that never
// worked. It is more than one role's, so that who guesses leaves some to who does not.
func (l Limits) GuessShare() int { return max(1, min(l.Budget, CodesInTenMinutes)/2) }

// bound is one limit of how many requests there may be in a time.
type bound struct {
	verdict Verdict
	most    int
	in      time.Duration
	counts  func(Request) bool
}

func (c Claim) bounds(limits Limits) []bound {
	every := func(Request) bool { return true }
	window := limits.countedFor()
	bounds := []bound{
		{Used, limits.Budget, window, every},
		{RoleUsed, limits.RoleShare(), window, func(sent Request) bool { return sent.ClaimOf == c.Role }},
	}
	if c.Readers {
		bounds = append(bounds, bound{Reserved, limits.Unreserved(), window, every})
	}
	if c.Guess {
		bounds = append(bounds, bound{GuessesUsed, limits.GuessShare(), window, func(sent Request) bool { return sent.Guess }})
	}
	if c.Code {
		isCode := func(sent Request) bool { return sent.Exchange }
		bounds = append(bounds,
			bound{CodesUsed, CodesInTenMinutes, 10*time.Minute + limits.Timeout, isCode},
			bound{CodesUsed, CodesInAMinute, time.Minute + limits.Timeout, isCode})
	}
	return bounds
}

// Claim decides whether a claim may be sent. Of several bounds that forbid it, the decision
// is the one that does so for longest: when it is over, the claim can be sent.
func (r *Record) Claim(now time.Time, limits Limits, c Claim) Decision {
	if r.Throttled.Forbids(now, limits) {
		return Decision{Verdict: Silent, Until: r.Throttled.Until(now), Silence: r.Throttled}
	}
	if c.Code && r.Denied.forbidsCodesOf(c.Role, now, limits) {
		return Decision{Verdict: Silent, Until: r.Denied.Until(now), Silence: r.Denied}
	}
	var decision Decision
	for _, b := range c.bounds(limits) {
		sent, free := r.sent(now, b.in, b.most, b.counts)
		if sent >= b.most && free.After(decision.Until) {
			decision = Decision{Verdict: b.verdict, Until: free, Most: b.most, In: b.in - limits.Timeout}
		}
	}
	return decision
}

// Deny notes that Zoho has denied the exchange of a code for a role, without a reason. That
// can mean too many requests, or that the person who consented has all the refresh tokens
// that Zoho allows. The second is that person's own affair: so twice for one role silences
// that role, and only the denial of another role's code silences the client.
func (r *Record) Deny(now time.Time, code, text, role string, limits Limits) {
	denied := NewSilence(now, code, text, nil, limits)
	denied.Role = role
	if former := r.Denied; former.Forbids(now, limits) {
		denied.InARow, denied.OthersDenied = former.InARow+1, former.OthersDenied || former.Role != role
	}
	r.Denied = denied
}

// forbidsCodesOf reports whether a denial forbids to exchange another code of a role.
func (s *Silence) forbidsCodesOf(role string, now time.Time, limits Limits) bool {
	return s.Forbids(now, limits) && s.InARow > 1 && (s.OthersDenied || s.Role == role)
}

// ForbidsMore reports whether the latest denial was one too many for its role.
func (s *Silence) ForbidsMore() bool { return s != nil && s.InARow > 1 }
