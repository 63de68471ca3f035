package backend

import (
	"context"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// failure is the latest failed mint, remembered so that retrying readers
// neither spend the budget nor break Zoho's silence. A throttle answer is
// remembered by the quota, anything else by the grant.
type failure struct {
	At      time.Time `json:"at"`
	Kind    zoho.Kind `json:"kind"`
	Code    string    `json:"code,omitempty"`
	Text    string    `json:"text"`
	RetryAt time.Time `json:"retry_at,omitzero"` // zero: not before the credential changes
	Seen    time.Time `json:"seen,omitzero"`     // of a throttle answer: when At was first seen in the future
	InARow  int       `json:"in_a_row"`
}

func (f *failure) isDefinite() bool { return f != nil && f.Kind.Definite() }

func (f *failure) isThrottle() bool { return f.Kind == zoho.Throttled }

// needsPerson: only somebody's consent brings a new refresh token.
func (f *failure) needsPerson() bool { return f.Kind == zoho.Refused }

// forbids reports whether Zoho must not be asked again yet.
func (f *failure) forbids(now time.Time, config *Config) bool {
	return f != nil && isWithin(now, f.retryAt(now), max(config.window(), longestBackoff))
}

func (f *failure) err() error {
	return &GrantError{Kind: f.Kind, Code: f.Code, Text: f.Text, RetryAt: f.RetryAt}
}

func newFailure(now time.Time, refused *zoho.Error, former *failure, config *Config) *failure {
	f := &failure{At: now, Kind: refused.Kind, Code: refused.Code, Text: refused.Error(), InARow: 1}
	if former != nil {
		f.InARow = former.InARow + 1
	}
	switch {
	case f.isThrottle():
		f.RetryAt = f.At.Add(config.RequestWindow)
	case !f.isDefinite():
		f.RetryAt = f.At.Add(backoff(f.InARow))
	}
	return f
}

// noteFailure remembers why there is no token, and returns it. A trial that is
// refused is not remembered: its credentials are not written either.
func (e *Engine) noteFailure(ctx context.Context, g *grant, q, requests *quota, config *Config, purpose mintPurpose, cause error) error {
	var refused *zoho.Error
	if !errors.As(cause, &refused) {
		return cause
	}
	grantRec, quotaRec := g.record(), requests.record()
	former := grantRec.Failure
	if refused.Kind == zoho.Throttled {
		former = quotaRec.Throttled
	}
	f := newFailure(e.now(), refused, former, config)
	err := e.updateQuota(ctx, q, func(rec *quotaRecord) { rec.latestRequest().Over = refused.NoToken() })
	if err == nil && f.isThrottle() {
		err = e.updateQuota(ctx, requests, func(rec *quotaRecord) { rec.Throttled = f })
	}
	if err == nil && !f.isThrottle() && (!purpose.trial || !f.isDefinite()) {
		err = e.updateGrant(ctx, g, func(rec *grantRecord) { rec.Failure = f })
	}
	if err == nil && f.isDefinite() && !grantRec.hasWorked() {
		err = e.countRefusal(ctx, purpose.role, config)
	}
	roles := e.rolesFor(ctx, g, purpose)
	e.tellFailure(g, f, former, roles, purpose.trial)
	e.log().Warn("could not mint an access token", "roles", roles, "grant", g.id, "kind", refused.Kind, "code", refused.Code, "http_status", refused.Status, "error", refused)
	if err != nil {
		return err
	}
	return f.err()
}
