package backend

import (
	"context"
	"errors"
	"slices"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// joinGrant notes that a role uses its grant, before the role is stored. If the
// operator has just written the credential, a definite refusal is forgotten. A
// cool-down stays: Zoho counts requests, not reasons.
func (e *Engine) joinGrant(ctx context.Context, r *Role, forgive bool) error {
	id, err := e.grantID(ctx, r)
	if err != nil || id == "" {
		return err
	}
	g, err := e.grant(ctx, id)
	if err != nil {
		return err
	}
	rec := g.record()
	refused := forgive && rec.Failure != nil && rec.Failure.Kind.Definite()
	joins := !slices.Contains(rec.Roles, r.Name)
	if !joins && !refused {
		return nil
	}
	return e.updateGrant(ctx, g, func(rec *grantRecord) {
		if refused {
			rec.Failure = nil
		}
		if !slices.Contains(rec.Roles, r.Name) {
			rec.Roles = append(rec.Roles, r.Name)
		}
	})
}

// leaveGrant notes that a role that was stored no longer uses the grant, and
// ends its token if that was the last role and nobody holds it.
func (e *Engine) leaveGrant(ctx context.Context, id string, role string) error {
	g, err := e.grant(ctx, id)
	if err != nil {
		return err
	}
	if err := e.updateGrant(ctx, g, func(rec *grantRecord) {
		rec.Roles = slices.DeleteFunc(rec.Roles, func(name string) bool { return name == role })
	}); err != nil {
		return err
	}
	users, err := e.users(ctx, g)
	if err != nil || len(users) > 0 {
		return err
	}
	e.idleGrant(id)
	t, err := e.token(ctx, g.record().Current)
	e.spawn(func() {
		if t != nil {
			e.endIfUnheld(e.life, t)
		}
		e.retire(e.life, id)
	})
	return err
}

// users names the roles that can hand out the grant's tokens.
func (e *Engine) users(ctx context.Context, g *grant) (names []string, err error) {
	config, _, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	return e.rolesWith(ctx, g, func(r *Role) bool {
		if r == nil {
			return false
		}
		_, movedAway := r.app(config)
		return movedAway == nil
	})
}

// claimants names the roles that have the grant's credentials, also those that
// cannot use them now: their client is not the mount's at the moment, or their
// entry cannot be decoded. What they have must not be revoked behind their back.
func (e *Engine) claimants(ctx context.Context, g *grant) (names []string, err error) {
	return e.rolesWith(ctx, g, func(*Role) bool { return true })
}

// rolesWith names the grant's roles that match; match gets nil for one whose
// entry cannot be decoded.
func (e *Engine) rolesWith(ctx context.Context, g *grant, match func(*Role) bool) (names []string, err error) {
	for _, name := range g.record().Roles {
		r, err := e.Role(ctx, name)
		var broken *undecodable
		switch {
		case errors.As(err, &broken):
			r = nil
		case err != nil:
			return nil, err
		case r == nil:
			continue
		default:
			id, err := e.grantID(ctx, r)
			if err != nil {
				return nil, err
			}
			if id != g.id {
				continue
			}
		}
		if match(r) {
			names = append(names, name)
		}
	}
	return names, nil
}

// otherClaimants names the roles beside r that have the same credentials.
func (e *Engine) otherClaimants(ctx context.Context, r *Role) ([]string, error) {
	id, err := e.grantID(ctx, r)
	if err != nil || id == "" {
		return nil, err
	}
	g, err := e.grant(ctx, id)
	if err != nil {
		return nil, err
	}
	names, err := e.claimants(ctx, g)
	return slices.DeleteFunc(names, func(name string) bool { return name == r.Name }), err
}

// GrantState is what an operator sees of a grant at a glance.
type GrantState string

// The states of a grant.
const (
	StateNeverTried  GrantState = "never tried"
	StateReady       GrantState = "ready"
	StateThrottled   GrantState = "throttled"
	StateRefused     GrantState = "refused"
	StateUnreachable GrantState = "unreachable"
	StateBroken      GrantState = "broken" // the role's stored entry cannot be decoded
)

// roleState tells how the latest mint for a role's grant went.
func (e *Engine) roleState(ctx context.Context, r *Role, config *Config) (GrantState, error) {
	if !r.IsAuthorized() {
		return StateNeverTried, nil
	}
	g, cred, err := e.grantOf(ctx, r, config)
	var gone *UserError
	if errors.As(err, &gone) {
		return StateRefused, nil // its client is no longer the mount's; a read says so in full
	}
	if err != nil {
		return "", err
	}
	return g.state(cred), nil
}

// state tells how the latest mint with cred went.
func (g *grant) state(cred credential) GrantState {
	rec := g.record()
	switch f := rec.Failure; {
	case (f == nil || f.Kind.Definite() && !f.isDefiniteFor(cred)) && rec.LastMint.IsZero():
		return StateNeverTried
	case f == nil || f.Kind.Definite() && !f.isDefiniteFor(cred):
		return StateReady
	case f.Kind.Definite():
		return StateRefused
	case f.Kind == zoho.Throttled:
		return StateThrottled
	default:
		return StateUnreachable
	}
}

// rolesFor names the roles for which a token is minted.
func (g *grant) rolesFor(use use) []string {
	roles := g.record().Roles
	if use.role == "" || slices.Contains(roles, use.role) {
		return roles
	}
	return append(slices.Clone(roles), use.role)
}
