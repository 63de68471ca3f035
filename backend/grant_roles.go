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
	if err != nil {
		return err
	}
	g, err := e.grant(ctx, id)
	if err != nil {
		return err
	}
	rec := g.record()
	refused := forgive && rec.Failure != nil && rec.Failure.Kind.Definite()
	if slices.Contains(rec.Roles, r.Name) && !refused {
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
	used, err := e.inUse(ctx, g)
	if err != nil || used {
		return err
	}
	t, err := e.token(ctx, g.record().Current)
	if t != nil {
		e.spawn(func() { e.endIfUnheld(e.life, t) })
	}
	return err
}

// inUse reports whether any role can hand out the grant's tokens.
func (e *Engine) inUse(ctx context.Context, g *grant) (bool, error) {
	config, _, err := e.Config(ctx)
	if err != nil {
		return false, err
	}
	for _, name := range g.record().Roles {
		r, err := orNone(e.Role(ctx, name))
		if err != nil {
			return false, err
		}
		if r == nil {
			continue
		}
		id, err := e.grantID(ctx, r)
		if err != nil {
			return false, err
		}
		if _, movedAway := r.app(config); id == g.id && movedAway == nil {
			return true, nil
		}
	}
	return false, nil
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
	g, _, err := e.grantOf(ctx, r, config)
	var gone *UserError
	if errors.As(err, &gone) {
		return StateRefused, nil // its client is no longer the mount's; a read says so in full
	}
	if err != nil {
		return "", err
	}
	rec := g.record()
	switch f := rec.Failure; {
	case f == nil && rec.LastMint.IsZero():
		return StateNeverTried, nil
	case f == nil:
		return StateReady, nil
	case f.Kind.Definite():
		return StateRefused, nil
	case f.Kind == zoho.Throttled:
		return StateThrottled, nil
	default:
		return StateUnreachable, nil
	}
}
