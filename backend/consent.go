package backend

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/clock"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

const (
	// consentLife is how long a person has to agree.
	consentLife = 10 * time.Minute

	// mostConsents is how many authorizations of one role can be pending. One more
	// makes the oldest invalid.
	mostConsents = 10
)

// consentEntry is an authorization that was begun. What Zoho sends back is
// believed only as far as it agrees with this.
//
// Its key is consents/<role>/<end>-<state>: the role and the state as keyed hashes,
// since who does not know the state must not find it, and looking for one must tell
// nothing by its time; the end in seconds, so that what is too old is found without
// reading any.
type consentEntry struct {
	Role        string `json:"role"`
	AccountsURL string `json:"accounts_url"`
	ClientID    string `json:"client_id"`
	RedirectURI string `json:"redirect_uri"`
	QuotaID     string `json:"quota_id,omitempty"` // of the refresh token that is to be replaced, and no other
	ScopesID    string `json:"scopes_id"`          // keyed hash of the scopes that are asked for
	Consent     string `json:"consent"`            // ConsentUser or ConsentOrg
	SOID        string `json:"soid,omitempty"`     // of the organisation that is asked for
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
	// A deletion of the role drops its pending authorizations: this one must not
	// be stored after it, for a role that is written anew under the name.
	slot, err := e.takeRole(ctx, name)
	if err != nil {
		return nil, err
	}
	defer slot.release()
	role, config, err := e.roleAndConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(role.CheckCanAsk(), config.CheckCanComeBack(), e.checkCallback(config.RedirectURI)); err != nil {
		return nil, err // or the mount was moved since the address was written
	}
	asked := *role
	if asked.Pin, err = role.ConsentPin(config); err != nil {
		return nil, err
	}
	entry := e.newConsent(role, asked.Pin, config)
	warnings, err := e.consentWarnings(ctx, role, &asked)
	if err != nil {
		return nil, err
	}
	self, err := e.selfClientWarning(ctx, &asked)
	if err != nil {
		return nil, err
	}
	warnings = append(warnings, self...)
	expires := e.now().Add(consentLife).Truncate(time.Second)
	state, key, err := e.storeConsent(ctx, entry, expires)
	if err != nil {
		return nil, err
	}
	if err := e.store.put(ctx, prefixLastConsents+name, LastConsent{Key: key, Method: MethodBrowser, BegunAt: e.now(), ExpiresAt: expires}); err != nil {
		return nil, err
	}
	e.log().Info("an authorization was begun", "role", name, "expires_at", expires)
	return &Authorization{
		URL: zoho.ConsentURL(entry.AccountsURL, entry.ClientID, zoho.Consent{
			RedirectURI: entry.RedirectURI, State: state, Scopes: role.Scopes,
			ForOrg: entry.Consent == settings.ConsentOrg, SOID: entry.SOID,
		}),
		ExpiresAt: expires,
		Warnings:  warnings,
	}, nil
}

// consentWarnings says what a consent brings, before a person is asked. asked is the role as it will
// be with it.
func (e *Engine) consentWarnings(ctx context.Context, role, asked *settings.Role) (warnings []string, err error) {
	if role.IsAuthorized() {
		warnings = []string{fmt.Sprintf("role %q is authorized already: when a person agrees, its present refresh token is revoked at Zoho as soon as nobody leases its access tokens and no other role has it. If another program uses it, that program loses it", role.Name)}
	}
	many, err := e.manyRefreshTokensWarning(ctx, asked)
	return append(warnings, many...), err
}

// storeConsent keeps an authorization under a new state. key is where it is stored.
func (e *Engine) storeConsent(ctx context.Context, entry consentEntry, expires time.Time) (state, key string, err error) {
	prefix := e.consentPrefix(entry.Role)
	pending, err := e.store.List(ctx, prefix)
	if err != nil {
		return "", "", err
	}
	slices.Sort(pending) // by their ends
	for _, name := range pending[:max(0, len(pending)+1-mostConsents)] {
		if err := e.store.Delete(ctx, prefix+name); err != nil {
			return "", "", err
		}
	}
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", "", err
	}
	state = path.Base(prefix) + "." + base64.RawURLEncoding.EncodeToString(random[:])
	key = fmt.Sprintf("%s%011d-%s", prefix, expires.Unix(), e.fingerprint("state", state))
	return state, key, e.store.put(ctx, key, entry)
}

func (e *Engine) consentPrefix(role string) string {
	return prefixConsent + e.fingerprint("consents of", role) + "/"
}

func (e *Engine) scopesID(r *settings.Role) string { return e.fingerprint("scopes", r.Scopes...) }

// findConsent returns the key of the pending authorization of a state.
func (e *Engine) findConsent(ctx context.Context, state string) (key string, err error) {
	role, _, _ := strings.Cut(state, ".")
	if !stateForm.MatchString(state) {
		return "", errStaleConsent()
	}
	prefix := prefixConsent + role + "/"
	names, err := e.store.List(ctx, prefix)
	if err != nil {
		return "", err
	}
	ending := "-" + e.fingerprint("state", state)
	for _, name := range names {
		if strings.HasSuffix(name, ending) && e.isPending(name) {
			return prefix + name, nil
		}
	}
	return "", errStaleConsent()
}

var stateForm = regexp.MustCompile(`^[0-9a-f]{32}\.[\w-]{43}$`)

// isPending reports whether a pending authorization has not ended, by its name.
// An end that is further off than an authorization lasts was written by a wrong
// clock.
func (e *Engine) isPending(name string) bool {
	return clock.IsWithin(e.now(), consentEnd(name), consentLife)
}

// consentEnd is when an authorization ends, by its name; zero if that is none.
func consentEnd(name string) time.Time {
	end, _, _ := strings.Cut(name, "-")
	seconds, err := strconv.ParseInt(end, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// givenConsent is a pending authorization with what Zoho sent back.
type givenConsent struct {
	*consentEntry
	key      string
	callback Callback
	device   *deviceEntry // the person types a code, and nothing comes back; nil: in a browser
	found    bool         // it is pending
	gave     bool         // a poll has brought tokens
	taken    bool         // it was, and is used up by this callback

	// What it has brought, when the role is stored.
	account zoho.Person // zero: Zoho did not say
	granted []string    // scopes; empty: Zoho did not say
	asked   []string
}

// find looks for the authorization, which another callback may have used up since. The
// caller has the role's slot, so that of two callbacks at once one finds it, and the role
// cannot be deleted and made anew meanwhile.
func (c *givenConsent) find(ctx context.Context, e *Engine) error {
	if c.device != nil {
		return c.findDevice(ctx, e)
	}
	pending, err := orNone(get[consentEntry](ctx, e.store, c.key))
	if err != nil {
		return err
	}
	if c.found = pending != nil; !c.found {
		return errStaleConsent()
	}
	return nil
}

// take uses the authorization up.
func (c *givenConsent) take(ctx context.Context, e *Engine) error {
	c.taken = true
	return e.store.Delete(ctx, c.key)
}

// endConsent uses an authorization up, whatever came of it, and notes that: it is good for
// one attempt. Only one that came back too early can come back again.
func (e *Engine) endConsent(ctx context.Context, role string, c *givenConsent, failed error) {
	if !c.found || isPostponed(failed) {
		return
	}
	if !c.taken {
		if err := c.take(ctx, e); err != nil {
			e.log().Warn("could not use up an authorization that has failed", "role", role, "error", err)
		}
	}
	key := c.key
	if c.device != nil {
		key = e.deviceKey(c.device)
	}
	e.noteConsentEnded(ctx, role, key, failed)
}

// sweepConsents deletes what nobody came back for.
func (e *Engine) sweepConsents(ctx context.Context) error {
	roles, err := e.store.List(ctx, prefixConsent)
	if err != nil {
		return err
	}
	var failed []error
	pending := 0
	for _, role := range roles {
		failed = append(failed, e.store.deleteWhere(ctx, prefixConsent+role, func(name string) bool {
			if e.isPending(name) {
				pending++
				return false
			}
			return true
		}))
	}
	devices, err := e.store.List(ctx, prefixDevices)
	failed = append(failed, err)
	e.metrics.PendingConsents(pending + len(devices))
	return errors.Join(failed...)
}
