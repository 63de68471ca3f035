package backend

import (
	"context"
	"errors"
	"path"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// A role that is authorised again has a new refresh token. Zoho keeps twenty
// per user and client and then silently kills the oldest, so the former one is
// revoked - but only when nobody holds its access tokens, which would die with
// it, and no role uses it. Until then it is kept as a retired one.

// retiredEntry is a refresh token that is waiting for its end, with all that is
// needed to revoke it.
type retiredEntry struct {
	RefreshToken string    `json:"refresh_token"`
	AccountsURL  string    `json:"accounts_url"`
	ClientID     string    `json:"client_id"`
	ClientSecret string    `json:"client_secret"`
	CACert       string    `json:"ca_cert,omitempty"`
	Failures     int       `json:"failures,omitempty"`
	RetryAt      time.Time `json:"retry_at,omitzero"`
}

func (r retiredEntry) app() zoho.App {
	return zoho.App{AccountsURL: r.AccountsURL, ClientID: r.ClientID, ClientSecret: secret.New(r.ClientSecret)}
}

// noteRetired keeps the refresh token of a role that is about to get another.
func (e *Engine) noteRetired(ctx context.Context, former *Role, config *Config) error {
	id, err := e.grantID(ctx, former)
	if err != nil {
		return err
	}
	app, err := former.app(config)
	var movedAway *UserError
	if err != nil && !errors.As(err, &movedAway) {
		return err
	}
	if movedAway != nil { // the secret is gone; the older endpoint wants none
		app = zoho.App{AccountsURL: former.Pin.AccountsURL, ClientID: former.Pin.ClientID}
	}
	return e.store.put(ctx, prefixRetired+id, retiredEntry{
		RefreshToken: former.RefreshToken.Reveal(), AccountsURL: app.AccountsURL, ClientID: app.ClientID,
		ClientSecret: app.ClientSecret.Reveal(), CACert: config.CACert,
	})
}

// retireAll looks at every retired refresh token.
func (e *Engine) retireAll(ctx context.Context) error {
	ids, err := e.store.List(ctx, prefixRetired)
	if err != nil {
		return err
	}
	for _, id := range ids {
		e.retire(ctx, path.Base(id))
	}
	return nil
}

// retire revokes the refresh token of a grant if it is retired and nobody needs
// it any more. What fails here is tried again by Tick.
func (e *Engine) retire(ctx context.Context, grantID string) {
	if err := e.tryRetire(ctx, grantID); err != nil {
		e.log().Warn("could not revoke a refresh token that nobody needs; it is tried again", "grant", grantID, "error", err)
	}
}

func (e *Engine) tryRetire(ctx context.Context, grantID string) error {
	g, err := e.grant(ctx, grantID)
	if err != nil {
		return err
	}
	release, err := e.takeTurn(ctx, g)
	if err != nil {
		return err
	}
	defer release()
	entry, err := get[retiredEntry](ctx, e.store, prefixRetired+grantID)
	if err != nil || entry == nil || entry.RetryAt.After(e.now()) {
		return err
	}
	needed, err := e.isNeeded(ctx, g)
	if err != nil || needed {
		return err
	}
	client, err := e.accountsClient(entry.CACert)
	if err != nil {
		return err
	}
	config, _, err := e.Config(ctx)
	if err != nil {
		return err
	}
	callCtx, cancel := context.WithTimeout(ctx, 2*config.RequestTimeout)
	defer cancel()
	_, err = client.RevokeRefreshToken(callCtx, entry.app(), secret.New(entry.RefreshToken))
	e.tell(EventRefreshTokenRevoke, "", err, "grant", grantID)
	if err != nil {
		const longest = 10 // a minute, doubled ten times: about a day
		entry.RetryAt = e.now().Add(time.Minute << min(entry.Failures, longest))
		entry.Failures++
		return errors.Join(err, e.store.put(ctx, prefixRetired+grantID, entry))
	}
	e.log().Info("revoked a refresh token that was replaced", "grant", grantID)
	return e.store.Delete(ctx, prefixRetired+grantID)
}

// isNeeded reports whether a role or a lease would miss the grant.
func (e *Engine) isNeeded(ctx context.Context, g *grant) (bool, error) {
	users, err := e.users(ctx, g)
	if err != nil || len(users) > 0 {
		return true, err
	}
	tokens, err := e.liveTokens(ctx, g, g)
	if err != nil {
		return true, err
	}
	for _, t := range tokens {
		if t.ledger.isHeld() {
			return true, nil
		}
	}
	return false, nil
}

// liveTokens returns the tokens of a grant that may still be alive. limits is
// where they are counted.
func (e *Engine) liveTokens(ctx context.Context, g, limits *grant) ([]*token, error) {
	var live []*token
	rec := limits.record()
	for _, r := range rec.live(e.now()) {
		t, err := e.token(ctx, r.Token)
		if err != nil {
			return nil, err
		}
		if t != nil && t.rec.GrantID == g.id {
			live = append(live, t)
		}
	}
	return live, nil
}
