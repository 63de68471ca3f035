package backend

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
)

// Which roles draw on a quota is found by an index in storage, with an entry
// for each role: quota-roles/<quota_id>/<role>. It does not depend on the client's
// secret, so a new secret of the mount's client, which writes no role, leaves it
// as it is. An entry is written before its role and deleted after it: the index may
// name a role that no longer draws on the quota, and never misses one that does.

// indexEntry is the entry of a role. It is there before the role is stored.
type indexEntry struct {
	At time.Time `json:"at"`
}

func indexKey(quotaID, role string) string { return prefixQuotaRoles + quotaID + "/" + role }

// enterIndex enters a role that is about to be stored.
func (e *Engine) enterIndex(ctx context.Context, quotaID, role string) error {
	if quotaID == "" {
		return nil
	}
	return e.store.put(ctx, indexKey(quotaID, role), indexEntry{At: e.now()})
}

// leaveIndex takes a role out that no longer draws on the quota.
func (e *Engine) leaveIndex(ctx context.Context, quotaID, role string) error {
	return e.store.Delete(ctx, indexKey(quotaID, role))
}

// indexedRoles names the roles that may draw on a quota.
func (e *Engine) indexedRoles(ctx context.Context, quotaID string) ([]string, error) {
	if quotaID == "" {
		return nil, nil
	}
	return e.store.List(ctx, prefixQuotaRoles+quotaID+"/")
}

// users names the roles that can hand out the grant's tokens.
func (e *Engine) users(ctx context.Context, g *grant) ([]string, error) {
	config, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	return e.rolesWhere(ctx, g.quotaID(), func(_ string, r *Role) (bool, error) {
		return r != nil && e.grantID(r, config) == g.id, nil
	})
}

// rolesWithRefreshToken names the roles that have a refresh token, also those that cannot
// use it now - their client is not the mount's at the moment, or their entry
// cannot be decoded - and those that are being written with it. It must not be
// revoked behind their back.
func (e *Engine) rolesWithRefreshToken(ctx context.Context, quotaID string) ([]string, error) {
	// First who is being written, and then who is stored: a role that is stored meanwhile
	// would otherwise be neither.
	e.mu.Lock()
	writing := maps.Clone(e.writing)
	e.mu.Unlock()
	return e.rolesWhere(ctx, quotaID, func(name string, r *Role) (bool, error) {
		if r == nil || e.quotaID(r) == quotaID || writing[indexKey(quotaID, name)] > 0 {
			return true, nil
		}
		return e.isBeingWritten(ctx, quotaID, name)
	})
}

// isStoredWith reports whether a role draws on a quota by what is stored of it.
func (e *Engine) isStoredWith(ctx context.Context, role, quotaID string) (bool, error) {
	r, err := orNone(e.Role(ctx, role))
	return r != nil && e.quotaID(r) == quotaID, err
}

// isBeingWritten reports whether a role in the index of a quota may be just about to be
// stored with it: by this process, or, before a crash, by another. For this process
// memory tells: the time in the index does not, if the clock jumps meanwhile.
func (e *Engine) isBeingWritten(ctx context.Context, quotaID, role string) (bool, error) {
	e.mu.Lock()
	writing := e.writing[indexKey(quotaID, role)] > 0
	e.mu.Unlock()
	if writing {
		return true, nil
	}
	entry, err := orNone(get[indexEntry](ctx, e.store, indexKey(quotaID, role)))
	return entry != nil && clock.Elapsed(e.now(), entry.At) <= leftoverAfter, err
}

// beginWriting notes in memory that a role is being written with a quota, until done is
// called.
func (e *Engine) beginWriting(quotaID, role string) (done func()) {
	key := indexKey(quotaID, role)
	add := func(n int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.writing[key] += n; e.writing[key] == 0 {
			delete(e.writing, key)
		}
	}
	add(1)
	return func() { add(-1) }
}

// rolesWhere names the roles in the index of a quota that match; match gets nil
// for one whose entry cannot be decoded, and an empty role for one that is not
// there. With an error, the names are those of the roles that could be read.
func (e *Engine) rolesWhere(ctx context.Context, quotaID string, match func(string, *Role) (bool, error)) (names []string, err error) {
	indexed, err := e.indexedRoles(ctx, quotaID)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, name := range indexed {
		r, err := e.Role(ctx, name)
		switch {
		case IsBroken(err):
			r = nil
		case err != nil:
			failed = append(failed, err)
			continue
		case r == nil:
			r = &Role{Name: name}
		}
		matches, err := match(name, r)
		failed = append(failed, err)
		if err == nil && matches {
			names = append(names, name)
		}
	}
	return names, errors.Join(failed...)
}

// others returns names without name.
func others(names []string, name string) []string {
	return slices.DeleteFunc(names, func(other string) bool { return other == name })
}

// rolesCountedTogether names the roles beside one whose token requests Zoho counts
// together with those of that one: those on its quota, and where requests are counted
// for the client, all of the client's that have worked.
func (e *Engine) rolesCountedTogether(ctx context.Context, role string, q, requests *quotaRecord) ([]string, error) {
	ids := []string{q.id}
	if requests != q {
		listed, err := e.store.List(ctx, prefixClientTokens+requests.id+"/")
		if err != nil {
			return nil, err
		}
		ids = append(append(ids, requests.id), listed...)
	}
	var names []string
	for _, id := range ids {
		found, err := e.rolesWhere(ctx, id, func(_ string, r *Role) (bool, error) {
			return r != nil && e.quotaID(r) == id, nil
		})
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	if names = others(names, role); len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// otherUsers names the roles beside r that hand out the same tokens.
func (e *Engine) otherUsers(ctx context.Context, r *Role, config *Config) ([]string, error) {
	g, err := e.grantOf(ctx, r, config)
	if err != nil {
		return nil, err
	}
	names, err := e.users(ctx, g)
	return others(names, r.Name), err
}

// otherRolesWithRefreshToken names the roles beside r that have the same refresh token.
func (e *Engine) otherRolesWithRefreshToken(ctx context.Context, r *Role) ([]string, error) {
	if r.RefreshToken.IsZero() {
		return nil, nil
	}
	names, err := e.rolesWithRefreshToken(ctx, e.quotaID(r))
	return others(names, r.Name), err
}

// rolesFor names the roles for which a token is minted, for log lines and
// events, which can do without them.
func (e *Engine) rolesFor(ctx context.Context, g *grant, purpose mintPurpose) []string {
	names, err := e.users(ctx, g)
	if err != nil {
		e.log().Debug("could not look which roles have a grant", "grant", g.id, "error", err)
	}
	if purpose.role != "" && !slices.Contains(names, purpose.role) {
		names = append(names, purpose.role)
	}
	return names
}

// sweepIndex deletes the entries of a quota's index whose roles no longer draw
// on it. A write or a deletion that was cut off leaves such an entry.
func (e *Engine) sweepIndex(ctx context.Context, quotaID string) error {
	named, err := e.rolesWhere(ctx, quotaID, func(name string, r *Role) (bool, error) {
		if r == nil || e.quotaID(r) == quotaID {
			return false, nil
		}
		writing, err := e.isBeingWritten(ctx, quotaID, name)
		return !writing, err
	})
	for _, name := range named {
		err = errors.Join(err, e.sweepIndexEntry(ctx, quotaID, name))
	}
	return err
}

// sweepIndexEntry deletes one entry while its role cannot be written.
func (e *Engine) sweepIndexEntry(ctx context.Context, quotaID, name string) error {
	release, free := e.writes.TryAcquire(prefixRoles + name)
	if !free {
		return nil // the role is being written; the next round looks again
	}
	defer release()
	r, err := e.Role(ctx, name)
	if err != nil {
		return err
	}
	if r != nil && e.quotaID(r) == quotaID {
		return nil
	}
	e.log().Debug("an entry of the index of roles was left over", "quota", quotaID, "role", strings.TrimSuffix(name, "/"))
	return e.leaveIndex(ctx, quotaID, name)
}
