package backend

import (
	"context"
	"errors"
	"path"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// A role that is authorised again has a new refresh token. Zoho keeps twenty
// per user and client and then silently kills the oldest, so the former one is
// revoked - but only when nobody holds its access tokens, which would die with
// it, and no role uses it. Until then it is kept as a retired one.

// retiredEntry is a refresh token that is waiting for its end, with all that is
// needed to revoke it. It is written before the role that gives the refresh token
// up, or gets it: so it is void if that role has it after all.
type retiredEntry struct {
	Role         string    `json:"role"`
	At           time.Time `json:"at"`
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
	return e.store.put(ctx, prefixRetired+id, e.newRetired(former, app, config))
}

// noteUnstored keeps a refresh token that Zoho has just given, until its role is
// stored: a crash before that leaves it to Tick, which lets the write be first.
func (e *Engine) noteUnstored(ctx context.Context, updated *Role, app zoho.App, config *Config) (key string, err error) {
	id, err := e.grantID(ctx, updated)
	if err != nil {
		return "", err
	}
	entry := e.newRetired(updated, app, config)
	entry.RetryAt = entry.At.Add(settled)
	return prefixRetired + id, e.store.put(ctx, prefixRetired+id, entry)
}

func (e *Engine) newRetired(r *Role, app zoho.App, config *Config) retiredEntry {
	return retiredEntry{
		Role: r.Name, At: e.now(), RefreshToken: r.RefreshToken.Reveal(), AccountsURL: app.AccountsURL,
		ClientID: app.ClientID, ClientSecret: app.ClientSecret.Reveal(), CACert: config.CACert,
	}
}

// reprieve keeps Tick from revoking a retired refresh token that a role is about
// to take up.
func (e *Engine) reprieve(ctx context.Context, r *Role) (retired bool, err error) {
	id, err := e.grantID(ctx, r)
	if err != nil || id == "" {
		return false, err
	}
	if entry, err := orNone(get[retiredEntry](ctx, e.store, prefixRetired+id)); err != nil || entry == nil {
		return false, err
	}
	g, err := e.grant(ctx, id)
	if err != nil {
		return false, err
	}
	release, err := e.takeTurn(ctx, g)
	if err != nil {
		return false, err
	}
	defer release()
	entry, err := orNone(get[retiredEntry](ctx, e.store, prefixRetired+id))
	if err != nil || entry == nil {
		return false, err // revoked meanwhile: the trial will tell
	}
	entry.RetryAt = e.now().Add(settled)
	return true, e.store.put(ctx, prefixRetired+id, entry)
}

// takeUp forgets that a refresh token is retired: a role that is stored has it.
func (e *Engine) takeUp(ctx context.Context, r *Role) {
	id, err := e.grantID(ctx, r)
	if err == nil {
		err = e.store.Delete(ctx, prefixRetired+id)
	}
	if err != nil {
		e.log().Warn("a refresh token that is in use again is still noted as retired; it is kept while a role has it", "role", r.Name, "error", err)
	}
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
	claimants, err := e.claimants(ctx, g)
	switch {
	case err != nil:
		return err
	case slices.Contains(claimants, entry.Role) && e.now().Sub(entry.At) > settled:
		return e.store.Delete(ctx, prefixRetired+grantID) // void
	case len(claimants) > 0:
		return nil
	}
	if held, err := e.isHeld(ctx, g); err != nil || held {
		return err
	}
	config, _, err := e.Config(ctx)
	if err != nil {
		return err
	}
	_, err = e.endRefreshToken(ctx, entry.app(), entry.CACert, secret.New(entry.RefreshToken), config)
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

// endRefreshToken revokes a refresh token at Zoho, within the time that two
// endpoints may take.
func (e *Engine) endRefreshToken(ctx context.Context, app zoho.App, caCert string, refreshToken secret.Value, config *Config) (zoho.Revocation, error) {
	client, err := e.accountsClient(caCert)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*config.RequestTimeout)
	defer cancel()
	return client.RevokeRefreshToken(ctx, app, refreshToken)
}

// isHeld reports whether a lease would miss the grant. From then on a token that
// nobody holds gets no holder: a reader who is just about to become one, because
// it began before the role was written, takes a newer token.
func (e *Engine) isHeld(ctx context.Context, g *grant) (bool, error) {
	tokens, err := e.liveTokens(ctx, g, g)
	if err != nil {
		return true, err
	}
	for _, t := range tokens {
		ending, err := t.ledger.endIfUnheld(ctx, e.now())
		if err != nil || !ending {
			return true, err
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
