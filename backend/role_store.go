package backend

import (
	"context"
	"errors"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
)

// Role returns a role, or nil if there is none of that name.
func (e *Engine) Role(ctx context.Context, name string) (*Role, error) {
	if err := CheckRoleName(name); err != nil {
		return nil, err
	}
	return e.roles.get(ctx, name, e.loadRole)
}

// RoleNames lists all roles.
func (e *Engine) RoleNames(ctx context.Context) ([]string, error) {
	return e.store.List(ctx, prefixRoles)
}

// WriteRole creates or changes a role. The error is a *UserError if the change
// cannot be made, and then nothing has changed.
func (e *Engine) WriteRole(ctx context.Context, name string, change RoleChange) (warnings []string, err error) {
	release, err := e.writes.acquire(ctx, prefixRoles+name)
	if err != nil {
		return nil, err
	}
	defer release()
	config, _, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	old, err := orNone(e.Role(ctx, name))
	if err != nil {
		return nil, err
	}
	if old == nil && change.MustExist {
		return nil, userErrorf("role %q does not exist, and a patch changes only what is there; create it with: vault write <mount>/roles/%s refresh_token=...", name, name)
	}
	updated, warnings, err := change.apply(name, old, config)
	if err != nil {
		return nil, err
	}
	if err := e.joinGrant(ctx, updated, change.namesCredential()); err != nil {
		return nil, err
	}
	if err := e.storeRole(ctx, updated); err != nil {
		return nil, err
	}
	return warnings, e.leaveFormerGrant(ctx, old, updated)
}

func (e *Engine) storeRole(ctx context.Context, r *Role) error {
	defer e.roles.forget(r.Name)
	return e.store.put(ctx, prefixRoles+r.Name, r.entry())
}

// leaveFormerGrant follows a change of a role's credentials. updated is nil if
// the role was deleted, and old if it is new.
func (e *Engine) leaveFormerGrant(ctx context.Context, old, updated *Role) error {
	if old == nil {
		return nil
	}
	id, err := e.grantID(ctx, old)
	if err != nil {
		return err
	}
	if updated != nil {
		if now, err := e.grantID(ctx, updated); err != nil || now == id {
			return err
		}
	}
	if err := e.leaveGrant(ctx, id, old.Name); err != nil {
		// The role is written as it should be; the rest is Tick's.
		e.log.Warn("could not tidy up after a role; it is tried again", "role", old.Name, "grant", id, "error", err)
	}
	return nil
}

// DeleteRole forgets a role. Leases on its tokens stay, and stay revocable; a
// token that nobody holds and no other role hands out is ended.
func (e *Engine) DeleteRole(ctx context.Context, name string) error {
	if err := CheckRoleName(name); err != nil {
		return err
	}
	release, err := e.writes.acquire(ctx, prefixRoles+name)
	if err != nil {
		return err
	}
	defer release()
	role, err := orNone(e.Role(ctx, name))
	if err != nil {
		return err
	}
	if err := e.dropRole(ctx, name); err != nil {
		return err
	}
	return e.leaveFormerGrant(ctx, role, nil)
}

func (e *Engine) dropRole(ctx context.Context, name string) error {
	defer e.roles.forget(name)
	return e.store.Delete(ctx, prefixRoles+name)
}

// roleEntry is a role as it is stored.
type roleEntry struct {
	GrantType    string        `json:"grant_type"`
	DataCenter   string        `json:"data_center,omitempty"`
	ClientID     string        `json:"client_id,omitempty"`
	ClientSecret string        `json:"client_secret,omitempty"`
	RefreshToken string        `json:"refresh_token"`
	TTL          time.Duration `json:"ttl,omitempty"`
	MinTTL       time.Duration `json:"min_ttl,omitempty"`
	Exclusive    bool          `json:"exclusive,omitempty"`
	AccountsURL  string        `json:"pinned_accounts_url"`
	PinnedClient string        `json:"pinned_client_id"`
}

func (r *Role) entry() roleEntry {
	return roleEntry{
		GrantType: GrantTypeRefreshToken, DataCenter: r.DataCenter,
		ClientID: r.ClientID, ClientSecret: r.ClientSecret.Reveal(),
		RefreshToken: r.RefreshToken.Reveal(), TTL: r.TTL, MinTTL: r.MinTTL, Exclusive: r.Exclusive,
		AccountsURL: r.Pin.AccountsURL, PinnedClient: r.Pin.ClientID,
	}
}

func (e *Engine) loadRole(ctx context.Context, name string) (*Role, error) {
	s, err := get[roleEntry](ctx, e.store, prefixRoles+name)
	if err != nil || s == nil {
		return nil, err
	}
	return &Role{
		Name: name, DataCenter: s.DataCenter,
		ClientID: s.ClientID, ClientSecret: secret.New(s.ClientSecret),
		RefreshToken: secret.New(s.RefreshToken), TTL: s.TTL, MinTTL: s.MinTTL, Exclusive: s.Exclusive,
		Pin: Pin{AccountsURL: s.AccountsURL, ClientID: s.PinnedClient},
	}, nil
}

// Overview is a role at a glance, for lists.
type Overview struct {
	DataCenter string
	GrantType  string
	State      GrantState
}

// RoleOverview tells of a role what a list shows. A role that was deleted
// while the list was made is empty.
func (e *Engine) RoleOverview(ctx context.Context, name string) (Overview, error) {
	role, err := e.Role(ctx, name)
	var broken *undecodable
	if errors.As(err, &broken) {
		return Overview{State: StateBroken}, nil
	}
	if err != nil || role == nil {
		return Overview{}, err
	}
	config, _, err := e.Config(ctx)
	if err != nil {
		return Overview{}, err
	}
	state, err := e.roleState(ctx, role, config)
	return Overview{DataCenter: role.EffectiveDataCenter(config), GrantType: GrantTypeRefreshToken, State: state}, err
}
