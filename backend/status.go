package backend

import (
	"context"
	"time"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Status is what an operator wants to know of a role's grant.
type Status struct {
	State        GrantState
	Authorized   bool
	AuthorizedAs zoho.Person // whose Zoho account the refresh token belongs to; zero: not known
	GrantID      string
	LastSuccess  time.Time // of the latest mint; zero: never
	LastError    string    // in words; empty after a success
	LastErrorAt  time.Time
	ErrorCode    string    // Zoho's error word
	RetryAt      time.Time // when Zoho is asked again at the earliest; zero: now, or not by itself
	RequestsLeft int       // in the window, the readers' reserve included
	LiveTokens   int       // that Zoho may count as alive
	Holders      int       // leases on all of them
	TokenID      string    // the current token; empty: none
	ExpiresAt    time.Time
	NextRefresh  time.Time // when it is replaced ahead, if the grant is in use
	Scopes       []string  // that the role asks for
	Granted      []string  // scopes that Zoho says it granted
	SharedWith   []string  // other roles of the grant
	BudgetWith   []string  // other roles whose token requests count together with these, those of SharedWith among them
	Deauthorized *settings.Deauthorization
	LastConsent  *LastConsent
	Pending      []PendingRevocation
	ClientTokens int      // refresh tokens of the role's client that the mount knows
	Doubts       []string // what a consent has not brought, or nobody can tell
}

// Status looks at a role's grant without asking Zoho.
func (e *Engine) Status(ctx context.Context, name string) (*Status, error) {
	role, config, err := e.roleAndConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	status := &Status{
		Authorized: role.IsAuthorized(), AuthorizedAs: role.AuthorizedAs,
		Deauthorized: role.Deauthorized, Scopes: role.Scopes, RequestsLeft: config.RequestBudget,
	}
	if status.LastConsent, err = e.lastConsent(ctx, name); err != nil {
		return nil, err
	}
	if !status.Authorized {
		status.tellConsent(role)
	} else if status.LastConsent == nil {
		if status.LastConsent, err = e.grantedConsent(ctx, role); err != nil {
			return nil, err
		}
	}
	if status.Pending, err = e.pendingOf(ctx, name); err != nil {
		return nil, err
	}
	tokens, err := e.refreshTokensOf(ctx, role.Pin)
	if err != nil {
		return nil, err
	}
	status.ClientTokens = tokens.Count
	if !status.Authorized {
		return status, nil
	}
	g, err := e.grantOf(role, config)
	if settings.IsClientMoved(err) {
		status.State, status.LastError = StateRefused, err.Error()
		return status, nil
	}
	if err != nil {
		return nil, err
	}
	if status.SharedWith, err = e.otherUsers(ctx, role, config); err != nil {
		return nil, err
	}
	if status.BudgetWith, err = e.rolesCountedTogether(ctx, role, config); err != nil {
		return nil, err
	}
	seen, err := e.seeGrant(ctx, g, config)
	if err != nil {
		return nil, err
	}
	status.GrantID = g.id
	var outUntil time.Time
	if status.State, outUntil, err = e.grantState(ctx, role, config, seen); err != nil {
		return nil, err
	}
	status.tellFailure(seen, e.now())
	left, free := seen.requests.Quota.Left(e.now(), config.Limits())
	if status.RequestsLeft = left; left == 0 && status.RetryAt.Before(free) {
		status.RetryAt = free
	}
	if status.RetryAt.Before(outUntil) {
		status.RetryAt = outUntil
	}
	if status.Doubts, err = e.doubts(ctx, role, status.Granted); err != nil {
		return nil, err
	}
	return status, e.tellTokens(ctx, status, seen, config)
}

// tellConsent tells of a role that has nothing to mint from.
func (s *Status) tellConsent(role *settings.Role) {
	if s.State = unauthorizedState(role, s.LastConsent); s.State == StateConsentFailed {
		s.LastError, s.LastErrorAt = s.LastConsent.Error, s.LastConsent.EndedAt
	}
}

func (s *Status) tellFailure(seen *seenGrant, now time.Time) {
	s.LastSuccess, s.Granted = seen.state.LastMint, seen.state.Scopes
	failed, t := seen.state.Failure, seen.silence
	if seen.isRefused() {
		failed = seen.state.Refusal
	}
	switch {
	case seen.ending != nil:
		s.LastError = seen.ending.Error()
	case t != nil && (failed == nil || !failed.Definite):
		s.LastError, s.LastErrorAt, s.ErrorCode, s.RetryAt = t.Text, t.At, t.Code, t.Until(now)
	case failed != nil:
		s.LastError, s.LastErrorAt, s.ErrorCode, s.RetryAt = failed.Text, failed.At, failed.Code, failed.RetryAt
	}
}

func (e *Engine) tellTokens(ctx context.Context, s *Status, g *seenGrant, config *settings.Config) error {
	s.LiveTokens = len(g.own.Quota.Live(e.now())) // also those of which nothing is known but the request
	live, err := e.liveTokens(ctx, g.own)
	if err != nil {
		return err
	}
	for _, t := range live {
		if t.rec.GrantID == g.id {
			holders, _ := t.ledger.Count()
			s.Holders += holders
		}
	}
	t, _, err := e.currentToken(ctx, g.grant, need{})
	if err != nil || t == nil {
		return err
	}
	s.TokenID, s.ExpiresAt = t.rec.ID, t.rec.ExpiresAt
	if config.RefreshAhead {
		s.NextRefresh = t.rec.ExpiresAt.Add(-t.refreshBelow())
	}
	return nil
}
