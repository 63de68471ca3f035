package backend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Rotated is what came of a rotation.
type Rotated struct {
	TokenID   string // of the new access token
	ExpiresAt time.Time
	FormerID  string // of the one that was revoked; empty if there was none
}

// Rotate revokes the current access token of a role's grant at Zoho, whoever
// holds it, and mints a new one. It is also the explicit retry after Zoho has
// refused the credentials.
func (e *Engine) Rotate(ctx context.Context, name string) (*Rotated, error) {
	return detached(ctx, e, func(ctx context.Context) (*Rotated, error) { return e.rotate(ctx, name) })
}

func (e *Engine) rotate(ctx context.Context, name string) (*Rotated, error) {
	role, err := e.existingRole(ctx, name)
	if err != nil {
		return nil, err
	}
	if role.Exclusive {
		return nil, userErrorf("role %q is exclusive: each lease has an access token of its own, so there is none to rotate. Revoke leases instead, or read a token under <mount>/tokens/ and delete it", name)
	}
	config, _, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	g, err := e.grantOf(ctx, role, config)
	if err != nil {
		return nil, err
	}
	rotated := &Rotated{}
	var revoked error
	if former, _ := g.currentToken(e.now(), 0); former != nil {
		rotated.FormerID = former.rec.ID
		revoked = e.kill(ctx, former)
	}
	minted := e.mintAnew(ctx, g)
	if revoked != nil {
		return nil, revoked
	}
	if minted != nil {
		return nil, prependText(fmt.Sprintf("No new access token for role %q; the former one is revoked. ", name), minted)
	}
	t, _ := g.currentToken(e.now(), 0)
	if t == nil {
		return nil, errors.New("the new access token was revoked as soon as it was there; try again")
	}
	rotated.TokenID, rotated.ExpiresAt = t.rec.ID, t.rec.ExpiresAt
	return rotated, nil
}

// mintAnew mints unless there is a token, and gives refused credentials another
// chance.
func (e *Engine) mintAnew(ctx context.Context, g *grant) error {
	if err := e.forgive(ctx, g); err != nil {
		return err
	}
	return e.mintForReader(ctx, g, "", 0) // what is kept in reserve is for readers
}

// kill ends a token at Zoho now, whoever holds it. If Zoho cannot be asked, the
// decision stands: nobody gets the token any more, and Tick goes on.
func (e *Engine) kill(ctx context.Context, t *token) error {
	if err := t.ledger.end(ctx, e.now()); err != nil {
		return err
	}
	err := asGrantError(e.finish(ctx, t))
	return prependText(fmt.Sprintf("Access token %s is not handed out any more, but could not be revoked at Zoho yet; that is tried again every minute until it expires at %s. ", t.rec.ID, t.rec.ExpiresAt.UTC().Format(time.RFC3339)), err)
}
