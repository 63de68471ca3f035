package backend

import (
	"context"
	"errors"
	"time"
)

// Status is what an operator wants to know of a role's grant.
type Status struct {
	State        GrantState
	Authorized   bool
	GrantID      string
	LastSuccess  time.Time // of the latest mint; zero: never
	LastError    string    // in words; empty after a success
	LastErrorAt  time.Time
	ErrorCode    string    // Zoho's error word
	RetryAt      time.Time // when a failed mint is tried again; zero: not by itself
	RequestsLeft int       // in the window, readers' reserve included
	LiveTokens   int       // that Zoho may count as alive
	Holders      int       // leases on all of them
	TokenID      string    // the current token; empty: none
	ExpiresAt    time.Time
	NextRefresh  time.Time // when it is replaced ahead, if the grant is in use
	Scopes       []string  // that Zoho says it granted
	SharedWith   []string  // other roles of the grant
}

// Status looks at a role's grant without asking Zoho.
func (e *Engine) Status(ctx context.Context, name string) (*Status, error) {
	role, err := e.existingRole(ctx, name)
	if err != nil {
		return nil, err
	}
	config, _, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	status := &Status{State: StateNeverTried, Authorized: role.IsAuthorized(), RequestsLeft: config.RequestBudget}
	if !status.Authorized {
		return status, nil
	}
	if status.SharedWith, err = e.otherClaimants(ctx, role); err != nil {
		return nil, err
	}
	g, cred, err := e.grantOf(ctx, role, config)
	var gone *UserError
	if errors.As(err, &gone) { // its client is no longer the mount's
		status.State, status.LastError = StateRefused, gone.Error()
		return status, nil
	}
	if err != nil {
		return nil, err
	}
	limits, err := e.grant(ctx, cred.limitsID)
	if err != nil {
		return nil, err
	}
	status.GrantID, status.State = g.id, g.state(cred)
	status.tellFailure(g.record())
	status.tellLimits(e.now(), limits.record(), config)
	return status, e.tellTokens(ctx, status, g, limits, config)
}

func (s *Status) tellFailure(rec grantRecord) {
	s.LastSuccess, s.Scopes = rec.LastMint, rec.Scopes
	if f := rec.Failure; f != nil {
		s.LastError, s.LastErrorAt, s.ErrorCode, s.RetryAt = f.Text, f.At, f.Code, f.RetryAt
	}
}

func (s *Status) tellLimits(now time.Time, limits grantRecord, config *Config) {
	used, _ := limits.used(now, config, config.RequestBudget)
	s.RequestsLeft = config.RequestBudget - used
	s.LiveTokens = len(limits.live(now))
}

func (e *Engine) tellTokens(ctx context.Context, s *Status, g, limits *grant, config *Config) error {
	live, err := e.liveTokens(ctx, g, limits)
	if err != nil {
		return err
	}
	for _, t := range live {
		holders, _ := t.ledger.count()
		s.Holders += holders
	}
	t, _ := g.look(e.now(), 0)
	if t == nil {
		return nil
	}
	s.TokenID, s.ExpiresAt = t.rec.ID, t.rec.ExpiresAt
	if config.RefreshAhead {
		s.NextRefresh = t.rec.ExpiresAt.Add(-t.refreshBelow())
	}
	return nil
}
