package backend

import (
	"context"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
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
	Deauthorized *Deauthorization
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
	}
	if status.Pending, err = e.pendingOf(ctx, name); err != nil {
		return nil, err
	}
	tokens, err := e.refreshTokensBeside(ctx, role)
	if err != nil {
		return nil, err
	}
	status.ClientTokens = tokens.Count
	if !status.Authorized {
		return status, nil
	}
	g, err := e.grantOf(ctx, role, config)
	if isClientMoved(err) {
		status.State, status.LastError = StateRefused, err.Error()
		return status, nil
	}
	if err != nil {
		return nil, err
	}
	if status.SharedWith, err = e.otherUsers(ctx, role, config); err != nil {
		return nil, err
	}
	q, requests, err := e.quotasOf(ctx, g, config)
	if err != nil {
		return nil, err
	}
	if status.BudgetWith, err = e.rolesCountedTogether(ctx, name, q, requests); err != nil {
		return nil, err
	}
	q.seeFuture(e.now())
	requests.seeFuture(e.now())
	status.GrantID = g.id
	var outUntil time.Time
	if status.State, outUntil, err = e.grantState(ctx, role, config, g, q, requests); err != nil {
		return nil, err
	}
	status.tellFailure(g.record(), g.record().latestSilence(q, requests, e.now(), config.limits()), e.now())
	counted := requests.record()
	left, free := counted.Left(e.now(), config.limits())
	if status.RequestsLeft = left; left == 0 && status.RetryAt.Before(free) {
		status.RetryAt = free
	}
	if status.RetryAt.Before(outUntil) {
		status.RetryAt = outUntil
	}
	if status.Doubts, err = e.doubts(ctx, role, status.Granted); err != nil {
		return nil, err
	}
	return status, e.tellTokens(ctx, status, g, q, config)
}

// tellConsent tells of a role that has nothing to mint from.
func (s *Status) tellConsent(role *Role) {
	if s.State = role.unauthorizedState(s.LastConsent); s.State == StateConsentFailed {
		s.LastError, s.LastErrorAt = s.LastConsent.Error, s.LastConsent.EndedAt
	}
}

func (s *Status) tellFailure(rec grantRecord, t *quota.Silence, now time.Time) {
	s.LastSuccess, s.Granted = rec.LastMint, rec.Scopes
	failed := rec.Failure
	if rec.isRefused() {
		failed = rec.Refusal
	}
	if t != nil && !failed.isDefinite() {
		s.LastError, s.LastErrorAt, s.ErrorCode, s.RetryAt = t.Text, t.At, t.Code, t.Until(now)
	} else if failed != nil {
		s.LastError, s.LastErrorAt, s.ErrorCode, s.RetryAt = failed.Text, failed.At, failed.Code, failed.RetryAt
	}
}

func (e *Engine) tellTokens(ctx context.Context, s *Status, g *grant, q *quotaRecord, config *Config) error {
	rec := q.record()
	s.LiveTokens = len(rec.Live(e.now())) // also those of which nothing is known but the request
	live, err := e.liveTokens(ctx, q)
	if err != nil {
		return err
	}
	for _, t := range live {
		if t.rec.GrantID == g.id {
			holders, _ := t.ledger.Count()
			s.Holders += holders
		}
	}
	t, _ := g.currentToken(e.now(), need{})
	if t == nil {
		return nil
	}
	s.TokenID, s.ExpiresAt = t.rec.ID, t.rec.ExpiresAt
	if config.RefreshAhead {
		s.NextRefresh = t.rec.ExpiresAt.Add(-t.refreshBelow())
	}
	return nil
}
