package backend

import (
	"context"
	"slices"
	"strings"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
)

// Role returns a role, or nil if there is none of that name.
func (e *Engine) Role(ctx context.Context, name string) (*settings.Role, error) {
	if err := settings.CheckRoleName(name); err != nil {
		return nil, err
	}
	return e.roles.get(ctx, name, e.loadRole)
}

// existingRole is Role for those who cannot do without it.
func (e *Engine) existingRole(ctx context.Context, name string) (*settings.Role, error) {
	role, err := e.Role(ctx, name)
	if err == nil && role == nil {
		return nil, settings.UserErrorf("role %q does not exist. Look at its spelling (vault list <mount>/roles), or write it: vault write <mount>/roles/%s refresh_token=... (or code=..., or scopes=... and then its authorize)", name, name)
	}
	return role, err
}

// roleAndConfig returns a role that must exist, and the config.
func (e *Engine) roleAndConfig(ctx context.Context, name string) (*settings.Role, *settings.Config, error) {
	role, err := e.existingRole(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	config, err := e.Config(ctx)
	return role, config, err
}

// RoleNames lists all roles.
func (e *Engine) RoleNames(ctx context.Context) ([]string, error) {
	return e.store.List(ctx, prefixRoles)
}

func (e *Engine) storeRole(ctx context.Context, r *settings.Role) error {
	defer e.roles.forget(r.Name)
	if r.IsAuthorized() {
		r.Deauthorized = nil
	}
	return e.store.put(ctx, prefixRoles+r.Name, roleEntry{*r, r.ClientSecret.Reveal(), r.RefreshToken.Reveal()})
}

// dropRole deletes the entry of a role.
func (e *Engine) dropRole(ctx context.Context, name string) error {
	defer e.roles.forget(name)
	return e.store.Delete(ctx, prefixRoles+name)
}

// peekRole is Role for those who go through all of them, and keep none in memory.
func (e *Engine) peekRole(ctx context.Context, name string) (*settings.Role, error) {
	if r := e.roles.find(name); r != nil {
		return r, nil
	}
	return e.loadRole(ctx, strings.TrimSuffix(name, "/"))
}

// roleEntry is a role as it is stored: with its secrets.
type roleEntry struct {
	settings.Role
	ClientSecret string `json:"client_secret,omitempty"`
	RefreshToken string `json:"refresh_token"`
}

func (e *Engine) loadRole(ctx context.Context, name string) (*settings.Role, error) {
	s, err := get[roleEntry](ctx, e.store, prefixRoles+name)
	if err != nil || s == nil {
		return nil, err
	}
	r := &s.Role
	r.Name, r.ClientSecret, r.RefreshToken = name, secret.New(s.ClientSecret), secret.New(s.RefreshToken)
	r.Metadata = settings.Copied(r.Metadata)
	return r, nil
}

// Overview is a role at a glance, for lists.
type Overview struct {
	DataCenter string
	GrantType  string
	State      GrantState
	Consent    *LastConsent      // the latest authorization, if it has not succeeded; nil if there is none
	Authorized bool              // it has something to mint from
	Granted    []string          // scopes that Zoho says it granted
	Metadata   map[string]string // nil if it has more than 256 bytes
}

// RoleOverviews tells of all roles what a list shows, by name. A role that was deleted
// while the list was made is empty.
func (e *Engine) RoleOverviews(ctx context.Context) (names []string, overviews map[string]Overview, err error) {
	if names, err = e.RoleNames(ctx); err != nil {
		return nil, nil, err
	}
	asked, err := e.store.List(ctx, prefixLastConsents) // few roles of many
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(asked)
	overviews = make(map[string]Overview, len(names))
	for _, name := range names {
		var last *LastConsent
		if _, waits := slices.BinarySearch(asked, name); waits {
			if last, err = e.lastConsent(ctx, name); err != nil {
				return nil, nil, err
			}
		}
		if overviews[name], err = e.overview(ctx, name, last); err != nil {
			return nil, nil, err
		}
	}
	return names, overviews, nil
}

// RoleOverview is RoleOverviews of one role.
func (e *Engine) RoleOverview(ctx context.Context, name string) (Overview, error) {
	last, err := e.lastConsent(ctx, name)
	if err != nil {
		return Overview{}, err
	}
	return e.overview(ctx, name, last)
}

func (e *Engine) overview(ctx context.Context, name string, last *LastConsent) (Overview, error) {
	role, err := e.Role(ctx, name)
	if IsBroken(err) {
		return Overview{State: StateBroken}, nil
	}
	if err != nil || role == nil {
		return Overview{}, err
	}
	config, err := e.Config(ctx)
	if err != nil {
		return Overview{}, err
	}
	state, granted, err := e.roleState(ctx, role, config, last)
	return Overview{
		DataCenter: dataCenterOf(role.Pin.AccountsURL), GrantType: role.GrantType,
		State: state, Consent: last, Authorized: role.IsAuthorized(), Granted: granted, Metadata: settings.Shortened(role.Metadata),
	}, err
}
