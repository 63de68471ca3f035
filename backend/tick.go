package backend

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/zoho"
)

const (
	// revocationsAtOnce bounds the calls to Zoho that one Tick has open.
	revocationsAtOnce = 4

	// lostAfter is how long after a lease's end the ledger waits for Vault to
	// say so. Vault says so at once, or when it is unsealed again.
	lostAfter = 10 * time.Minute
)

// Tick does what has to be done without anybody asking: it carries on with
// revocations, sweeps expired tokens and consents, and mints ahead for grants in
// use. It looks at live tokens and at grants in memory, and once a day, in parts, at all
// that is stored. It must run only where storage may be written.
func (e *Engine) Tick(ctx context.Context) error {
	if !e.ticking.TryLock() {
		return nil // Vault has given up waiting for one that goes on
	}
	defer e.ticking.Unlock()
	// First what asks nothing of Zoho, which may be slow.
	swept := errors.Join(e.sweepConsents(ctx), e.sweepEnded(ctx), e.sweepMemory(ctx), e.sweepStored(ctx))
	ids, err := e.store.List(ctx, prefixTokens)
	if err != nil {
		return errors.Join(swept, err)
	}
	var group errgroup.Group
	group.SetLimit(revocationsAtOnce)
	for _, id := range ids {
		group.Go(func() error {
			if ctx.Err() == nil { // otherwise the next Tick goes on; more calls would be too many at once
				return e.tend(ctx, id)
			}
			return nil
		})
	}
	return errors.Join(swept, group.Wait(), e.refreshInUse(ctx), e.continueRevocations(ctx))
}

// tend does for one token what is due.
func (e *Engine) tend(ctx context.Context, id string) error {
	t, err := e.token(ctx, id)
	if err != nil {
		return err
	}
	if t == nil {
		return e.dropDamagedToken(ctx, id)
	}
	now := e.now()
	if t.isOver(now) {
		return e.deleteExpired(ctx, t)
	}
	t.ledger.Flush()
	for _, holder := range t.ledger.Overdue(now.Add(-lostAfter)) {
		if _, err := t.ledger.Release(ctx, holder, now); err != nil {
			return err
		}
	}
	g, err := e.grant(ctx, t.rec.GrantID, t.rec.QuotaID)
	if err != nil {
		return err
	}
	if seen := t.rec.SeenInFuture; t.isOfWrongClock(now) && (seen.IsZero() || clock.IsFuture(now, seen)) {
		return e.noteWrongClock(ctx, g, t)
	}
	needless, err := e.isNeedless(ctx, g, t)
	if err == nil && (needless || t.ledger.IsDue() || t.ledger.IsEnding()) {
		e.endIfUnheld(ctx, t)
	}
	return err
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

// refreshInUse mints ahead for grants that had a reader within a token's life.
func (e *Engine) refreshInUse(ctx context.Context) error {
	config, err := e.Config(ctx)
	if err != nil || !config.RefreshAhead {
		return err
	}
	now := e.now()
	for _, g := range e.grants.all() {
		g.mu.Lock()
		read := !g.read.IsZero() && clock.Elapsed(now, g.read) < zoho.MaxLife
		g.mu.Unlock()
		if t, state := g.currentToken(now, need{}); !read || t == nil || state == fresh {
			continue
		}
		if users, err := e.users(ctx, g); err != nil {
			return err
		} else if len(users) > 0 {
			e.mintAhead(g)
		}
	}
	return nil
}
