package refreshtoken

import (
	"maps"
	"slices"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/quota"
)

// Usage is what Zoho counts together - for one refresh token, or for one client - with the
// state of the grants that draw on it.
type Usage struct {
	Quota    quota.Record         `json:"-"`
	Grants   map[string]Grant     `json:"g,omitempty"` // by their fingerprint: of the client's ID and secret, or of a client_credentials grant
	Misdated map[string]time.Time `json:"m,omitempty"` // access tokens that a wrong clock dated, and when that was seen: nobody gets them
}

// Grant is the state of one grant.
type Grant struct {
	Current   string    `json:"t,omitempty"` // token_id; one without an entry counts as none
	LastMint  time.Time `json:"m,omitzero"`  // zero: these credentials never worked
	Failure   *Failure  `json:"f,omitempty"` // of the latest mint; nil after a success, or when an operator has it tried again
	Refusal   *Failure  `json:"r,omitempty"` // the latest definite one; nil after a success
	APIDomain string    `json:"d,omitempty"` // for answers that omit it
	Scopes    []string  `json:"s,omitempty"` // likewise
}

// Failure is why the latest mint gave no access token.
type Failure struct {
	At       time.Time `json:"a"`
	Kind     int       `json:"k"`           // as package zoho has them
	Code     string    `json:"c,omitempty"` // Zoho's error word
	Text     string    `json:"t,omitempty"`
	RetryAt  time.Time `json:"r,omitzero"` // zero: not before somebody changes something
	InARow   int       `json:"n,omitempty"`
	Definite bool      `json:"d,omitempty"` // asking again changes nothing
	Doubtful bool      `json:"u,omitempty"` // nobody knows whether it passes
}

func (u Usage) clone() Usage {
	return Usage{Quota: u.Quota.Clone(), Grants: maps.Clone(u.Grants), Misdated: maps.Clone(u.Misdated)}
}

// Counts reports whether an access token counts among the living.
func (u *Usage) Counts(tokenID string) bool {
	return tokenID != "" && slices.ContainsFunc(u.Quota.Requests, func(sent quota.Request) bool { return sent.Token == tokenID && !sent.NoLiveToken })
}

// TokenIDs names the access tokens that count among the living.
func (u *Usage) TokenIDs() (ids []string) {
	for _, sent := range u.Quota.Requests {
		if sent.Token != "" && !sent.NoLiveToken {
			ids = append(ids, sent.Token)
		}
	}
	return ids
}

// IsMisdated reports whether a wrong clock dated an access token.
func (u *Usage) IsMisdated(tokenID string) bool { return !u.Misdated[tokenID].IsZero() }

// Keeps reports whether an access token is kept although nobody leases it. Any other one is
// ended if nobody leases it and the turn is free: it was superseded, or a crash came between
// its entry and the record. The record is not created for that.
func (u *Usage) Keeps(tokenID string) bool {
	return u != nil && u.Counts(tokenID) && !u.IsMisdated(tokenID) &&
		slices.ContainsFunc(slices.Collect(maps.Values(u.Grants)), func(g Grant) bool { return g.Current == tokenID })
}

// change changes a grant, and forgets others if they are too many.
func (u *Usage) change(id string, change func(*Grant)) {
	g := u.Grants[id]
	change(&g)
	if u.Grants == nil {
		u.Grants = make(map[string]Grant)
	}
	u.Grants[id] = g
	u.forget(id, func(g Grant) bool { return g.LastMint.IsZero() })
	u.forget(id, func(g Grant) bool { return !g.LastMint.IsZero() })
}

// forget keeps the latest MaxGrants of the grants that match and have no current token, and
// the one that was just changed.
func (u *Usage) forget(changed string, matches func(Grant) bool) {
	var ids []string
	for id, g := range u.Grants {
		if g.Current == "" && id != changed && matches(g) {
			ids = append(ids, id)
		}
	}
	if len(ids) < MaxGrants {
		return
	}
	slices.SortFunc(ids, func(a, b string) int {
		if order := u.Grants[b].latest().Compare(u.Grants[a].latest()); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	for _, id := range ids[MaxGrants-1:] {
		delete(u.Grants, id)
	}
}

// latest is when the grant was used last.
func (g Grant) latest() time.Time {
	if g.Failure != nil && g.Failure.At.After(g.LastMint) {
		return g.Failure.At
	}
	return g.LastMint
}

// Succeeded takes up the access token that came of a request.
func (u *Usage) Succeeded(m Minted) {
	u.Quota.Succeeded(m.Asked, m.TokenID, m.Life, m.Limits)
	u.change(m.Grant, func(g *Grant) {
		g.LastMint, g.Failure, g.Refusal = m.Asked, nil, nil
		g.APIDomain, g.Scopes = cut(m.APIDomain, maxWord), cutList(m.Scopes)
		if !m.Exclusive {
			g.Current = m.TokenID
		}
	})
}

// Failed takes up that a request brought no access token.
func (u *Usage) Failed(f Failed) {
	u.Quota.Failed(f.Asked, f.NoToken)
	switch {
	case f.Throttled:
		u.Quota.Throttled = quota.NewSilence(f.At, cut(f.Code, maxWord), cut(f.Text, maxText), u.Quota.Throttled, f.Limits)
	case f.Grant == "" || f.Trial && f.Definite: // the credentials of a trial are not stored either
	default:
		u.change(f.Grant, func(g *Grant) { g.fails(f) })
	}
}

// After is the failure as it is noted for a grant, which was as given before.
func (f Failed) After(g Grant) *Failure {
	g.fails(f)
	return g.Failure
}

func (g *Grant) fails(f Failed) {
	failure := &f.Failure
	failure.Code, failure.Text, failure.InARow, failure.RetryAt = cut(f.Code, maxWord), cut(f.Text, maxText), 1, time.Time{}
	if g.Failure != nil {
		failure.InARow = g.Failure.InARow + 1
	}
	switch {
	case f.Definite:
		g.Refusal = failure
	case f.Doubtful:
		failure.RetryAt = f.At.Add(quota.Doubt(failure.InARow))
	default:
		failure.RetryAt = f.At.Add(quota.Backoff(failure.InARow))
	}
	g.Failure = failure
}

// Ended takes an access token out that is dead, and reports whether that changes anything.
func (u *Usage) Ended(tokenID string) (changed bool) {
	if u.Counts(tokenID) {
		u.Quota.Ended(tokenID)
		changed = true
	}
	if u.IsMisdated(tokenID) {
		delete(u.Misdated, tokenID)
		changed = true
	}
	return u.retract(tokenID) || changed
}

// Forgive lets Zoho be asked again although it has refused a grant's credentials. Until that
// has succeeded, the access tokens that were minted before are in doubt.
func (u *Usage) Forgive(grant string) {
	if u.Grants[grant].Failure != nil {
		u.change(grant, func(g *Grant) { g.Failure = nil })
	}
}

// Misdate takes up that a wrong clock dated an access token, whose own entry is never
// rewritten. It lives for those who hold it.
func (u *Usage) Misdate(tokenID string, now time.Time) {
	if u.Misdated == nil {
		u.Misdated = make(map[string]time.Time)
	}
	u.Misdated[tokenID] = now
	u.retract(tokenID)
}

// retract makes an access token nobody's current one.
func (u *Usage) retract(tokenID string) (changed bool) {
	for id, g := range u.Grants {
		if g.Current == tokenID && tokenID != "" {
			g.Current = ""
			u.Grants[id] = g
			changed = true
		}
	}
	return changed
}

// isNeedless reports whether nothing counts any more.
func (u *Usage) isNeedless(now time.Time, limits quota.Limits) bool {
	return u.Quota.IsNeedless(now, limits, 0)
}

// normalise corrects times that a wrong clock wrote: one in the future becomes now. The
// requests keep theirs, and the moment in which that was seen: if it was the clock of that
// moment that was wrong, they count.
func (u *Usage) normalise(now time.Time) {
	u.Quota.SeeFuture(now)
	for id, g := range u.Grants {
		g.LastMint = notAfter(now, g.LastMint)
		g.Failure, g.Refusal = g.Failure.normalised(now), g.Refusal.normalised(now)
		u.Grants[id] = g
	}
	for id, seen := range u.Misdated {
		u.Misdated[id] = notAfter(now, seen)
		if clock.Elapsed(now, seen) > 2*quota.MaxLife && !u.Counts(id) {
			delete(u.Misdated, id)
		}
	}
}

func (f *Failure) normalised(now time.Time) *Failure {
	if f == nil {
		return nil
	}
	c := *f
	longest := quota.LongestBackoff
	if f.Doubtful {
		longest = quota.LongestDoubt
	}
	c.At, c.RetryAt = notAfter(now, f.At), notBeyond(now, f.RetryAt, longest)
	return &c
}

// Forbids reports whether Zoho must not be asked again yet.
func (f *Failure) Forbids(now time.Time) bool {
	return f != nil && (f.Definite || f.RetryAt.After(now))
}
