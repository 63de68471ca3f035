package backend

import (
	"context"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/metrics"
	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What becomes of an access token that Zoho has given: it is stored and published, or
// revoked again.

// keepMinted makes a token of what Zoho has given, and stores it: see
// refreshtoken.MintAnswered. The former current token ends if nobody holds it. If storage
// fails, the new one is handed out to nobody, and ends.
func (e *Engine) keepMinted(ctx context.Context, a *attempt, minted zoho.Token) (*token, error) {
	g := a.grant
	t, err := e.newToken(ctx, a, minted)
	if _, refused := errors.AsType[*GrantError](err); err != nil && !refused { // storage has failed; a token that the server gave before is left alone
		err = errors.Join(err, e.revokeUnstored(ctx, g.credential().App, a.config.CACert, minted.AccessToken, "it could not be stored", "grant", g.id))
	}
	if err != nil {
		return nil, err
	}
	m := a.minted(t, a.config.Limits(), e.now())
	c := &carrier{token: t}
	if isOfClient(g.quotaID) {
		c.client = refreshtoken.InClient(m.AccountsURL, m.ClientID, m.Now, func(u *refreshtoken.Usage) { u.Succeeded(m) })
	}
	if err := e.carryOut(ctx, refreshtoken.MintAnswered(g.quotaID, m), c); err != nil {
		e.log().Warn("an access token was minted, and could not be kept; it is given to nobody, and revoked", "grant", g.id, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt, "error", err)
		return nil, asUserError(err)
	}
	former := a.own.Grants[g.id].Current
	if !t.rec.Exclusive && former != "" && former != t.rec.ID {
		e.endUnheldLater(former)
	}
	e.reportMint(t, e.rolesFor(ctx, g, a.purpose))
	return t, nil
}

func (a *attempt) minted(t *token, limits quota.Limits, now time.Time) refreshtoken.Minted {
	cred := a.grant.credential()
	return refreshtoken.Minted{
		EnteringRole: refreshtoken.EnteringRole{
			Credential: refreshtoken.Credential{RefreshToken: cred.RefreshToken, AccountsURL: cred.App.AccountsURL, CACert: a.config.CACert, ClientID: cred.App.ClientID, ClientSecret: cred.App.ClientSecret},
			Role:       a.purpose.role, Grant: a.grant.id, Now: now,
		},
		TokenID: t.rec.ID, Asked: a.asked, Life: t.life() + 2*margin, Exclusive: t.rec.Exclusive,
		APIDomain: t.rec.APIDomain, Scopes: t.rec.Scopes, Limits: limits,
	}
}

// storeToken stores an access token, unless the server has answered with one that it gave
// before. Memory gets it first: a reader that found it in storage would load a second one, whose
// ledger knows nothing of the first one's holders.
func (e *Engine) storeToken(ctx context.Context, t *token) error {
	if e.tokens.set(t.rec.ID, t) == t {
		return nil
	}
	return e.store.put(ctx, prefixTokens+t.rec.ID, t.rec.entry())
}

// discardUnstored revokes a token whose own record could not be stored. No other
// record names it, so nobody can be given it, and nobody could revoke it later.
func (e *Engine) discardUnstored(ctx context.Context, t *token) error {
	e.tokens.forget(t.rec.ID)
	if err := e.revokeUnstored(ctx, t.rec.App, t.rec.CACert, t.rec.AccessToken, "it could not be stored", "grant", t.rec.GrantID, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt); err != nil {
		return err
	}
	return e.store.Delete(ctx, prefixTokens+t.rec.ID)
}

// endRefused revokes, in the background, an access token whose answer was refused; zero
// for none. A server may answer with a token that it gave before, which its holders keep.
func (e *Engine) endRefused(ctx context.Context, app zoho.App, config *settings.Config, refused secret.Value, details ...any) {
	if refused.IsZero() {
		return
	}
	if known, err := e.token(ctx, e.fingerprint("token", refused.Reveal())); known != nil || err != nil {
		return
	}
	e.work.Go(func() {
		_ = e.revokeUnstored(e.work.Life(), app, config.CACert, refused, "its answer could not be used", details...)
	})
}

// revokeUnstored revokes an access token that no record names, and tells the log. The
// reason may be that the time of ctx is up, so it takes a time of its own.
func (e *Engine) revokeUnstored(ctx context.Context, app zoho.App, caCert string, unstored secret.Value, reason string, details ...any) error {
	log := e.log().With(details...).With("reason", reason, "accounts_url", app.AccountsURL)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	client, err := e.accountsClient(caCert)
	if err == nil {
		var how zoho.Revocation
		how, err = client.RevokeAccessToken(ctx, app, unstored)
		e.countRevocation(metrics.AccessToken, how, err)
	}
	if err != nil {
		log.Warn("a new access token was not kept, and could not be revoked; it was given to nobody, and expires by itself", "error", err)
		return err
	}
	log.Warn("a new access token was not kept, and was revoked again")
	return nil
}
