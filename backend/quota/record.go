package quota

import (
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// Record is what is known of one quota. Its methods that change it are its transitions;
// what they are called on must be a Clone of what others can see.
type Record struct {
	Requests  []Request `json:"requests,omitempty"`   // the oldest first
	Throttled *Silence  `json:"throttled,omitempty"`  // Zoho's latest throttle answer; nil after a success
	Denied    *Silence  `json:"denied,omitempty"`     // Zoho's latest "Access Denied" to a grant code, without a reason; nil after a success
	HasWorked bool      `json:"has_worked,omitempty"` // an access token was minted that counts here
}

// Request is one token request.
type Request struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`           // no token of it lives longer
	Token string    `json:"token,omitempty"` // token_id; empty if none is known to have come of it
	// NoLiveToken: it left no living token at Zoho, or that one has ended.
	NoLiveToken bool      `json:"over,omitempty"`
	Exchange    bool      `json:"exchange,omitempty"`   // it was the exchange of a grant code
	Seen        time.Time `json:"seen,omitzero"`        // when At was first seen in the future
	ReserveOf   string    `json:"reserve_of,omitempty"` // the role for whose readers it was taken from the reserve
	ClaimOf     string    `json:"claim_of,omitempty"`   // the role of the Claim that it was; empty: it was none
	Guess       bool      `json:"guess,omitempty"`      // see Claim
}

// at is when the request was sent. A time in the future says nothing, and the moment
// counts in which that was seen first. When it is past again, it was the clock of that
// moment that was wrong, and the time counts.
func (r Request) at(now time.Time) time.Time {
	switch {
	case !clock.IsFuture(now, r.At):
		return r.At
	case r.Seen.IsZero() || clock.IsFuture(now, r.Seen):
		return now
	default:
		return r.Seen
	}
}

// until is when no token of the request lives any longer.
func (r Request) until(now time.Time) time.Time { return r.at(now).Add(r.Until.Sub(r.At)) }

// Clone copies what a change would otherwise write through to the original.
func (r Record) Clone() Record {
	r.Requests = slices.Clone(r.Requests)
	return r
}

// Count counts a request that is about to be sent.
func (r *Record) Count(sent Request, limits Limits) {
	now := sent.At
	r.Requests = slices.DeleteFunc(r.Requests, func(old Request) bool {
		keep := limits.countedFor()
		if old.Exchange { // those have limits of their own
			keep = max(keep, MaxLife)
		}
		return !old.at(now).Add(keep).After(now) && (old.NoLiveToken || !old.until(now).After(now))
	})
	// A clock that is behind for a moment must not make it look old later.
	if last := len(r.Requests) - 1; last >= 0 && r.Requests[last].At.After(now) {
		sent.At, sent.Seen = r.Requests[last].At, now
	}
	sent.Until = sent.At.Add(MaxLife)
	r.Requests = append(r.Requests, sent)
}

// Succeeded notes the token that came of the request that was sent at asked, and for how long
// it can live at Zoho.
func (r *Record) Succeeded(asked time.Time, tokenID string, life time.Duration, limits Limits) {
	sent := r.unanswered(asked)
	if sent == nil { // the record was rebuilt meanwhile: what is handed out has to count
		r.Count(Request{At: asked}, limits)
		sent = r.unanswered(asked)
	}
	sent.Token, sent.Until = tokenID, sent.At.Add(life)
	r.EndSilence(sent.At)
	r.HasWorked = true
}

// Failed notes that no token is known to have come of a request; noToken is whether it is
// certain that none did.
func (r *Record) Failed(asked time.Time, noToken bool) {
	if sent := r.unanswered(asked); sent != nil {
		sent.NoLiveToken = noToken
	}
}

// unanswered finds the request that was sent at a time and whose answer is not known yet.
func (r *Record) unanswered(asked time.Time) *Request {
	for i := len(r.Requests) - 1; i >= 0; i-- {
		if sent := &r.Requests[i]; sent.Token == "" && !sent.NoLiveToken && (sent.At.Equal(asked) || sent.Seen.Equal(asked)) {
			return sent
		}
	}
	return nil
}

// EndSilence forgets that Zoho has throttled, after the success of a request that was sent
// later. One that was sent before says nothing of it: where requests are counted for a
// client, several can be under way.
func (r *Record) EndSilence(sent time.Time) {
	if r.Throttled != nil && r.Throttled.at().Before(sent) {
		r.Throttled = nil
	}
}

// Ended notes that Zoho no longer counts a token among the living.
func (r *Record) Ended(tokenID string) {
	for i := range r.Requests {
		if r.Requests[i].Token == tokenID {
			r.Requests[i].NoLiveToken = true
		}
	}
}

// SeeFuture notes of all times in the future when that was seen first.
func (r *Record) SeeFuture(now time.Time) {
	for i, sent := range r.Requests {
		if clock.IsFuture(now, sent.At) && (sent.Seen.IsZero() || clock.IsFuture(now, sent.Seen)) {
			r.Requests[i].Seen = now
		}
	}
	r.Throttled, r.Denied = r.Throttled.seenInFuture(now), r.Denied.seenInFuture(now)
}

// Live returns the requests that may have left a living token, the oldest first.
func (r *Record) Live(now time.Time) []Request {
	var live []Request
	for _, sent := range r.Requests {
		if !sent.NoLiveToken && sent.until(now).After(now) {
			live = append(live, sent)
		}
	}
	return live
}

// Left is how many requests may still be made in the window. If it is none, free is
// when there is one again.
func (r *Record) Left(now time.Time, limits Limits) (left int, free time.Time) {
	used, free := r.used(now, limits, limits.Budget)
	return limits.Budget - used, free
}

// used counts the requests in the window, up to limit.
func (r *Record) used(now time.Time, limits Limits, limit int) (used int, free time.Time) {
	return r.sent(now, limits.countedFor(), limit, func(Request) bool { return true })
}

func (r *Record) sent(now time.Time, window time.Duration, limit int, matches func(Request) bool) (sent int, free time.Time) {
	for _, request := range slices.Backward(r.Requests) {
		leaves := request.at(now).Add(window)
		if !leaves.After(now) || !matches(request) {
			continue
		}
		if sent++; sent >= limit {
			return sent, leaves
		}
	}
	return sent, time.Time{}
}

// hasTakenReserve reports whether a request of the window was taken from the reserve for
// the readers of a role.
func (r *Record) hasTakenReserve(role string, now time.Time, limits Limits) bool {
	return slices.ContainsFunc(r.Requests, func(sent Request) bool {
		return sent.ReserveOf == role && sent.at(now).Add(limits.countedFor()).After(now)
	})
}

// IsNeedless reports whether the record tells nothing that matters, also not to what has
// begun less than settled ago.
func (r *Record) IsNeedless(now time.Time, limits Limits, settled time.Duration) bool {
	keep := max(limits.countedFor(), MaxLife) + settled
	for _, sent := range r.Requests {
		if now.Sub(sent.at(now)) <= keep {
			return false
		}
	}
	return !r.Throttled.Forbids(now, limits) && !r.Denied.Forbids(now, limits)
}
