package backend

import (
	"context"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// relieveAfter is how long Vault is told that a revocation has failed. Vault
// asks six times, the last time 310 seconds after the first at the earliest,
// and then declares the lease irrevocable. Before that the engine takes over:
// the decision is in the ledger, and Tick carries it out.
// Source: Vault's vault/expiration.go, maxRevokeAttempts and revokeRetryBase.
const relieveAfter = 5 * time.Minute

// taintedTimeout bounds a revocation on a mount that is being disabled: best
// effort, one token after the other.
const taintedTimeout = 3 * time.Second

// Lease is what a lease carries about its token.
type Lease struct {
	TokenID   string
	HolderID  string
	ExpiresAt time.Time // of the token
}

// Release ends one lease's hold on its token, and, if it was the last one,
// that very token at Zoho. It needs neither role nor config. An error means
// that Vault should ask again, except on a mount that is tainted, which is
// being disabled and must not be held up; tainted is asked only if need be.
func (e *Engine) Release(ctx context.Context, lease Lease, tainted func() bool) error {
	if !lease.ExpiresAt.After(e.now()) {
		e.log().Debug("a lease has ended with its access token", "token_id", lease.TokenID, "expires_at", lease.ExpiresAt)
		return nil // Zoho has ended it; Tick sweeps what is stored
	}
	t, err := e.token(ctx, lease.TokenID)
	if err != nil {
		return err
	}
	if t == nil {
		return nil // gone: revoked before
	}
	if h, held := t.ledger.holder(lease.HolderID); held {
		e.log().Debug("a lease has ended", "role", h.Role, "grant", t.rec.GrantID, "token_id", t.rec.ID, "entity_id", h.EntityID, "request_id", h.RequestID)
	}
	ending, err := t.ledger.release(ctx, lease.HolderID, e.now())
	if err != nil || !ending {
		return err
	}
	if tainted() {
		ctx, cancel := context.WithTimeout(ctx, taintedTimeout)
		defer cancel()
		if err := e.finish(ctx, t); err != nil {
			e.log().Warn("could not revoke an access token of a mount that is being disabled; it expires by itself", "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt, "error", err)
		}
		return nil
	}
	err = e.finish(ctx, t)
	if err != nil && e.now().Sub(t.ledger.endingSince()) >= relieveAfter {
		e.log().Warn("the revocation of an access token goes on without its lease", "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt, "error", err)
		return nil
	}
	return err
}

// finish carries out the decision to end t: at Zoho, then in storage. One runs
// per token at a time.
func (e *Engine) finish(ctx context.Context, t *token) error {
	return e.fly(ctx, "finish "+t.rec.ID, func(ctx context.Context) error {
		if !t.rec.ExpiresAt.After(e.now()) {
			return e.forgetExpired(ctx, t)
		}
		config, _, err := e.Config(ctx)
		if err != nil {
			return err
		}
		client, err := e.accountsClient(e.caCertFor(t.rec.App.AccountsURL, t.rec.CACert, config))
		if err != nil {
			return err
		}
		callCtx, cancel := context.WithTimeout(ctx, 2*config.RequestTimeout) // two endpoints
		defer cancel()
		how, err := client.RevokeAccessToken(callCtx, t.rec.App, t.rec.AccessToken)
		roles := rolesOf(t.ledger.readership())
		e.tellToken(EventTokenRevoke, t, roles, err)
		log := e.log().With("roles", roles, "grant", t.rec.GrantID, "token_id", t.rec.ID)
		if err != nil {
			log.Warn("could not revoke an access token", "error", err)
			return err
		}
		if how == zoho.AlreadyGone {
			log.Info("an access token was gone before it was revoked: both of Zoho's endpoints answered 400")
			return e.forget(ctx, t, "it was gone before it was revoked")
		}
		log.Info("revoked an access token")
		return e.forget(ctx, t, "it was revoked")
	})
}

// forget drops a token that is dead at Zoho, and says in words how it died. Its
// own record goes last: until then a crash leaves a token that is ended once
// more, which is harmless.
func (e *Engine) forget(ctx context.Context, t *token, how string) error {
	if err := e.remember(ctx, t, how); err != nil {
		return err
	}
	g, err := e.grant(ctx, t.rec.GrantID, t.rec.QuotaID)
	if err != nil {
		return err
	}
	g.mu.Lock()
	if g.current == t {
		g.current = nil
	}
	g.mu.Unlock()
	if g.record().Current == t.rec.ID {
		if err := e.updateGrant(ctx, g, func(rec *grantRecord) { rec.Current = "" }); err != nil {
			return err
		}
	}
	q, err := e.quota(ctx, t.rec.QuotaID)
	if err != nil {
		return err
	}
	if err := e.updateQuota(ctx, q, func(rec *quotaRecord) { rec.over(t.rec.ID) }); err != nil {
		return err
	}
	if err := t.ledger.erase(ctx); err != nil {
		return err
	}
	if err := e.store.Delete(ctx, prefixTokens+t.rec.ID); err != nil {
		return err
	}
	e.mu.Lock()
	delete(e.tokens, t.rec.ID)
	e.mu.Unlock()
	// It may have been the last one that kept a former refresh token alive.
	e.spawn(func() { e.continueRevocation(e.life, t.rec.QuotaID) })
	return nil
}

// forgetExpired drops a token that died of age, which Zoho does by itself.
func (e *Engine) forgetExpired(ctx context.Context, t *token) error {
	e.log().Info("an access token has expired", "roles", rolesOf(t.ledger.readership()), "grant", t.rec.GrantID, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt)
	return e.forget(ctx, t, byExpiry)
}

// endIfUnheld ends a token that no role can hand out any more, unless somebody
// holds it. What fails here is left to Tick.
func (e *Engine) endIfUnheld(ctx context.Context, t *token) {
	ending, err := t.ledger.endIfUnheld(ctx, e.now())
	if err == nil && ending {
		err = e.finish(ctx, t)
	}
	if err != nil {
		e.log().Warn("could not end an access token that nobody needs; it is tried again", "token_id", t.rec.ID, "error", err)
	}
}
