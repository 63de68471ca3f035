package backend

import (
	"context"
	"errors"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
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
	swept := errors.Join(e.sweepConsents(ctx), e.sweepEnded(ctx), e.sweepMemory(ctx), e.sweepStored(ctx))
	tokens, tended := e.tendTokens(ctx, tainted)
	refreshTokens, looked := e.pendingTasks(ctx)
	refreshed := e.refreshInUse(ctx)
	e.retry.Round(append(tokens, refreshTokens...))
	return errors.Join(swept, tended, looked, refreshed)
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
	g, err := e.grant(ctx, t.rec.GrantID, t.rec.QuotaID)
	if err != nil {
		return nil, err
	}
	if seen := t.rec.SeenInFuture; t.isOfWrongClock(now) && (seen.IsZero() || clock.IsFuture(now, seen)) {
		return nil, e.noteWrongClock(ctx, g, t)
	}
	needless, err := e.isNeedless(ctx, g, t)
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
	holders, err := e.newLedger(id)
	if err != nil {
		return err
	}
	if err := holders.Erase(ctx); err != nil {
		return err
	}
	return e.store.Delete(ctx, prefixTokens+id)
}

// noteWrongClock stores that the times of a token were seen in the future. From
// then on it is nobody's current token, and lives for those who hold it.
func (e *Engine) noteWrongClock(ctx context.Context, g *grant, t *token) error {
	noted := &token{rec: t.rec, ledger: t.ledger}
	noted.rec.SeenInFuture = e.now()
	noted.ofWrongClock.Store(true)
	if err := e.store.put(ctx, prefixTokens+t.rec.ID, noted.rec.entry()); err != nil {
		return err
	}
	e.log().Warn("an access token was dated by a wrong clock; it is handed out no more", "grant", g.id, "token_id", t.rec.ID, "issued_at", t.rec.IssuedAt, "expires_at", t.rec.ExpiresAt)
	e.tokens.replace(t.rec.ID, t, noted)
	return e.retract(ctx, g, t)
}

// isNeedless reports whether no role can hand out t any more. A crash can leave
// such a token behind.
func (e *Engine) isNeedless(ctx context.Context, g *grant, t *token) (bool, error) {
	switch {
	case t.ledger.IsHeld(): // its last holder will end it
		return false, nil
	case !t.rec.SeenInFuture.IsZero():
		return true, nil
	case clock.Elapsed(e.now(), t.rec.IssuedAt) <= leftoverAfter:
		return false, nil
	case g.record().Current != t.rec.ID:
		return true, nil
	}
	users, err := e.users(ctx, g)
	return len(users) == 0, err
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
	for _, g := range e.grants.all() {
		g.mu.Lock()
		read := !g.read.IsZero() && clock.Elapsed(now, g.read) < zoho.MaxLife
		g.mu.Unlock()
		if t, state := g.currentToken(now, need{}); !read || t == nil || state == fresh || t.ledger.IsIdle() {
			continue
		}
		users, err := e.users(ctx, g)
		failed = append(failed, err)
		if len(users) > 0 {
			e.mintAhead(g)
		}
	}
	return errors.Join(failed...)
}
