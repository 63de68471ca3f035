package backend

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"time"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// consentLife is how long a person has to agree.
const consentLife = 10 * time.Minute

// consentEntry is an authorization that was begun. It is stored under a keyed
// hash of its state: who does not know the state cannot find it, and looking
// for one tells nothing by its time. What Zoho sends back is believed only as
// far as it agrees with this.
type consentEntry struct {
	Role        string    `json:"role"`
	AccountsURL string    `json:"accounts_url"`
	ClientID    string    `json:"client_id"`
	RedirectURI string    `json:"redirect_uri"`
	GrantID     string    `json:"grant_id,omitempty"` // that the role has now; it is to be replaced, and no other
	Scopes      []string  `json:"scopes"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// Authorization is where to send a person, and until when. Whoever has the URL
// can put an account of theirs behind the role.
type Authorization struct {
	URL       string
	ExpiresAt time.Time
	Warnings  []string
}

// Authorize begins to ask a person for consent. The role must exist, with
// scopes; it changes only when the person has agreed and CompleteConsent was
// called with what Zoho sent.
func (e *Engine) Authorize(ctx context.Context, name string) (*Authorization, error) {
	role, err := e.existingRole(ctx, name)
	if err != nil {
		return nil, err
	}
	config, _, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case role.GrantType != GrantTypeRefreshToken:
		return nil, userErrorf("role %q mints with client_credentials, for which nobody has to consent", name)
	case len(role.Scopes) == 0:
		return nil, userErrorf("role %q has no scopes to ask for; write them first: vault write <mount>/roles/%s scopes=ZohoCRM.modules.ALL", name, name)
	case config.RedirectURI == "":
		return nil, userErrorf("the mount has no redirect_uri; write the address of its callback to <mount>/config, for example https://vault.example.com/v1/zoho/callback, and register the same in Zoho's API console")
	}
	if _, err := role.app(config); err != nil {
		return nil, err
	}
	state, key, err := e.newState(ctx)
	if err != nil {
		return nil, err
	}
	entry := consentEntry{
		Role: name, AccountsURL: role.Pin.AccountsURL, ClientID: role.Pin.ClientID,
		RedirectURI: config.RedirectURI, Scopes: role.Scopes, ExpiresAt: e.now().Add(consentLife),
	}
	if entry.GrantID, err = e.grantID(ctx, role); err != nil {
		return nil, err
	}
	var warnings []string
	if role.IsAuthorized() {
		warnings = []string{fmt.Sprintf("role %q is authorized already: when a person agrees, its present refresh token is revoked at Zoho as soon as nobody leases its access tokens and no other role has it. If another program uses it, that program loses it", name)}
	}
	if err := e.store.put(ctx, key, entry); err != nil {
		return nil, err
	}
	e.log().Info("an authorization was begun", "role", name, "expires_at", entry.ExpiresAt)
	return &Authorization{
		URL: zoho.ConsentURL(entry.AccountsURL, entry.ClientID, zoho.Consent{
			RedirectURI: entry.RedirectURI, State: state, Scopes: role.Scopes,
		}),
		ExpiresAt: entry.ExpiresAt,
		Warnings:  warnings,
	}, nil
}

func (e *Engine) newState(ctx context.Context) (state, key string, err error) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", "", err
	}
	state = base64.RawURLEncoding.EncodeToString(random[:])
	key, err = e.consentKey(ctx, state)
	return state, key, err
}

func (e *Engine) consentKey(ctx context.Context, state string) (string, error) {
	id, err := e.fingerprint(ctx, "state", state)
	return prefixConsent + id, err
}

// Callback is what Zoho sent the browser back with. All of it may be forged.
type Callback struct {
	State          string
	Code           string
	Error          string // instead of a code
	Location       string // data centre of the person's account; empty: not said
	AccountsServer string // likewise, its Accounts server
}

// CompleteConsent ends the authorization of the callback's state, and returns
// the name of its role. A state is good for one attempt. The error is a
// *UserError or *GrantError whose text is meant for the person at the browser;
// then the role is as it was.
func (e *Engine) CompleteConsent(ctx context.Context, callback Callback) (role string, err error) {
	role, err = e.completeConsent(ctx, callback)
	var bad *UserError
	switch {
	case err == nil:
		e.log().Info("a role was authorized", "role", role)
	case role == "" && errors.As(err, &bad): // anybody can send such a state, as often as they like
		e.log().Debug("a callback was refused", "error", err)
	default:
		e.log().Warn("an authorization failed", "role", role, "error", err)
	}
	if role != "" {
		e.tellRole(EventRoleAuthorize, role, err)
	}
	return role, err
}

func (e *Engine) completeConsent(ctx context.Context, callback Callback) (role string, err error) {
	pending, err := e.takeConsent(ctx, callback.State)
	if err != nil {
		return "", err
	}
	if err := pending.check(callback); err != nil {
		return pending.Role, err
	}
	warnings, err := e.WriteRole(ctx, pending.Role, RoleChange{
		Code: &callback.Code, RedirectURI: &pending.RedirectURI, MustExist: true,
		consent: pending,
	})
	for _, warning := range warnings { // the person at the browser could do nothing about it
		e.log().Warn("a role was authorized, but", "role", pending.Role, "warning", warning)
	}
	return pending.Role, err
}

// takeConsent takes the pending authorization out of storage: of two callbacks
// at once one finds it.
func (e *Engine) takeConsent(ctx context.Context, state string) (*consentEntry, error) {
	stale := userErrorf("This link is not valid: it was used already, is older than ten minutes, or was not begun here. Ask for a new one: vault write -f <mount>/roles/<name>/authorize")
	const longest = 128
	if state == "" || len(state) > longest {
		return nil, stale
	}
	key, err := e.consentKey(ctx, state)
	if err != nil {
		return nil, err
	}
	release, err := e.writes.acquire(ctx, key)
	if err != nil {
		return nil, err
	}
	defer release()
	pending, err := orNone(get[consentEntry](ctx, e.store, key))
	if err != nil {
		return nil, err
	}
	if pending == nil {
		return nil, stale
	}
	if err := e.store.Delete(ctx, key); err != nil {
		return nil, err
	}
	if !e.now().Before(pending.ExpiresAt) {
		return nil, stale
	}
	return pending, nil
}

// sweepConsents deletes what nobody came back for.
func (e *Engine) sweepConsents(ctx context.Context) error {
	return e.dropConsents(ctx, func(c *consentEntry) bool { return !e.now().Before(c.ExpiresAt) })
}

// dropConsents deletes the pending authorizations that match, and those that
// cannot be decoded.
func (e *Engine) dropConsents(ctx context.Context, match func(*consentEntry) bool) error {
	keys, err := e.store.List(ctx, prefixConsent)
	if err != nil {
		return err
	}
	for _, key := range keys {
		key = prefixConsent + path.Base(key)
		pending, err := orNone(get[consentEntry](ctx, e.store, key))
		if err != nil {
			return err
		}
		if pending != nil && !match(pending) {
			continue
		}
		if err := e.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
