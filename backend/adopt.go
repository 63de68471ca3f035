package backend

import (
	"context"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What becomes of an access token that Zoho has given: it is stored and published, or
// revoked again.

// keepMinted makes a token of what Zoho has given, and adopts it.
func (e *Engine) keepMinted(ctx context.Context, g *grant, q *quotaRecord, minted zoho.Token, config *Config, asked time.Time, purpose mintPurpose) (*token, error) {
	t, err := e.newToken(ctx, g, minted, config, asked, purpose)
	if _, refused := asError[*GrantError](err); err != nil && !refused { // storage has failed; a token that the server gave before is left alone
		err = errors.Join(err, e.revokeUnstored(ctx, g.credential().app, config.CACert, minted.AccessToken, "it could not be stored", "grant", g.id))
	}
	if err == nil {
		err = e.adopt(ctx, g, q, t)
	}
	if err != nil {
		return nil, err
	}
	e.reportMint(t, e.rolesFor(ctx, g, purpose))
	return t, nil
}

// adopt stores t and, unless it is exclusive, makes it current, and ends the
// former current token if nobody holds it. If it fails, t is handed out to nobody,
// and ends.
func (e *Engine) adopt(ctx context.Context, g *grant, q *quotaRecord, t *token) error {
	// Before it is stored: whoever finds it in storage must not load a second
	// one, with a ledger that knows nothing of this one's holders.
	former := e.tokens.set(t.rec.ID, t)
	if err := e.store.put(ctx, prefixTokens+t.rec.ID, t.rec.entry()); err != nil {
		if former != nil { // a server may answer with a token that it gave before
			return err
		}
		return errors.Join(err, e.discardUnstored(ctx, t))
	}
	if err := e.publish(ctx, g, q, t); err != nil {
		// The write may have been carried out all the same, and another node may find the
		// token by it: so its end is decided in storage before Zoho is asked.
		e.log().Warn("an access token was minted, and could not be noted as the current one; it is given to nobody, and revoked", "grant", t.rec.GrantID, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt, "error", err)
		e.endIfUnheld(ctx, t)
		return err
	}
	if t.rec.Exclusive {
		return nil
	}
	g.mu.Lock()
	former, g.current = g.current, t
	g.mu.Unlock()
	if former != nil && former != t {
		e.work.Go(func() { e.endIfUnheld(e.work.Life(), former) })
	}
	return nil
}

// publish enters a stored token in the records by which readers find it. The
// quota is first: a token that is handed out and not counted could push Zoho over
// its cap.
func (e *Engine) publish(ctx context.Context, g *grant, q *quotaRecord, t *token) error {
	if !g.credential().refreshToken.IsZero() {
		if err := e.listRefreshToken(ctx, t.rec.App, q.id, ""); err != nil {
			return err
		}
	}
	if err := e.updateQuota(ctx, q, func(rec *quota.Record) { rec.Succeeded(t.rec.ID, t.life()+2*margin) }); err != nil {
		return err
	}
	return e.updateGrant(ctx, g, func(rec *grantRecord) { rec.succeeded(t) })
}

// retract makes t nobody's current token any more.
func (e *Engine) retract(ctx context.Context, g *grant, t *token) error {
	g.mu.Lock()
	if g.current == t {
		g.current = nil
	}
	g.mu.Unlock()
	if g.record().Current != t.rec.ID {
		return nil
	}
	return e.updateGrant(ctx, g, func(rec *grantRecord) {
		if rec.Current == t.rec.ID {
			rec.Current = ""
		}
	})
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
func (e *Engine) endRefused(ctx context.Context, app zoho.App, config *Config, refused secret.Value, details ...any) {
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
		_, err = client.RevokeAccessToken(ctx, app, unstored)
	}
	if err != nil {
		log.Warn("a new access token was not kept, and could not be revoked; it was given to nobody, and expires by itself", "error", err)
		return err
	}
	log.Warn("a new access token was not kept, and was revoked again")
	return nil
}
