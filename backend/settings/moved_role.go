package settings

import (
	"fmt"
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

// ConsentPin is where the role belongs after a consent: where it is, or, if its client has
// moved, with the client that the mount has now.
func (r *Role) ConsentPin(config *Config) (Pin, error) {
	if _, err := r.App(config); IsClientMoved(err) {
		return r.home(config)
	}
	return r.Pin, nil
}

// IsAt reports whether a consent with a client would give the role that client.
func (r *Role) IsAt(asked Pin, config *Config) bool {
	pin, err := r.ConsentPin(config)
	return err == nil && pin == asked
}
