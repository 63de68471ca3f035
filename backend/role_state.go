package backend

import (
	"context"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
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
func unauthorizedState(r *settings.Role, last *LastConsent) GrantState {
	switch {
	case last != nil && last.State.HasFailed():
		return StateConsentFailed
	case r.Deauthorized != nil:
		return StateDeauthorized
	default:
		return StateNeverTried
	}
}

// roleState tells how the latest mint for a role's grant went, and which scopes Zoho
// says it granted. last is the role's latest authorization, or nil.
func (e *Engine) roleState(ctx context.Context, r *settings.Role, config *settings.Config, last *LastConsent) (state GrantState, granted []string, err error) {
	if !r.IsAuthorized() {
		return unauthorizedState(r, last), nil, nil
	}
	g, err := e.grantOf(r, config)
	if settings.IsClientMoved(err) {
		return StateRefused, nil, nil // a read says so in full
	}
	if err != nil {
		return "", nil, err
	}
	seen, err := e.seeGrant(ctx, g, config)
	if err != nil {
		return "", nil, err
	}
	state, _, err = e.grantState(ctx, r, config, seen)
	return state, seen.state.Scopes, err
}

// seenGrant is what decides about the state of a grant.
type seenGrant struct {
	*grant
	usages
	state   refreshtoken.Grant
	silence *quota.Silence // see latestSilence
	ending  error          // the end of the refresh token is decided; nil: it is not
}

func (e *Engine) seeGrant(ctx context.Context, g *grant, config *settings.Config) (*seenGrant, error) {
	record, err := e.record(ctx, g.quotaID)
	if err != nil {
		return nil, err
	}
	s := &seenGrant{grant: g, ending: endingError(record)}
	if s.usages, err = e.usagesOf(ctx, g.quotaID, e.requestsID(g, config), e.usage); err != nil {
		return nil, err
	}
	s.state = s.own.Grants[g.id]
	s.silence = s.latestSilence(e.now(), config.Limits())
	return s, nil
}

// grantState is the state of a role's grant. If that is out of budget, retryAt is when it
// is no longer.
func (e *Engine) grantState(ctx context.Context, r *settings.Role, config *settings.Config, seen *seenGrant) (state GrantState, retryAt time.Time, err error) {
	switch state = seen.stateNow(); state {
	case StateReady:
	case StateNeverTried:
		worked, err := e.hasWorkedBefore(ctx, r, seen.own)
		if err != nil {
			return state, retryAt, err
		}
		if worked {
			state = StateChanged
		}
	default:
		return state, retryAt, nil
	}
	if retryAt, err = e.outOfBudget(ctx, r, config, seen); !retryAt.IsZero() {
		state = StateOutOfBudget
	}
	return state, retryAt, err
}

// hasWorkedBefore reports whether a role whose present credentials have minted nothing has
// worked with former ones: a refresh token is the same with another secret of the client. Of
// client_credentials only the living access tokens tell.
func (e *Engine) hasWorkedBefore(ctx context.Context, r *settings.Role, own *refreshtoken.Usage) (bool, error) {
	if r.GrantType == settings.GrantTypeRefreshToken {
		return own.Quota.HasWorked, nil
	}
	live, err := e.liveTokens(ctx, own)
	for _, t := range live {
		if slices.Contains(ledger.Roles(t.ledger.Readership()), r.Name) {
			return true, nil
		}
	}
	return false, err
}

// stateNow tells how the latest mint went.
func (s *seenGrant) stateNow() GrantState {
	switch {
	case s.ending != nil, s.isRefused():
		return StateRefused
	case s.silence != nil:
		return StateThrottled
	case s.state.Failure != nil:
		return StateUnreachable
	case s.state.LastMint.IsZero():
		return StateNeverTried
	default:
		return StateReady
	}
}

// isRefused reports whether Zoho's latest answer was that it does not take the
// credentials.
func (s *seenGrant) isRefused() bool {
	return s.state.Failure != nil && s.state.Failure.Definite || s.state.Failure == nil && s.state.Refusal != nil
}

// latestSilence is Zoho's latest throttle answer, to the grant's requests or to the client's;
// nil if there is none, or if it is over and the latest mint has failed since, in another way.
func (s *seenGrant) latestSilence(now time.Time, limits quota.Limits) *quota.Silence {
	latest := s.quotas().Silence()
	if failure := s.state.Failure; latest != nil && !latest.Forbids(now, limits) && failure != nil && !latest.At.After(failure.At) {
		return nil
	}
	return latest
}
