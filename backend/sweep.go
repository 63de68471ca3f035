package backend

import (
	"context"
	"maps"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// idleGrant remembers a grant that no role may need any more, for sweepGrants.
// What a restart forgets stays: some hundred bytes each.
func (e *Engine) idleGrant(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle[id] = true
}

// sweepGrants deletes the records of grants that nobody needs: no role has the
// credentials, no token lives, and no request counts any more. A refresh token
// that was refused when it was written leaves such a record, too.
func (e *Engine) sweepGrants(ctx context.Context) error {
	e.mu.Lock()
	ids := slices.Sorted(maps.Keys(e.idle))
	e.mu.Unlock()
	config, _, err := e.Config(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		settled, err := e.sweepGrant(ctx, id, config)
		if err != nil {
			return err
		}
		if settled {
			e.mu.Lock()
			delete(e.idle, id)
			e.mu.Unlock()
		}
	}
	return nil
}

// sweepGrant reports whether the grant need not be looked at again: it is in
// use, or gone.
func (e *Engine) sweepGrant(ctx context.Context, id string, config *Config) (settled bool, err error) {
	g, err := e.grant(ctx, id)
	if err != nil {
		return false, err
	}
	turn, err := e.takeTurn(ctx, g)
	if err != nil {
		return false, err
	}
	defer turn()
	if used, err := e.claimants(ctx, g); err != nil || len(used) > 0 {
		return true, err
	}
	retired, err := orNone(get[retiredEntry](ctx, e.store, prefixRetired+id))
	if err != nil || retired != nil {
		return false, err
	}
	release, err := e.writes.acquire(ctx, prefixGrants+id)
	if err != nil {
		return false, err
	}
	defer release()
	if rec := g.record(); !rec.isNeedless(e.now(), config) {
		return false, nil
	}
	if err := e.store.Delete(ctx, prefixGrants+id); err != nil {
		return false, err
	}
	g.mu.Lock()
	g.dropped = true
	g.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.grants[id] == g {
		delete(e.grants, id)
	}
	return true, nil
}

// isNeedless reports whether a record tells nothing that still matters. What is
// under way with the grant has begun less than settled ago.
func (rec *grantRecord) isNeedless(now time.Time, config *Config) bool {
	keep := max(config.RequestWindow+config.RequestTimeout, zoho.MaxLife) + settled
	latest := rec.latestRequest().At
	waits := rec.Failure != nil && rec.Failure.RetryAt.After(now)
	return len(rec.Roles) == 0 && rec.Current == "" && !waits && now.Sub(latest) > keep && len(rec.live(now)) == 0
}
