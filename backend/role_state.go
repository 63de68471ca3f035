package backend

import (
	"context"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/quota"
)

// GrantState is what an operator sees of a grant at a glance.
type GrantState string

// The states of a grant.
const (
	StateNeverTried    GrantState = "never tried"
	StateChanged       GrantState = "not tried since the credentials changed" // it has worked with others
	StateReady         GrantState = "ready"
	StateThrottled     GrantState = "throttled"
	StateOutOfBudget   GrantState = "out of budget" // there is no token for a reader, and the budget allows no request
	StateRefused       GrantState = "refused"
	StateUnreachable   GrantState = "unreachable"
	StateDeauthorized  GrantState = "deauthorized"   // its refresh token was given up
	StateConsentFailed GrantState = "consent failed" // it has nothing to mint from, since the latest authorization has failed
	StateBroken        GrantState = "broken"         // the role's stored entry cannot be decoded
)

// unauthorizedState is the state of a role that has nothing to mint from; last is its
// latest authorization, or nil.
func (r *Role) unauthorizedState(last *LastConsent) GrantState {
	switch {
	case last != nil && last.State == ConsentFailed:
		return StateConsentFailed
	case r.Deauthorized != nil:
		return StateDeauthorized
	default:
		return StateNeverTried
	}
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
// says it granted. last is the role's latest authorization, or nil.
func (e *Engine) roleState(ctx context.Context, r *Role, config *Config, last *LastConsent) (state GrantState, granted []string, err error) {
	if !r.IsAuthorized() {
		return r.unauthorizedState(last), nil, nil
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
	switch state {
	case StateReady:
	case StateNeverTried:
		worked, err := e.hasWorkedBefore(ctx, r, q)
		if err != nil {
			return state, retryAt, err
		}
		if worked {
			state = StateChanged
		}
	default:
		return state, retryAt, nil
	}
	if retryAt, err = e.outOfBudget(ctx, r, config, g, q, requests); !retryAt.IsZero() {
		state = StateOutOfBudget
	}
	return state, retryAt, err
}

// hasWorkedBefore reports whether a role whose present credentials have minted nothing has
// worked with former ones: a refresh token is the same with another secret of the client. Of
// client_credentials only the living access tokens tell.
func (e *Engine) hasWorkedBefore(ctx context.Context, r *Role, q *quotaRecord) (bool, error) {
	if r.GrantType == GrantTypeRefreshToken {
		return q.record().HasWorked, nil
	}
	live, err := e.liveTokens(ctx, q)
	for _, t := range live {
		if slices.Contains(ledger.Roles(t.ledger.Readership()), r.Name) {
			return true, nil
		}
	}
	return false, err
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
