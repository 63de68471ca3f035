package backend

import (
	"slices"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// credential is what a grant's tokens are minted with. All of it is part of the
// grant's ID, so who cannot name all of it has another grant.
type credential struct {
	app          zoho.App
	refreshToken secret.Value // zero: client_credentials
	soid         string       // of client_credentials
	scopes       []string     // likewise
}

// parts are what makes the grant a different one.
func (c credential) parts() []string {
	client := []string{c.app.AccountsURL, c.app.ClientID, c.app.ClientSecret.Reveal()}
	if c.refreshToken.IsZero() {
		return slices.Concat(client, []string{GrantTypeClientCredentials, c.soid}, slices.Sorted(slices.Values(c.scopes)))
	}
	return append(client, GrantTypeRefreshToken, c.refreshToken.Reveal())
}

// credential is what the role's tokens are minted with. The error is a
// *clientMovedError if the role uses the mount's client and that is another by now.
func (r *Role) credential(config *Config) (credential, error) {
	app, err := r.app(config)
	cred := credential{app: app, refreshToken: r.RefreshToken}
	if r.GrantType == GrantTypeClientCredentials {
		cred.soid, cred.scopes = r.SOID, r.Scopes
	}
	return cred, err
}

// app is the client that the role's tokens are minted with; for the error see
// credential.
func (r *Role) app(config *Config) (zoho.App, error) {
	app := zoho.App{AccountsURL: r.Pin.AccountsURL, ClientID: r.Pin.ClientID, ClientSecret: r.ClientSecret}
	if r.ClientID != "" {
		return app, nil
	}
	if config.ClientID != r.Pin.ClientID || config.AccountsURL() != r.Pin.AccountsURL {
		return zoho.App{}, r.errClientMoved()
	}
	app.ClientSecret = config.ClientSecret
	return app, nil
}
