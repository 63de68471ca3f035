package backend

import (
	"context"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// needsPerson: only somebody's consent brings a new refresh token.
func needsPerson(f *refreshtoken.Failure) bool { return f != nil && zoho.Kind(f.Kind) == zoho.Refused }

// yieldsToTrial reports whether an operator who has looked at the credentials has them
// tried at once, and not only when readers may try them again.
func yieldsToTrial(f *refreshtoken.Failure) bool { return f != nil && (f.Definite || f.Doubtful) }

func failureError(f *refreshtoken.Failure) *GrantError {
	return &GrantError{Kind: zoho.Kind(f.Kind), Code: f.Code, Text: f.Text, RetryAt: f.RetryAt}
}

// failed is what package refreshtoken notes of a mint that brought nothing.
func (a *attempt) failed(refused *zoho.Error, now time.Time) refreshtoken.Failed {
	return refreshtoken.Failed{
		Failure: refreshtoken.Failure{
			At: now, Kind: int(refused.Kind), Code: refused.Code, Text: refused.Error(),
			Definite: refused.Kind.Definite(), Doubtful: refused.UnknownWord,
		},
		Grant: a.grant.id, Asked: a.asked, NoToken: refused.NoToken(), Trial: a.purpose.trial,
		Throttled: refused.Kind == zoho.Throttled, Limits: a.config.Limits(),
	}
}

// noteFailure remembers why there is no token, and returns it. A definite refusal of a
// trial is not stored: its credentials are not stored either.
func (e *Engine) noteFailure(ctx context.Context, a *attempt, cause error) error {
	g, purpose := a.grant, a.purpose
	refused, ok := errors.AsType[*zoho.Error](cause)
	if !ok {
		return cause
	}
	roles := e.rolesFor(ctx, g, purpose)
	e.log().Warn("could not mint an access token", "roles", roles, "grant", g.id, "kind", refused.Kind.String(), "code", refused.Code, "http_status", refused.Status, "error", refused)
	failed := a.failed(refused, e.now())
	if refused.Kind == zoho.Throttled {
		return e.noteThrottle(ctx, a, roles, failed)
	}
	if err := e.changeUsage(ctx, g.quotaID, func(u *refreshtoken.Usage) { u.Failed(failed) }); err != nil {
		return err
	}
	if (failed.Definite || failed.Doubtful) && !a.hasWorked() {
		if err := e.countRefusal(ctx, purpose.role, a.config); err != nil {
			return err
		}
	}
	after := failed.After(a.own.Grants[g.id])
	e.reportFailure(g, failureError(after), roles, needsPerson(after) && !purpose.trial && !needsPerson(a.own.Grants[g.id].Failure))
	return failureError(after)
}

// noteThrottle remembers that Zoho has throttled, where the requests count.
func (e *Engine) noteThrottle(ctx context.Context, a *attempt, roles []string, failed refreshtoken.Failed) error {
	own := failed
	if a.isApart() {
		own.Grant, own.Throttled = "", false
	}
	if err := e.changeUsage(ctx, a.grant.quotaID, func(u *refreshtoken.Usage) { u.Failed(own) }); err != nil {
		return err
	}
	if err := e.changeApart(ctx, a, func(u *refreshtoken.Usage) {
		apart := failed
		apart.Grant, apart.NoToken = "", true // its request has been counted without a token
		u.Failed(apart)
	}); err != nil {
		return err
	}
	u, err := e.usage(ctx, a.requestsID)
	if err != nil {
		return err
	}
	throttled := &GrantError{Kind: zoho.Throttled, Code: failed.Code, Text: failed.Text}
	if u.Quota.Throttled != nil {
		throttled = silenceError(u.Quota.Throttled, e.now())
	}
	e.reportFailure(a.grant, throttled, roles, false)
	return throttled
}
