package backend

import (
	"context"
	"errors"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/work"
	"vault-plugin-secrets-zoho/backend/zoho"
)

const (
	// tendedAtOnce bounds how many tokens one Tick reads from storage at a time.
	tendedAtOnce = 4

	// lostAfter is how long after a lease's end the ledger waits for Vault to
	// say so. Vault says so at once, or when it is unsealed again.
	lostAfter = 10 * time.Minute
)

// Tick does what has to be done without anybody asking: it carries on with
// revocations, sweeps expired tokens and consents, and mints ahead for grants in
// use. It looks at live tokens and at grants in memory, and once a day, in parts, at all
// that is stored. It must run only where storage may be written.
//
// It waits for storage, and never for Zoho: what is asked of Zoho runs in the background,
// in a queue for each Accounts server. One entry that cannot be read keeps no other from
// its turn; the error has all that failed.
//
// On a mount that is tainted, which is being disabled, no token is kept for a next reader.
func (e *Engine) Tick(ctx context.Context, tainted func() bool) error {
	if !e.ticking.TryLock() {
		return nil // Vault has given up waiting for one that goes on
	}
	defer e.ticking.Unlock()
	e.dropUnused()
	swept := errors.Join(e.sweepConsents(ctx), e.pollDevices(ctx), e.sweepEnded(ctx), e.goRound(ctx))
	tokens, tended := e.tendTokens(ctx, tainted)
	refreshed := e.refreshInUse(ctx)
	e.retry.Round(append(tokens, e.reconcileTasks()...))
	return errors.Join(swept, tended, refreshed)
}

// tendTokens does for each token what is due, and returns the revocations that are.
func (e *Engine) tendTokens(ctx context.Context, tainted func() bool) (revocations []work.Task, failed error) {
	ids, err := e.store.List(ctx, prefixTokens)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	failed = work.Each(tendedAtOnce, ids, func(id string) error {
		if ctx.Err() != nil { // the next Tick goes on
			return nil
		}
		ending, err := e.tend(ctx, id, tainted)
		if ending != nil {
			mu.Lock()
			defer mu.Unlock()
			revocations = append(revocations, work.Task{
				Key: prefixTokens + id, Queue: ending.rec.App.AccountsURL,
				Do: func(ctx context.Context) error { return e.revokeAtZoho(ctx, ending) },
			})
		}
		return err
	})
	return revocations, failed
}

// tend does for one token what is due, but for its revocation: it returns a token that
// has to be revoked.
func (e *Engine) tend(ctx context.Context, id string, tainted func() bool) (ending *token, err error) {
	t, err := e.token(ctx, id)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, e.dropDamagedToken(ctx, id)
	}
	now := e.now()
	if t.isOver(now) {
		return nil, e.deleteExpired(ctx, t)
	}
	t.ledger.Flush()
	for _, holder := range t.ledger.Overdue(now.Add(-lostAfter)) {
		if _, err := t.ledger.Release(ctx, holder, now, nil); err != nil {
			return nil, err
		}
	}
	if t.isOfWrongClock(now) {
		if err := e.noteWrongClock(ctx, t); err != nil {
			return nil, err
		}
	}
	needless, err := e.isNeedless(ctx, t)
	if err != nil || !needless && !e.isDue(ctx, t, tainted) && !t.ledger.IsEnding() {
		return nil, err
	}
	if !e.decideIfUnheld(ctx, t) {
		return nil, nil
	}
	return t, nil
}

// isDue reports whether t's last holder is gone, and no role wants t kept any more.
func (e *Engine) isDue(ctx context.Context, t *token, tainted func() bool) bool {
	return t.ledger.IsIdle() && (t.ledger.IsDue(e.now(), e.keepsOf(ctx, t)) || tainted())
}

// dropDamagedToken deletes what is left of a token whose record cannot be
// decoded. Without the record nobody can revoke it, and it expires by itself.
func (e *Engine) dropDamagedToken(ctx context.Context, id string) error {
	_, err := get[tokenEntry](ctx, e.store, prefixTokens+id)
	if !IsBroken(err) {
		return err
	}
	holders, err := e.newLedger(id, ledger.Reservation{})
	if err != nil {
		return err
	}
	return holders.Erase(ctx, func(ctx context.Context) error { return e.store.Delete(ctx, prefixTokens+id) })
}

// noteWrongClock stores that a wrong clock dated a token. From then on it is nobody's current
// token, and lives for those who hold it.
func (e *Engine) noteWrongClock(ctx context.Context, t *token) error {
	u, err := e.usage(ctx, t.rec.QuotaID)
	if seen := u.Misdated[t.rec.ID]; err != nil || !seen.IsZero() && !clock.IsFuture(e.now(), seen) {
		return err
	}
	if clock.IsFuture(e.now(), time.Unix(0, t.misdated.Load())) {
		t.misdated.Store(e.now().UnixNano())
	}
	at := time.Unix(0, t.misdated.Load()).UTC()
	if err := e.changeUsage(ctx, t.rec.QuotaID, func(u *refreshtoken.Usage) { u.Misdate(t.rec.ID, at) }); err != nil {
		return err
	}
	e.log().Warn("an access token was dated by a wrong clock; it is handed out no more", "grant", t.rec.GrantID, "token_id", t.rec.ID, "issued_at", t.rec.IssuedAt, "expires_at", t.rec.ExpiresAt)
	return nil
}

// isNeedless reports whether nobody can get t any more: it was superseded, no role has its
// grant, or a crash came before it was counted.
func (e *Engine) isNeedless(ctx context.Context, t *token) (bool, error) {
	if t.ledger.IsHeld() { // its last holder will end it
		return false, nil
	}
	release, free := e.turns.TryAcquire(t.rec.QuotaID)
	if !free {
		return false, nil // it may be about to be counted
	}
	defer release()
	u, err := e.usage(ctx, t.rec.QuotaID)
	switch {
	case err != nil:
		return false, err
	case t.rec.Exclusive && u.Counts(t.rec.ID) && clock.Elapsed(e.now(), t.rec.IssuedAt) <= flightLimit:
		return false, nil // its reader is on the way
	case !u.Keeps(t.rec.ID):
		return true, nil
	}
	if record, err := e.record(ctx, t.rec.QuotaID); err != nil || record.IsEnding() {
		return err == nil, err
	}
	used, err := e.isUsed(ctx, t.rec.GrantID, t.rec.QuotaID)
	return !used, err
}

// refreshInUse mints ahead for grants that had a reader within a token's life, unless the
// token is only kept until a next reader comes.
func (e *Engine) refreshInUse(ctx context.Context) error {
	config, err := e.Config(ctx)
	if err != nil || !config.RefreshAhead {
		return err
	}
	now := e.now()
	var failed []error
	for _, g := range e.allGrants() {
		g.mu.Lock()
		read := !g.read.IsZero() && clock.Elapsed(now, g.read) < zoho.MaxLife
		g.mu.Unlock()
		if !read {
			continue
		}
		t, state, err := e.currentToken(ctx, g, need{})
		if err != nil || t == nil || state == fresh || t.ledger.IsIdle() {
			failed = append(failed, err)
			continue
		}
		users, err := e.users(ctx, g.id, g.quotaID)
		failed = append(failed, err)
		if len(users) > 0 {
			e.mintAhead(g)
		}
	}
	return errors.Join(failed...)
}
