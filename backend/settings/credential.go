package settings

import (
	"slices"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Credential is what a grant's tokens are minted with. All of it is part of the
// grant's ID, so who cannot name all of it has another grant.
type Credential struct {
	App          zoho.App
	RefreshToken secret.Value // zero: client_credentials
	SOID         string       // of client_credentials
	Scopes       []string     // likewise
}

// Parts are what makes the grant a different one.
func (c Credential) Parts() []string {
	client := []string{c.App.AccountsURL, c.App.ClientID, c.App.ClientSecret.Reveal()}
	if c.RefreshToken.IsZero() {
		return slices.Concat(client, []string{GrantTypeClientCredentials, c.SOID}, slices.Sorted(slices.Values(c.Scopes)))
	}
	return append(client, GrantTypeRefreshToken, c.RefreshToken.Reveal())
}

// Credential is what the role's tokens are minted with. The error is a
// *clientMovedError if the role uses the mount's client and that is another by now.
func (r *Role) Credential(config *Config) (Credential, error) {
	app, err := r.App(config)
	cred := Credential{App: app, RefreshToken: r.RefreshToken}
	if r.GrantType == GrantTypeClientCredentials {
		cred.SOID, cred.Scopes = r.SOID, r.Scopes
	}
	return cred, err
}

// App is the client that the role's tokens are minted with; for the error see
// credential.
func (r *Role) App(config *Config) (zoho.App, error) {
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
