package settings

import (
	"cmp"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Defaults of the config. Zoho's limits are those of
// zoho.com/accounts/protocol/oauth/token-limits.html.
const (
	DefaultRequestBudget  = 10
	DefaultRequestWindow  = 10 * time.Minute
	DefaultMaxLiveTokens  = 10
	DefaultRequestTimeout = 10 * time.Second

	// CountPerGrant and CountPerClient say for what Zoho counts token requests: for a
	// refresh token, or a client where there is none; or for a client always. Zoho's page
	// on token limits says "an app", the others say a refresh token.
	CountPerGrant  = "grant"
	CountPerClient = "client"

	// maxRequestTimeout leaves room for two endpoints within the 90 s that
	// Vault gives one revocation.
	maxRequestTimeout = 30 * time.Second
)

// Config holds the defaults of a mount.
type Config struct {
	DataCenter     string        `json:"data_center"`            // empty: none was chosen
	CustomURL      string        `json:"accounts_url,omitempty"` // accounts_url as written; empty: the data centre's
	ClientID       string        `json:"client_id,omitempty"`
	ClientSecret   secret.Value  `json:"-"`
	RedirectURI    string        `json:"redirect_uri,omitempty"`
	MinTTL         time.Duration `json:"min_ttl,omitempty"` // 0: a sixth of the token's life
	RefreshAhead   bool          `json:"refresh_ahead"`
	RequestBudget  int           `json:"request_budget"`    // token requests per RequestWindow and quota
	RequestWindow  time.Duration `json:"request_window"`    //
	MaxLiveTokens  int           `json:"max_live_tokens"`   // live access tokens per quota
	RequestTimeout time.Duration `json:"request_timeout"`   // of one call to Zoho
	CACert         string        `json:"ca_cert,omitempty"` // PEM
	// CountRequestsPer is CountPerGrant or CountPerClient.
	CountRequestsPer string `json:"count_requests_per"`
	IsDefault        bool   `json:"-"` // nobody has written it
}

// AccountsURL is the mount's Accounts server; empty if none was chosen.
func (c *Config) AccountsURL() string {
	if c.CustomURL != "" {
		return c.CustomURL
	}
	dc, err := zoho.LookupDataCenter(c.DataCenter)
	if err != nil {
		return "" // DataCenter is empty: others are not stored
	}
	return dc.AccountsURL
}

// DefaultConfig is the config of a mount to which none was written.
func DefaultConfig() *Config {
	return &Config{
		IsDefault:        true,
		RefreshAhead:     true,
		RequestBudget:    DefaultRequestBudget,
		RequestWindow:    DefaultRequestWindow,
		MaxLiveTokens:    DefaultMaxLiveTokens,
		RequestTimeout:   DefaultRequestTimeout,
		CountRequestsPer: CountPerGrant,
	}
}

// ConfigChange is a write to the config: nil keeps what is there.
type ConfigChange struct {
	DataCenter       *string
	AccountsURL      *string
	ClientID         *string
	ClientSecret     *string
	RedirectURI      *string
	MinTTL           *time.Duration
	RefreshAhead     *bool
	RequestBudget    *int
	RequestWindow    *time.Duration
	MaxLiveTokens    *int
	RequestTimeout   *time.Duration
	CACert           *string
	CountRequestsPer *string

	// What is used by the write and not stored.

	Verify *bool // try a new client secret at Zoho; nil: yes
	Force  bool  // change the client although that ends roles
}

// Apply returns old with the change made to it, or a UserError.
func (ch ConfigChange) Apply(old Config) (Config, []string, error) {
	c := old
	Set(&c.DataCenter, ch.DataCenter)
	Set(&c.CustomURL, ch.AccountsURL)
	Set(&c.ClientID, ch.ClientID)
	setSecret(&c.ClientSecret, ch.ClientSecret)
	Set(&c.RedirectURI, ch.RedirectURI)
	Set(&c.MinTTL, ch.MinTTL)
	Set(&c.RefreshAhead, ch.RefreshAhead)
	Set(&c.RequestBudget, ch.RequestBudget)
	Set(&c.RequestWindow, ch.RequestWindow)
	Set(&c.MaxLiveTokens, ch.MaxLiveTokens)
	Set(&c.RequestTimeout, ch.RequestTimeout)
	Set(&c.CACert, ch.CACert)
	Set(&c.CountRequestsPer, ch.CountRequestsPer)

	var warnings []string
	if ch.DataCenter != nil && ch.AccountsURL == nil && old.CustomURL != "" {
		warnings = append(warnings, fmt.Sprintf("accounts_url is still %s and overrides data_center; write accounts_url=\"\" to use the data centre's own server", old.CustomURL))
	}
	if err := c.normalise(); err != nil {
		return Config{}, nil, err
	}
	if err := ch.keepsSecretAtHome(old, c); err != nil {
		return Config{}, nil, err
	}
	if ch.AccountsURL != nil {
		warnings = append(warnings, lookalikeWarnings(c.CustomURL)...)
	}
	return c, append(warnings, ch.limitWarnings(c)...), nil
}

// lookalikeWarnings tells of an Accounts server that is somebody else's, for all that
// this version knows.
func lookalikeWarnings(accountsURL string) []string {
	meant, looks := zoho.LooksLikeZohos(accountsURL)
	if !looks {
		return nil
	}
	advice := "If Zoho has not opened a data centre there, write data_center and accounts_url=\"\" instead"
	if meant != (zoho.DataCenter{}) {
		advice = fmt.Sprintf("The one of data centre %s is %s: write data_center=%s accounts_url=\"\" and the client's secret", meant.Name, meant.AccountsURL, meant.Name)
	}
	return []string{fmt.Sprintf("accounts_url %s looks like an Accounts server of Zoho's, and is none that this version knows: whoever runs it gets the client's secret. %s", accountsURL, advice)}
}

// limitWarnings tells the operator which of the limits that were written will hurt.
func (ch ConfigChange) limitWarnings(c Config) (warnings []string) {
	if ch.RequestBudget != nil && c.RequestBudget > DefaultRequestBudget {
		warnings = append(warnings, fmt.Sprintf("request_budget of %d is more than the %d that Zoho answers in ten minutes: beyond that Zoho refuses for ten minutes and longer, readers who have no token included", c.RequestBudget, DefaultRequestBudget))
	}
	if ch.MaxLiveTokens != nil && c.MaxLiveTokens > DefaultMaxLiveTokens {
		warnings = append(warnings, fmt.Sprintf("max_live_tokens of %d is more than the %d that Zoho's page on token limits allows: beyond its limit Zoho ends the oldest access token without a word, also if somebody leases it", c.MaxLiveTokens, DefaultMaxLiveTokens))
	}
	if ch.MinTTL != nil {
		warnings = append(warnings, minTTLWarning(c.MinTTL)...)
	}
	return warnings
}

// keepsSecretAtHome enforces invariant 10: a stored client secret goes only to
// the server, and belongs only to the client, for which it was written.
// Without it, whoever may write the config but not read its secret could have
// it sent to a server of their own.
func (ch ConfigChange) keepsSecretAtHome(old, c Config) error {
	hadSecret := !old.ClientSecret.IsZero() && ch.ClientSecret == nil
	switch {
	case hadSecret && c.AccountsURL() != old.AccountsURL():
		return UserErrorf("the stored client_secret was written for %s and is not sent anywhere else: to change the Accounts server to %s, write client_id and client_secret in the same request", old.AccountsURL(), c.AccountsURL())
	case hadSecret && c.ClientID != old.ClientID:
		return UserErrorf("the stored client_secret belongs to another client_id: write both in the same request")
	case (c.ClientID == "") != c.ClientSecret.IsZero():
		return UserErrorf("client_id and client_secret go together: write both, or both empty to have no client for the mount")
	default:
		return nil
	}
}

// normalise checks every field and brings it into its one spelling.
func (c *Config) normalise() error {
	if c.DataCenter != "" {
		dc, err := zoho.LookupDataCenter(c.DataCenter)
		if err != nil {
			return UserErrorf("data_center: %v", err)
		}
		c.DataCenter = dc.Name
	}
	if c.CustomURL != "" {
		custom, err := zoho.ParseAccountsURL(c.CustomURL)
		if err != nil {
			return UserErrorf("%v", err)
		}
		c.CustomURL = custom
	}
	if err := checkRedirectURI(c.RedirectURI); err != nil {
		return err
	}
	if c.CACert != "" {
		if _, err := zoho.NewClient("", c.CACert); err != nil {
			return UserErrorf("%v", err)
		}
	}
	if err := CheckMinTTL(c.MinTTL); err != nil {
		return err
	}
	if c.CountRequestsPer != CountPerGrant && c.CountRequestsPer != CountPerClient {
		return UserErrorf("count_requests_per is neither grant nor client")
	}
	if c.ClientID != "" && c.AccountsURL() == "" {
		return UserErrorf("%s", errNoDataCenter)
	}
	return cmp.Or(
		checkClient(c.ClientID, c.ClientSecret, c.AccountsURL()),
		CheckText("accounts_url", c.CustomURL, maxURLLength),
		CheckText("client_id", c.ClientID, maxIDLength),
		CheckText("client_secret", c.ClientSecret.Reveal(), MaxFieldLength),
		CheckLength("ca_cert", c.CACert, maxCertLength),
		checkRange("request_budget", c.RequestBudget, 1, 1000),
		checkRange("max_live_tokens", c.MaxLiveTokens, 1, 1000),
		checkRange("request_window", c.RequestWindow, time.Minute, 24*time.Hour),
		checkRange("request_timeout", c.RequestTimeout, time.Second, maxRequestTimeout),
	)
}

// WantsTrial reports whether a client secret is tried: a new one of the client that roles
// use, before the one that works is given up.
func (ch ConfigChange) WantsTrial(old, updated Config) bool {
	refused := ch.Verify != nil && !*ch.Verify
	return !refused && ch.ClientSecret != nil && !updated.ClientSecret.IsZero() && !updated.ClientSecret.Equal(old.ClientSecret)
}

// Limits are what the config says that Zoho allows.
func (c *Config) Limits() quota.Limits {
	return quota.Limits{Budget: c.RequestBudget, Window: c.RequestWindow, Timeout: c.RequestTimeout, MaxLive: c.MaxLiveTokens}
}
