package backend

import (
	"context"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// failure is the latest failed mint of a grant, remembered so that retrying readers do
// not spend the budget. A throttle answer is remembered by the quota: see quota.Silence.
type failure struct {
	At      time.Time `json:"at"`
	Kind    zoho.Kind `json:"kind"`
	Code    string    `json:"code,omitempty"`
	Text    string    `json:"text"`
	RetryAt time.Time `json:"retry_at,omitzero"` // zero: not before the credential changes
	InARow  int       `json:"in_a_row"`
	// Doubtful: nobody knows whether it passes; see zoho.Error.UnknownWord.
	Doubtful bool `json:"doubtful,omitempty"`
}

func (f *failure) isDefinite() bool { return f != nil && f.Kind.Definite() }

// needsPerson: only somebody's consent brings a new refresh token.
func (f *failure) needsPerson() bool { return f != nil && f.Kind == zoho.Refused }

// yieldsToTrial reports whether an operator who has looked at the credentials has them
// tried at once, and not only when readers may try them again.
func (f *failure) yieldsToTrial() bool { return f.isDefinite() || f != nil && f.Doubtful }

// forbids reports whether Zoho must not be asked again yet. A time that a wrong clock
// wrote forbids nothing.
func (f *failure) forbids(now time.Time) bool {
	if f == nil || clock.IsFuture(now, f.At) {
		return false
	}
	longest := quota.LongestBackoff
	if f.Doubtful {
		longest = quota.LongestDoubt
	}
	return clock.IsWithin(now, f.RetryAt, longest)
}

func (f *failure) err() *GrantError {
	return &GrantError{Kind: f.Kind, Code: f.Code, Text: f.Text, RetryAt: f.RetryAt}
}

// The transitions of a grant's record that a mint causes. Others are retract, and
// refuseOthers of a deauthorization.

// succeeded notes the access token that was minted.
func (rec *grantRecord) succeeded(t *token) {
	rec.LastMint, rec.Failure, rec.Refusal = t.rec.IssuedAt, nil, nil
	rec.APIDomain, rec.Scopes = t.rec.APIDomain, t.rec.Scopes
	if !t.rec.Exclusive {
		rec.Current = t.rec.ID
	}
}

// failed notes why no access token was minted.
func (rec *grantRecord) failed(now time.Time, refused *zoho.Error) {
	f := &failure{At: now, Kind: refused.Kind, Code: refused.Code, Text: refused.Error(), InARow: 1}
	if rec.Failure != nil {
		f.InARow = rec.Failure.InARow + 1
	}
	switch f.Doubtful = refused.UnknownWord; {
	case f.isDefinite():
	case f.Doubtful:
		f.RetryAt = now.Add(quota.Doubt(f.InARow))
	default:
		f.RetryAt = now.Add(quota.Backoff(f.InARow))
	}
	rec.fails(f)
}

// fails notes the failure of the latest mint.
func (rec *grantRecord) fails(f *failure) {
	rec.Failure = f
	if f.isDefinite() {
		rec.Refusal = f
	}
}

// forgiven lets Zoho be asked again although it has refused the credentials. Until that
// has succeeded, the tokens that were minted before are in doubt.
func (rec *grantRecord) forgiven() { rec.Failure = nil }

// noteFailure remembers why there is no token, and returns it. A definite refusal of a
// trial is not stored: its credentials are not stored either.
func (e *Engine) noteFailure(ctx context.Context, a *attempt, cause error) error {
	g, purpose := a.grant, a.purpose
	refused, ok := asError[*zoho.Error](cause)
	if !ok {
		return cause
	}
	roles := e.rolesFor(ctx, g, purpose)
	e.log().Warn("could not mint an access token", "roles", roles, "grant", g.id, "kind", refused.Kind.String(), "code", refused.Code, "http_status", refused.Status, "error", refused)
	if err := e.updateQuota(ctx, a.q, func(rec *quota.Record) { rec.Failed(refused.NoToken()) }); err != nil {
		return err
	}
	if refused.Kind == zoho.Throttled {
		return e.noteThrottle(ctx, a, roles, refused)
	}
	former := g.record()
	after := former
	after.failed(e.now(), refused)
	if !purpose.trial || !refused.Kind.Definite() {
		if err := e.updateGrant(ctx, g, func(rec *grantRecord) { rec.fails(after.Failure) }); err != nil {
			return err
		}
	}
	if (refused.Kind.Definite() || refused.UnknownWord) && !former.hasWorked() {
		if err := e.countRefusal(ctx, purpose.role, a.config); err != nil {
			return err
		}
	}
	e.reportFailure(g, after.Failure.err(), roles, after.Failure.needsPerson() && !purpose.trial && !former.Failure.needsPerson())
	return after.Failure.err()
}

// noteThrottle remembers that Zoho has throttled, where the requests count.
func (e *Engine) noteThrottle(ctx context.Context, a *attempt, roles []string, refused *zoho.Error) error {
	rec := a.requests.record()
	silence := quota.NewSilence(e.now(), refused.Code, refused.Error(), rec.Throttled, a.config.limits())
	if err := e.updateQuota(ctx, a.requests, func(rec *quota.Record) { rec.Throttled = silence }); err != nil {
		return err
	}
	e.reportFailure(a.grant, silenceError(silence, e.now()), roles, false)
	return silenceError(silence, e.now())
}
