package quota

import (
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// Silence is a throttle answer of Zoho's, after which it is asked nothing for a while.
type Silence struct {
	At      time.Time `json:"at"`
	Code    string    `json:"code,omitempty"` // Zoho's error word
	Text    string    `json:"text"`
	RetryAt time.Time `json:"retry_at"`
	Seen    time.Time `json:"seen,omitzero"` // when At was first seen in the future
	InARow  int       `json:"in_a_row"`

	// Of the denial of a grant code: see Record.Deny.

	Role         string `json:"role,omitempty"`
	OthersDenied bool   `json:"others_denied,omitempty"` // in this row, a code of another role was denied as well
}

// NewSilence is the silence after a throttle answer; former is the one before it, nil
// for none.
func NewSilence(now time.Time, code, text string, former *Silence, limits Limits) *Silence {
	s := &Silence{At: now, Code: code, Text: text, RetryAt: now.Add(limits.Window), InARow: 1}
	if former != nil {
		s.InARow = former.InARow + 1
	}
	return s
}

// Forbids reports whether Zoho must not be asked again yet.
func (s *Silence) Forbids(now time.Time, limits Limits) bool {
	return s != nil && clock.IsWithin(now, s.Until(now), limits.countedFor())
}

// Until is when the silence is over; zero if a wrong clock wrote that.
func (s *Silence) Until(now time.Time) time.Time {
	switch {
	case !clock.IsFuture(now, s.At):
		return s.RetryAt
	case s.Seen.IsZero() || clock.IsFuture(now, s.Seen):
		return time.Time{}
	default:
		return s.Seen.Add(s.RetryAt.Sub(s.At))
	}
}

// at is when Zoho has throttled, as far as that is known: see seenInFuture.
func (s *Silence) at() time.Time {
	if !s.Seen.IsZero() && s.Seen.Before(s.At) {
		return s.Seen
	}
	return s.At
}

// seenInFuture is s, with the moment in which its time was first seen in the future.
func (s *Silence) seenInFuture(now time.Time) *Silence {
	if s == nil || !clock.IsFuture(now, s.At) || !s.Seen.IsZero() && !clock.IsFuture(now, s.Seen) {
		return s
	}
	seen := *s
	seen.Seen = now
	return &seen
}
