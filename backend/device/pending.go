package device

import (
	"encoding/json"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/secret"
)

const (
	// Life is how long a person has to type the code and agree, whatever Zoho's answer says.
	// Source: zoho.com/accounts/protocol/oauth/devices/initiation-request.html.
	Life = 5 * time.Minute

	// leastInterval is the time between two polls that Zoho's documentation demands. Its
	// initiation answers 5 s, and the longer one counts.
	// Source: zoho.com/accounts/protocol/oauth/devices/polling-request.html.
	leastInterval = 30 * time.Second

	// slower is what a slow_down adds.
	// Source: RFC 8628, section 3.5; Zoho's pages name no number.
	slower = 5 * time.Second

	// margin is for the difference between when a poll is sent and when it arrives.
	margin = time.Second

	// lastMoment is how long before the end the last poll is sent.
	lastMoment = 3 * time.Second

	// shortest is the first pause, before which nobody can have typed a code.
	shortest = 5 * time.Second
)

// Pending is a consent for which a person has a user code.
type Pending struct {
	Code      secret.Value  // the device code
	BegunAt   time.Time     // before Zoho was asked
	ExpiresAt time.Time     // at most Life later
	Interval  time.Duration // between two polls
	NextPoll  time.Time     // no poll before that

	// Unanswered is when the latest poll was sent whose answer is not known; zero: none. It may
	// have given a refresh token.
	Unanswered time.Time
}

// pendingEntry is a Pending as it is stored.
type pendingEntry struct {
	Code       string        `json:"device_code"`
	BegunAt    time.Time     `json:"begun_at"`
	ExpiresAt  time.Time     `json:"expires_at"`
	Interval   time.Duration `json:"interval"`
	NextPoll   time.Time     `json:"next_poll"`
	Unanswered time.Time     `json:"unanswered,omitzero"`
}

// MarshalJSON is for storage, which Vault encrypts: it reveals the device code.
func (p Pending) MarshalJSON() ([]byte, error) {
	return json.Marshal(pendingEntry{p.Code.Reveal(), p.BegunAt, p.ExpiresAt, p.Interval, p.NextPoll, p.Unanswered})
}

// UnmarshalJSON reads what MarshalJSON has written.
func (p *Pending) UnmarshalJSON(stored []byte) error {
	var e pendingEntry
	if err := json.Unmarshal(stored, &e); err != nil {
		return err
	}
	*p = Pending{secret.New(e.Code), e.BegunAt, e.ExpiresAt, e.Interval, e.NextPoll, e.Unanswered}
	return nil
}

// Begin is a consent whose code Zoho has given. interval and life are what Zoho answered; zero
// means that it did not say.
func Begin(code secret.Value, asked time.Time, interval, life time.Duration) Pending {
	if life <= 0 || life > Life {
		life = Life
	}
	first := min(max(interval, shortest), Life)
	return Pending{
		Code: code, BegunAt: asked, ExpiresAt: asked.Add(life).Truncate(time.Second),
		Interval: min(max(interval, leastInterval), Life), NextPoll: asked.Add(first),
	}
}

// IsOver reports whether the time to agree has ended. An end that is further off than Life was
// written by a wrong clock, and counts as over.
func (p Pending) IsOver(now time.Time) bool { return !clock.IsWithin(now, p.ExpiresAt, Life) }

// Due reports whether Zoho may be asked. A time that is further off than a poll can be was
// written by a wrong clock.
func (p Pending) Due(now time.Time) bool {
	return !p.NextPoll.After(now) || !clock.IsWithin(now, p.NextPoll, Life)
}

// Wait is how long it takes until something has to be done: a poll, or the end.
func (p Pending) Wait(now time.Time) time.Duration {
	return min(max(p.NextPoll.Sub(now), margin), Life)
}

// Ask is the consent as it has to be stored before a poll that may take as long as timeout. If
// nothing is heard of it, nobody asks again before Zoho allows it.
func (p Pending) Ask(now time.Time, timeout time.Duration) Pending {
	p.Unanswered = now
	return p.next(now.Add(timeout + p.Interval + margin))
}

// Answered is the consent after a poll that nobody has agreed to yet. slowDown is whether Zoho
// said that it came too early.
func (p Pending) Answered(now time.Time, slowDown bool) Pending {
	if slowDown {
		p.Interval = min(p.Interval+slower, Life)
	}
	p.Unanswered = time.Time{}
	return p.next(now.Add(p.Interval + margin))
}

// Failed is the consent after a poll that Zoho has not answered in order. noToken is whether it
// certainly gave nothing; until is how long Zoho is left alone; zero: as after any poll.
func (p Pending) Failed(now time.Time, noToken bool, until time.Time) Pending {
	lost := p.Unanswered
	p = p.Answered(now, false)
	if !noToken {
		p.Unanswered = lost
	}
	return p.Postponed(until)
}

// Postponed is the consent without a poll before a time.
func (p Pending) Postponed(until time.Time) Pending {
	if p.NextPoll.Before(until) {
		return p.next(until)
	}
	return p
}

// next sets when the next poll may be; after the end there is none. The last one is put off until
// just before the end: who agrees in the last half minute is not too late.
func (p Pending) next(at time.Time) Pending {
	last := p.ExpiresAt.Add(-lastMoment)
	switch {
	case at.After(p.ExpiresAt):
		at = p.ExpiresAt
	case at.Before(last) && at.Add(p.Interval+margin).After(p.ExpiresAt):
		at = last
	}
	p.NextPoll = at
	return p
}
