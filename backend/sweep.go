package backend

import (
	"context"
	"errors"
	"path"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// Records of grants and quotas are needed while a role has them, a token lives or
// a request counts. Two things end them: Tick drops from memory, and from storage if
// nothing needs them, what nobody has asked for lately; and once a day it goes
// through all that is stored, some entries a minute, for what a restart forgot.

const (
	// sweepAfter is how long a record in memory is unused before Tick looks at it.
	sweepAfter = 2 * time.Hour

	sweepRoundEvery = 24 * time.Hour
	sweptPerTick    = 50
	droppedPerTick  = 500
)

// sweepRound is where Tick is in its daily round. Only Tick uses it, and Vault
// runs one at a time.
type sweepRound struct {
	began time.Time
	keys  []string // that are still to be looked at
}

// sweepMemory drops the grants and quotas that nobody has asked for lately.
func (e *Engine) sweepMemory(ctx context.Context) error {
	dropped := 0
	var failed []error
	sweep := func(isKept bool, drop func() error) {
		if dropped < droppedPerTick || !isKept {
			dropped++
			failed = append(failed, drop())
		}
	}
	for _, g := range e.grants.unused((*grant).idleLimit) {
		sweep(g.isKept(), func() error { return e.sweepGrant(ctx, g) })
	}
	for _, q := range e.quotas.unused((*quotaRecord).idleLimit) {
		sweep(q.isKept(), func() error { return e.sweepQuota(ctx, q) })
	}
	return errors.Join(failed...)
}

// sweepStored goes on with the daily round through what is stored.
func (e *Engine) sweepStored(ctx context.Context) error {
	round := &e.sweeping
	if now := e.now(); len(round.keys) == 0 && (round.began.IsZero() || clock.Elapsed(now, round.began) >= sweepRoundEvery) {
		var keys []string
		for _, prefix := range []string{prefixGrants, prefixQuotas, prefixQuotaRoles, prefixClientTokens, prefixHolders} {
			names, err := e.store.List(ctx, prefix)
			if err != nil {
				return err
			}
			for _, name := range names {
				keys = append(keys, prefix+path.Base(name))
			}
		}
		round.began, round.keys = now, keys
	}
	n := min(len(round.keys), sweptPerTick)
	var failed []error
	for _, key := range round.keys[:n] {
		failed = append(failed, e.sweepKey(ctx, key))
	}
	round.keys = round.keys[n:]
	return errors.Join(failed...)
}

// sweepKey looks at one stored entry. A record that is loaded for that is dropped from
// memory some time later: see sweepMemory. A record takes a turn only if it looks needless.
func (e *Engine) sweepKey(ctx context.Context, key string) error {
	config, err := e.Config(ctx)
	if err != nil {
		return err
	}
	id := path.Base(key)
	switch path.Dir(key) + "/" {
	case prefixGrants:
		rec, err := get[grantRecord](ctx, e.store, key)
		if IsBroken(err) { // whose quota it is cannot be told; its next reader begins it anew
			_, err = deleteDamaged[grantRecord](ctx, e, key)
		}
		if err != nil || rec == nil {
			return err
		}
		g, err := e.grant(ctx, id, rec.QuotaID)
		if err != nil || !g.record().isNeedless(e.now()) {
			return err
		}
		return e.sweepGrant(ctx, g)
	case prefixQuotas:
		q, err := e.quota(ctx, id)
		if err != nil {
			return err
		}
		if rec := q.record(); !rec.IsNeedless(e.now(), config.limits(), leftoverAfter) {
			return nil
		}
		return e.sweepQuota(ctx, q)
	case prefixClientTokens:
		return e.sweepList(ctx, id)
	case prefixHolders:
		return e.sweepHolders(ctx, id)
	default:
		return e.sweepIndex(ctx, id)
	}
}

// sweepHolders deletes a ledger whose token is gone: a write that came back after the
// deletion leaves one. A token is stored before anybody holds it.
func (e *Engine) sweepHolders(ctx context.Context, tokenID string) error {
	if entry, err := e.store.Get(ctx, prefixTokens+tokenID); err != nil || entry != nil {
		return err
	}
	left, err := e.newLedger(tokenID)
	if err != nil {
		return err
	}
	return left.Erase(ctx)
}

// sweepGrant drops a grant from memory, and its record if no role has the grant
// and nothing in it matters any more.
func (e *Engine) sweepGrant(ctx context.Context, g *grant) error {
	return sweepRecord(ctx, e, e.grants, g.id, g.quotaID(), &g.stored, func() (bool, error) {
		if !g.record().isNeedless(e.now()) {
			return false, nil
		}
		users, err := e.users(ctx, g)
		return len(users) == 0, err
	})
}

// sweepQuota drops a quota from memory, and its record if no role draws on it
// and nothing in it counts any more.
func (e *Engine) sweepQuota(ctx context.Context, q *quotaRecord) error {
	config, err := e.Config(ctx)
	if err != nil {
		return err
	}
	return sweepRecord(ctx, e, e.quotas, q.id, q.id, &q.stored, func() (bool, error) {
		if rec := q.record(); !rec.IsNeedless(e.now(), config.limits(), leftoverAfter) {
			return false, nil
		}
		roles, err := e.indexedRoles(ctx, q.id)
		return len(roles) == 0, err
	})
}

// sweepRecord drops a record from memory, and from storage if it is needless. Nobody can
// ask Zoho or change the record meanwhile.
func sweepRecord[T, R any](ctx context.Context, e *Engine, records *memory[R], id, quotaID string, s *stored[T], isNeedless func() (bool, error)) error {
	turn, free := e.turns.TryAcquire(quotaID)
	if !free {
		return nil // it is in use: Zoho is being asked, and may be slow
	}
	defer turn()
	release, err := e.writes.Acquire(ctx, s.key)
	if err != nil {
		return err
	}
	defer release()
	if s.isKept() {
		needless, err := isNeedless()
		if err == nil && needless {
			err = e.store.Delete(ctx, s.key)
		}
		if err != nil {
			return err
		}
	}
	// Somebody may have asked for it since: two of one record would each undo what the
	// other stores.
	records.dropIfUnused(id, s.idleLimit(), s.drop)
	return nil
}

// isNeedless reports whether a grant that no role has tells nothing that matters.
// What is under way with it has begun less than leftoverAfter ago.
func (rec grantRecord) isNeedless(now time.Time) bool {
	if rec.Current != "" || clock.Elapsed(now, rec.LastMint) <= leftoverAfter {
		return false
	}
	return rec.Failure == nil || clock.Elapsed(now, rec.Failure.At) > leftoverAfter
}
