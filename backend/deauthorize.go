package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Deauthorize revokes a role's refresh token at Zoho, and with it all access
// tokens of its grant, whoever holds them, and forgets it. The role stays, to be
// authorised again. If Zoho cannot be asked, nothing has changed.
//
// Other roles of the grant would lose it, too, so force is needed if there are.
func (e *Engine) Deauthorize(ctx context.Context, name string, force bool) (warnings []string, err error) {
	return detached(ctx, e, func(ctx context.Context) ([]string, error) {
		warnings, err := e.deauthorize(ctx, name, force)
		e.tellRole(EventRoleDeauthorize, name, err)
		return warnings, err
	})
}

func (e *Engine) deauthorize(ctx context.Context, name string, force bool) (warnings []string, err error) {
	release, err := e.writes.acquire(ctx, prefixRoles+name)
	if err != nil {
		return nil, err
	}
	defer release()
	role, err := e.existingRole(ctx, name)
	if err != nil {
		return nil, err
	}
	switch {
	case role.GrantType != GrantTypeRefreshToken:
		return nil, userErrorf("role %q mints with client_credentials and has no refresh token; end its current token with <mount>/roles/%s/rotate, or delete the role", name, name)
	case !role.IsAuthorized():
		return nil, userErrorf("role %q has no refresh token, so there is nothing to revoke", name)
	}
	others, err := e.otherClaimants(ctx, role)
	if err != nil {
		return nil, err
	}
	if len(others) > 0 && !force {
		return nil, userErrorf("role %q has its refresh token in common with %s, which would lose it, too; if that is meant, write force=true", name, strings.Join(others, ", "))
	}
	if len(others) > 0 {
		warnings = append(warnings, fmt.Sprintf("%s had the same refresh token and cannot mint any more", strings.Join(others, ", ")))
	}
	updated := *role
	updated.RefreshToken = secret.Value{}
	gone, err := e.revokeGrant(ctx, role, &updated)
	if err != nil {
		return nil, err
	}
	if gone {
		warnings = append(warnings, "Zoho answered that it does not know the refresh token: it was revoked before, or belongs to another client or data centre")
	}
	e.leaveFormerGrant(ctx, role, &updated)
	return warnings, nil
}

// revokeGrant revokes the role's refresh token, stores the role as updated, and
// forgets the access tokens that have died. Leases on them stay until they end;
// there is nothing left for them to give up.
func (e *Engine) revokeGrant(ctx context.Context, role, updated *Role) (gone bool, err error) {
	config, _, err := e.Config(ctx)
	if err != nil {
		return false, err
	}
	g, cred, err := e.grantOf(ctx, role, config)
	if err != nil {
		return false, err
	}
	release, err := e.takeTurn(ctx, g)
	if err != nil {
		return false, err
	}
	defer release()
	how, err := e.endRefreshToken(ctx, cred.app, cred.caCert, cred.refreshToken, config)
	if err != nil {
		return false, inFront(fmt.Sprintf("Role %q was not deauthorized, and is as it was. ", role.Name), asGrantError(err))
	}
	e.log().Info("revoked a refresh token", "role", role.Name, "grant", g.id)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err := e.storeRole(ctx, updated); err != nil {
		return false, fmt.Errorf("the refresh token of role %q is revoked at Zoho, but Vault could not note that: %w; deauthorize the role again", role.Name, err)
	}
	if err := e.buryTokens(ctx, g); err != nil {
		e.log().Warn("could not forget the access tokens of a refresh token that is revoked; they are dead, and are forgotten when they expire", "role", role.Name, "grant", g.id, "error", err)
	}
	return how == zoho.AlreadyGone, nil
}

// buryTokens forgets the access tokens that have died with their refresh token.
func (e *Engine) buryTokens(ctx context.Context, g *grant) error {
	tokens, err := e.liveTokens(ctx, g, g)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		err = errors.Join(err, t.ledger.end(ctx, e.now()),
			e.fly(ctx, "finish "+t.rec.ID, func(ctx context.Context) error { return e.diedWithGrant(ctx, t) }))
	}
	return err
}

// diedWithGrant drops an access token whose refresh token was revoked.
func (e *Engine) diedWithGrant(ctx context.Context, t *token) error {
	roles := rolesOf(t.ledger.readership())
	e.log().Info("an access token was revoked with its refresh token", "roles", roles, "grant", t.rec.GrantID, "token_id", t.rec.ID)
	e.tellToken(EventTokenRevoke, t, roles, nil)
	return e.forget(ctx, t, "its refresh token was revoked")
}

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
	g, cred, err := e.grantOf(ctx, role, config)
	if err != nil {
		return nil, err
	}
	rotated := &Rotated{}
	var revoked error
	if former, _ := g.look(e.now(), 0); former != nil {
		rotated.FormerID = former.rec.ID
		revoked = e.kill(ctx, former)
	}
	minted := e.mintAnew(ctx, g, cred)
	if revoked != nil {
		return nil, revoked
	}
	if minted != nil {
		return nil, inFront(fmt.Sprintf("No new access token for role %q; the former one is revoked. ", name), minted)
	}
	t, _ := g.look(e.now(), 0)
	if t == nil {
		return nil, errors.New("the new access token was revoked as soon as it was there; try again")
	}
	rotated.TokenID, rotated.ExpiresAt = t.rec.ID, t.rec.ExpiresAt
	return rotated, nil
}

// mintAnew mints unless there is a token, and gives refused credentials another
// chance.
func (e *Engine) mintAnew(ctx context.Context, g *grant, cred credential) error {
	if f := g.record().Failure; f != nil && f.Kind.Definite() {
		if err := e.updateGrant(ctx, g, func(rec *grantRecord) { rec.Failure = nil }); err != nil {
			return err
		}
	}
	return e.mintForReader(ctx, g, cred, 0)
}

// kill ends a token at Zoho now, whoever holds it. If Zoho cannot be asked, the
// decision stands: nobody gets the token any more, and Tick goes on.
func (e *Engine) kill(ctx context.Context, t *token) error {
	if err := t.ledger.end(ctx, e.now()); err != nil {
		return err
	}
	err := asGrantError(e.finish(ctx, t))
	return inFront(fmt.Sprintf("Access token %s is not handed out any more, but could not be revoked at Zoho yet; that is tried again every minute until it expires at %s. ", t.rec.ID, t.rec.ExpiresAt.UTC().Format(time.RFC3339)), err)
}
