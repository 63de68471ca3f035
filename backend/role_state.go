package backend

import (
	"context"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
)

// GrantState is what an operator sees of a grant at a glance.
type GrantState string

// The states of a grant.
const (
	StateNeverTried   GrantState = "never tried"
	StateReady        GrantState = "ready"
	StateThrottled    GrantState = "throttled"
	StateOutOfBudget  GrantState = "out of budget" // there is no token for a reader, and the budget allows no request
	StateRefused      GrantState = "refused"
	StateUnreachable  GrantState = "unreachable"
	StateDeauthorized GrantState = "deauthorized" // its refresh token was given up
	StateBroken       GrantState = "broken"       // the role's stored entry cannot be decoded
)

// unauthorizedState is the state of a role that has nothing to mint from.
func (r *Role) unauthorizedState() GrantState {
	if r.Deauthorized != nil {
		return StateDeauthorized
	}
	return StateNeverTried
}

// errUnauthorized is what the readers of such a role get.
func (r *Role) errUnauthorized() error {
	const ways = "send a person to the address that this answers: vault write -f <mount>/roles/%s/authorize - or write code or refresh_token to the role"
	if r.Deauthorized == nil {
		return userErrorf("role %q has no refresh token yet: "+ways, r.Name, r.Name)
	}
	return userErrorf("role %q has no refresh token any more: it was deauthorized at %s, and its status tells by whom. To use it again, "+ways, r.Name, r.Deauthorized.At.UTC().Format(time.RFC3339), r.Name)
}

// roleState tells how the latest mint for a role's grant went, and which scopes Zoho
// says it granted.
func (e *Engine) roleState(ctx context.Context, r *Role, config *Config) (state GrantState, granted []string, err error) {
	if !r.IsAuthorized() {
		return r.unauthorizedState(), nil, nil
	}
	g, err := e.grantOf(ctx, r, config)
	if isClientMoved(err) {
		return StateRefused, nil, nil // a read says so in full
	}
	if err != nil {
		return "", nil, err
	}
	q, requests, err := e.quotasOf(ctx, g, config)
	if err != nil {
		return "", nil, err
	}
	state, _, err = e.grantState(ctx, r, config, g, q, requests)
	return state, g.record().Scopes, err
}

// grantState is the state of a role's grant. If that is out of budget, retryAt is when it
// is no longer.
func (e *Engine) grantState(ctx context.Context, r *Role, config *Config, g *grant, q, requests *quotaRecord) (state GrantState, retryAt time.Time, err error) {
	state = g.state(q, requests, e.now(), config.limits())
	if state != StateReady {
		return state, retryAt, nil
	}
	if retryAt, err = e.outOfBudget(ctx, r, config, g, q, requests); !retryAt.IsZero() {
		state = StateOutOfBudget
	}
	return state, retryAt, err
}

// state tells how the latest mint went. Zoho may have throttled either quota: see quotasOf.
func (g *grant) state(q, requests *quotaRecord, now time.Time, limits quota.Limits) GrantState {
	switch rec := g.record(); {
	case rec.isRefused():
		return StateRefused
	case rec.latestSilence(q, requests, now, limits) != nil:
		return StateThrottled
	case rec.Failure != nil:
		return StateUnreachable
	case !rec.hasWorked():
		return StateNeverTried
	default:
		return StateReady
	}
}

// isRefused reports whether Zoho's latest answer was that it does not take the
// credentials.
func (rec grantRecord) isRefused() bool {
	return rec.Failure.isDefinite() || rec.Failure == nil && rec.Refusal != nil
}

// latestSilence is Zoho's latest throttle answer; nil if there is none, or if it is over and
// the latest mint has failed since, in another way.
func (rec grantRecord) latestSilence(q, requests *quotaRecord, now time.Time, limits quota.Limits) *quota.Silence {
	latest := requests.record().Throttled
	if own := q.record().Throttled; latest == nil || own != nil && own.At.After(latest.At) {
		latest = own
	}
	if latest != nil && !latest.Forbids(now, limits) && rec.Failure != nil && !latest.At.After(rec.Failure.At) {
		return nil
	}
	return latest
}
