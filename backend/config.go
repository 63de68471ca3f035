package backend

import (
	"context"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Defaults of the config. Zoho's limits are those of
// zoho.com/accounts/protocol/oauth/token-limits.html.
const (
	DefaultDataCenter     = "us"
	DefaultRequestBudget  = 10
	DefaultRequestWindow  = 10 * time.Minute
	DefaultMaxLiveTokens  = 10
	DefaultRequestTimeout = 10 * time.Second

	// maxRequestTimeout leaves room for two endpoints within the 90 s that
	// Vault gives one revocation.
	maxRequestTimeout = 30 * time.Second
)

// Config holds the defaults of a mount.
type Config struct {
	DataCenter     string
	CustomURL      string // accounts_url as written; empty: the data centre's
	ClientID       string
	ClientSecret   secret.Value
	RedirectURI    string
	MinTTL         time.Duration // 0: a sixth of the token's life
	RefreshAhead   bool
	RequestBudget  int           // token requests per RequestWindow and grant
	RequestWindow  time.Duration //
	MaxLiveTokens  int           // live access tokens per grant
	RequestTimeout time.Duration // of one call to Zoho
	CACert         string        // PEM
}

// AccountsURL is the mount's Accounts server.
func (c *Config) AccountsURL() string {
	if c.CustomURL != "" {
		return c.CustomURL
	}
	dc, err := zoho.LookupDataCenter(c.DataCenter)
	if err != nil {
		return "" // cannot be: DataCenter is checked when it is written
	}
	return dc.AccountsURL
}

func defaultConfig() Config {
	return Config{
		DataCenter:     DefaultDataCenter,
		RefreshAhead:   true,
		RequestBudget:  DefaultRequestBudget,
		RequestWindow:  DefaultRequestWindow,
		MaxLiveTokens:  DefaultMaxLiveTokens,
		RequestTimeout: DefaultRequestTimeout,
	}
}

// ConfigChange is a write to the config: nil keeps what is there.
type ConfigChange struct {
	DataCenter     *string
	AccountsURL    *string
	ClientID       *string
	ClientSecret   *string
	RedirectURI    *string
	MinTTL         *time.Duration
	RefreshAhead   *bool
	RequestBudget  *int
	RequestWindow  *time.Duration
	MaxLiveTokens  *int
	RequestTimeout *time.Duration
	CACert         *string

	Verify *bool // not stored: try a new client secret at Zoho; nil: yes
}

// apply returns old with the change made to it, or a UserError.
func (ch ConfigChange) apply(old Config) (Config, []string, error) {
	c := old
	set(&c.DataCenter, ch.DataCenter)
	set(&c.CustomURL, ch.AccountsURL)
	set(&c.ClientID, ch.ClientID)
	setSecret(&c.ClientSecret, ch.ClientSecret)
	set(&c.RedirectURI, ch.RedirectURI)
	set(&c.MinTTL, ch.MinTTL)
	set(&c.RefreshAhead, ch.RefreshAhead)
	set(&c.RequestBudget, ch.RequestBudget)
	set(&c.RequestWindow, ch.RequestWindow)
	set(&c.MaxLiveTokens, ch.MaxLiveTokens)
	set(&c.RequestTimeout, ch.RequestTimeout)
	set(&c.CACert, ch.CACert)

	var warnings []string
	if ch.DataCenter != nil && ch.AccountsURL == nil && old.CustomURL != "" {
		warnings = append(warnings, fmt.Sprintf("accounts_url is still %s and goes before data_center; write accounts_url=\"\" to use the data centre's own server", old.CustomURL))
	}
	if err := c.normalise(); err != nil {
		return Config{}, nil, err
	}
	if err := ch.keepsSecretAtHome(old, c); err != nil {
		return Config{}, nil, err
	}
	return c, warnings, nil
}

// keepsSecretAtHome enforces invariant 10: a stored client secret goes only to
// the server, and belongs only to the client, for which it was written.
// Without it, whoever may write the config but not read its secret could have
// it sent to a server of their own.
func (ch ConfigChange) keepsSecretAtHome(old, c Config) error {
	hadSecret := !old.ClientSecret.IsZero() && ch.ClientSecret == nil
	switch {
	case hadSecret && c.AccountsURL() != old.AccountsURL():
		return userErrorf("the stored client_secret was written for %s and is not sent anywhere else: to change the Accounts server to %s, write client_id and client_secret in the same request", old.AccountsURL(), c.AccountsURL())
	case hadSecret && c.ClientID != old.ClientID:
		return userErrorf("the stored client_secret belongs to another client_id: write both in the same request")
	case (c.ClientID == "") != c.ClientSecret.IsZero():
		return userErrorf("client_id and client_secret go together: write both, or both empty to have no client for the mount")
	default:
		return nil
	}
}

// normalise checks every field and brings it into its one spelling.
func (c *Config) normalise() error {
	if _, err := zoho.LookupDataCenter(c.DataCenter); err != nil {
		return userErrorf("data_center: %v", err)
	}
	if c.CustomURL != "" {
		custom, err := zoho.ParseAccountsURL(c.CustomURL)
		if err != nil {
			return userErrorf("%v", err)
		}
		c.CustomURL = custom
	}
	if err := checkRedirectURI(c.RedirectURI); err != nil {
		return err
	}
	if c.CACert != "" {
		if _, err := zoho.NewClient("", c.CACert); err != nil {
			return userErrorf("%v", err)
		}
	}
	if err := checkMinTTL(c.MinTTL); err != nil {
		return err
	}
	return firstError(
		checkText("accounts_url", c.CustomURL, maxFieldLength),
		checkText("client_id", c.ClientID, maxFieldLength),
		checkText("client_secret", c.ClientSecret.Reveal(), maxFieldLength),
		checkLength("ca_cert", c.CACert, maxCertLength),
		checkRange("request_budget", c.RequestBudget, 1, 1000),
		checkRange("max_live_tokens", c.MaxLiveTokens, 1, 1000),
		checkDuration("request_window", c.RequestWindow, time.Minute, 24*time.Hour),
		checkDuration("request_timeout", c.RequestTimeout, time.Second, maxRequestTimeout),
	)
}

// Config returns the mount's config, or its defaults if none was written.
func (e *Engine) Config(ctx context.Context) (*Config, bool, error) {
	c, err := e.config.get(ctx, keyConfig, e.loadConfig)
	if err != nil {
		return nil, false, err
	}
	if c == nil {
		defaults := defaultConfig()
		return &defaults, false, nil
	}
	return c, true, nil
}

// WriteConfig changes the config. The error is a *UserError if the change
// cannot be made, a *GrantError if Zoho refuses the client secret, and then
// nothing has changed.
func (e *Engine) WriteConfig(ctx context.Context, change ConfigChange) (warnings []string, err error) {
	written := make(chan []string, 1)
	if err := e.detach(ctx, func(ctx context.Context) error {
		warnings, err := e.writeConfig(ctx, change)
		e.tell(EventConfigWrite, keyConfig, err)
		written <- warnings
		return err
	}); err != nil {
		return nil, err
	}
	return <-written, nil
}

func (e *Engine) writeConfig(ctx context.Context, change ConfigChange) (warnings []string, err error) {
	release, err := e.writes.acquire(ctx, keyConfig)
	if err != nil {
		return nil, err
	}
	defer release()
	old, err := orNone(e.config.get(ctx, keyConfig, e.loadConfig))
	if err != nil {
		return nil, err
	}
	if old == nil {
		defaults := defaultConfig()
		old = &defaults
	}
	updated, warnings, err := change.apply(*old)
	if err != nil {
		return nil, err
	}
	if change.wantsTrial(*old, updated) {
		tried, err := e.tryClient(ctx, &updated)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, tried...)
	}
	defer e.config.forget(keyConfig)
	return warnings, e.store.put(ctx, keyConfig, updated.entry())
}

// wantsTrial: a new secret of the client that roles use is tried before the one
// that works is given up.
func (ch ConfigChange) wantsTrial(old, updated Config) bool {
	refused := ch.Verify != nil && !*ch.Verify
	return !refused && ch.ClientSecret != nil && !updated.ClientSecret.IsZero() && !updated.ClientSecret.Equal(old.ClientSecret)
}

// DeleteConfig forgets the config and with it the mount's client. Roles with a
// client of their own and all leases go on as before.
func (e *Engine) DeleteConfig(ctx context.Context) (err error) {
	defer func() { e.tell(EventConfigDelete, keyConfig, err) }()
	release, err := e.writes.acquire(ctx, keyConfig)
	if err != nil {
		return err
	}
	defer release()
	defer e.config.forget(keyConfig)
	return e.store.Delete(ctx, keyConfig)
}

// configEntry is the config as it is stored.
type configEntry struct {
	DataCenter     string        `json:"data_center"`
	CustomURL      string        `json:"accounts_url,omitempty"`
	ClientID       string        `json:"client_id,omitempty"`
	ClientSecret   string        `json:"client_secret,omitempty"`
	RedirectURI    string        `json:"redirect_uri,omitempty"`
	MinTTL         time.Duration `json:"min_ttl,omitempty"`
	RefreshAhead   bool          `json:"refresh_ahead"`
	RequestBudget  int           `json:"request_budget"`
	RequestWindow  time.Duration `json:"request_window"`
	MaxLiveTokens  int           `json:"max_live_tokens"`
	RequestTimeout time.Duration `json:"request_timeout"`
	CACert         string        `json:"ca_cert,omitempty"`
}

func (c *Config) entry() configEntry {
	return configEntry{
		DataCenter: c.DataCenter, CustomURL: c.CustomURL,
		ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(),
		RedirectURI: c.RedirectURI, MinTTL: c.MinTTL, RefreshAhead: c.RefreshAhead,
		RequestBudget: c.RequestBudget, RequestWindow: c.RequestWindow,
		MaxLiveTokens: c.MaxLiveTokens, RequestTimeout: c.RequestTimeout, CACert: c.CACert,
	}
}

func (e *Engine) loadConfig(ctx context.Context, key string) (*Config, error) {
	s, err := get[configEntry](ctx, e.store, key)
	if err != nil || s == nil {
		return nil, err
	}
	return &Config{
		DataCenter: s.DataCenter, CustomURL: s.CustomURL,
		ClientID: s.ClientID, ClientSecret: secret.New(s.ClientSecret),
		RedirectURI: s.RedirectURI, MinTTL: s.MinTTL, RefreshAhead: s.RefreshAhead,
		RequestBudget: s.RequestBudget, RequestWindow: s.RequestWindow,
		MaxLiveTokens: s.MaxLiveTokens, RequestTimeout: s.RequestTimeout, CACert: s.CACert,
	}, nil
}
