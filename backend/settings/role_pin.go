package settings

import "vault-plugin-secrets-zoho/backend/zoho"

// Where a role belongs: to which Accounts server and client.

// choosePin decides where the role's credentials belong. A write that names no
// credential and moves nothing leaves the pin alone, even if the config has
// moved on since.
func (r *Role) choosePin(old *Role, ch RoleChange, config *Config) (Pin, error) {
	moves := ch.DataCenter != nil || ch.ClientID != nil || ch.RefreshToken != nil ||
		(ch.Code != nil && !ch.FromConsent) || // a consent is for where the role is
		(ch.namesClientGrant() && (old == nil || old.RefreshToken.IsZero()))
	switch {
	case old == nil || moves:
		return r.home(config)
	case ch.FromConsent || r.RefreshToken.IsZero() && ch.namesClientGrant():
		return r.ConsentPin(config)
	default:
		return old.Pin, nil
	}
}

// home is where credentials belong that are written to the role now.
func (r *Role) home(config *Config) (Pin, error) {
	pin := Pin{AccountsURL: config.AccountsURL(), ClientID: r.ClientID}
	if r.DataCenter != "" && (config.CustomURL == "" || r.DataCenter != config.DataCenter) {
		dc, err := zoho.LookupDataCenter(r.DataCenter)
		if err != nil {
			return Pin{}, UserErrorf("data_center: %v", err)
		}
		pin.AccountsURL = dc.AccountsURL
	}
	if r.ClientID != "" && pin.AccountsURL == "" {
		return Pin{}, UserErrorf("%s, to <mount>/config", errNoDataCenter)
	}
	if r.ClientID != "" {
		return pin, nil
	}
	pin.ClientID = config.ClientID
	switch {
	case config.ClientID == "":
		return Pin{}, UserErrorf("there is no client for role %q: write client_id and client_secret to it, or to this mount's config", r.Name)
	case pin.AccountsURL != config.AccountsURL():
		return Pin{}, UserErrorf("the mount's client secret was written for %s, and role %q is in data centre %s, which has its own: write client_id and client_secret to the role", config.AccountsURL(), r.Name, r.DataCenter)
	default:
		return pin, nil
	}
}

// keepsSecretsAtHome enforces invariant 10 for a role: whatever secret was
// stored goes only where it was written for.
func (ch RoleChange) keepsSecretsAtHome(old, r *Role, pin Pin) error {
	switch {
	case pin == old.Pin:
		return nil
	case !r.RefreshToken.IsZero() && ch.RefreshToken == nil && ch.Code == nil:
		return UserErrorf("role %q keeps its refresh_token for client %s at %s; to change the client or the data centre, write refresh_token or code in the same request, or first have the refresh token revoked: vault write -f <mount>/roles/%s/deauthorize", r.Name, old.Pin.ClientID, old.Pin.AccountsURL, r.Name)
	case r.ClientID != "" && ch.ClientSecret == nil:
		return UserErrorf("role %q keeps its client_secret for client %s at %s; to change the client or the data centre, write client_secret in the same request", r.Name, old.Pin.ClientID, old.Pin.AccountsURL)
	default:
		return nil
	}
}
