package backend

import (
	"context"
	"net/url"
	"strings"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/work"
)

// Config returns the mount's config, or its defaults if none was written.
func (e *Engine) Config(ctx context.Context) (*settings.Config, error) {
	return e.config.get(ctx, keyConfig, e.loadConfig)
}

// WriteConfig changes the config. The error is a *UserError if the change
// cannot be made, a *GrantError if Zoho refuses the client secret, and then
// nothing has changed.
func (e *Engine) WriteConfig(ctx context.Context, change settings.ConfigChange) (warnings []string, err error) {
	return work.Result(ctx, e.work, func(ctx context.Context) ([]string, error) {
		warnings, err := e.writeConfig(ctx, change)
		e.report(EventConfigWrite, keyConfig, err)
		return warnings, err
	})
}

func (e *Engine) writeConfig(ctx context.Context, change settings.ConfigChange) (warnings []string, err error) {
	release, err := e.writes.Acquire(ctx, keyConfig)
	if err != nil {
		return nil, err
	}
	defer release()
	old, err := e.Config(ctx)
	if IsBroken(err) && change.ClientID == nil {
		return nil, settings.UserErrorf("the stored config is damaged, so there is nothing that this write could keep: write it in full, with client_id and client_secret, or delete it")
	}
	if old, err = orNone(old, err); err != nil {
		return nil, err
	}
	if old == nil {
		old = settings.DefaultConfig()
	}
	updated, warnings, err := change.Apply(*old)
	if err != nil {
		return nil, err
	}
	move, err := e.moveClient(ctx, old, &updated, change.Force)
	if err != nil {
		return nil, err
	}
	if change.RedirectURI != nil {
		if err := e.checkCallback(updated.RedirectURI); err != nil {
			return nil, err
		}
		warnings = append(warnings, settings.CallbackWarnings(updated.RedirectURI)...)
	}
	if change.WantsTrial(*old, updated) {
		tried, err := e.tryClient(ctx, old, &updated)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, tried...)
	}
	defer e.config.forget(keyConfig)
	if err := e.store.put(ctx, keyConfig, configEntry{updated, updated.ClientSecret.Reveal()}); err != nil {
		return nil, err
	}
	return append(warnings, e.tellMoved(move)...), nil
}

// tellMoved logs which roles the new config has ended, and returns the warnings.
func (e *Engine) tellMoved(m *clientMove) (warnings []string) {
	if m.count > 0 {
		e.log().Warn("roles hand out no access tokens any more, since the mount's client was changed or deleted", "roles", m.named(), "count", m.count, "client_id", m.from.ClientID, "accounts_url", m.from.AccountsURL())
	}
	return m.warnings()
}

// DeleteConfig forgets the config and with it the mount's client. Roles with a
// client of their own and all leases go on as before. If a role would end, it needs force:
// the error is a *UserError then, and nothing has changed.
func (e *Engine) DeleteConfig(ctx context.Context, force bool) (warnings []string, err error) {
	defer func() { e.report(EventConfigDelete, keyConfig, err) }()
	release, err := e.writes.Acquire(ctx, keyConfig)
	if err != nil {
		return nil, err
	}
	defer release()
	old, err := orNone(e.Config(ctx))
	if err != nil {
		return nil, err
	}
	if old == nil {
		old = settings.DefaultConfig()
	}
	move, err := e.moveClient(ctx, old, settings.DefaultConfig(), force)
	if err != nil {
		return nil, err
	}
	defer e.config.forget(keyConfig)
	if err := e.store.Delete(ctx, keyConfig); err != nil {
		return nil, err
	}
	return e.tellMoved(move), nil
}

// configEntry is the config as it is stored: with the secret.
type configEntry struct {
	settings.Config
	ClientSecret string `json:"client_secret,omitempty"`
}

func (e *Engine) loadConfig(ctx context.Context, key string) (*settings.Config, error) {
	s, err := get[configEntry](ctx, e.store, key)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return settings.DefaultConfig(), nil
	}
	s.Config.ClientSecret = secret.New(s.ClientSecret)
	return &s.Config, nil
}

// checkCallback holds the mount's redirect_uri against the mount's own address: Zoho
// would send browsers to one that is not this mount's, and their consents would be
// lost. A proxy may have put something before it.
func (e *Engine) checkCallback(redirectURI string) error {
	mount := e.logger.Load().path
	u, err := url.Parse(redirectURI)
	if mount == "" || redirectURI == "" || err == nil && strings.HasSuffix(u.Path, "/"+mount+"callback") {
		return nil
	}
	return settings.UserErrorf("redirect_uri does not end with the address of this mount's callback: write it as https://vault.example.com/v1/<mount>/callback, with your own server, and register exactly the same in Zoho's API console")
}
