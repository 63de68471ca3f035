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

// Rotate mints a new access token for a role's grant, and revokes every other one
// of it at Zoho, whoever holds it. It is also the explicit retry after Zoho has refused
// the credentials. If no new one can be had, nothing is revoked: whoever rotates in a
// loop leaves those alone who have the grant in common.
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
	former, _ := g.currentToken(e.now(), 0)
	if former != nil {
		rotated.FormerID = former.rec.ID
	}
	t, err := e.mintAnother(ctx, g, name, former)
	if err != nil {
		return nil, prependText(fmt.Sprintf("No new access token for role %q, and so none was revoked; to revoke one all the same, delete it below <mount>/tokens/. ", name), err)
	}
	rotated.TokenID, rotated.ExpiresAt = t.rec.ID, t.rec.ExpiresAt
	return rotated, e.killOthers(ctx, g, t)
}

// mintAnother makes another token than former the current one, and gives refused
// credentials another chance. What is kept in reserve is for readers.
func (e *Engine) mintAnother(ctx context.Context, g *grant, role string, former *token) (*token, error) {
	if err := e.forgive(ctx, g); err != nil {
		return nil, err
	}
	const tries = 3 // a reader's mint may be under way, and find that none is needed
	for range tries {
		err := e.fly(ctx, "mint "+g.id, func(ctx context.Context) error {
			_, err := e.mint(ctx, g, mintPurpose{role: role, needed: func() bool {
				t, _ := g.currentToken(e.now(), 0)
				return t == nil || t == former
			}})
			return err
		})
		if err != nil {
			return nil, err
		}
		if t, _ := g.currentToken(e.now(), 0); t != nil && t != former {
			return t, nil
		}
	}
	return nil, errors.New("the new access token was revoked as soon as it was there; try again")
}

// killOthers revokes all living tokens of a grant but one.
func (e *Engine) killOthers(ctx context.Context, g *grant, but *token) error {
	q, err := e.quota(ctx, g.quotaID())
	if err != nil {
		return err
	}
	tokens, err := e.liveTokens(ctx, q)
	if err != nil {
		return err
	}
	var failed error
	for _, t := range tokens {
		if t.rec.GrantID == g.id && t.rec.ID != but.rec.ID && !t.rec.Exclusive {
			if err := e.kill(ctx, t); failed == nil {
				failed = err
			}
		}
	}
	return failed
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
