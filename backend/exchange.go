package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// exchangeCode turns the change's grant code into the refresh token of updated,
// and stores that role. What Zoho gives is stored or revoked, never lost: only
// a crash between Zoho's answer and the first write can leave a refresh token
// that nobody knows, and no order of writes can help against that.
func (e *Engine) exchangeCode(ctx context.Context, old, updated *Role, change RoleChange, config *Config) (warnings []string, err error) {
	app, err := updated.app(config)
	if err != nil {
		return nil, err
	}
	redirectURI := ""
	set(&redirectURI, change.RedirectURI)
	got, err := e.exchange(ctx, updated, app, secret.New(*change.Code), redirectURI, config)
	if err != nil {
		e.log().Warn("could not exchange a grant code", "role", updated.Name, "error", err)
		return nil, err
	}
	// From here on nothing may stop halfway, also while the mount shuts down.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	g, cred, err := e.grantOf(ctx, updated, config)
	if err != nil {
		return nil, e.abandon(ctx, app, config, got, err)
	}
	release, err := e.takeTurn(ctx, g) // its first reader waits for the token that is here already
	if err != nil {
		return nil, e.abandon(ctx, app, config, got, err)
	}
	defer release()
	// In its turn nobody revokes it any more; nobody has, unless the clock was set.
	kept, err := get[retiredEntry](ctx, e.store, got.keptAt)
	switch {
	case err != nil:
		return nil, e.abandon(ctx, app, config, got, err)
	case kept == nil:
		return nil, &GrantError{Kind: zoho.Unreachable, Text: "The write took so long, or the server's clock was set forward, that the refresh token which Zoho gave for the grant code was taken for a leftover and revoked. Get a new code, and try again."}
	}
	if err := e.storeAuthorized(ctx, old, updated, config); err != nil {
		if err := e.notStored(ctx, app, config, got, updated, err); err != nil {
			return nil, err
		}
	}
	if err := e.store.Delete(ctx, got.keptAt); err != nil {
		e.log().Warn("a refresh token that is stored is noted as not stored; Tick sees that it is", "role", updated.Name, "grant", g.id, "error", err)
	}
	if err := e.adoptExchanged(ctx, g, cred, got, updated.Exclusive, config); err != nil {
		e.log().Warn("the access token that came with a refresh token could not be kept; the next read mints one", "role", updated.Name, "grant", g.id, "error", err)
	}
	warnings = updated.scopeWarnings(got.Scopes)
	if got.ForeignDomain {
		warnings = append(warnings, (&token{foreignDomain: true}).domainWarnings()...)
	}
	return warnings, nil
}

// storeAuthorized stores a role with a new refresh token, and retires the
// former one before that: afterwards nobody would know it.
func (e *Engine) storeAuthorized(ctx context.Context, old, updated *Role, config *Config) error {
	if err := e.joinGrant(ctx, updated, true); err != nil {
		return err
	}
	if old != nil && !old.RefreshToken.IsZero() {
		if err := e.noteRetired(ctx, old, config); err != nil {
			return err
		}
	}
	return e.storeRole(ctx, updated)
}

// exchanged is what a grant code gave, and when it was asked for.
type exchanged struct {
	zoho.Exchanged
	asked  time.Time
	keptAt string // storage key of the refresh token, until its role is stored; empty: not there
}

// exchange asks Zoho, once. Zoho counts the request for the client: there is no
// refresh token yet.
func (e *Engine) exchange(ctx context.Context, updated *Role, app zoho.App, code secret.Value, redirectURI string, config *Config) (got exchanged, err error) {
	client, err := e.accountsClient(config.CACert)
	if err != nil {
		return exchanged{}, err
	}
	id, err := e.clientLimitsID(ctx, app)
	if err != nil {
		return exchanged{}, err
	}
	limits, err := e.grant(ctx, id)
	if err != nil {
		return exchanged{}, err
	}
	release, err := e.takeTurn(ctx, limits)
	if err != nil {
		return exchanged{}, err
	}
	defer release()
	if err := limits.mayExchange(e, config); err != nil {
		return exchanged{}, err
	}
	got.asked = e.now()
	if err := e.countRequest(ctx, limits, config, got.asked); err != nil {
		return exchanged{}, err
	}
	callCtx, cancel := context.WithTimeout(ctx, config.RequestTimeout)
	defer cancel()
	var failed error
	got.Exchanged, failed = client.Exchange(callCtx, app, code, redirectURI)

	ctx, cancelNote := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancelNote()
	updated.RefreshToken = got.RefreshToken
	if !got.RefreshToken.IsZero() {
		if got.keptAt, err = e.noteUnstored(ctx, updated, app, config); err != nil {
			got.keptAt = ""
			return exchanged{}, e.abandon(ctx, app, config, got, err)
		}
	}
	if err := e.noteExchange(ctx, limits, config, failed); err != nil {
		return exchanged{}, e.abandon(ctx, app, config, got, err)
	}
	if failed == nil && got.RefreshToken.IsZero() {
		failed = zoho.NoRefreshToken(app)
		e.dropAccessToken(ctx, client, app, got.Token)
	}
	return got, maybeExchanged(failed)
}

// maybeExchanged tells of a refresh token that an answer may have carried which
// did not arrive.
func maybeExchanged(err error) error {
	var failed *zoho.Error
	if !errors.As(err, &failed) || failed.NoToken() {
		return asGrantError(err)
	}
	return behind(asGrantError(err), "Get a new code. If Zoho has exchanged this one all the same, a refresh token that Vault does not know lives there: remove it under Connected Apps of the user who consented")
}

// mayExchange keeps to Zoho's limit for the client.
func (g *grant) mayExchange(e *Engine, config *Config) error {
	now, rec := e.now(), g.record()
	if f := rec.Failure; f != nil && now.Before(f.RetryAt) {
		return f.err()
	}
	return inFront("The grant code was not used, and may still be good when there is budget again. ", rec.withinBudget(now, config, config.RequestBudget))
}

// noteExchange notes what came of the exchange: no token that counts for the
// client, and perhaps that Zoho wants silence.
func (e *Engine) noteExchange(ctx context.Context, limits *grant, config *Config, failed error) error {
	var refused *zoho.Error
	return e.updateGrant(ctx, limits, func(rec *grantRecord) {
		rec.latestRequest().Over = true
		switch {
		case failed == nil:
			rec.Failure = nil
		case errors.As(failed, &refused) && refused.Kind == zoho.Throttled:
			f := failure{At: e.now(), Kind: refused.Kind, Code: refused.Code, Text: refused.Error(), InARow: 1}
			f.follow(nil, config)
			rec.Failure = &f
		}
	})
}

// adoptExchanged makes the access token that came with a new refresh token the
// current one of its grant. Zoho counts it there.
func (e *Engine) adoptExchanged(ctx context.Context, g *grant, cred credential, exchanged exchanged, exclusive bool, config *Config) error {
	if err := e.countRequest(ctx, g, config, exchanged.asked); err != nil {
		return err
	}
	t, err := e.newToken(ctx, g, cred, exchanged.Token, exchanged.asked, use{})
	if err != nil {
		return err
	}
	if err := e.adopt(ctx, g, g, t, use{}); err != nil {
		return fmt.Errorf("%w; revoked: %v", err, e.discard(ctx, t) == nil)
	}
	e.tellMint(t, g.record().Roles)
	if exclusive {
		e.spawn(func() { e.endIfUnheld(e.life, t) })
	}
	return nil
}

// notStored finds out whether a role is not stored whose write has failed: a
// write that ran out of time may have been carried out. Without an error the
// role is stored after all.
func (e *Engine) notStored(ctx context.Context, app zoho.App, config *Config, got exchanged, updated *Role, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit)
	defer cancel()
	stored, err := orNone(e.loadRole(ctx, updated.Name))
	switch {
	case err != nil: // nobody can tell; Tick looks when it can
		return behind(cause, "Zoho had exchanged the grant code already. Whether the role was written cannot be read at the moment; if it was not, its refresh token is revoked in a few minutes. Read the role when Vault's storage works again")
	case stored != nil && stored.RefreshToken.Equal(updated.RefreshToken):
		e.log().Warn("the write of a role was carried out although storage reported a failure", "role", updated.Name, "error", cause)
		return nil
	default:
		return e.abandon(ctx, app, config, got, cause)
	}
}

// abandon revokes a refresh token that could not be stored.
func (e *Engine) abandon(ctx context.Context, app zoho.App, config *Config, got exchanged, cause error) error {
	if got.RefreshToken.IsZero() {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitLimit+2*config.RequestTimeout) // the cause may be a time that is up
	defer cancel()
	_, err := e.endRefreshToken(ctx, app, config.CACert, got.RefreshToken, config)
	if err != nil && got.keptAt != "" {
		return behind(cause, fmt.Sprintf("Zoho had exchanged the grant code already, and its refresh token could not be revoked yet (%v); that is tried again in a few minutes. Correct the cause, and get a new code", err))
	}
	if err != nil {
		e.log().Error("a refresh token could neither be stored nor revoked", "accounts_url", app.AccountsURL, "client_id", app.ClientID, "error", err)
		return behind(cause, fmt.Sprintf("Zoho had exchanged the grant code already, and its refresh token could be neither stored nor revoked (%v): it lives on at Zoho, unknown to Vault; remove it there, under Connected Apps of the user who consented", err))
	}
	if got.keptAt != "" {
		if err := e.store.Delete(ctx, got.keptAt); err != nil {
			e.log().Warn("a refresh token that is revoked will be revoked again", "error", err)
		}
	}
	return behind(cause, "Zoho had exchanged the grant code already; its refresh token has been revoked there. Correct the cause, and get a new code")
}

// dropAccessToken revokes an access token that nobody will use. It would
// expire by itself.
func (e *Engine) dropAccessToken(ctx context.Context, client *zoho.Client, app zoho.App, unused zoho.Token) {
	if _, err := client.RevokeAccessToken(ctx, app, unused.AccessToken); err != nil {
		e.log().Warn("could not revoke an access token that came without a refresh token; it expires by itself", "accounts_url", app.AccountsURL, "error", err)
	}
}
