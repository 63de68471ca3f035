package settings

import (
	"time"

	"vault-plugin-secrets-zoho/backend/ledger"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// What a role's access tokens are minted from.
const (
	GrantTypeRefreshToken      = "refresh_token"
	GrantTypeClientCredentials = "client_credentials"
)

// For whom a person consents, when a role is authorized in a browser.
const (
	ConsentUser = "user" // for themselves: the refresh token ends with the person's account
	ConsentOrg  = "org"  // as its administrator, for an organisation
)

// Role is an operator's name for a grant, with the rules for handing out its
// tokens.
type Role struct {
	Name         string       `json:"-"`
	GrantType    string       `json:"grant_type"`
	DataCenter   string       `json:"data_center,omitempty"` // as written; empty: the mount's
	ClientID     string       `json:"client_id,omitempty"`   // the role's own client; empty: the mount's
	ClientSecret secret.Value `json:"-"`
	RefreshToken secret.Value `json:"-"`                      // zero: with client_credentials, or when the role is not authorized
	AuthorizedAs zoho.Person  `json:"authorized_as,omitzero"` // whose Zoho account the refresh token belongs to; zero: not known
	Given        bool         `json:"given,omitempty"`        // Zoho gave the refresh token to this role: nobody wrote it by hand
	SOID         string       `json:"soid,omitempty"`         // the organisation, of client_credentials or of ConsentOrg
	Scopes       []string     `json:"scopes,omitempty"`       // asked for at the consent, or with client_credentials
	Consent      string       `json:"consent"`                // ConsentUser or ConsentOrg

	// ExpectedAccount is the address of the only Zoho account with which a grant code may
	// authorize the role; empty: any.
	ExpectedAccount string `json:"expected_account,omitempty"`

	TTL       time.Duration `json:"ttl,omitempty"`       // 0: the token's life
	MinTTL    time.Duration `json:"min_ttl,omitempty"`   // 0: the config's
	Exclusive bool          `json:"exclusive,omitempty"` // each lease gets a token of its own

	// RevokeDelay is for how long a token that nobody leases is kept for the next reader.
	RevokeDelay time.Duration `json:"revoke_delay,omitempty"`

	// Deauthorized is who gave up the role's refresh token, and when; nil if the role
	// has one, or never had.
	Deauthorized *Deauthorization `json:"deauthorized,omitempty"`

	// Metadata is what an operator notes for the readers of the role, such as the
	// ID of an organisation. It is not changed in place.
	Metadata map[string]string `json:"metadata,omitempty"`

	// Pin is where the credentials belong: decided when they are written, and
	// from then on independent of the config.
	Pin
}

// Pin ties credentials to one Accounts server and one client.
type Pin struct {
	AccountsURL string `json:"pinned_accounts_url"`
	ClientID    string `json:"pinned_client_id"`
}

// Requester is who asks for something, as Vault tells it.
type Requester = ledger.Requester

// Deauthorization is who had a role's refresh token revoked, and when.
type Deauthorization struct {
	At time.Time `json:"at"`
	Requester
}

// IsAuthorized reports whether the role has what tokens are minted from.
func (r *Role) IsAuthorized() bool {
	return r.GrantType == GrantTypeClientCredentials || !r.RefreshToken.IsZero()
}

// ForgetRefreshToken takes the refresh token from the role, with all that belongs
// to it.
func (r *Role) ForgetRefreshToken() {
	r.RefreshToken, r.AuthorizedAs, r.Given = secret.Value{}, zoho.Person{}, false
}

// CanMint reports whether the role has a grant with a config, working or not.
func (r *Role) CanMint(config *Config) bool {
	_, err := r.App(config)
	return err == nil && r.IsAuthorized()
}

// ErrUnauthorized is what the readers of such a role get.
func (r *Role) ErrUnauthorized() error {
	const ways = "send a person to the address that this answers: vault write -f <mount>/roles/%s/authorize - or write code or refresh_token to the role"
	if r.Deauthorized == nil {
		return UserErrorf("role %q has no refresh token yet: "+ways, r.Name, r.Name)
	}
	return UserErrorf("role %q has no refresh token any more: it was deauthorized at %s, and its status tells by whom. To use it again, "+ways, r.Name, r.Deauthorized.At.UTC().Format(time.RFC3339), r.Name)
}
