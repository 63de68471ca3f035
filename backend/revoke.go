package backend

import (
	"context"
	"maps"
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/metrics"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// stopFailingAfter is how long Vault is told that a revocation has failed. Vault
// asks six times, the last time 310 seconds after the first at the earliest,
// and then declares the lease irrevocable. Before that the engine takes over:
// the holder is out of the ledger, and Tick ends the token if it was the last.
// Source: Vault's vault/expiration.go, maxRevokeAttempts and revokeRetryBase.
const stopFailingAfter = 5 * time.Minute

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
// that very token at Zoho, now or after a role's revoke_delay. It needs neither role nor config. An error means
// that Vault should ask again. There is none, whatever fails, when Vault is about
// to give up, and on a mount that is tainted, which is being disabled and must
// not be held up; tainted is asked only if need be.
func (e *Engine) Release(ctx context.Context, lease Lease, tainted func() bool) error {
	asked := e.now()
	if !lease.ExpiresAt.After(asked) {
		e.log().Debug("a lease has ended with its access token", "token_id", lease.TokenID, "expires_at", lease.ExpiresAt)
		e.forgetFailedRelease(lease)
		e.metrics.LeaseEnded(metrics.Released)
		return nil // Zoho has ended it; Tick sweeps what is stored
	}
	t, err := e.token(ctx, lease.TokenID)
	if err == nil && t != nil { // otherwise it is gone: revoked before
		err = e.releaseFrom(ctx, t, lease.HolderID, tainted)
	}
	end := metrics.Released
	switch {
	case err == nil:
	case tainted():
		end = metrics.TakenOver
		e.log().Warn("could not revoke an access token of a mount that is being disabled; it expires by itself", "token_id", lease.TokenID, "expires_at", lease.ExpiresAt, "error", err)
	case asked.Sub(e.noteFailedRelease(t, lease, asked)) < stopFailingAfter:
		e.metrics.LeaseEnded(metrics.TryAgain)
		return err
	default:
		end = metrics.TakenOver
		if t != nil { // otherwise the holder is overdue some time after its lease's end
			t.ledger.ReleaseDeferred(lease.HolderID)
		}
		e.log().Warn("the revocation of an access token goes on without its lease", "token_id", lease.TokenID, "expires_at", lease.ExpiresAt, "error", err)
	}
	e.forgetFailedRelease(lease)
	e.metrics.LeaseEnded(end)
	return nil
}

// releaseFrom takes a holder out of t's ledger, and ends t if it was the last and no role
// wants t kept.
func (e *Engine) releaseFrom(ctx context.Context, t *token, holderID string, tainted func() bool) error {
	if h, held := t.ledger.Holder(holderID); held {
		e.log().Debug("a lease has ended", "role", h.Role, "grant", t.rec.GrantID, "token_id", t.rec.ID, "entity_id", h.EntityID, "request_id", h.RequestID)
	}
	keeps := e.keepsOf(ctx, t)
	if len(keeps) > 0 && tainted() { // nobody comes any more
		keeps = nil
	}
	ending, err := t.ledger.Release(ctx, holderID, e.now(), keeps)
	if err != nil || !ending {
		return err
	}
	if tainted() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, taintedTimeout)
		defer cancel()
	}
	return tokenNotRevoked(t, e.revokeAtZoho(ctx, t))
}

// noteFailedRelease remembers that a release has failed now, and returns when Vault asked
// for it first: as the process remembers it, or, for its predecessor, when the token's
// end was decided. A clock that was ahead then makes neither count.
func (e *Engine) noteFailedRelease(t *token, lease Lease, now time.Time) time.Time {
	e.mu.Lock()
	since, known := e.failing[lease.HolderID]
	if !known || since.After(now) {
		e.sweepFailingLocked(now)
		since = now
		e.failing[lease.HolderID] = since
	}
	e.mu.Unlock()
	if t != nil {
		if decided := t.ledger.EndingSince(); !decided.IsZero() && decided.Before(since) {
			return decided
		}
	}
	return since
}

// sweepFailingLocked forgets releases whose tokens have expired. All the leases
// of a mount may fail at once, so it does not look through them for each.
func (e *Engine) sweepFailingLocked(now time.Time) {
	isOld := func(since time.Time, age time.Duration) bool { return since.After(now) || now.Sub(since) >= age }
	if isOld(e.searched, time.Minute) {
		e.searched = now
		maps.DeleteFunc(e.failing, func(_ string, since time.Time) bool { return isOld(since, zoho.MaxLife) })
	}
}

// forgetFailedRelease forgets that a release has failed: Vault asks no more for it.
func (e *Engine) forgetFailedRelease(lease Lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.failing, lease.HolderID)
}

// revokeAtZoho carries out the decision to end t: at Zoho, then in storage. One runs
// per token at a time.
func (e *Engine) revokeAtZoho(ctx context.Context, t *token) error {
	return e.work.Once(ctx, "revoke "+t.rec.ID, func(ctx context.Context) error {
		if t.isOver(e.now()) {
			return e.deleteExpired(ctx, t)
		}
		config, err := e.configForRevocation(ctx)
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
		e.countRevocation(metrics.AccessToken, how, err)
		roles := ledger.Roles(t.ledger.Readership())
		e.reportToken(EventTokenRevoke, t, roles, err)
		log := e.log().With("roles", roles, "grant", t.rec.GrantID, "token_id", t.rec.ID)
		if err != nil {
			log.Warn("could not revoke an access token", "error", err)
			return err
		}
		if since := t.ledger.EndingSince(); !since.IsZero() {
			e.metrics.AccessTokenEnded(max(0, e.now().Sub(since)))
		}
		if how == zoho.AlreadyGone {
			log.Info("an access token was gone before it was revoked: both of Zoho's endpoints answered 400")
			return e.deleteToken(ctx, t, "it was gone before it was revoked")
		}
		log.Info("revoked an access token")
		return e.deleteToken(ctx, t, "it was revoked")
	})
}

// configForRevocation is the config, or its defaults if it is damaged: a revocation
// needs neither role nor config.
func (e *Engine) configForRevocation(ctx context.Context) (*settings.Config, error) {
	config, err := e.Config(ctx)
	if IsBroken(err) {
		return settings.DefaultConfig(), nil
	}
	return config, err
}

// deleteToken drops a token that is dead at Zoho, and says in words how it died. Its
// own entry goes last: until then a crash leaves a token that is ended once
// more, which is harmless.
func (e *Engine) deleteToken(ctx context.Context, t *token, how string) error {
	if err := e.writeTombstone(ctx, t, how); err != nil {
		return err
	}
	if err := e.changeUsage(ctx, t.rec.QuotaID, func(u *refreshtoken.Usage) { u.Ended(t.rec.ID) }); err != nil {
		return err
	}
	// The entry goes before the decision, which a crash then leaves to the round: an entry alone
	// would seem to be held by its first readers.
	if err := t.ledger.Erase(ctx, func(ctx context.Context) error { return e.store.Delete(ctx, prefixTokens+t.rec.ID) }); err != nil {
		return err
	}
	e.tokens.forget(t.rec.ID)
	if named, err := e.namesOf(ctx, t.rec.QuotaID); err == nil && len(named) == 0 {
		e.reconcileLater(t.rec.QuotaID) // it may have been the last one that kept a former refresh token alive
	}
	return nil
}

// deleteDeadWithRefreshToken drops an access token whose refresh token was revoked.
func (e *Engine) deleteDeadWithRefreshToken(ctx context.Context, t *token) error {
	roles := ledger.Roles(t.ledger.Readership())
	e.log().Info("an access token was revoked with its refresh token", "roles", roles, "grant", t.rec.GrantID, "token_id", t.rec.ID)
	e.reportToken(EventTokenRevoke, t, roles, nil)
	return e.deleteToken(ctx, t, "its refresh token was revoked")
}

// deleteExpired drops a token that died of age, which Zoho does by itself.
func (e *Engine) deleteExpired(ctx context.Context, t *token) error {
	e.log().Info("an access token has expired", "roles", ledger.Roles(t.ledger.Readership()), "grant", t.rec.GrantID, "token_id", t.rec.ID, "expires_at", t.rec.ExpiresAt)
	return e.deleteToken(ctx, t, byExpiry)
}

// endIfUnheld ends a token unless somebody holds it. If its end is decided already, it
// carries that out, whoever holds it. What fails here is left to Tick.
func (e *Engine) endIfUnheld(ctx context.Context, t *token) {
	if e.decideIfUnheld(ctx, t) {
		if err := e.revokeAtZoho(ctx, t); err != nil {
			e.log().Warn("could not end an access token; it is tried again", "token_id", t.rec.ID, "error", err)
		}
	}
}

// endUnheldLater ends a token in the background, unless somebody holds it.
func (e *Engine) endUnheldLater(tokenID string) {
	e.work.Go(func() {
		t, err := e.token(e.work.Life(), tokenID)
		if err != nil {
			e.log().Warn("could not end an access token; it is tried again", "token_id", tokenID, "error", err)
		}
		if t != nil {
			e.endIfUnheld(e.work.Life(), t)
		}
	})
}

// decideIfUnheld decides that a token has to end, unless somebody holds it, and reports
// whether that is decided: now, or before, whoever holds it. What fails here is left to
// Tick.
func (e *Engine) decideIfUnheld(ctx context.Context, t *token) (ending bool) {
	ending, err := t.ledger.EndIfUnheld(ctx, e.now())
	if err != nil {
		e.log().Warn("could not end an access token; it is tried again", "token_id", t.rec.ID, "error", err)
	}
	return ending && err == nil
}
