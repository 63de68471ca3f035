package backend

import (
	"context"
	"errors"
	"maps"
	"slices"

	"vault-plugin-secrets-zoho/backend/settings"
)

// Which roles share what: a grant, a refresh token, a budget of token requests.

// namesOf names the roles that may draw on a quota: too many at times, never too few.
func (e *Engine) namesOf(ctx context.Context, quotaID string) ([]string, error) {
	if isOfClient(quotaID) {
		c, err := e.client(ctx, quotaID)
		if err != nil || c == nil {
			return nil, err
		}
		return slices.Sorted(maps.Keys(c.Roles)), nil
	}
	r, err := e.record(ctx, quotaID)
	if err != nil || r == nil {
		return nil, err
	}
	return slices.Clone(r.Roles), nil
}

// rolesWhere names the roles that may draw on a quota and that match; match gets nil
// for one whose entry cannot be decoded, and an empty role for one that is not
// there. With an error, the names are those of the roles that could be read.
func (e *Engine) rolesWhere(ctx context.Context, quotaID string, match func(string, *settings.Role) (bool, error)) (names []string, err error) {
	named, err := e.namesOf(ctx, quotaID)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, name := range named {
		r, err := e.Role(ctx, name)
		switch {
		case IsBroken(err):
			r = nil
		case err != nil:
			failed = append(failed, err)
			continue
		case r == nil:
			r = &settings.Role{Name: name}
		}
		matches, err := match(name, r)
		failed = append(failed, err)
		if err == nil && matches {
			names = append(names, name)
		}
	}
	return names, errors.Join(failed...)
}

// users names the roles that can hand out a grant's tokens.
func (e *Engine) users(ctx context.Context, grantID, quotaID string) ([]string, error) {
	config, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	return e.rolesWhere(ctx, quotaID, func(_ string, r *settings.Role) (bool, error) {
		return r != nil && e.grantID(r, config) == grantID, nil
	})
}

// isUsed reports whether a role can hand out a grant's tokens, or may be about to.
func (e *Engine) isUsed(ctx context.Context, grantID, quotaID string) (bool, error) {
	named, err := e.namesOf(ctx, quotaID)
	if err != nil {
		return false, err
	}
	for _, name := range named {
		release, free := e.writes.TryAcquire(prefixRoles + name)
		if !free {
			return true, nil
		}
		release()
	}
	users, err := e.users(ctx, grantID, quotaID)
	return len(users) > 0, err
}

// others returns names without name.
func others(names []string, name string) []string {
	return slices.DeleteFunc(names, func(other string) bool { return other == name })
}

// otherUsers names the roles beside r that hand out the same tokens.
func (e *Engine) otherUsers(ctx context.Context, r *settings.Role, config *settings.Config) ([]string, error) {
	names, err := e.users(ctx, e.grantID(r, config), e.quotaID(r))
	return others(names, r.Name), err
}

// rolesWithRefreshToken names the roles that have a refresh token, also those that cannot
// use it now - their client is not the mount's at the moment, or their entry
// cannot be decoded - and those that are being written with it.
func (e *Engine) rolesWithRefreshToken(ctx context.Context, quotaID string) (names []string, err error) {
	named, err := e.namesOf(ctx, quotaID)
	for _, name := range named {
		presence, release := e.presence(ctx, quotaID, name)
		if release(); presence.Counts() {
			names = append(names, name)
		}
	}
	return names, err
}

// rolesCountedTogether names the roles beside one whose token requests Zoho counts
// together with those of that one: those on its quota, and where requests are counted
// for the client, all of the client's that have worked.
func (e *Engine) rolesCountedTogether(ctx context.Context, role *settings.Role, config *settings.Config) ([]string, error) {
	own := e.quotaID(role)
	ids := []string{own}
	if config.CountRequestsPer == settings.CountPerClient && !isOfClient(own) {
		listed, err := e.recordsOf(ctx, role.Pin)
		if err != nil {
			return nil, err
		}
		ids = append(ids, e.clientQuotaID(role.Pin.AccountsURL, role.Pin.ClientID))
		ids = append(ids, slices.Collect(maps.Keys(listed))...)
	}
	var names []string
	for _, id := range ids {
		found, err := e.rolesWhere(ctx, id, func(_ string, r *settings.Role) (bool, error) {
			return r != nil && e.quotaID(r) == id, nil
		})
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	if names = others(names, role.Name); len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// rolesFor names the roles for which a token is minted, for log lines and
// events, which can do without them.
func (e *Engine) rolesFor(ctx context.Context, g *grant, purpose mintPurpose) []string {
	names, err := e.users(ctx, g.id, g.quotaID)
	if err != nil {
		e.log().Debug("could not look which roles have a grant", "grant", g.id, "error", err)
	}
	if purpose.role != "" && !slices.Contains(names, purpose.role) {
		names = append(names, purpose.role)
	}
	return names
}

// isAlone reports whether no other role whose requests count with those of one has ever got
// a token.
func (e *Engine) isAlone(ctx context.Context, quotaID, requestsID, role string, client settings.Pin) (bool, error) {
	alone, err := e.isAloneOn(ctx, quotaID, role)
	if err != nil || !alone || requestsID == quotaID {
		return alone, err
	}
	listed, err := e.recordsOf(ctx, client)
	if err != nil || len(listed) > 1 {
		return false, err
	}
	return e.isAloneOn(ctx, requestsID, role)
}

// isAloneOn reports whether no other role that draws on a quota has credentials
// that have worked.
func (e *Engine) isAloneOn(ctx context.Context, quotaID, role string) (bool, error) {
	if isOfClient(quotaID) {
		c, err := e.client(ctx, quotaID)
		if err != nil || c == nil {
			return true, err
		}
		for name, grant := range c.Roles {
			if name != role && !c.Grants[grant].LastMint.IsZero() {
				return false, nil
			}
		}
		return true, nil
	}
	r, err := e.record(ctx, quotaID)
	if err != nil || r == nil {
		return true, err
	}
	return !slices.ContainsFunc(r.Roles, func(name string) bool { return name != role && r.IsProven(name) }), nil
}
