package backend

import (
	"context"
	"fmt"
	"slices"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// A moved role uses the mount's client, and was written for another one than the config
// has now: see [clientMove]. Vault no longer has the secret of that one, so nothing can be
// minted; the refresh token stays until an operator decides.

func (r *Role) errClientMoved() error {
	exits := fmt.Sprintf("Otherwise authorize the role for the mount's client now: vault write -f <mount>/roles/%s/authorize - or write code or refresh_token to it; or write the former client_id and client_secret as its own, to keep its refresh token", r.Name)
	if r.GrantType == GrantTypeClientCredentials {
		exits = fmt.Sprintf("Otherwise give the role the mount's client now: vault write <mount>/roles/%s grant_type=client_credentials - or write the former client_id and client_secret as its own", r.Name)
	}
	return &clientMovedError{UserError{fmt.Sprintf("role %q was written for client %s at %s, which is no longer the mount's client, so it hands out nothing. If that was a mistake, write that client to <mount>/config again, with its client_secret. %s", r.Name, r.Pin.ClientID, r.Pin.AccountsURL, exits)}}
}

// consentPin is where the role belongs after a consent: where it is, or, if its client has
// moved, with the client that the mount has now.
func (r *Role) consentPin(config *Config) (Pin, error) {
	if _, err := r.app(config); isClientMoved(err) {
		return r.home(config)
	}
	return r.Pin, nil
}

// isAt reports whether a consent with a client would give the role that client.
func (r *Role) isAt(asked Pin, config *Config) bool {
	pin, err := r.consentPin(config)
	return err == nil && pin == asked
}

// appForRevocation is the client with which the role's refresh token can be revoked, and
// whether the role's credentials are known to have got an access token. Of a moved role a
// live access token has the former client's secret, if the role has handed it out. Without
// one there is none; Zoho's older endpoint wants none.
func (e *Engine) appForRevocation(ctx context.Context, r *Role, config *Config) (app zoho.App, worked bool, err error) {
	g, err := e.grantOf(ctx, r, config)
	if err == nil {
		return g.credential().app, g.record().hasWorked(), nil
	}
	if !isClientMoved(err) {
		return zoho.App{}, false, err
	}
	q, err := e.quota(ctx, e.quotaID(r))
	if err != nil {
		return zoho.App{}, false, err
	}
	live, err := e.liveTokens(ctx, q)
	if err != nil {
		return zoho.App{}, false, err
	}
	for _, t := range live {
		pin := Pin{AccountsURL: t.rec.App.AccountsURL, ClientID: t.rec.App.ClientID}
		if pin == r.Pin && slices.Contains(ledger.Roles(t.ledger.Readership()), r.Name) {
			return t.rec.App, true, nil
		}
	}
	return zoho.App{AccountsURL: r.Pin.AccountsURL, ClientID: r.Pin.ClientID}, false, nil
}
