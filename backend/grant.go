package backend

import (
	"context"
	"slices"
	"sync"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// credential is what a grant's tokens are minted with, as it stands now.
type credential struct {
	app          zoho.App
	refreshToken secret.Value // zero: client_credentials
	soid         string       // of client_credentials
	scopes       []string     // likewise
	caCert       string
	secretID     string // fingerprint of the client secret
	limitsID     string // whose record counts the requests: the grant's own, or its client's
}

// mint asks Zoho for an access token, once.
func (c credential) mint(ctx context.Context, client *zoho.Client) (zoho.Token, error) {
	if c.refreshToken.IsZero() {
		return client.ClientCredentials(ctx, c.app, c.soid, c.scopes)
	}
	return client.Refresh(ctx, c.app, c.refreshToken)
}

// grant is one grant in memory, or the requests that Zoho counts for a client
// as a whole: then it has no token of its own. rec and current are guarded by mu; rec is
// changed through update alone.
type grant struct {
	id string

	mu      sync.Mutex
	rec     grantRecord
	current *token     // nil, or the token of rec.Current
	awaited int        // readers that wait for a mint
	cred    credential // of the latest reader, for mints ahead
	read    time.Time  // when that was
	dropped bool       // its record is deleted; who still has it begins anew
}

// record returns the record as it is; its slices must not be changed.
func (g *grant) record() grantRecord {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rec
}

func (g *grant) isDropped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dropped
}

// await counts readers that wait for a mint: n is 1 or -1.
func (g *grant) await(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.awaited += n
}

func (g *grant) isAwaited() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.awaited > 0
}

// grantRecord is a grant as it is stored.
type grantRecord struct {
	Current   string    `json:"current,omitempty"` // token_id
	Requests  []request `json:"requests,omitempty"`
	Failure   *failure  `json:"failure,omitempty"` // of the latest mint; nil after a success
	LastMint  time.Time `json:"last_mint,omitzero"`
	APIDomain string    `json:"api_domain,omitempty"` // for refreshes that omit it
	Scopes    []string  `json:"scopes,omitempty"`     // likewise
	// Roles names those that use the grant. After a crash it may name one that
	// no longer does, and never misses one that does: see users.
	Roles []string `json:"roles,omitempty"`
}

// request is one token request: it counts against the budget for the window,
// and, unless it is over, against the live tokens until its token has expired.
type request struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`           // no token of it lives longer
	Token string    `json:"token,omitempty"` // token_id; empty if none is known to have come of it
	Over  bool      `json:"over,omitempty"`  // it left no live token at Zoho
}

// grantOf finds the grant that a role names, and what it is minted with now.
func (e *Engine) grantOf(ctx context.Context, r *Role, config *Config) (*grant, credential, error) {
	if !r.IsAuthorized() {
		return nil, credential{}, userErrorf("role %q has no refresh token yet: send a person to the address that this answers: vault write -f <mount>/roles/%s/authorize - or write code or refresh_token to the role", r.Name, r.Name)
	}
	app, err := r.app(config)
	if err != nil {
		return nil, credential{}, err
	}
	id, err := e.grantID(ctx, r)
	if err != nil {
		return nil, credential{}, err
	}
	secretID, err := e.fingerprint(ctx, "client secret", app.ClientSecret.Reveal())
	if err != nil {
		return nil, credential{}, err
	}
	cred := credential{app: app, refreshToken: r.RefreshToken, caCert: config.CACert, secretID: secretID, limitsID: id}
	if r.GrantType == GrantTypeClientCredentials {
		cred.soid, cred.scopes = r.SOID, r.Scopes
		if cred.limitsID, err = e.clientLimitsID(ctx, app); err != nil {
			return nil, credential{}, err
		}
	}
	g, err := e.grant(ctx, id)
	return g, cred, err
}

// grantID names the grant of a role, and is empty if it has none yet. It
// depends on nothing but the role: where its credentials belong was decided
// when they were written.
func (e *Engine) grantID(ctx context.Context, r *Role) (string, error) {
	if !r.IsAuthorized() {
		return "", nil
	}
	return e.fingerprint(ctx, "grant", r.grantParts()...)
}

// clientLimitsID names the record that counts the requests which Zoho counts
// per client, because they carry no refresh token: client_credentials, whatever
// their scopes, and the exchange of grant codes.
// Source: zoho.com/accounts/protocol/oauth/token-limits.html ("an app").
func (e *Engine) clientLimitsID(ctx context.Context, app zoho.App) (string, error) {
	return e.fingerprint(ctx, "client", app.AccountsURL, app.ClientID)
}

// grant returns the grant of id, from storage if it is not in memory.
func (e *Engine) grant(ctx context.Context, id string) (*grant, error) {
	for {
		e.mu.Lock()
		g := e.grants[id]
		e.mu.Unlock()
		if g != nil {
			return g, nil
		}
		if err := e.fly(ctx, "load "+prefixGrants+id, func(ctx context.Context) error {
			return e.loadGrant(ctx, id)
		}); err != nil {
			return nil, err
		}
	}
}

func (e *Engine) loadGrant(ctx context.Context, id string) error {
	e.mu.Lock()
	known := e.grants[id] != nil
	e.mu.Unlock()
	if known {
		return nil
	}
	rec, err := get[grantRecord](ctx, e.store, prefixGrants+id)
	if err != nil {
		return err
	}
	g := &grant{id: id}
	if rec != nil {
		g.rec = *rec
		if g.current, err = e.token(ctx, rec.Current); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.grants[id] = g
	return nil
}

// updateGrant changes the grant's record, storage first. If the write fails,
// nothing has changed.
func (e *Engine) updateGrant(ctx context.Context, g *grant, change func(*grantRecord)) error {
	release, err := e.writes.acquire(ctx, prefixGrants+g.id)
	if err != nil {
		return err
	}
	defer release()
	if g.isDropped() {
		return errDropped
	}
	rec := g.record()
	rec.Requests = slices.Clone(rec.Requests)
	rec.Roles = slices.Clone(rec.Roles)
	change(&rec)
	if err := e.store.put(ctx, prefixGrants+g.id, rec); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rec = rec
	return nil
}

// freshness is what a reader sees of a grant's token.
type freshness int

const (
	invalid freshness = iota // none, ending, or not enough left
	stale                    // good, and past half of its life
	fresh
)

// look returns the current token, nil if there is none to hand out, and how
// fresh it is for a reader who asked for minTTL.
func (g *grant) look(now time.Time, minTTL time.Duration) (*token, freshness) {
	g.mu.Lock()
	t := g.current
	g.mu.Unlock()
	if t == nil || t.ledger.isEnding() || t.left(now) < time.Second {
		return nil, invalid
	}
	needed, _ := t.effectiveMinTTL(minTTL)
	switch left := t.left(now); {
	case left < needed:
		return t, invalid
	case left < t.refreshBelow():
		return t, stale
	default:
		return t, fresh
	}
}
