package backend

import (
	"context"
	"errors"
	"path"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/work"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// How a pending revocation is decided and carried out. Its states are drawn at
// pendingRevocation.

// pendingTasks returns a task for each pending revocation that is due. It deletes those
// whose entry is damaged.
func (e *Engine) pendingTasks(ctx context.Context) (tasks []work.Task, failed error) {
	names, err := e.store.List(ctx, prefixRevocations)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		quotaID := path.Base(name)
		pending, err := get[pendingRevocation](ctx, e.store, prefixRevocations+quotaID)
		switch {
		case IsBroken(err):
			failed = errors.Join(failed, e.deleteDamagedRevocation(ctx, quotaID))
		case err != nil:
			failed = errors.Join(failed, err)
		case pending != nil && pending.isDue(e.now()):
			tasks = append(tasks, work.Task{Key: prefixRevocations + quotaID, Queue: pending.AccountsURL, Do: func(ctx context.Context) error {
				e.continueRevocation(ctx, quotaID)
				return nil // its next attempt is in its entry
			}})
		}
	}
	return tasks, failed
}

func (e *Engine) deleteDamagedRevocation(ctx context.Context, quotaID string) error {
	deleted, err := deleteDamaged[pendingRevocation](ctx, e, prefixRevocations+quotaID)
	if deleted {
		e.log().Error("the note of a refresh token that was to be revoked is damaged, and was deleted: compare Connected Apps at Zoho with the roles", "quota", quotaID)
	}
	return err
}

// continueRevocation revokes a refresh token if that is pending and nobody needs
// it any more. What fails here is tried again by Tick.
func (e *Engine) continueRevocation(ctx context.Context, quotaID string) {
	if err := e.tryContinueRevocation(ctx, quotaID); err != nil && !errors.Is(err, errGivenUp) {
		e.log().Warn("could not revoke a refresh token that nobody needs; it is tried again", "quota", quotaID, "error", err)
	}
}

func (e *Engine) tryContinueRevocation(ctx context.Context, quotaID string) error {
	if err := e.Open(ctx); err != nil {
		return err // a lease's end goes on without, and then nothing tells who has a refresh token
	}
	if pending, err := e.loadRevocation(ctx, quotaID); err != nil || pending == nil {
		return err // no need to wait for a turn
	}
	config, err := e.configForRevocation(ctx)
	if err != nil {
		return err
	}
	_, err = e.endRefreshToken(ctx, quotaID, config, func(pending pendingRevocation) (bool, error) {
		if !pending.isDue(e.now()) {
			return false, nil
		}
		if pending.Decided {
			return true, nil
		}
		roles, err := e.rolesWithRefreshToken(ctx, quotaID)
		if err != nil {
			return false, err
		}
		if len(roles) > 0 {
			return false, e.voidIfStored(ctx, quotaID, pending)
		}
		// From here on no access token of it gets a holder any more: a reader who is just
		// about to become one, because the read began before the role was written, takes a
		// newer token.
		held, err := e.endUnheldTokens(ctx, quotaID)
		return !held, err
	})
	return err
}

// endRefreshToken decides that the refresh token of a quota is revoked, and carries that
// out, in its turn, if mayEnd says so of what is pending. ends reports whether it came
// to that.
func (e *Engine) endRefreshToken(ctx context.Context, quotaID string, config *Config, mayEnd func(pendingRevocation) (bool, error)) (ends bool, err error) {
	release, err := e.takeTurn(ctx, quotaID)
	if err != nil {
		return false, err
	}
	defer release()
	pending, err := e.loadRevocation(ctx, quotaID)
	if err != nil || pending == nil { // revoked meanwhile
		return false, err
	}
	if ends, err = mayEnd(*pending); err != nil || !ends {
		return false, err
	}
	if pending, err = e.decideRevocation(ctx, quotaID); err != nil || pending == nil {
		return false, err
	}
	_, err = e.carryOutRevocation(ctx, quotaID, *pending, config)
	return true, err
}

// voidIfStored deletes a note about a refresh token with which the role of the note is
// stored, unless that may be because the role is just being given another.
func (e *Engine) voidIfStored(ctx context.Context, quotaID string, pending pendingRevocation) error {
	stored, err := e.isStoredWith(ctx, pending.Role, quotaID)
	if err != nil || !stored || clock.Elapsed(e.now(), pending.At) <= leftoverAfter {
		return err
	}
	return e.voidNote(ctx, quotaID, func(now pendingRevocation) bool { // and no other note by now
		return now.Role == pending.Role && now.At.Equal(pending.At)
	})
}

// endUnheldTokens decides that the access tokens of a quota end which nobody
// holds, and reports whether one is held.
func (e *Engine) endUnheldTokens(ctx context.Context, quotaID string) (held bool, err error) {
	q, err := e.quota(ctx, quotaID)
	if err != nil {
		return false, err
	}
	tokens, err := e.liveTokens(ctx, q)
	if err != nil {
		return false, err
	}
	for _, t := range tokens {
		ending, err := t.ledger.EndIfUnheld(ctx, e.now())
		if err != nil {
			return false, err
		}
		held = held || !ending
	}
	return held, nil
}

// carryOutRevocation asks Zoho to revoke a refresh token. The decision is stored,
// and the caller has its turn. Its access tokens die with it, whoever holds them, so
// that is noted first: a lost answer leaves none that is handed out. Leases on them
// stay until they end; there is nothing left for them to give up.
func (e *Engine) carryOutRevocation(ctx context.Context, quotaID string, pending pendingRevocation, config *Config) (gone bool, err error) {
	q, err := e.quota(ctx, quotaID)
	if err != nil {
		return false, err
	}
	tokens, err := e.liveTokens(ctx, q)
	if err != nil {
		return false, err
	}
	for _, t := range tokens {
		if err := t.ledger.End(ctx, e.now()); err != nil {
			return false, err
		}
	}
	how, err := e.revokeRefreshToken(ctx, pending.app(), e.caCertFor(pending.AccountsURL, pending.CACert, config), secret.New(pending.RefreshToken), config)
	e.report(EventRefreshTokenRevoke, "", err, "role", pending.Role, "quota", quotaID)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	if err != nil {
		return false, errors.Join(err, e.postponeOrGiveUp(ctx, quotaID, pending, err))
	}
	e.log().Info("revoked a refresh token", "role", pending.Role, "quota", quotaID)
	for _, t := range tokens {
		err = errors.Join(err, e.work.Once(ctx, "revoke "+t.rec.ID, func(ctx context.Context) error { return e.deleteDeadWithRefreshToken(ctx, t) }))
	}
	if err != nil {
		e.log().Warn("could not forget the access tokens of a refresh token that is revoked; they are dead, handed out to nobody, and forgotten later", "quota", quotaID, "error", err)
	}
	if err := e.forgetRevocation(ctx, quotaID, pending); err != nil { // it is revoked, which an error would deny
		e.log().Warn("could not forget a refresh token that is revoked; it is revoked once more within a minute, which does no harm", "quota", quotaID, "error", err)
	}
	return how == zoho.AlreadyGone, nil
}

// forgetRevocation forgets a refresh token that was revoked, or given up.
func (e *Engine) forgetRevocation(ctx context.Context, quotaID string, pending pendingRevocation) error {
	if err := e.deleteRevocation(ctx, quotaID); err != nil {
		return err
	}
	listed := listKey(e.clientQuotaID(pending.AccountsURL, pending.ClientID), quotaID)
	if err := e.store.Delete(ctx, listed); err != nil { // it is revoked, which an error would deny
		e.log().Warn("could not take a refresh token that is gone out of the list of its client; the daily round does that", "quota", quotaID, "error", err)
	}
	return nil
}

// errGivenUp: the engine has given up revoking a refresh token, and forgot it.
var errGivenUp = errors.New("it is not tried again")

// postponeOrGiveUp notes that Zoho could not be made to revoke a refresh
// token, and gives up after some days, whether Zoho has refused or could not be reached:
// nothing that is stored stays for ever. One that never worked has one attempt: a role can be
// written with ever new ones.
func (e *Engine) postponeOrGiveUp(ctx context.Context, quotaID string, pending pendingRevocation, cause error) error {
	pause := time.Minute << min(pending.Failures, 10)
	pending.Failures++
	pending.LastError = cause.Error()
	pending.RetryAt = e.now().Add(pause)
	if pending.Failures < mostRevocationFailures && !pending.NeverWorked {
		return e.changeRevocation(ctx, quotaID, func(*pendingRevocation) *pendingRevocation { return &pending })
	}
	if err := e.forgetRevocation(ctx, quotaID, pending); err != nil {
		return err
	}
	if pending.NeverWorked {
		e.log().Warn("a refresh token that has never worked could not be revoked, and was forgotten", "role", pending.Role, "quota", quotaID, "error", cause)
		return errGivenUp
	}
	e.log().Error("gave up revoking a refresh token, and forgot it: it may live on at Zoho. Remove it there, under Connected Apps of the user who consented, or delete the client in the API console",
		"role", pending.Role, "quota", quotaID, "accounts_url", pending.AccountsURL, "client_id", pending.ClientID, "since", pending.At.UTC().Format(time.RFC3339), "error", cause)
	e.report(EventRefreshTokenAbandon, "", nil, "role", pending.Role, "quota", quotaID,
		"accounts_url", pending.AccountsURL, "client_id", pending.ClientID, "since", pending.At.UTC().Format(time.RFC3339))
	return errGivenUp
}

// revokeRefreshToken asks Zoho, within the time that two endpoints may take.
func (e *Engine) revokeRefreshToken(ctx context.Context, app zoho.App, caCert string, refreshToken secret.Value, config *Config) (zoho.Revocation, error) {
	client, err := e.accountsClient(caCert)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*config.RequestTimeout)
	defer cancel()
	return client.RevokeRefreshToken(ctx, app, refreshToken)
}

// deleteDeadWithRefreshToken drops an access token whose refresh token was revoked.
func (e *Engine) deleteDeadWithRefreshToken(ctx context.Context, t *token) error {
	roles := ledger.Roles(t.ledger.Readership())
	e.log().Info("an access token was revoked with its refresh token", "roles", roles, "grant", t.rec.GrantID, "token_id", t.rec.ID)
	e.reportToken(EventTokenRevoke, t, roles, nil)
	return e.deleteToken(ctx, t, "its refresh token was revoked")
}
