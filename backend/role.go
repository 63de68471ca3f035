package backend

import (
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// GrantTypeRefreshToken is the grant type of a role that has a refresh token.
const GrantTypeRefreshToken = "refresh_token"

// Role is an operator's name for a grant, with the rules for handing out its
// tokens.
type Role struct {
	Name         string
	DataCenter   string // as written; empty: the mount's
	ClientID     string // the role's own client; empty: the mount's
	ClientSecret secret.Value
	RefreshToken secret.Value
	TTL          time.Duration // 0: the token's life
	MinTTL       time.Duration // 0: the config's
	Exclusive    bool          // each lease gets a token of its own

	// Pin is where the credentials belong: decided when they are written, and
	// from then on independent of the config.
	Pin Pin
}

// Pin ties credentials to one Accounts server and one client.
type Pin struct {
	AccountsURL string
	ClientID    string
}

// RoleChange is a write to a role: nil keeps what is there.
type RoleChange struct {
	DataCenter   *string
	ClientID     *string
	ClientSecret *string
	RefreshToken *string
	TTL          *time.Duration
	MinTTL       *time.Duration
	Exclusive    *bool
	MustExist    bool // fail rather than create the role
}

// namesCredential: the operator has looked at the credentials, so a refusal
// that is remembered of them is worth another try.
func (ch RoleChange) namesCredential() bool {
	return ch.RefreshToken != nil || ch.ClientSecret != nil
}

// apply returns old, or a new role if old is nil, with the change made to it.
func (ch RoleChange) apply(name string, old *Role, config *Config) (*Role, []string, error) {
	r := Role{Name: name}
	if old != nil {
		r = *old
	}
	set(&r.DataCenter, ch.DataCenter)
	set(&r.ClientID, ch.ClientID)
	setSecret(&r.ClientSecret, ch.ClientSecret)
	setSecret(&r.RefreshToken, ch.RefreshToken)
	set(&r.TTL, ch.TTL)
	set(&r.MinTTL, ch.MinTTL)
	set(&r.Exclusive, ch.Exclusive)
	if r.ClientID == "" && ch.ClientSecret == nil {
		r.ClientSecret = secret.Value{} // back to the mount's client
	}
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	pin, err := r.choosePin(old, ch, config)
	if err != nil {
		return nil, nil, err
	}
	if old != nil {
		if err := ch.keepsSecretsAtHome(old, &r, pin); err != nil {
			return nil, nil, err
		}
	}
	r.Pin = pin
	return &r, r.warnings(config), nil
}

func (r *Role) check() error {
	if err := firstError(
		CheckRoleName(r.Name),
		checkText("client_id", r.ClientID, maxFieldLength),
		checkText("client_secret", r.ClientSecret.Reveal(), maxFieldLength),
		checkText("refresh_token", r.RefreshToken.Reveal(), maxFieldLength),
		checkMinTTL(r.MinTTL),
	); err != nil {
		return err
	}
	if r.DataCenter != "" {
		if _, err := zoho.LookupDataCenter(r.DataCenter); err != nil {
			return userErrorf("data_center: %v", err)
		}
	}
	switch {
	case r.TTL < 0:
		return userErrorf("ttl is negative; write 0 for the token's life, or a duration such as 15m")
	case r.RefreshToken.IsZero():
		return userErrorf("role %q has no refresh_token; create one in Zoho's API console with access_type=offline and write it as refresh_token", r.Name)
	case (r.ClientID == "") != r.ClientSecret.IsZero():
		return userErrorf("client_id and client_secret of a role go together: write both, or neither to use the mount's client")
	default:
		return nil
	}
}

// choosePin decides where the role's credentials belong. A write that names no
// credential and moves nothing leaves the pin alone, even if the config has
// moved on since.
func (r *Role) choosePin(old *Role, ch RoleChange, config *Config) (Pin, error) {
	if old != nil && ch.DataCenter == nil && ch.ClientID == nil && ch.RefreshToken == nil {
		return old.Pin, nil
	}
	pin := Pin{AccountsURL: config.AccountsURL(), ClientID: r.ClientID}
	if r.DataCenter != "" && (config.CustomURL == "" || r.DataCenter != config.DataCenter) {
		dc, err := zoho.LookupDataCenter(r.DataCenter)
		if err != nil {
			return Pin{}, userErrorf("data_center: %v", err)
		}
		pin.AccountsURL = dc.AccountsURL
	}
	if r.ClientID != "" {
		return pin, nil
	}
	pin.ClientID = config.ClientID
	switch {
	case config.ClientID == "":
		return Pin{}, userErrorf("there is no client for role %q: write client_id and client_secret to it, or to this mount's config", r.Name)
	case pin.AccountsURL != config.AccountsURL():
		return Pin{}, userErrorf("the mount's client secret was written for %s, and role %q is in data centre %s, which has its own: write client_id and client_secret to the role", config.AccountsURL(), r.Name, r.DataCenter)
	default:
		return pin, nil
	}
}

// keepsSecretsAtHome enforces invariant 10 for a role: whatever secret was
// stored goes only where it was written for.
func (ch RoleChange) keepsSecretsAtHome(old, r *Role, pin Pin) error {
	if pin == old.Pin {
		return nil
	}
	if ch.RefreshToken == nil {
		return userErrorf("role %q keeps its refresh_token for client %s at %s; to change the client or the data centre, write refresh_token in the same request", r.Name, old.Pin.ClientID, old.Pin.AccountsURL)
	}
	if r.ClientID != "" && ch.ClientSecret == nil {
		return userErrorf("role %q keeps its client_secret for client %s at %s; to change the client or the data centre, write client_secret in the same request", r.Name, old.Pin.ClientID, old.Pin.AccountsURL)
	}
	return nil
}

// warnings tells the operator what is allowed but will hurt.
func (r *Role) warnings(config *Config) []string {
	if r.TTL == 0 {
		return nil
	}
	var warnings []string
	if r.TTL >= zoho.MaxLife {
		warnings = append(warnings, fmt.Sprintf("ttl of %s has no effect: a lease ends with its access token, after %s at the latest", r.TTL, zoho.MaxLife))
	}
	if needed := int(config.RequestWindow / max(r.TTL, time.Second)); needed > config.RequestBudget {
		warnings = append(warnings, fmt.Sprintf("ttl of %s can need %d token requests in %s when readers come one after another, and the budget is %d: readers may get HTTP 429", r.TTL, needed, config.RequestWindow, config.RequestBudget))
	}
	return warnings
}

// app is the client that the role's tokens are minted with. It fails if the
// role uses the mount's client and that has moved away from the pin.
func (r *Role) app(config *Config) (zoho.App, error) {
	app := zoho.App{AccountsURL: r.Pin.AccountsURL, ClientID: r.Pin.ClientID, ClientSecret: r.ClientSecret}
	if r.ClientID != "" {
		return app, nil
	}
	if config.ClientID != r.Pin.ClientID || config.AccountsURL() != r.Pin.AccountsURL {
		return zoho.App{}, userErrorf("role %q was written for client %s at %s, which is no longer the mount's client: write the role's refresh_token again for the new client, or give the role client_id and client_secret of its own", r.Name, r.Pin.ClientID, r.Pin.AccountsURL)
	}
	app.ClientSecret = config.ClientSecret
	return app, nil
}

// EffectiveDataCenter names the role's region. A custom Accounts server keeps
// the name that the operator gave it.
func (r *Role) EffectiveDataCenter(config *Config) string {
	if r.DataCenter != "" {
		return r.DataCenter
	}
	for _, dc := range zoho.DataCenters() {
		if dc.AccountsURL == r.Pin.AccountsURL {
			return dc.Name
		}
	}
	return config.DataCenter
}
